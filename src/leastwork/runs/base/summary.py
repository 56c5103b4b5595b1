"""What the command line prints of a certificate."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from leastwork.support.numerals import fraction, plus_minus

__all__ = ["add_cost", "table_of_pairs"]


def table_of_pairs() -> Table:
    """A table of names and values, without head and lines."""
    return Table(box=None, pad_edge=False, show_header=False)


def add_cost(table: Table, certificate: Mapping[str, Any]) -> None:
    """Write the certificate below what stands in a table."""
    for key in ("work", "bound", "dissipation"):
        table.add_row(key, f"{plus_minus(**certificate[key])} kT")
    for key in ("efficiency", "ess"):
        table.add_row(key, fraction(**certificate[key]))
    if certificate["on_target"] is not None:
        table.add_row("on target", "yes" if certificate["on_target"]["value"] else "no")

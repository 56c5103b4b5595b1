"""What the command line prints of a run of Path Guidance."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from leastwork.runs.base.summary import add_cost, table_of_pairs
from leastwork.runs.path.config import PathConfig
from leastwork.support.numerals import fraction, plus_minus

__all__ = ["summary"]


def summary(config: PathConfig, metrics: Mapping[str, Any]) -> list[Table]:
    """The share of samples in the region, its free energy and the certificate."""
    energy, table = metrics["free_energy"], table_of_pairs()
    table.add_row("success", fraction(**metrics["quality"]["success"]))
    table.add_row("free energy", f"{plus_minus(energy['value'], energy['stderr'])} kT")
    if energy["exact"] is not None:
        table.add_row("exact", f"{plus_minus(energy['exact']['value'])} kT")
    add_cost(table, metrics["certificate"])
    return [table]

"""The table that the command line prints about a run of Path Guidance."""

from rich.table import Table

from leastwork.runs.base.sentences import pm, share
from leastwork.runs.path.numbers import PathNumbers
from leastwork.support.numerals import plus_minus

__all__ = ["summary"]


def summary(metrics: PathNumbers) -> Table:
    """The share of samples in the region, and its free energy."""
    energy, table = metrics.free_energy, Table(box=None, pad_edge=False, show_header=False)
    table.add_row("success", share(metrics.quality.success))
    table.add_row("free energy", f"{pm(energy)} kT")
    if energy.exact is not None:
        table.add_row("exact", f"{plus_minus(energy.exact.value)} kT")
    return table

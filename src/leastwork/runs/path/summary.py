"""The table that the command line prints about a run of Path Guidance."""

from rich.table import Table

from leastwork.runs.base.sentences import pm, share
from leastwork.runs.base.summary import add_cost, table_of_pairs
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.numbers import PathNumbers
from leastwork.support.numerals import plus_minus

__all__ = ["summary"]


def summary(config: PathConfig, metrics: PathNumbers) -> list[Table]:
    """The share of samples in the region, its free energy and the certificate."""
    energy, table = metrics.free_energy, table_of_pairs()
    table.add_row("success", share(metrics.quality.success))
    table.add_row("free energy", f"{pm(energy)} kT")
    if energy.exact is not None:
        table.add_row("exact", f"{plus_minus(energy.exact.value)} kT")
    add_cost(table, metrics.certificate, config.sampling, metrics.discretisation)
    return [table]

"""The table that the command line prints about a run of Observable Guidance."""

from rich.table import Table
from rich.text import Text

from leastwork.runs.base.sentences import pm
from leastwork.runs.base.summary import add_cost, table_of_pairs
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.numbers import ObservableNumbers, ObservableRow
from leastwork.runs.observables.sentences import averages_after, nothing_corrected
from leastwork.support.numerals import plus_minus

__all__ = ["summary"]


def summary(config: RunConfig, metrics: ObservableNumbers) -> list[Table]:
    """The averages, and the certificate if there is one."""
    tables = [_averages(config, metrics)]
    nothing = nothing_corrected(metrics)
    if nothing:
        first = Table.grid()
        first.add_row(Text(nothing, style="bold"))
        tables.insert(0, first)
    if metrics.certificate is not None:
        tables.append(table_of_pairs())
        add_cost(tables[-1], metrics.certificate, config.sampling, metrics.discretisation)
    return tables


def _averages(config: RunConfig, metrics: ObservableNumbers) -> Table:
    table = Table("observable", "datum", "model", averages_after(config), box=None, pad_edge=False, header_style="bold")
    for row in metrics.observables:
        name = f"{row.name}{f' ({row.unit})' if row.unit else ''}{' [held out]' if row.held_out else ''}"
        cells = (name, _datum(row), pm(row.before), pm(row.after(config.chosen.guides)))
        table.add_row(*map(Text, cells))  # shown as it is, whatever brackets it holds
    return table


def _datum(row: ObservableRow) -> str:
    if row.target is not None:
        return plus_minus(row.target, row.error)
    return " ".join(f"{sign} {bound:g}" for bound, sign in ((row.lower, "≥"), (row.upper, "≤")) if bound is not None)

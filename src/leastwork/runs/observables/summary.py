"""What the command line prints of a run of Observable Guidance."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from leastwork.runs.base.summary import add_cost, table_of_pairs
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.sentences import averages_after
from leastwork.support.numerals import plus_minus

__all__ = ["summary"]


def summary(config: RunConfig, metrics: Mapping[str, Any]) -> list[Table]:
    """The averages, and the certificate if there is one."""
    tables = [_averages(config, metrics)]
    if metrics["certificate"] is not None:
        tables.append(table_of_pairs())
        add_cost(tables[-1], metrics["certificate"])
    return tables


def _averages(config: RunConfig, metrics: Mapping[str, Any]) -> Table:
    after = averages_after(config)
    table = Table("observable", "datum", "model", after[0], box=None, pad_edge=False, header_style="bold")
    for row in metrics["observables"]:
        bounds = [f"{sign} {row[key]:g}" for key, sign in (("lower", "≥"), ("upper", "≤")) if row[key] is not None]
        datum = plus_minus(row["target"], row["error"]) if row["target"] is not None else " ".join(bounds)
        unit = f" {row['unit']}" if row["unit"] else ""
        name = f"{row['name']}{unit and f' ({unit.strip()})'}{' [held out]' if row['held_out'] else ''}"
        cells = (datum, plus_minus(row["model"], row["model_stderr"]), plus_minus(*(row[key] for key in after)))
        table.add_row(*(Text(cell) for cell in (name, *cells)))  # shown as it is, whatever brackets it holds
    return table

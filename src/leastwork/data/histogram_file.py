"""Files of histograms, a row for each bin: ``lower,upper,count`` or ``lower,upper,population,error``."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.support.arguments import path_of
from leastwork.support.csv_rows import as_number, cells, columns, remedy_of
from leastwork.support.data_text import table_with_unit
from leastwork.support.text import plural, quoted

__all__ = ["Histogram", "read_histogram"]

_COLUMNS = ("lower", "upper", "count", "population", "error")


@dataclass(frozen=True)
class Histogram:
    """The arguments of :func:`~leastwork.data.histogram.distribution`: edges, and counts or populations with errors."""

    edges: tuple[float, ...]
    counts: tuple[float, ...] | None = None
    populations: tuple[float, ...] | None = None
    errors: tuple[float, ...] | None = None


def read_histogram(path: str | Path, unit: str = "") -> Histogram:
    """Read the bins of a histogram::

        # unit: nm
        lower,upper,count
        0,0.8,12
        0.8,1.2,40

    Args:
        path: the file, comma separated; its first line that is not a comment (#) names the columns.
        unit: the unit of the observable; a comment ``# unit: Å`` that states another is refused.

    Raises:
        ConfigError: something cannot be used; the message names file and line.
    """
    path = path_of("path", path)
    table = table_with_unit(path, unit, "a distribution")
    if not table:
        raise ConfigError(f"{path}: the file is empty: begin with the line lower,upper,count, then a row for each bin")
    header = columns(table[0][1], _COLUMNS, f"{path}, line {table[0][0]}", (unit,) if unit else ())
    counted = "count" in header
    if {"lower", "upper"} - set(header) or counted == ("population" in header) or counted == ("error" in header):
        raise ConfigError(
            f"{path}, line {table[0][0]}: the columns are {', '.join(header)}: give lower, upper and count, or lower, "
            "upper, population and error"
        )
    if len(table) < 3:
        raise ConfigError(f"{path}: a distribution takes at least two bins, and there are {len(table) - 1}")
    rows = [_row(line, header, f"{path}, line {number}") for number, line in table[1:]]
    for (first, second), (number, _) in zip(pairwise(rows), table[2:], strict=True):
        if first["upper"] != second["lower"]:
            raise ConfigError(
                f"{path}, line {number}: the bin begins at {second['lower']:g}, and the last one ends at "
                f"{first['upper']:g}: give bins in rising order without gaps"
            )
    edges = (*(row["lower"] for row in rows), rows[-1]["upper"])

    def column(name: str) -> tuple[float, ...] | None:
        return tuple(row[name] for row in rows) if name in header else None

    return Histogram(edges, column("count"), column("population"), column("error"))


def _row(line: str, header: list[str], where: str) -> dict[str, float]:
    found = cells(line)
    if len(found) != len(header):
        raise ConfigError(
            f"{where}: {plural(len(found), 'cell')} for {plural(len(header), 'column')}: give one for each"
        )
    row = {}
    for name, cell in zip(header, found, strict=True):
        value = as_number(cell)
        if value is None or not abs(value) < float("inf") or (name in _COLUMNS[2:] and value < 0):
            what = "a number" if name in _COLUMNS[:2] else "a number, 0 or more"
            raise ConfigError(f"{where}: {name} is {quoted(cell)}: {remedy_of(cell, f'write {what}')}")
        row[name] = value
    if row["lower"] >= row["upper"]:
        raise ConfigError(
            f"{where}: the bin from {row['lower']:g} to {row['upper']:g} is empty: let upper be the larger"
        )
    return row

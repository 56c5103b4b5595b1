"""Tables of data in CSV files: comments, a line that names the columns, and rows that know their line."""

import csv
from collections.abc import Sequence

from leastwork.errors import ConfigError
from leastwork.support.text import nearest

__all__ = ["cells", "columns", "flag", "numbered"]

_FLAGS = {"": False, "0": False, "false": False, "no": False, "1": True, "true": True, "yes": True}


def numbered(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, less comments and empty ones.

    >>> numbered("# in nm\\nname,value\\n\\nd,0.3")
    [(2, 'name,value'), (4, 'd,0.3')]
    """
    lines = enumerate(text.splitlines(), 1)
    return [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def columns(line: str, known: Sequence[str], where: str) -> list[str]:
    """The columns that a line names.

    Raises:
        ConfigError: an unknown column, or one named twice.
    """
    header = [cell.strip() for cell in next(csv.reader([line]))]
    for column in header:
        if column not in known:
            raise ConfigError(f"{where}: there is no column {column!r}{nearest(column, known)}")
        if header.count(column) > 1:
            raise ConfigError(f"{where}: the column {column!r} appears twice: keep one of them")
    return header


def cells(line: str) -> list[str]:
    """The cells of a row; blanks around them do not count.

    >>> cells('"c(0, 1)", 0.5')
    ['c(0, 1)', '0.5']
    """
    return [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]


def flag(cell: str) -> bool | None:
    """Yes or no, no where the cell is empty, None for anything else.

    >>> flag("Yes"), flag(""), flag("perhaps")
    (True, False, None)
    """
    return _FLAGS.get(cell.lower())

"""Tables of data in CSV files: comments, a line that names the columns, and rows that know their line."""

import csv
import re
from collections.abc import Sequence

from leastwork.errors import ConfigError
from leastwork.support.text import nearest, quoted

__all__ = ["as_number", "as_whole_number", "cells", "check_unit", "columns", "flag", "numbered", "remedy_of"]

_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|nan|inf(inity)?)", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_WITH_UNIT = re.compile(r"(\w+)\s*[(\[]\s*([^()\[\]]+?)\s*[)\]]")
_UNIT = re.compile(r"#\s*units?\s*[:=]\s*(\S+)\s*$", re.IGNORECASE)
_ANGSTROM = ("a", "å", "angstrom", "ångström")
_LONGEST = 400  # characters of a number
_REMEDIES = (
    (r"\.|-+|\u2013|n/?a|null|none|nd|n\.d\.|\?|missing", "write a number, or leave the row out"),
    (r".*(±|\+/?-|\+-).*|[+-]?\d*\.?\d+\s*\(\d+\)", "give the error in a column of its own"),
    (r"[+-]?[\d.]+\s*%", "write a fraction, as 0.25"),
    (r"[<>≤≥~≈].*", "write a number, and a bound in the column for it"),
    (r"[+-]?\d{1,3}([.,'’ ]\d{3})+[.,]\d+", "write it without marks of thousands, and with a point for the decimals"),
    (r"[+-]?\d{1,3}(,\d{3})+", "write it without commas, or with a point for the decimals"),
    (r"[+-]?[\d.]+\s*([x×*·]|[dD][+-]?\d).*|\u2013[\d.].*", "write it as -1.2e-3"),
    (r"[^#]*[\d.]\s*#.*", "let a comment stand in a line of its own, after #"),
    (r"[+-]?\d+(_\d+)+(\.\d*)?", "write it without underscores"),
    (r"[+-]?[\d.]+\s*/\s*[\d.]+", "write it as a decimal number"),
    (r"[\"'$€£].*|=.*", "write the number alone, without quotes, signs of currency and formulas"),
    (r"[+-]?[\d.]+e[+-]?\d*", "write it as -1.2e-3, between -1.8e308 and 1.8e308"),
    (r"[+-]?[\d.]+(e[+-]?\d+)?\s*[^\W\d].*", "leave out the unit"),
)  # of cells that are no numbers, the first that fits
_FLAGS = {
    **dict.fromkeys(("", "0", "false", "no", "falsch", "faux", "falso"), False),
    **dict.fromkeys(("1", "true", "yes", "wahr", "vrai", "verdadero", "vero"), True),
}  # also as Excel writes them in German, French, Spanish and Italian


def numbered(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, less comments and empty ones.

    >>> numbered("# in nm\\nname,value\\n\\nd,0.3")
    [(2, 'name,value'), (4, 'd,0.3')]
    """
    lines = enumerate(text.splitlines(), 1)
    return [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def columns(line: str, known: Sequence[str], where: str, units: Sequence[str] = ()) -> list[str]:
    """The columns that a line names, in small letters; a unit may stand behind a name, as in ``value (nm)``.

    Args:
        line: the first row of the table.
        known: the names of the columns that may be there.
        where: file and line, for messages.
        units: units of the numbers; none are known by default.

    Raises:
        ConfigError: an unknown column, one named twice, or another unit than that of the numbers.

    >>> columns("Name, value [nm]", ("name", "value"), "a.csv, line 1", ("nm",))
    ['name', 'value']
    """
    header = []
    for cell in _split(line, where):
        named = _WITH_UNIT.fullmatch(cell.strip())
        column, unit = (named[1], named[2]) if named else (cell.strip(), "")
        if not column:
            raise ConfigError(f"{where}: column {len(header) + 1} has no name: name it, or leave it out")
        if column.lower() not in known:
            raise ConfigError(f"{where}: there is no column {quoted(column)}{nearest(column, known)}")
        if unit and units and _plain(unit) not in map(_plain, units):
            raise ConfigError(
                f"{where}: the column {quoted(column)} is in {quoted(unit)}, and its numbers are read in "
                f"{' or '.join(map(quoted, units))}: convert them"
            )
        header.append(column.lower())
    for column in header:
        if header.count(column) > 1:
            raise ConfigError(f"{where}: the column {quoted(column)} appears twice: keep one of them")
    return header


def check_unit(text: str, unit: str, path: object) -> None:
    """Check that no comment, as ``# unit: nm``, states another unit than that of the numbers.

    Args:
        text: the text of the file.
        unit: the unit in which the numbers are read; nothing is checked where it is empty.
        path: the file, for messages.

    Raises:
        ConfigError: a comment states another unit.

    >>> check_unit("# unit: Angstrom\\ni,j,upper", "Å", "noe.csv")
    """
    for number, line in enumerate(text.splitlines(), 1):
        found = _UNIT.match(line.strip())
        if found and unit and _plain(found[1]) != _plain(unit):
            raise ConfigError(
                f"{path}, line {number}: the unit is {quoted(found[1])}, and the numbers are read in {quoted(unit)}: "
                "convert them"
            )


def _plain(unit: str) -> str:
    return "å" if unit.lower() in _ANGSTROM else unit.lower()


def cells(line: str) -> list[str]:
    """The cells of a row; blanks around them do not count.

    >>> cells('"c(0, 1)", 0.5')
    ['c(0, 1)', '0.5']
    """
    return [cell.strip() for cell in _split(line, "a row", skipinitialspace=True)]


def as_number(cell: str) -> float | None:
    """A number as a spreadsheet writes it, or None: no digits of other scripts, no ``1_0``.

    >>> as_number("-1.5e3"), as_number("1_0"), as_number("١"), as_number("0x1")
    (-1500.0, None, None, None)
    """
    return float(cell) if len(cell) <= _LONGEST and _NUMBER.fullmatch(cell) else None


def remedy_of(cell: str, otherwise: str) -> str:
    """What to write in place of a cell that is no number.

    >>> remedy_of("0.31 ± 0.02", ""), remedy_of("31%", ""), remedy_of("weak", "write a number")
    ('give the error in a column of its own', 'write a fraction, as 0.25', 'write a number')
    >>> remedy_of("1_000", ""), remedy_of("3/4", "")
    ('write it without underscores', 'write it as a decimal number')
    """
    found = cell.strip()[:_LONGEST]
    told = (remedy for pattern, remedy in _REMEDIES if re.fullmatch(pattern, found, re.IGNORECASE))
    return next(told, otherwise)


def as_whole_number(cell: str) -> int | None:
    """A whole number of at most nine digits, or None.

    >>> as_whole_number("-12"), as_whole_number("1.0"), as_whole_number("٣")
    (-12, None, None)
    """
    return int(cell) if _WHOLE.fullmatch(cell) else None


def flag(cell: str) -> bool | None:
    """Yes or no, no where the cell is empty, None for anything else.

    >>> flag("Yes"), flag(""), flag("perhaps")
    (True, False, None)
    """
    return _FLAGS.get(cell.lower())


def _split(line: str, where: str, skipinitialspace: bool = False) -> list[str]:
    try:
        return next(csv.reader([line], skipinitialspace=skipinitialspace))
    except csv.Error as error:
        raise ConfigError(f"{where} cannot be split into cells ({error}): separate short cells by commas") from None

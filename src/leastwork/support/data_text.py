"""The text of a file of data as spreadsheets of any country write it, turned into plain comma-separated UTF-8.

    encodings    UTF-8 with or without a byte order mark, UTF-16 with one, Windows-1252
    separators   commas, semicolons, tabs, bars, or what Excel's line ``sep=;`` names; decimal commas where another
                 separator is used, or in quotes where the number does not have three decimals
    characters   typographic minus signs and spaces
    columns      without a name and without a cell are left out, as are rows without a cell, and empty cells behind the
                 last column

Lines keep their numbers, and comments (#) stand as they are.
"""

import csv
import io
import re
import warnings
from pathlib import Path

from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.support.csv_rows import check_unit, numbered
from leastwork.support.files import readable

__all__ = ["data_text", "decoded_text", "table_with_unit"]

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
_QUOTED_DECIMAL = re.compile(r'"[+-]?\d+,(\d{1,2}|\d{4,})([eE][+-]?\d+)?"', re.ASCII)
_SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
_SPACES = dict.fromkeys("\u00a0\u202f\u2009", " ") | dict.fromkeys("\u200b\ufeff")  # the last two have no width
_TYPOGRAPHY = str.maketrans({"\u2212": "-", **_SPACES})
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def table_with_unit(path: Path, unit: str, what: str) -> list[tuple[int, str]]:
    """Lines of a file of data with their numbers, after a check that no comment states another unit.

    Args:
        path: the file.
        unit: the unit in which its numbers are read.
        what: what it holds, for messages.

    Raises:
        ConfigError: there is no such file, it is no text, or a comment states another unit.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file of {what}")
    text = data_text(path)
    check_unit(text, unit, path)
    return numbered(text)


def data_text(path: Path, what: str = "give comma-separated text in UTF-8") -> str:
    """The text of a file of data, cells separated by commas and decimals by points.

    Args:
        path: the file.
        what: the remedy in a message about a file that is no text.

    Raises:
        ConfigError: the file may not be read or is no text.

    Warns:
        LeastworkWarning: the text is read as Windows-1252, since it is no UTF-8.
    """
    lines = decoded_text(path, what).splitlines()
    separator, lines = _separator(lines)
    lines = [_with_commas(line, separator) for line in lines]
    return "\n".join(_without_empty_columns(lines))


def decoded_text(path: Path, what: str) -> str:
    """The text as it is, in any of the encodings, without typographic signs; raises and warns as :func:`data_text`."""
    return _decoded(path, readable(path).read_bytes(), what).translate(_TYPOGRAPHY)


def _decoded(path: Path, data: bytes, what: str) -> str:
    mark = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    try:
        text = data.decode(mark or "utf-8")
    except UnicodeDecodeError as error:
        if mark is not None:
            raise ConfigError(f"{path} is no text: {what}") from None
        text = _as_windows(path, data, error, what)
    if "\x00" in text:
        raise ConfigError(f"{path} is no text: {what}")
    return text


def _as_windows(path: Path, data: bytes, error: UnicodeDecodeError, what: str) -> str:
    """Text in Windows-1252, which has no control characters but white space."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = "\x00"
    if any(ord(letter) < 32 and letter not in "\t\r\n\f\v" for letter in text):
        raise ConfigError(f"{path} is no text: {what}")
    line = data.count(b"\n", 0, error.start) + 1
    letter = data[error.start : error.start + 1].decode("cp1252")
    warnings.warn(
        f"{path} is no UTF-8, and is read as Windows-1252, in which line {line} has {letter!r}: save it as UTF-8 if "
        "that is not what it should be",
        LeastworkWarning,
        stacklevel=6,
    )
    return text


def _is_table(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _separator(lines: list[str]) -> tuple[str, list[str]]:
    """The separator of the cells in the first line that is no comment, and the lines, an empty one for ``sep=;``."""
    at = next((i for i, line in enumerate(lines) if _is_table(line)), None)
    if at is None:
        return ",", lines
    named = _SEPARATOR_LINE.fullmatch(lines[at].strip())
    if named:
        return named[1], [*lines[:at], "", *lines[at + 1 :]]
    outside = re.sub(r'"[^"]*"', "", lines[at])
    counts = {separator: outside.count(separator) for separator in (";", "\t")}
    best = max(counts, key=lambda separator: counts[separator])
    if counts[best]:
        return best, lines
    return "|" if "|" in outside and "," not in outside else ",", lines


def _with_commas(line: str, separator: str) -> str:
    if not _is_table(line):
        return line
    if separator == ",":
        return _QUOTED_DECIMAL.sub(lambda cell: cell[0].replace(",", "."), line)
    cells = _cells(line, separator)
    if cells is None:
        return line  # the reader says what is wrong
    return _joined([cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell.strip()) else cell for cell in cells])


def _without_empty_columns(lines: list[str]) -> list[str]:
    """The same lines less columns and rows that hold nothing, if the first row of the table has an empty cell.

    Empty cells behind those of the first row are left out in any case.
    """
    first = next((line for line in lines if _is_table(line)), "")
    header = _cells(first, ",") or []
    if all(cell.strip() for cell in header):
        return [_up_to(len(header), line) if line.rstrip().endswith(",") else line for line in lines]
    rows = [_cells(line, ",") if _is_table(line) else None for line in lines]
    longest = max(len(row) for row in rows if row is not None)
    filled = {i for row in rows if row is not None for i, cell in enumerate(row) if cell.strip()}
    kept = [i for i in range(longest) if i in filled]
    return [
        line if row is None else _joined([row[i] for i in kept if i < len(row)]) if any(map(str.strip, row)) else ""
        for line, row in zip(lines, rows, strict=True)
    ]


def _up_to(count: int, line: str) -> str:
    """The line less its empty cells behind the first ``count``, if no other cell stands there."""
    row = (_cells(line, ",") or []) if _is_table(line) else []
    return _joined(row[:count]) if len(row) > count and not any(map(str.strip, row[count:])) else line


def _cells(line: str, separator: str) -> list[str] | None:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return None


def _joined(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()

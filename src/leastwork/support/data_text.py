"""The text of a file of data as spreadsheets of any country write it, turned into plain comma-separated UTF-8.

    encodings    UTF-8 with or without a byte order mark, UTF-16 with one, Windows-1252
    separators   commas, semicolons, tabs; decimal commas where semicolons or tabs separate

Lines keep their numbers, and comments (#) stand as they are.
"""

import csv
import io
import re
import warnings
from pathlib import Path

from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.support.files import readable

__all__ = ["data_text"]

_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


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
    text = _decoded(path, readable(path).read_bytes(), what)
    lines = text.splitlines()
    separator = _separator(lines)
    return text if separator == "," else "\n".join(_with_commas(line, separator) for line in lines)


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
        stacklevel=5,
    )
    return text


def _separator(lines: list[str]) -> str:
    """What separates the cells of the first line that is no comment."""
    first = next((line for line in lines if line.strip() and not line.lstrip().startswith("#")), "")
    outside = re.sub(r'"[^"]*"', "", first)
    counts = {separator: outside.count(separator) for separator in (";", "\t")}
    best = max(counts, key=lambda separator: counts[separator])
    return best if counts[best] else ","


def _with_commas(line: str, separator: str) -> str:
    if not line.strip() or line.lstrip().startswith("#"):
        return line
    try:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return line  # whoever reads it says what is wrong
    plain = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell.strip()) else cell for cell in cells]
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(plain)
    return out.getvalue()

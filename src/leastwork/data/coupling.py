"""One scalar coupling, and the reading of its parts from text."""

import difflib
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.observables.couplings import (
    KINDS,
)
from leastwork.support.csv_rows import as_number, as_whole_number, remedy_of
from leastwork.support.data_text import data_text
from leastwork.support.text import quoted

__all__ = [
    "KIND_OF_CODE",
    "Coupling",
    "coupling_kind",
    "measured",
    "number_of",
    "place",
    "residue_of",
    "text_of",
    "unknown_kind",
]


@dataclass(frozen=True)
class Coupling:
    """One measured coupling.

    Args:
        kind: one of :data:`~leastwork.observables.KINDS`.
        residue: number of the residue, that of the amide or of Hα.
        value: the coupling, Hz.
        error: standard error of the measurement alone, Hz; 0 if it is exact.
        held_out: whether the coupling is reported but not fitted.
        line: line of the file from which it was read, or None.
    """

    kind: str
    residue: int
    value: float
    error: float
    held_out: bool = False
    line: int | None = None

    @property
    def name(self) -> str:
        """Kind and residue, the name of the observable's column."""
        return f"{self.kind} {self.residue}"


def coupling_kind(text: str) -> str:
    """The kind of coupling for a text, in any of the usual notations.

    Raises:
        ConfigError: the text is none of :data:`~leastwork.observables.KINDS`; the message suggests the nearest.

    >>> coupling_kind("3JHNHA"), coupling_kind("¹J(N,Cα)")
    ('3J(HN,HA)', '1J(N,CA)')
    """
    kind = KIND_OF_CODE.get(_code(text))
    if kind is None:
        raise ConfigError(unknown_kind(text))
    return kind


# Functions for both formats.


def place(source: object, *lines: int | None) -> str:
    known = [str(line) for line in lines if line is not None]
    if not known:
        return str(source)
    return f"{source}, line{'s' * (len(known) > 1)} {' and '.join(known)}"


def _code(kind: str) -> str:
    """A kind in the notation 3JHNHA, from 3J(HN,HA), ³J(HN,Hα), 3J_HN_HA and the like."""
    plain = kind.translate(str.maketrans("¹²³αβ", "123AB")).upper()
    return re.sub(r"[^A-Z0-9]", "", plain)


KIND_OF_CODE = {_code(kind): kind for kind in KINDS} | {"3JHNCO": "3J(HN,C')", "3JHACO": "3J(HA,C')"}


def unknown_kind(kind: str) -> str:
    close = difflib.get_close_matches(_code(kind)[:40], KIND_OF_CODE, n=1)
    hint = f"did you mean {KIND_OF_CODE[close[0]]!r}?" if close else f"known are {', '.join(KINDS)}"
    return f"there is no coupling {quoted(kind)}: {hint}"


def number_of(text: str, what: str, where: str) -> float:
    value = as_number(text)
    if value is None or not math.isfinite(value):
        raise ConfigError(f"{where}: the {what} is {quoted(text)}: {remedy_of(text, 'write a finite number, in Hz')}")
    return value


def residue_of(text: str, what: str, where: str) -> int:
    residue = as_whole_number(text)
    if residue is None:
        raise ConfigError(f"{where}: the residue of {what} is {quoted(text)}: write its number in the chain alone")
    return residue


def measured(what: str, value: str, error: str, default: float | None, where: str) -> tuple[float, float]:
    """Value and standard error of a row, Hz."""
    if not value:
        raise ConfigError(f"{where}: {what} has no value: write it in Hz, or leave the row out")
    measured = number_of(value, f"value of {what}", where)
    if not error and default is None:
        raise ConfigError(
            f"{where}: {what} has no error: write its standard error in the file, or give measurement_error= for all "
            "rows that have none"
        )
    sigma = number_of(error, f"error of {what}", where) if error else float(default or 0.0)
    if sigma < 0:
        raise ConfigError(f"{where}: the error of {what} is {sigma:g}: write 0 for exact, or a positive standard error")
    return measured, sigma


def text_of(path: Path, default: float | None) -> str:
    if default is not None and not (math.isfinite(default) and default >= 0):
        raise ConfigError(f"measurement_error = {default}: give 0 for exact data, or a positive standard error in Hz")
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: there is no such file of couplings")
    return data_text(path, "give a CSV or an NMR-STAR file in UTF-8")

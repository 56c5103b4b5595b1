"""Tables of one kind of coupling with a row for each residue, as printed in papers: resid, resname, value, error.

    resid,resname,value,error
    2,GLU,7.35,0.15              ³J(HN,Hα) of Glu 2 is 7.35 ± 0.15 Hz

Residue names are compared with the sequence of the chain row by row, which detects a shifted numbering.
"""

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leastwork.data.coupling import Coupling, coupling_kind
from leastwork.data.couplings import Couplings
from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.support.arguments import path_of
from leastwork.support.csv_rows import as_number, as_whole_number, cells, columns, flag, numbered, remedy_of
from leastwork.support.data_text import data_text
from leastwork.support.residues import THREE_LETTERS
from leastwork.support.text import plural, quoted

__all__ = ["read_residue_table"]

_COLUMNS = ("resid", "resname", "value", "error", "held_out")
_REQUIRED = ("resid", "resname", "value")
_LETTERS = {code: letter for letter, code in THREE_LETTERS.items()}
_PROTONATED = {
    **dict.fromkeys(("HIE", "HID", "HIP", "HSE", "HSD", "HSP"), "HIS"),
    "ASH": "ASP", "GLH": "GLU", "CYX": "CYS", "CYM": "CYS", "LYN": "LYS",
}  # names by which force fields tell states of protonation  # fmt: skip
_LACKING = {"P": "HN", "G": "CB"}  # atoms that these residues do not have


@dataclass(frozen=True)
class _Row:
    number: int
    letter: str
    coupling: Coupling


def read_residue_table(
    path: str | Path,
    kind: str = "3J(HN,HA)",
    sequence: str | None = None,
    *,
    first: int = 1,
    measurement_error: float | None = None,
) -> Couplings:
    """Read columns ``resid,resname,value,error`` and optionally ``held_out``; values and errors in Hz.

    ³J(HN,Hα) of glycine is left out with a warning and listed in ``left_out``: glycine has two Hα, and a Karplus
    relation holds for one.

    Args:
        path: the file, comma separated; its first line that is not a comment (#) names the columns.
        kind: the kind of coupling of all rows, in any of the usual notations.
        sequence: one-letter sequence of the chain, with which the rows are compared.
        first: number of the first residue of the sequence.
        measurement_error: standard error of rows without an error, Hz.

    Raises:
        ConfigError: something cannot be used; the message names file and line.
    """
    path, kind = path_of("path", path), coupling_kind(kind)
    if measurement_error is not None and not (math.isfinite(measurement_error) and measurement_error >= 0):
        raise ConfigError(f"measurement_error = {measurement_error}: give 0, or a positive standard error in Hz")
    if sequence is not None:
        _check_sequence(sequence)
    rows = _rows(path, kind, measurement_error)
    if sequence is not None:
        _check_residues(path, rows, sequence, first)
    return _usable(path, kind, rows)


def _rows(path: Path, kind: str, default: float | None) -> list[_Row]:
    if not os.path.isfile(path):
        raise ConfigError(f"{path}: there is no such file of couplings")
    table = numbered(data_text(path))
    if not table:
        raise ConfigError(f"{path}: the file holds no couplings: begin with the line {','.join(_COLUMNS[:4])}")
    where = f"{path}, line {table[0][0]}"
    header = columns(table[0][1], _COLUMNS, where, ("Hz",))
    missing = next((column for column in _REQUIRED if column not in header), None)
    if missing is not None:
        raise ConfigError(f"{where}: there is no column {missing!r}, name at least {', '.join(_REQUIRED)}")
    if len(table) == 1:
        raise ConfigError(f"{path}: the file holds no couplings: add a row for each below {','.join(header)}")
    return [_row(cells(line), header, kind, default, number, f"{path}, line {number}") for number, line in table[1:]]


def _row(found: list[str], header: list[str], kind: str, default: float | None, number: int, where: str) -> _Row:
    if len(found) > len(header):
        raise ConfigError(
            f"{where}: {plural(len(found), 'cell')} for {plural(len(header), 'column')}: leave out the rest"
        )
    row = dict.fromkeys(header, "") | dict(zip(header, found, strict=False))
    residue = as_whole_number(row["resid"])
    if residue is None:
        raise ConfigError(f"{where}: resid is {quoted(row['resid'])}: write the residue's number alone")
    letter = _letter(row["resname"])
    if letter is None:
        raise ConfigError(f"{where}: resname is {quoted(row['resname'])}: write one of the 20 residues, as GLU or E")
    what = f"of {THREE_LETTERS[letter]} {residue}"
    value = _number(row["value"], f"the value {what}", where)
    if not row.get("error") and default is None:
        raise ConfigError(
            f"{where}: {kind} {what} has no error: write its standard error, or give measurement_error= for all rows "
            "that have none"
        )
    error = _number(row["error"], f"the error {what}", where) if row.get("error") else float(default or 0.0)
    if error < 0:
        raise ConfigError(f"{where}: the error {what} is {error:g}: write 0 for exact, or a positive standard error")
    held_out = flag(row.get("held_out", ""))
    if held_out is None:
        raise ConfigError(f"{where}: held_out {what} is {quoted(row['held_out'])}: write yes or no")
    return _Row(number, letter, Coupling(kind, residue, value, error, held_out, number))


def _number(text: str, what: str, where: str) -> float:
    value, remedy = as_number(text), "write a finite number, in Hz, or leave the row out"
    if value is None or not math.isfinite(value):
        raise ConfigError(f"{where}: {what} is {quoted(text)}: {remedy_of(text, remedy)}")
    return value


def _letter(name: str) -> str | None:
    name = _PROTONATED.get(name.upper(), name.upper())
    return name if name in THREE_LETTERS else _LETTERS.get(name)


def _check_sequence(sequence: str) -> None:
    unknown = next((letter for letter in sequence if letter not in THREE_LETTERS), None)
    if unknown is not None or not sequence:
        raise ConfigError(
            f"sequence = {quoted(sequence)}: give the chain's residues by capital letters, {''.join(THREE_LETTERS)}"
        )


def _check_residues(path: Path, rows: Sequence[_Row], sequence: str, first: int) -> None:
    """Check that the residue of each row exists and has the name in the table."""
    for row in rows:
        where, residue = f"{path}, line {row.number}", row.coupling.residue
        place = residue - first
        if 0 <= place < len(sequence) and sequence[place] == row.letter:
            continue
        hint = _shift(rows, sequence, first)
        if not 0 <= place < len(sequence):
            last = first + len(sequence) - 1
            raise ConfigError(f"{where}: there is no residue {residue}, the sequence has {first} to {last}: {hint}")
        raise ConfigError(
            f"{where}: residue {residue} is {THREE_LETTERS[row.letter]} in the table and "
            f"{THREE_LETTERS[sequence[place]]} in the sequence: {hint}"
        )


def _shift(rows: Sequence[_Row], sequence: str, first: int) -> str:
    """A hint: the number of the first residue for which all rows would fit, if there is exactly one."""
    numbers = [row.coupling.residue for row in rows]
    fitting = [
        start
        for start in range(max(numbers) - len(sequence) + 1, min(numbers) + 1)
        if start != first and all(sequence[row.coupling.residue - start] == row.letter for row in rows)
    ]
    if len(fitting) == 1:
        return f"all rows fit with first={fitting[0]}"
    return "check the row, and first=, the number of the sequence's first residue"


def _usable(path: Path, kind: str, rows: Sequence[_Row]) -> Couplings:
    """The rows for which there are relations."""
    for row in rows:
        lacking = _LACKING.get(row.letter)
        if lacking is not None and lacking in kind:
            name, residue = THREE_LETTERS[row.letter], row.coupling.residue
            raise ConfigError(
                f"{path}, line {row.number}: {name} {residue} has no {lacking}, so no {kind}: check resid and resname"
            )
    lost = [row for row in rows if row.letter == "G" and "HA" in kind]
    kept = tuple(row.coupling for row in rows if row not in lost)
    if not kept:
        raise ConfigError(f"{path}: of all rows {kind} is of glycine, which has no relation: give other residues")
    if lost:
        which = ", ".join(str(row.coupling.residue) for row in lost)
        text = f"{kind} of glycine {which} is left out: glycine has two Hα, and the relation is for one"
        warnings.warn(f"{path}: {text}", LeastworkWarning, stacklevel=3)
        return Couplings(kept, str(path), (text,))
    return Couplings(kept, str(path))

"""Files of measured scalar couplings: CSV and NMR-STAR (Ulrich et al., J. Biomol. NMR 73, 5, 2019), and what is fitted.

    Σ = θ (Σ_forward + diag(ε²))

Two errors add: ε of each measurement, which the file states, and that of the Karplus relations, which residues share
(:func:`~leastwork.observables.forward_model_covariance`). θ says how far both together are trusted: 1 as stated, more
for less.
"""

import difflib
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from leastwork.data.experiment import Experiment
from leastwork.errors import ConfigError, LeastworkError, LeastworkWarning
from leastwork.observables.couplings import (
    KINDS,
    Backbone,
    KarplusSet,
    forward_model_covariance,
    karplus_set,
    scalar_couplings,
)
from leastwork.support.csv_rows import cells, columns, flag, numbered
from leastwork.support.extras import needs
from leastwork.support.text import plural

__all__ = ["Coupling", "Couplings", "coupling_kind"]

_COLUMNS = ("kind", "residue", "value", "error", "held_out", "unit")
_REQUIRED = ("kind", "residue", "value")
_UNIT = re.compile(r"\s*#\s*units?\s*[:=]\s*(.*?)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Coupling:
    """One measured coupling.

    Args:
        kind: one of :data:`~leastwork.observables.KINDS`.
        residue: its number; of the amide, or of Hα.
        value: Hz.
        error: standard error of the measurement alone, Hz; 0 where it is exact.
        held_out: reported but not fitted.
        line: of the file that it was read from, or None.
    """

    kind: str
    residue: int
    value: float
    error: float
    held_out: bool = False
    line: int | None = None

    @property
    def name(self) -> str:
        """Kind and residue, as the observable names its column."""
        return f"{self.kind} {self.residue}"


@dataclass(frozen=True)
class Couplings:
    """All couplings of a file, one for each kind and residue.

    Args:
        rows: in the order of the file.
        source: the file, for messages.
        left_out: what of the file is not among the rows, a sentence each.

    >>> row = Coupling("3J(HN,HA)", 2, value=5.59, error=0.05)
    >>> data = Couplings((row,)).experiment(Backbone.chain(3))
    >>> data.names, round(data.covariance.item(), 4)
    (('3J(HN,HA) 2',), 0.1789)
    """

    rows: tuple[Coupling, ...]
    source: str = "the couplings"
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        if not self.rows:
            raise ConfigError(f"{self.source}: there are no couplings: give at least one")
        first: dict[tuple[str, int], Coupling] = {}
        for row in self.rows:
            if row.kind not in KINDS:
                raise ConfigError(f"{self._where(row)}: {_unknown(row.kind)}")
            if not (math.isfinite(row.value) and math.isfinite(row.error) and row.error >= 0):
                raise ConfigError(
                    f"{self._where(row)}: {row.kind} of residue {row.residue} is {row.value} ± {row.error} Hz: give "
                    "finite numbers, the error 0 or positive"
                )
            before = first.setdefault((row.kind, row.residue), row)
            if before is not row:
                alike = "alike" if before.value == row.value else f"with {before.value:g} and {row.value:g} Hz"
                raise ConfigError(
                    f"{self._where(before, row)}: two rows for {row.kind} of residue {row.residue}, {alike}: keep one"
                )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each row."""
        return tuple(row.kind for row in self.rows)

    @classmethod
    def from_csv(cls, path: str | Path, measurement_error: float | None = None) -> "Couplings":
        """Read ``kind,residue,value,error,held_out`` and, if need be, ``unit``; in Hz, as a comment may say.

        A kind is written 3JHNHA, or "3J(HN,HA)" with its comma in quotation marks::

            # unit: Hz
            kind,residue,value,error,held_out
            3JHNHA,2,5.59,0.05,no
            3JHNC,2,1.13,0.05,yes

        Args:
            path: the file, comma separated; its first line that is not a comment (#) names the columns, of which kind,
                residue and value are required.
            measurement_error: standard error of rows that state none, Hz.

        Raises:
            ConfigError: what cannot be used, with its file and line.
        """
        return _from_csv(Path(path), measurement_error)

    @classmethod
    def from_nmr_star(cls, path: str | Path, measurement_error: float | None = None) -> "Couplings":
        """Read the loops ``_Coupling_constant`` of an NMR-STAR 3 file, as the BMRB has them.

        The atoms say the kind. Couplings without a relation are left out, with a warning, and listed in ``left_out``.

        Args:
            path: the file.
            measurement_error: standard error of rows that state none, Hz.

        Raises:
            ConfigError: what cannot be used, with its file and line.
            LeastworkError: pynmrstar is not installed.
        """
        return _from_nmr_star(Path(path), measurement_error)

    def held_out_where(self, held_out: Callable[[Coupling], bool]) -> "Couplings":
        """The same data, of which those are held out for which this is true, and no others.

        >>> rows = [Coupling("3J(HN,HA)", 2, 5.59, 0.05), Coupling("1J(N,CA)", 2, 11.36, 0.05)]
        >>> [row.held_out for row in Couplings(rows).held_out_where(lambda row: row.kind == "1J(N,CA)").rows]
        [False, True]
        """
        return replace(self, rows=tuple(replace(row, held_out=bool(held_out(row))) for row in self.rows))

    def experiment(
        self,
        backbone: Backbone,
        *,
        karplus: str | KarplusSet = "vogeli2007",
        shared: float = 0.5,
        theta: float = 1.0,
    ) -> Experiment:
        """The data of a fit, with the covariance θ (Σ_forward + diag(ε²)).

        Args:
            backbone: which atoms of the structures are N, Cα and C′.
            karplus: the name of a set of relations, or a relation for each kind.
            shared: ρ, the correlation of a relation's error at two residues, from 0 to 1.
            theta: θ, positive; multiplies variances.

        Raises:
            ConfigError: a residue that is not there or a coupling undefined at a terminus, with its file and line; an
                unknown set; all data held out.
            LeastworkError: ``shared`` or ``theta`` out of range.
        """
        if not (math.isfinite(theta) and theta > 0):
            raise LeastworkError(f"theta = {theta}: give a positive number, 1 for the errors as they are")
        relations = karplus_set(karplus) if isinstance(karplus, str) else karplus
        for row in self.rows:
            try:
                backbone.torsions_of(row.kind, row.residue)
            except LeastworkError as problem:
                raise ConfigError(f"{self._where(row)}: {problem}") from None
        if all(row.held_out for row in self.rows):
            raise ConfigError(f"{self.source}: all of the couplings are held out: leave at least one to fit")
        observable = scalar_couplings(backbone, [(row.kind, row.residue) for row in self.rows], relations)
        measurement = torch.tensor([row.error for row in self.rows], dtype=torch.float64).square().diag()
        return Experiment(
            observable,
            values=[row.value for row in self.rows],
            errors=theta * (forward_model_covariance(self.kinds, relations, shared=shared) + measurement),
            held_out=[row.held_out for row in self.rows],
        )

    def _where(self, *rows: Coupling) -> str:
        return _at(self.source, *(row.line for row in rows))


def coupling_kind(text: str) -> str:
    """The kind of coupling, of whatever way to write it.

    Raises:
        ConfigError: none of :data:`~leastwork.observables.KINDS`; suggests the nearest.

    >>> coupling_kind("3JHNHA"), coupling_kind("¹J(N,Cα)")
    ('3J(HN,HA)', '1J(N,CA)')
    """
    kind = _KIND_OF_CODE.get(_code(text))
    if kind is None:
        raise ConfigError(_unknown(text))
    return kind


# What is common to both formats.


def _at(source: object, *lines: int | None) -> str:
    known = [str(line) for line in lines if line is not None]
    if not known:
        return str(source)
    return f"{source}, line{'s' * (len(known) > 1)} {' and '.join(known)}"


def _code(kind: str) -> str:
    """3JHNHA of whatever way to write it: 3J(HN,HA), ³J(HN,Hα), 3J_HN_HA."""
    plain = kind.translate(str.maketrans("¹²³αβ", "123AB")).upper()
    return re.sub(r"[^A-Z0-9]", "", plain)


_KIND_OF_CODE = {_code(kind): kind for kind in KINDS} | {"3JHNCO": "3J(HN,C')", "3JHACO": "3J(HA,C')"}


def _unknown(kind: str) -> str:
    close = difflib.get_close_matches(_code(kind), _KIND_OF_CODE, n=1)
    hint = f"did you mean {_KIND_OF_CODE[close[0]]!r}?" if close else f"known are {', '.join(KINDS)}"
    return f"there is no coupling {kind!r}: {hint}"


def _number(text: str, what: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError(f"{where}: the {what} is {text!r}: write a finite number, in Hz")
    return number


def _residue(text: str, what: str, where: str) -> int:
    if not re.fullmatch(r"[+-]?\d+", text):
        raise ConfigError(f"{where}: the residue of {what} is {text!r}: write its number in the chain")
    return int(text)


def _measured(what: str, value: str, error: str, default: float | None, where: str) -> tuple[float, float]:
    """Value and error of a row, Hz."""
    if not value:
        raise ConfigError(f"{where}: {what} has no value: write it in Hz, or leave the row out")
    measured = _number(value, f"value of {what}", where)
    if not error and default is None:
        raise ConfigError(
            f"{where}: {what} has no error: write its standard error in the file, or give measurement_error= for all "
            "rows that have none"
        )
    sigma = _number(error, f"error of {what}", where) if error else float(default or 0.0)
    if sigma < 0:
        raise ConfigError(f"{where}: the error of {what} is {sigma:g}: write 0 for exact, or a positive standard error")
    return measured, sigma


def _text_of(path: Path, default: float | None) -> str:
    if default is not None and not (math.isfinite(default) and default >= 0):
        raise ConfigError(f"measurement_error = {default}: give 0 for exact data, or a positive standard error in Hz")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file of couplings")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: this is no text: give a CSV or an NMR-STAR file in UTF-8") from None


# CSV


def _from_csv(path: Path, default: float | None) -> Couplings:
    text = _text_of(path, default)
    units = {number: found[1] for number, line in enumerate(text.splitlines(), 1) if (found := _UNIT.match(line))}
    table = numbered(text)
    if not table:
        raise ConfigError(f"{path}: the file holds no couplings: begin with the line {','.join(_COLUMNS[:5])}")
    header = _header(table[0][1], _at(path, table[0][0]))
    if len(table) == 1:
        raise ConfigError(f"{path}: the file holds no couplings: add a row for each below {','.join(header)}")
    rows = []
    for number, line in table[1:]:
        row, unit = _row(line, header, default, number, _at(path, number))
        if unit:
            units[number] = unit
        rows.append(row)
    _check_units(path, units)
    return Couplings(tuple(rows), str(path))


def _check_units(path: Path, units: dict[int, str]) -> None:
    """One unit in the whole file, and that Hz."""
    numbers = sorted(units)
    for number in numbers[1:]:
        if units[number].lower() != units[numbers[0]].lower():
            raise ConfigError(
                f"{_at(path, numbers[0], number)}: mixed units, {units[numbers[0]]!r} and {units[number]!r}: give all "
                "couplings in Hz"
            )
    if numbers and units[numbers[0]].lower() != "hz":
        raise ConfigError(f"{_at(path, numbers[0])}: the unit is {units[numbers[0]]!r}: give the couplings in Hz")


def _header(line: str, where: str) -> list[str]:
    header = columns(line, _COLUMNS, where)
    for column in _REQUIRED:
        if column not in header:
            raise ConfigError(f"{where}: there is no column {column!r}, name at least {', '.join(_REQUIRED)}")
    return header


def _row(line: str, header: list[str], default: float | None, number: int, where: str) -> tuple[Coupling, str]:
    """A row, and its unit if it states one."""
    found = cells(line)
    if len(found) > len(header):
        raise ConfigError(
            f"{where}: {plural(len(found), 'cell')} for {plural(len(header), 'column')}: write a kind as 3JHNHA, or "
            'in quotation marks, "3J(HN,HA)"'
        )
    row = dict.fromkeys(header, "") | dict(zip(header, found, strict=False))
    kind = _KIND_OF_CODE.get(_code(row["kind"]))
    if kind is None:
        raise ConfigError(f"{where}: {_unknown(row['kind'])}")
    residue = _residue(row["residue"], kind, where)
    value, error = _measured(f"{kind} of residue {residue}", row["value"], row.get("error", ""), default, where)
    held_out = flag(row.get("held_out", ""))
    if held_out is None:
        raise ConfigError(f"{where}: held_out of {kind} of residue {residue} is {row['held_out']!r}: write yes or no")
    return Coupling(kind, residue, value, error, held_out, number), row.get("unit", "")


# NMR-STAR

# By the two atoms and by how many residues the second is before the first, to whose residue the coupling belongs.
_KIND_OF_ATOMS = {
    ("H", "HA", 0): "3J(HN,HA)",
    ("H", "CB", 0): "3J(HN,CB)",
    ("H", "C", 0): "3J(HN,C')",
    ("HA", "C", 1): "3J(HA,C')",
    ("H", "CA", 1): "3J(HN,CA)",
    ("N", "CA", 0): "1J(N,CA)",
    ("N", "CA", 1): "2J(N,CA)",
}
_ATOMS = {"HN": "H", "CO": "C", "C'": "C"}  # by other names
_ABSENT = ("", ".", "?")
_TAG = re.compile(r"\s*_Coupling_constant\.", re.IGNORECASE)


def _from_nmr_star(path: Path, default: float | None) -> Couplings:
    text = _text_of(path, default)
    pynmrstar = needs("pynmrstar", "nmr")
    try:
        loops = pynmrstar.Entry.from_string(text).get_loops_by_category("Coupling_constant")
    except ValueError as problem:
        raise ConfigError(f"{path}: this is no NMR-STAR file: {str(problem).rstrip('.')}") from None
    if not any(loop.data for loop in loops):
        raise ConfigError(f"{path}: there are no couplings, that is no rows of a loop _Coupling_constant: give a CSV")
    rows, unknown = [], []
    for loop, lines in zip(loops, _lines_of(text, [len(loop.data) for loop in loops]), strict=True):
        tags = [tag.lower() for tag in loop.tags]
        for values, line in zip(loop.data, lines, strict=True):
            row = _star_row(dict(zip(tags, values, strict=True)), default, line, _at(path, line))
            (rows if isinstance(row, Coupling) else unknown).append(row)
    if unknown:
        listed = "; ".join(unknown)
        if not rows:
            raise ConfigError(f"{path}: there are no couplings of a known kind, {', '.join(KINDS)}, but {listed}")
        warnings.warn(
            f"{path}: {plural(len(unknown), 'coupling')} of kinds that there is no relation for {_is(unknown)} left "
            f"out: {listed}",
            LeastworkWarning,
            stacklevel=3,
        )
    return Couplings(tuple(rows), str(path), tuple(unknown))


def _is(things: Sequence[Any]) -> str:
    return "is" if len(things) == 1 else "are"


def _lines_of(text: str, counts: Sequence[int]) -> list[list[int | None]]:
    """The line of each row of each loop, where rows have a line each; else that of the loop's last tag; else None."""
    lines = text.splitlines()
    found: list[list[int | None]] = []
    start = 0
    for count in counts:
        tags = [i for i in range(start, len(lines)) if _TAG.match(lines[i])]
        after = range(tags[0], len(lines)) if tags else range(0)
        stop = next((i for i in after if lines[i].strip().lower() == "stop_"), None)
        if stop is None:
            found.append([None] * count)
            continue
        last = max(i for i in tags if i < stop)
        filled = [i + 1 for i in range(last + 1, stop) if lines[i].strip() and not lines[i].lstrip().startswith("#")]
        found.append([*filled] if len(filled) == count else [last + 1] * count)
        start = stop + 1
    return found


def _star_row(row: dict[str, Any], default: float | None, line: int | None, where: str) -> Coupling | str:
    """A coupling, or a few words on one that there is no relation for."""

    def cell(*tags: str) -> str:
        values = [str(row.get(tag.lower()) or "").strip() for tag in tags]
        return next((value for value in values if value not in _ABSENT), "")

    atoms = []
    for k in ("1", "2"):
        name = cell(f"Atom_ID_{k}").upper()
        if not name:
            raise ConfigError(f"{where}: the coupling has no Atom_ID_{k}: name both of its atoms")
        residue = _residue(cell(f"Comp_index_ID_{k}", f"Seq_ID_{k}"), f"the atom {name}", where)
        atoms.append((_ATOMS.get(name, name), residue))
    for (a, i), (b, j) in (atoms, atoms[::-1]):
        kind = _KIND_OF_ATOMS.get((a, b, i - j))
        if kind is not None:
            bonds = re.match(r"\d", cell("Code"))
            if bonds and bonds[0] != kind[0]:
                raise ConfigError(
                    f"{where}: the code is {cell('Code')} but the atoms {a} {i} and {b} {j} have {kind}: correct one"
                )
            value, error = _measured(f"{kind} of residue {i}", cell("Val"), cell("Val_err"), default, where)
            return Coupling(kind, i, value, error, line=line)
    (a, i), (b, j) = atoms
    at = "" if line is None else f" in line {line}"
    return f"{cell('Code') or 'a coupling'} of {a} {i} and {b} {j}{at}"

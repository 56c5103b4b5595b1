"""Files of measured scalar couplings: CSV and NMR-STAR (Ulrich et al., J. Biomol. NMR 73, 5, 2019), and what is fitted.

    Σ = θ (Σ_forward + diag(ε²))

Two errors add: ε of each measurement, which the file states, and that of the Karplus relations, which residues share
(:func:`~leastwork.observables.forward_model_covariance`). θ says how far both together are trusted: 1 as stated, more
for less.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from leastwork.data.coupling import KIND_OF_CODE, Coupling, _code, measured, place, residue_of, text_of, unknown_kind
from leastwork.data.experiment import Experiment
from leastwork.data.nmr_star import read_nmr_star
from leastwork.errors import ConfigError, LeastworkError
from leastwork.observables.couplings import KINDS, Backbone, forward_model_covariance, scalar_couplings
from leastwork.observables.karplus import KarplusSet, karplus_set
from leastwork.support.csv_rows import cells, columns, flag, numbered
from leastwork.support.text import plural, quoted

__all__ = ["Couplings"]

_COLUMNS = ("kind", "residue", "value", "error", "held_out", "unit")
_REQUIRED = ("kind", "residue", "value")
_UNIT = re.compile(r"\s*#\s*units?\s*[:=]\s*(.*?)\s*$", re.IGNORECASE)


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
                raise ConfigError(f"{self._where(row)}: {unknown_kind(row.kind)}")
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
        rows, unknown = read_nmr_star(Path(path), measurement_error)
        return cls(rows, str(path), unknown)

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
        return place(self.source, *(row.line for row in rows))


# CSV


def _from_csv(path: Path, default: float | None) -> Couplings:
    text = text_of(path, default)
    units = {number: found[1] for number, line in enumerate(text.splitlines(), 1) if (found := _UNIT.match(line))}
    table = numbered(text)
    if not table:
        raise ConfigError(f"{path}: the file holds no couplings: begin with the line {','.join(_COLUMNS[:5])}")
    header = _header(table[0][1], place(path, table[0][0]))
    if len(table) == 1:
        raise ConfigError(f"{path}: the file holds no couplings: add a row for each below {','.join(header)}")
    rows = []
    for number, line in table[1:]:
        row, unit = _row(line, header, default, number, place(path, number))
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
                f"{place(path, numbers[0], number)}: mixed units, {quoted(units[numbers[0]])} and "
                f"{quoted(units[number])}: give all couplings in Hz"
            )
    if numbers and units[numbers[0]].lower() != "hz":
        raise ConfigError(
            f"{place(path, numbers[0])}: the unit is {quoted(units[numbers[0]])}: give the couplings in Hz"
        )


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
    kind = KIND_OF_CODE.get(_code(row["kind"]))
    if kind is None:
        raise ConfigError(f"{where}: {unknown_kind(row['kind'])}")
    residue = residue_of(row["residue"], kind, where)
    value, error = measured(f"{kind} of residue {residue}", row["value"], row.get("error", ""), default, where)
    held_out = flag(row.get("held_out", ""))
    if held_out is None:
        raise ConfigError(
            f"{where}: held_out of {kind} of residue {residue} is {quoted(row['held_out'])}: write yes or no"
        )
    return Coupling(kind, residue, value, error, held_out, number), row.get("unit", "")

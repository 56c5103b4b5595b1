"""Measured scalar couplings from CSV and NMR-STAR files (Ulrich et al., J. Biomol. NMR 73, 5, 2019), with covariance

    Σ = θ (Σ_forward + diag(ε²))

Two errors add: ε of each measurement, which the file states, and the error of the Karplus relations, which is
correlated between residues (:func:`~leastwork.observables.forward_model_covariance`). θ multiplies both: θ = 1 takes
the errors as stated, a larger θ trusts the data less.
"""

import difflib
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from leastwork.data.coupling import KIND_OF_CODE, Coupling, _code, measured, place, residue_of, text_of, unknown_kind
from leastwork.data.experiment import Experiment
from leastwork.data.nmr_star import read_nmr_star
from leastwork.errors import ConfigError, LeastworkError, LeastworkWarning
from leastwork.observables.couplings import KINDS, Backbone, forward_model_covariance, scalar_couplings
from leastwork.observables.karplus import KarplusSet, Relation, karplus_set
from leastwork.support.arguments import path_of
from leastwork.support.csv_rows import cells, columns, flag, numbered
from leastwork.support.text import plural, quoted

__all__ = ["Couplings"]

_COLUMNS = ("kind", "residue", "value", "error", "held_out", "unit")
_REQUIRED = ("kind", "residue", "value")
_ERRORS = 3.0  # of a relation and a value together, within which the relation reaches the value
_RATIO_SIGN = {"H": 1, "C": 1, "N": -1}  # of ¹H, ¹³C and ¹⁵N
_COUPLING = re.compile(r"[1-5]J[A-Z0-9]{2,12}")
_UNIT = re.compile(r"\s*#\s*units?\s*[:=]\s*(.*?)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Couplings:
    """All couplings of a file, one for each kind and residue.

    Args:
        rows: the couplings, in the order of the file.
        source: the file, for messages.
        left_out: sentences on the couplings of the file that are not among the rows.

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
        """Read columns ``kind,residue,value,error,held_out`` and optionally ``unit``; in Hz, as a comment may state.

        A kind is written 3JHNHA, or "3J(HN,HA)" with its comma in quotation marks::

            # unit: Hz
            kind,residue,value,error,held_out
            3JHNHA,2,5.59,0.05,no
            3JHNC,2,1.13,0.05,yes

        Args:
            path: the file, comma separated; its first line that is not a comment (#) names the columns, of which kind,
                residue and value are required.
            measurement_error: standard error of rows without an error, Hz.

        Raises:
            ConfigError: something cannot be used; the message names file and line.
        """
        return _from_csv(path_of("path", path), measurement_error)

    @classmethod
    def from_nmr_star(
        cls, path: str | Path, measurement_error: float | None = None, molecule: str | int | None = None
    ) -> "Couplings":
        """Read the loops ``_Coupling_constant`` of an NMR-STAR 3 file, the format of the BMRB.

        The atoms determine the kind of coupling. Couplings for which there is no Karplus relation are left out, with a
        warning, and listed in ``left_out``.

        Args:
            path: the file.
            measurement_error: standard error of rows without an error, Hz.
            molecule: Entity_assembly_ID, or without it Entity_ID, of the molecule whose couplings are read; needed for
                files of several molecules.

        Raises:
            ConfigError: something cannot be used; the message names file and line.
            LeastworkError: pynmrstar is not installed.
        """
        chosen = None if molecule is None else str(molecule)
        rows, unknown = read_nmr_star(path_of("path", path), measurement_error, chosen)
        return cls(rows, str(path), unknown)

    def held_out_where(self, held_out: Callable[[Coupling], bool]) -> "Couplings":
        """The same couplings, of which exactly those are held out for which ``held_out`` is true.

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
        """The experiment for a fit, with the covariance θ (Σ_forward + diag(ε²)).

        Args:
            backbone: indices of the atoms N, Cα and C′ in the structures.
            karplus: the name of a set of relations, or a relation for each kind.
            shared: ρ, the correlation of a relation's errors at two residues, from 0 to 1.
            theta: θ > 0, by which the variances are multiplied.

        Raises:
            ConfigError: a residue does not exist or a coupling is undefined at a terminus (with file and line), the set
                is unknown, or all data are held out.
            LeastworkError: ``shared`` or ``theta`` is out of range.
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
        values = _in_the_relations_sign(self, relations)
        measurement = torch.tensor([row.error for row in self.rows], dtype=torch.float64).square().diag()
        return Experiment(
            observable,
            values=values,
            errors=theta * (forward_model_covariance(self.kinds, relations, shared=shared) + measurement),
            held_out=[row.held_out for row in self.rows],
        )

    def _where(self, *rows: Coupling) -> str:
        return place(self.source, *(row.line for row in rows))


def _in_the_relations_sign(couplings: Couplings, relations: KarplusSet) -> list[float]:
    """The values, with the sign of the relations: some tables state the physical one, negative for ²J(N,Cα).

    J is the product of both nuclei's gyromagnetic ratios and a number of the bonds, and that of ¹⁵N is negative, while
    relations are given for |J|. All values of a kind with N are turned where more of their negatives than of themselves
    lie within three errors of what the relation reaches. No other kind is turned.

    Warns:
        LeastworkWarning: values were turned; names the rows.
    """
    values, turned = [row.value for row in couplings.rows], []
    for kind in dict.fromkeys(couplings.kinds):
        of_kind = [k for k, row in enumerate(couplings.rows) if row.kind == kind]
        if _ratios_are_positive(kind):
            continue
        reached = [sum(_is_reached(couplings.rows[k], relations[kind], sign) for k in of_kind) for sign in (1, -1)]
        if reached[1] <= reached[0]:
            continue
        for k in of_kind:
            row = couplings.rows[k]
            values[k] = -row.value
            turned.append(
                f"{row.name.replace(' ', ' of residue ')} ({row.value:g} Hz, {place(couplings.source, row.line)})"
            )
    if turned:
        warnings.warn(
            f"the relations have the other sign, and these values are turned: {', '.join(turned)}: physical signs are "
            "those of the gyromagnetic ratios",
            LeastworkWarning,
            stacklevel=3,
        )
    return values


def _ratios_are_positive(kind: str) -> bool:
    """Whether the product of the gyromagnetic ratios of both nuclei is positive; a kind is written 2J(N,CA)."""
    nuclei = kind.partition("(")[2].rstrip(")").split(",")
    return math.prod(_RATIO_SIGN[nucleus[0]] for nucleus in nuclei) > 0


def _is_reached(row: Coupling, relation: Relation, sign: int) -> bool:
    low, high = relation.reach
    slack = _ERRORS * math.hypot(relation.sigma, row.error)
    return low - slack <= sign * row.value <= high + slack


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
    rows, left_out = [], []
    for number, line in table[1:]:
        code = _foreign(line, header)
        if code is not None:
            left_out.append(f"{place(path, number)}: there is no Karplus relation for {quoted(code)}")
            continue
        row, unit = _row(line, header, default, number, place(path, number))
        if unit:
            units[number] = unit
        rows.append(row)
    _check_units(path, units)
    if not rows:
        raise ConfigError(
            f"{path}: there is no Karplus relation for any of its couplings: known are {', '.join(KINDS)}"
        )
    if left_out:
        warnings.warn(f"left out: {'; '.join(left_out)}", LeastworkWarning, stacklevel=4)
    return Couplings(tuple(rows), str(path), tuple(left_out))


def _foreign(line: str, header: list[str]) -> str | None:
    """The kind of a row, where it is one of couplings that no relation is known for."""
    kind = dict(zip(header, cells(line), strict=False)).get("kind", "")
    code = _code(kind)
    close = difflib.get_close_matches(code[:40], KIND_OF_CODE, n=1, cutoff=0.8)
    return kind if code not in KIND_OF_CODE and not close and _COUPLING.fullmatch(code) else None


def _check_units(path: Path, units: dict[int, str]) -> None:
    """Check that the file states no unit but Hz."""
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
    header = columns(line, _COLUMNS, where, ("Hz",))
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

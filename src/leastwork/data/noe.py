"""NOE data as bounds of ⟨Σ r⁻ᵖ⟩: peaks that are seen, and contacts that are not.

    seen: r_eff ≤ u + c_i + c_j  ⇔  ⟨Σ r⁻ᵖ⟩ ≥ (u + c_i + c_j)⁻ᵖ        unseen: r_eff ≥ l  ⇔  ⟨Σ r⁻ᵖ⟩ ≤ l⁻ᵖ

A model without hydrogens measures to the atom that bears them, as far as c from them, so that bounds of peaks widen by
c (Wüthrich, Billeter & Braun, J. Mol. Biol. 169, 949, 1983). Of several peaks of one pair the tightest bound counts.
With a backbone, protons themselves can be named, and are built (:mod:`leastwork.observables.protons`).
An unseen contact says something where both protons give peaks otherwise, and is a matter of the noise of the spectrum:
usually 0.5 to 0.6 nm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.errors import ConfigError, LeastworkError
from leastwork.observables.couplings import Backbone
from leastwork.observables.function import Observable
from leastwork.observables.noe import bounds_from_distances, group_inverse_powers
from leastwork.observables.protons import WithProtons, is_built
from leastwork.support.arguments import path_of
from leastwork.support.csv_rows import as_number, as_whole_number, cells, columns, flag, remedy_of
from leastwork.support.data_text import table_with_unit
from leastwork.support.text import plural, quoted

__all__ = ["CORRECTIONS", "NoeBound", "noe_experiment", "read_noe"]

CORRECTIONS = {"H": 0.213, "HA": 0.109, "HB": 0.216}
"""Distances of protons from the Cα of their residue, nm: bonds of 0.101, 0.109, 0.146 and 0.153 nm, usual angles."""

_LONGEST, _SHORTEST = 1.5, 0.12  # nm, bounds of NOE data with all corrections
_NANOMETRE = {"nm": 1.0, "Å": 0.1}
_COLUMNS = ("i", "j", "upper", "unseen", "error", "correction", "held_out")


@dataclass(frozen=True)
class NoeBound:
    """A bound of the effective distance of two groups of atoms; either ``upper`` or ``unseen``.

    Args:
        i: one group of atoms, counted from 0, or names of built ones, as "3:HA"; a single atom is a group of one.
        j: the other.
        upper: the distance below which a seen peak puts the groups, or None.
        unseen: the distance below which a peak would be seen that is not, or None.
        error: standard error of the distance.
        correction: c_i + c_j, by which ``upper`` is raised; see :data:`CORRECTIONS`.
        held_out: whether the bound is reported but not fitted.
        line: line of the file, or None.
    """

    i: tuple[int | str, ...]
    j: tuple[int | str, ...]
    upper: float | None = None
    unseen: float | None = None
    error: float = 0.0
    correction: float = 0.0
    held_out: bool = False
    line: int | None = None

    @property
    def distance(self) -> float:
        """The bound, corrected, in the unit of the model's coordinates."""
        return self.upper + self.correction if self.upper is not None else float(self.unseen or 0.0)

    @property
    def pair(self) -> frozenset[frozenset[int | str]]:
        """The two groups, in no order."""
        return frozenset((frozenset(self.i), frozenset(self.j)))


def noe_experiment(
    bounds: Sequence[NoeBound],
    power: int = 6,
    unit: str = "nm",
    source: str = "the NOE bounds",
    backbone: Backbone | None = None,
) -> Experiment:
    """The experiment of bounds of ⟨Σ r⁻ᵖ⟩, one for each pair of groups; a pair may be seen or unseen, not both.

    Args:
        bounds: the bounds; of several of one pair the tightest is taken: the shortest seen, the longest unseen.
        power: p, 6 or 3 for fast motion.
        unit: unit of the bounds and of the model's coordinates.
        source: where they come from, for messages.
        backbone: the atoms N, Cα and C′ from which protons are built that bounds name.

    Raises:
        ConfigError: there are none, a bound is not positive, or a pair is seen and unseen at once; or protons are named
            that cannot be built.

    >>> seen = [NoeBound((0,), (3,), upper=0.5), NoeBound((3,), (0,), upper=0.4), NoeBound((0,), (5,), unseen=0.6)]
    >>> data = noe_experiment(seen, power=3)
    >>> data.names, data.lower.round(decimals=2).tolist(), data.upper.round(decimals=2).tolist()
    (('d(3,0)^-3', 'd(0,5)^-3'), [15.62, nan], [nan, 4.63])
    """
    if not bounds:
        raise ConfigError(f"{source}: there are none: give at least one")
    kept: dict[frozenset[frozenset[int | str]], NoeBound] = {}
    for bound in bounds:
        _check(bound, f"{source}{'' if bound.line is None else f', line {bound.line}'}")
        before = kept.setdefault(bound.pair, bound)
        if (before.upper is None) != (bound.upper is None):
            lines = [f"line {one.line}" for one in (before, bound) if one.line is not None]
            where = f"{source}, {' and '.join(lines)}" if lines else source
            raise ConfigError(f"{where}: the pair {_words(bound)} is seen and unseen: leave one of them out")
        tighter = bound.distance < before.distance if bound.upper is not None else bound.distance > before.distance
        kept[bound.pair] = bound if tighter else before
    chosen = list(kept.values())
    _check_lengths([bound.distance for bound in chosen], unit, source)
    observable = _observable(chosen, power, unit, source, backbone)
    ends, errors = bounds_from_distances([b.distance for b in chosen], [b.error for b in chosen], power)
    seen = [bound.upper is not None for bound in chosen]
    return Experiment(
        observable,
        lower=[end if is_seen else None for end, is_seen in zip(ends.tolist(), seen, strict=True)],
        upper=[None if is_seen else end for end, is_seen in zip(ends.tolist(), seen, strict=True)],
        errors=errors,
        held_out=[bound.held_out for bound in chosen],
    )


def _check_lengths(distances: Sequence[float], unit: str, source: str) -> None:
    """Refuse bounds of which all are ten times too long or too short for an NOE, as if their unit were another."""
    lengths = [_NANOMETRE.get(unit, math.nan) * distance for distance in distances]
    for wrong, which, remedy in (
        (min(lengths) > _LONGEST, "not below", "divide them by ten if they are Å"),
        (max(lengths) < _SHORTEST, "not above", "multiply them by ten if they are nm"),
    ):
        if wrong:
            edge = min(distances) if min(lengths) > _LONGEST else max(distances)
            raise ConfigError(
                f"{source}: the bounds are {which} {edge:g} {unit}, and an NOE reaches from 0.18 to about 0.6 nm: "
                f"{remedy}"
            )


def _observable(
    bounds: Sequence[NoeBound], power: int, unit: str, source: str, backbone: Backbone | None
) -> Observable:
    """Σ r⁻ᵖ of each bound, of the model's atoms and of those that are built."""
    names = tuple(dict.fromkeys(a for bound in bounds for a in (*bound.i, *bound.j) if isinstance(a, str)))
    if not names:
        return group_inverse_powers([(b.i, b.j) for b in bounds], power, unit)  # pyright: ignore[reportArgumentType]
    if backbone is None or unit not in _NANOMETRE:
        raise ConfigError(
            f"{source}: {quoted(names[0])} is built from the backbone: give the backbone, with coordinates in nm or Å"
        )
    try:
        structures = WithProtons(backbone, names, _NANOMETRE[unit])
    except LeastworkError as error:
        raise ConfigError(f"{source}: {error}") from error
    groups = [tuple(tuple(structures.index(a) for a in group) for group in (b.i, b.j)) for b in bounds]
    powers = group_inverse_powers([(first, second) for first, second in groups], power, unit)
    named = tuple(f"d({_group_name(b.i)},{_group_name(b.j)})^-{power}" for b in bounds)
    return Observable(_OfBuilt(powers, structures), named, powers.units)


@dataclass(frozen=True)
class _OfBuilt:
    of: Observable
    structures: WithProtons

    def __call__(self, x: Tensor) -> Tensor:
        return self.of(self.structures(x))


def read_noe(path: str | Path, unit: str = "") -> tuple[NoeBound, ...]:
    """Read columns ``i,j,upper,unseen,error,correction,held_out``, distances in the unit of the model's coordinates.

    Atoms are counted from 0; a group of several is written with blanks, as ``12 13 14``. Protons and Cβ of a backbone
    are written ``3:H``, ``3:HA`` and ``3:CB``, with the number of the residue. A row has ``upper`` for a peak
    or ``unseen`` for none; the other columns may be left out::

        i,j,upper,unseen,error
        3,18,0.45,,0.05
        3,12 13 14,,0.60,0.05

    Args:
        path: the file, comma separated; its first line that is not a comment (#) names the columns.
        unit: the unit of the model's coordinates; a comment ``# unit: Å`` that states another is refused.

    Raises:
        ConfigError: something cannot be used; the message names file and line.
    """
    path = path_of("path", path)
    table = table_with_unit(path, unit, "NOE bounds")
    if len(table) < 2:
        raise ConfigError(
            f"{path}: the file holds no NOE bounds: begin with the line {','.join(_COLUMNS[:5])}, then rows"
        )
    where = f"{path}, line {table[0][0]}"
    header = columns(table[0][1], _COLUMNS, where, (unit,) if unit else ())
    if not {"i", "j"} <= set(header) or not {"upper", "unseen"} & set(header):
        raise ConfigError(f"{where}: name at least the columns i, j and upper or unseen")
    return tuple(_row(line, header, number, f"{path}, line {number}") for number, line in table[1:])


def _row(line: str, header: list[str], number: int, where: str) -> NoeBound:
    found = cells(line)
    if len(found) > len(header):
        raise ConfigError(
            f"{where}: {plural(len(found), 'cell')} for {plural(len(header), 'column')}: leave out the rest"
        )
    row = dict.fromkeys(_COLUMNS, "") | dict(zip(header, found, strict=False))
    i, j = (_group(row[key], key, where) for key in ("i", "j"))
    upper, unseen, error, correction = (_length(row[key], key, where) for key in _COLUMNS[2:6])
    held_out = flag(row["held_out"])
    if held_out is None:
        raise ConfigError(f"{where}: held_out is {quoted(row['held_out'])}: write yes or no")
    bound = NoeBound(i, j, upper, unseen, error or 0.0, correction or 0.0, held_out, number)
    _check(bound, where)
    return bound


def _group(text: str, key: str, where: str) -> tuple[int | str, ...]:
    atoms = [word if is_built(word) else as_whole_number(word) for word in text.split()]
    known = tuple(atom for atom in atoms if isinstance(atom, str) or (atom is not None and atom >= 0))
    if not atoms or len(known) < len(atoms) or len(set(known)) < len(known):
        raise ConfigError(
            f"{where}: {key} is {quoted(text)}: write an atom, counted from 0, several as 12 13 14, or a proton of a "
            "residue as 3:HA"
        )
    return known


def _length(text: str, key: str, where: str) -> float | None:
    if not text:
        return None
    value, remedy = as_number(text), "write a length, 0 or more, or leave the cell empty"
    if value is None or not 0 <= value < math.inf:
        raise ConfigError(f"{where}: {key} is {quoted(text)}: {remedy_of(text, remedy)}")
    return value


def _check(bound: NoeBound, where: str) -> None:
    if (bound.upper is None) == (bound.unseen is None):
        raise ConfigError(f"{where}: give either upper, of a peak that is seen, or unseen, of one that is not")
    if not 0 < bound.distance < math.inf:
        raise ConfigError(f"{where}: the bound of {_words(bound)} is {bound.distance:g}: give a positive distance")
    if set(bound.i) & set(bound.j):
        raise ConfigError(f"{where}: {_words(bound)} share an atom: give two groups apart")


def _words(bound: NoeBound) -> str:
    return f"{_group_name(bound.i)} and {_group_name(bound.j)}"


def _group_name(atoms: Sequence[int | str]) -> str:
    return "+".join(map(str, atoms))

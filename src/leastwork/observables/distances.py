"""Lengths in a structure x (A, 3): distances r_ij = |x_i − x_j|, end-to-end distance and radius of gyration.

    R_g² = Σ_i m_i |x_i − x̄|² / Σ_i m_i        x̄ = Σ_i m_i x_i / Σ_i m_i

A length has a kink where it is zero; its gradient there is set to zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import index as whole

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.function import Observable

__all__ = ["atoms_of", "distances", "end_to_end", "pick", "radius_of_gyration"]


def distances(pairs: Sequence[tuple[int, int]], unit: str = "nm") -> Observable:
    """The distances r_ij of pairs of atoms, (B, K).

    Args:
        pairs: pairs of atoms (i, j), counted from 0, (K, 2).
        unit: unit of the model's coordinates.

    Raises:
        LeastworkError: there are no pairs, an atom is paired with itself, or a pair is given twice.

    >>> distances([(0, 1)])(torch.tensor([[[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]]))
    tensor([[5.]])
    """
    index = atoms_of(pairs, 2, "pairs")
    return Observable(_Distances(index), tuple(f"d({i},{j})" for i, j in index), unit)


def end_to_end(unit: str = "nm") -> Observable:
    """|x_A − x_1|, the distance from the first atom to the last, (B, 1)."""
    return Observable(_Distances(((0, -1),)), ("end-to-end",), unit)


def radius_of_gyration(masses: Sequence[float] | None = None, unit: str = "nm") -> Observable:
    """R_g, (B, 1).

    Args:
        masses: masses of the atoms, in any unit, (A,); by default equal.
        unit: unit of the model's coordinates.

    Raises:
        LeastworkError: masses are negative, infinite or all zero.

    >>> radius_of_gyration()(torch.tensor([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]]))
    tensor([[1.]])
    """
    weights = None if masses is None else tuple(float(mass) for mass in masses)
    if weights is not None and not (all(0 <= mass < math.inf for mass in weights) and sum(weights) > 0):
        raise LeastworkError("masses must be numbers from 0 on, not all of them 0: give one for each atom")
    return Observable(_Gyration(weights), ("R_g",), unit)


def atoms_of(groups: Sequence[Sequence[int]], size: int, what: str) -> tuple[tuple[int, ...], ...]:
    """Groups of ``size`` different atom numbers each, after a check that no group is given twice."""
    try:
        numbers = tuple(tuple(whole(i) for i in group) for group in groups)
    except TypeError:
        raise LeastworkError(f"{what} must be lists of {size} atom numbers: whole ones, from 0") from None
    if not numbers:
        raise LeastworkError(f"there are no {what} of atoms: give at least one")
    for group in numbers:
        if len(group) != size or len(set(group)) != size or min(group) < 0:
            raise LeastworkError(f"{group} are not {size} different atoms: give {what} of atom numbers, from 0")
        if numbers.count(group) > 1:
            raise LeastworkError(f"{group} stands {numbers.count(group)} times among the {what}: keep one of them")
    return numbers


def pick(x: Tensor, index: tuple[tuple[int, ...], ...]) -> tuple[Tensor, ...]:
    """Positions of the first, second, … atoms of the groups, (B, K, 3) each.

    Raises:
        LeastworkError: the states are not structures, or have too few atoms.
    """
    if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[2] != 3:
        what = f"of shape {tuple(x.shape[1:])}" if isinstance(x, Tensor) else "of several parts"
        raise LeastworkError(f"a state {what} is no structure: this needs atoms in space, (A, 3)")
    largest = max(max(group) for group in index)
    if largest >= x.shape[1]:
        raise LeastworkError(f"a structure of {x.shape[1]} atoms has no atom {largest}: they are counted from 0")
    return tuple(x[:, list(place)] for place in zip(*index, strict=True))


@dataclass(frozen=True)
class _Distances:
    pairs: tuple[tuple[int, ...], ...]

    def __call__(self, x: Tensor) -> Tensor:
        a, b = pick(x, self.pairs)
        return torch.linalg.vector_norm(a - b, dim=2)


@dataclass(frozen=True)
class _Gyration:
    masses: tuple[float, ...] | None

    def __call__(self, x: Tensor) -> Tensor:
        pick(x, ((0,),))
        atoms = x.shape[1]
        if self.masses is not None and len(self.masses) != atoms:
            raise LeastworkError(f"{len(self.masses)} masses for {atoms} atoms: give one for each")
        masses = (x.new_ones(atoms) if self.masses is None else x.new_tensor(self.masses))[:, None]
        centre = (masses * x).sum(dim=1, keepdim=True) / masses.sum()
        return torch.linalg.vector_norm(masses.sqrt() * (x - centre), dim=(1, 2)) / masses.sum().sqrt()

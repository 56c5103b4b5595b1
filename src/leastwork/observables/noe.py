"""Averages measured by nuclear Overhauser effects: ⟨r⁻⁶⟩ of pairs of atoms, or ⟨r⁻³⟩ for fast motion.

    r_eff = ⟨r_ij⁻ᵖ⟩^(−1/p)        r_eff ≤ u  ⇔  ⟨r_ij⁻ᵖ⟩ ≥ u⁻ᵖ        p = 6, or 3

The effective distance is not an average, but ⟨r⁻ᵖ⟩ is, and an upper bound of the distance is a *lower* bound of ⟨r⁻ᵖ⟩.
p = 6 if the distance changes more slowly than the molecule tumbles, p = 3 if it changes faster (Tropp, J. Chem. Phys.
72, 6035, 1980).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.distances import distances
from leastwork.observables.function import Observable

__all__ = ["bounds_from_distances", "effective_distance", "group_inverse_powers", "inverse_powers"]

_POWERS = (3, 6)


def inverse_powers(pairs: Sequence[tuple[int, int]], power: int = 6, unit: str = "nm") -> Observable:
    """r_ij⁻ᵖ of pairs of atoms, (B, K), in unit⁻ᵖ; infinite for atoms at the same position.

    Args:
        pairs: pairs of atoms (i, j), counted from 0, (K, 2).
        power: p, 6 or 3.
        unit: unit of the model's coordinates.

    Raises:
        LeastworkError: there are no pairs, an atom is paired with itself, a pair is given twice, or p is not 6 or 3.

    >>> inverse_powers([(0, 1)], power=3)(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]]]))
    tensor([[8.]])
    """
    _check_power(power)
    lengths = distances(pairs, unit)
    names = tuple(f"{name}^-{power}" for name in lengths.names)
    return Observable(_InversePowers(lengths, power), names, f"{unit}^-{power}")


def group_inverse_powers(
    restraints: Sequence[tuple[Sequence[int], Sequence[int]]], power: int = 6, unit: str = "nm"
) -> Observable:
    """Σ r_ij⁻ᵖ over the atoms i and j of two groups, such as the protons of a methyl group, (B, K), in unit⁻ᵖ.

    A peak of protons with one shift, or an ambiguous one, measures that (Nilges, J. Mol. Biol. 245, 645, 1995).

    Args:
        restraints: pairs of groups of atoms, counted from 0, K of them.
        power: p, 6 or 3.
        unit: unit of the model's coordinates.

    Raises:
        LeastworkError: there are none, a group is empty, two groups share an atom, or p is not 6 or 3.

    >>> methyl = group_inverse_powers([((0,), (1, 2))], power=3)
    >>> methyl(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 1.0]]]))
    tensor([[9.]])
    """
    _check_power(power)
    groups = [(tuple(first), tuple(second)) for first, second in restraints]
    if not groups:
        raise LeastworkError("there are no restraints: give at least one pair of groups of atoms")
    pairs: dict[tuple[int, int], int] = {}
    members = []
    for first, second in groups:
        if not first or not second or set(first) & set(second):
            raise LeastworkError(f"the groups {first} and {second} are empty or share an atom: give two apart")
        members.append(tuple(pairs.setdefault(_ordered(i, j), len(pairs)) for i in first for j in second))
    names = tuple(f"d({'+'.join(map(str, first))},{'+'.join(map(str, second))})^-{power}" for first, second in groups)
    return Observable(_GroupPowers(distances(list(pairs), unit), power, tuple(members)), names, f"{unit}^-{power}")


def _ordered(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)


def bounds_from_distances(
    upper: float | Sequence[float] | Tensor, errors: float | Sequence[float] | Tensor = 0.0, power: int = 6
) -> tuple[Tensor, Tensor]:
    """Turn upper bounds u of effective distances into lower bounds u⁻ᵖ of ⟨r⁻ᵖ⟩, with their errors.

    A distance beyond which a contact would not be seen turns by the same formula into an *upper* bound of ⟨r⁻ᵖ⟩.

    The error is p u^(−p−1) σ_u to first order: 10 % uncertainty of the distance gives 60 % of ⟨r⁻⁶⟩.

    Args:
        upper: upper bounds u of the effective distances, in a unit such as nm, (K,).
        errors: standard errors σ_u of the bounds, a number or (K,).
        power: p, 6 or 3.

    Returns:
        ``lower`` and ``errors`` of an :class:`~leastwork.Experiment` with :func:`inverse_powers`, float64 (K,) each.

    Raises:
        LeastworkError: a distance is not positive, an error is negative, or p is not 6 or 3.

    >>> lower, errors = bounds_from_distances([0.5], errors=0.05, power=3)
    >>> lower.tolist(), [round(error, 3) for error in errors.tolist()]
    ([8.0], [2.4])
    """
    _check_power(power)
    distance = _numbers(upper, "the upper bounds")
    sigma = _numbers(errors, "the errors of the upper bounds")
    for value in distance.tolist():
        if not (0 < value < math.inf):
            raise LeastworkError(f"{value:g} is no upper bound of a distance: give a positive number")
    for value in sigma.tolist():
        if not (0 <= value < math.inf):
            raise LeastworkError(f"{value:g} is no error of a distance: give 0 for a sharp bound, or a positive number")
    if len(sigma) not in (1, len(distance)):
        raise LeastworkError(f"{len(sigma)} errors for {len(distance)} upper bounds: give one for all, or one each")
    return distance**-power, power * distance ** (-power - 1) * sigma


def effective_distance(average: float | Sequence[float] | Tensor, power: int = 6) -> Tensor:
    """The effective distance ⟨r⁻ᵖ⟩^(−1/p), float64 (K,), in the unit of r.

    Args:
        average: ⟨r⁻ᵖ⟩, (K,).
        power: p, 6 or 3.

    Raises:
        LeastworkError: an average is not positive, or p is not 6 or 3.

    >>> effective_distance([8.0], power=3).tolist()
    [0.5]
    """
    _check_power(power)
    averages = _numbers(average, "the averages")
    for value in averages.tolist():
        if not (0 < value < math.inf):
            raise LeastworkError(f"{value:g} is no average of r^-{power}: it is positive")
    return averages ** (-1 / power)


def _check_power(power: int) -> None:
    if power not in _POWERS:
        raise LeastworkError(f"power = {power}: an NOE goes with the inverse 6th power of the distance, or the 3rd")


def _numbers(data: float | Sequence[float] | Tensor, what: str) -> Tensor:
    try:
        numbers = torch.as_tensor(data, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise LeastworkError(f"{what}, {data!r}, are not numbers: give one per pair") from None
    if numbers.ndim > 1:
        raise LeastworkError(f"{what} are of shape {tuple(numbers.shape)}: give one number per pair")
    return numbers.reshape(-1)


@dataclass(frozen=True)
class _InversePowers:
    lengths: Observable
    power: int

    def __call__(self, x: Tensor) -> Tensor:
        return self.lengths(x) ** -self.power


@dataclass(frozen=True)
class _GroupPowers:
    lengths: Observable
    power: int
    members: tuple[tuple[int, ...], ...]

    def __call__(self, x: Tensor) -> Tensor:
        powers = self.lengths(x) ** -self.power
        return torch.stack([powers[:, list(of)].sum(dim=1) for of in self.members], dim=1)

"""Contacts: c_ij = 1/(1 + exp(β(r_ij − λ r₀))) falls from one to zero as a pair separates; Q is the mean contact.

Q is the fraction of native contacts (Best, Hummer & Eaton, PNAS 110, 17874, 2013). The average of a logistic function
of Q is a differentiable population of folded molecules.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.distances import atoms_of, pick
from leastwork.observables.function import Observable

__all__ = ["contacts", "native_fraction", "pairs_in_contact", "smooth_above"]


def contacts(
    pairs: Sequence[tuple[int, int]], lengths: Sequence[float], steepness: float = 50.0, reach: float = 1.8
) -> Observable:
    """The contacts c_ij of pairs, (B, K).

    Args:
        pairs: pairs of atoms (i, j), counted from 0.
        lengths: distance r₀ of each pair in the native structure, in the unit of the coordinates.
        steepness: β, in inverse units of the coordinates.
        reach: λ; a pair at the distance λ r₀ counts one half. By default β and λ are those of Best et al. for nm.

    Raises:
        LeastworkError: there is not one positive length for each pair, or the pairs are not valid.

    >>> contacts([(0, 1)], [1.0], reach=1.5)(torch.tensor([[[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]]]))
    tensor([[0.5000]])
    """
    made = _make(pairs, lengths, steepness, reach)
    return Observable(made, tuple(f"c({i},{j})" for i, j in made.pairs))


def native_fraction(
    pairs: Sequence[tuple[int, int]], lengths: Sequence[float], steepness: float = 50.0, reach: float = 1.8
) -> Observable:
    """Q, the mean of :func:`contacts`, (B, 1)."""
    return Observable(_Mean(_make(pairs, lengths, steepness, reach)), ("Q",))


def pairs_in_contact(
    structure: Tensor, cutoff: float = 0.95, apart: int = 4
) -> tuple[list[tuple[int, int]], list[float]]:
    """Pairs (i, j) of a structure with j − i ≥ ``apart`` and r₀ < ``cutoff``, and their r₀.

    Args:
        structure: the native structure, (A, 3).
        cutoff: largest distance, in the unit of the structure; the default suits Cα atoms in nm.
        apart: smallest separation of a pair along the chain.

    Raises:
        LeastworkError: there are no such pairs.

    >>> pairs_in_contact(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]), 0.9, apart=1)
    ([(0, 2), (1, 2)], [0.7071..., 0.7071...])
    """
    x = structure.to(torch.float64)
    i, j = torch.triu_indices(len(x), len(x), offset=apart)
    length = torch.linalg.vector_norm(x[i] - x[j], dim=1)
    near = length < cutoff
    if not bool(near.any()):
        nearest = f", the nearest are {float(length.min()):.3g} apart" if len(length) else ""
        raise LeastworkError(
            f"no atoms {apart} places or more along the chain are nearer than {cutoff:g}{nearest}: "
            "raise the cutoff, or bring the structure to the unit of the model's coordinates"
        )
    return list(zip(i[near].tolist(), j[near].tolist(), strict=True)), length[near].tolist()


def smooth_above(observable: Observable, threshold: float, width: float, name: str) -> Observable:
    """1/(1 + exp(−(O − threshold)/width)): the population of O > threshold, differentiable, (B, K).

    Args:
        observable: the observables O.
        threshold: value of O at which the indicator is one half.
        width: difference of O from the threshold at which the indicator is 0.27 or 0.73.
        name: name of the population; for several columns the name of the column is appended.

    Raises:
        LeastworkError: the threshold is not finite, or the width not positive.
    """
    if not 0 < width < math.inf:
        raise LeastworkError(f"width={width} must be a positive number, in the unit of {observable.names}")
    if not math.isfinite(threshold):
        raise LeastworkError(f"threshold={threshold} must be a finite number, in the unit of {observable.names}")
    names = (name,) if observable.count == 1 else tuple(f"{name} {column}" for column in observable.names)
    return Observable(_Above(observable, threshold, width), names, differentiable=observable.differentiable)


def _make(pairs: Sequence[tuple[int, int]], lengths: Sequence[float], steepness: float, reach: float) -> "_Contacts":
    index = atoms_of(pairs, 2, "pairs")
    if len(lengths) != len(index):
        raise LeastworkError(f"{len(lengths)} lengths for {len(index)} pairs: give r₀ of each")
    numbers = tuple(float(length) for length in lengths)
    if not all(0 < number < math.inf for number in (*numbers, steepness, reach)):
        raise LeastworkError("lengths, steepness and reach of contacts must be positive, finite numbers")
    return _Contacts(index, numbers, steepness, reach)


@dataclass(frozen=True)
class _Contacts:
    pairs: tuple[tuple[int, ...], ...]
    lengths: tuple[float, ...]
    steepness: float
    reach: float

    def __call__(self, x: Tensor) -> Tensor:
        a, b = pick(x, self.pairs)
        apart = torch.linalg.vector_norm(a - b, dim=2)
        return torch.sigmoid(self.steepness * (self.reach * x.new_tensor(self.lengths) - apart))


@dataclass(frozen=True)
class _Mean:
    contacts: _Contacts

    def __call__(self, x: Tensor) -> Tensor:
        return self.contacts(x).mean(dim=1)


@dataclass(frozen=True)
class _Above:
    observable: Observable
    threshold: float
    width: float

    def __call__(self, x: Tensor) -> Tensor:
        return torch.sigmoid((self.observable(x) - self.threshold) / self.width)

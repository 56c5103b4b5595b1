"""A free-energy profile: −ln p(ξ) in bins, with errors, the windows and how they overlap."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.free_energy.collected import Tilt
from leastwork.free_energy.combine import Joined
from leastwork.free_energy.guided import Drawn
from leastwork.geometry.state import State
from leastwork.statistics.estimate import Estimate

__all__ = ["Profile", "bin_of", "bin_volume", "equal_bins"]


def bin_of(seen: Tensor, edges: tuple[Tensor, ...]) -> Tensor:
    """The flat number of the bin of each coordinate (n, D), and −1 outside of the range; (n,)."""
    index = torch.zeros(len(seen), dtype=torch.long)
    outside = torch.zeros(len(seen), dtype=torch.bool)
    for column, edge in zip(seen.T, edges, strict=True):
        place = torch.bucketize(column.contiguous(), edge, right=True) - 1
        outside |= (place < 0) | (place >= len(edge) - 1)
        index = index * (len(edge) - 1) + place.clamp(0, len(edge) - 2)
    return torch.where(outside, -1, index)


@dataclass(frozen=True, eq=False)
class Profile:
    """F(ξ) = −ln p(ξ) of the model along one or two columns of a coordinate.

    Args:
        names, units: those of the columns.
        edges: edges of the bins, one tensor for each column.
        values: F of each bin, k_BT, with p a density per unit of the columns, so that no constant is free; (B,) or
            (B₁, B₂); NaN where no sample is.
        errors: standard errors of F, k_BT.
        covariance: covariance of F of all bins, flat, k_BT², from which errors of differences follow.
        windows: the tilts of the umbrella windows, in the order in which they were placed.
        overlap: overlap matrix of the model's own samples and the windows, (K + 1, K + 1), rows add up to one.
        effective: effective samples n·ESS of the model and each window, (K + 1,).
        counts: number of samples in each bin.
        free_energies: −ln Z of the model and each window from path weights, k_BT, (K + 1,).
        by_overlap: the same by MBAR, from overlaps alone, (K + 1,): two ways to the same numbers.
        network_evaluations: all evaluations of the model's network, those of learning included.
        seconds: wall time.
        parts: all samples.
        joined: their weights.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    edges: tuple[Tensor, ...]
    values: Tensor
    errors: Tensor
    covariance: Tensor = field(repr=False)
    windows: tuple[Tilt, ...] = field(repr=False)
    overlap: Tensor = field(repr=False)
    effective: Tensor = field(repr=False)
    counts: Tensor = field(repr=False)
    free_energies: Estimate = field(repr=False)
    by_overlap: Tensor = field(repr=False)
    network_evaluations: int = 0
    seconds: float = 0.0
    parts: tuple[Drawn, ...] = field(default=(), repr=False)
    joined: Joined | None = field(default=None, repr=False)

    @property
    def centres(self) -> tuple[Tensor, ...]:
        """Centres of the bins, one tensor for each column."""
        return tuple(0.5 * (edge[1:] + edge[:-1]) for edge in self.edges)

    @property
    def relative(self) -> Tensor:
        """F less its smallest value."""
        return self.values - self.values[self.values.isfinite()].min()

    def difference(self, first: int | tuple[int, ...], second: int | tuple[int, ...]) -> Estimate:
        """F of the second bin less F of the first, k_BT.

        Args:
            first, second: numbers of bins, in two dimensions a pair each.
        """
        i, j = (self._flat(one) for one in (first, second))
        flat, cov = self.values.flatten(), self.covariance
        return Estimate(float(flat[j] - flat[i]), float((cov[i, i] + cov[j, j] - 2 * cov[i, j]).clamp(min=0).sqrt()))

    def mean(self, fn: Callable[[State], Tensor]) -> Estimate:
        """The model's average of a function of states, from all samples.

        Args:
            fn: function of states in data units, (B, *event) -> (B,) or (B, M).

        Raises:
            LeastworkError: the profile was read from a file, without its samples.
        """
        states = [part.x for part in self.parts if part.x is not None]
        if self.joined is None or len(states) < len(self.parts):
            raise LeastworkError("this profile has no samples: compute it with leastwork.free_energy_profile")
        with torch.no_grad():
            values = [fn(x).double() for x in states]
        flat = [one[:, None] if one.ndim == 1 else one for one in values]
        mean, cov = self.joined.averages(flat)
        if values[0].ndim == 1:
            return Estimate(float(mean[0]), float(cov[0, 0].sqrt()))
        return Estimate(mean, cov.diagonal().sqrt())

    def _flat(self, index: int | tuple[int, ...]) -> int:
        places = (index,) if isinstance(index, int) else index
        flat = 0
        for place, edge in zip(places, self.edges, strict=True):
            flat = flat * (len(edge) - 1) + place
        return flat


def equal_bins(lower: Tensor, upper: Tensor, count: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Edges of equal bins of each column."""
    ends = zip(lower.tolist(), upper.tolist(), count, strict=True)
    return tuple(torch.linspace(low, high, n + 1, dtype=torch.float64) for low, high, n in ends)


def bin_volume(edges: tuple[Tensor, ...]) -> float:
    """Volume of one bin; all are equal."""
    size = 1.0
    for edge in edges:
        first, second = next(pairwise(edge.tolist()))
        size *= second - first
    return size

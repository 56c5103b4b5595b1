"""Exact results for a region, if the density is known: its probability by quadrature, and samples within it.

    p(A) = ∫_A p(x) dx ≈ Σ_ij 1_A(x_ij) p(x_ij) a

on a grid about A, which is fine where A is small.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.runs.base.cases import RegionTruth, case
from leastwork.systems.plane import PlaneDensity

__all__ = ["KnownRegion", "RegionTruth", "SimulatedRegion", "known_region", "region_of"]

_NOTHING = -1e4  # nats, of a cell without probability


@dataclass(frozen=True, eq=False)
class KnownRegion:
    """A region of a known density; made by :func:`region_of`.

    Args:
        given: the density given A, on a rectangle about A; zero but for rounding in cells whose middle is not in A.
        region: membership, (B, 2) -> bool (B,).
    """

    given: PlaneDensity
    region: Callable[[Tensor], Tensor]

    source = "the density that the model was trained on, by quadrature"

    @property
    def log_probability(self) -> float:
        """ln p(A) under the whole density."""
        return self.given.log_normaliser

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws of the density given A, (n, 2), float64."""
        found = torch.zeros(0, 2, dtype=torch.float64)
        while len(found) < n:
            x = self.given.sample(2 * n, generator)
            found = torch.cat([found, x[self.region(x)]])  # a cell at the border is partly outside
        return found[:n]


@dataclass(frozen=True, eq=False)
class SimulatedRegion:
    """A region as a long simulation visited it.

    Args:
        frames: members of A, (n, *event), data units.
        log_probability: ln of the share of all frames that they are.
    """

    frames: Tensor
    log_probability: float
    source = "the simulation that the model was trained on, by counting"

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n different frames, or all of them if there are no more."""
        return self.frames[torch.randperm(len(self.frames), generator=generator)[:n]]


def region_of(whole: PlaneDensity, region: Callable[[Tensor], Tensor], points: int) -> KnownRegion | None:
    """A region of a density in the plane, or None where the region has no part in it.

    Args:
        whole: the density on a grid that holds nearly all of it.
        region: membership, (B, 2) -> bool (B,).
        points: cells along each side of the grid about the region.
    """
    hits = whole.grid[region(whole.grid)]
    if not len(hits):
        return None
    (left, bottom), (right, top) = (hits.amin(dim=0) - whole.cell).tolist(), (hits.amax(dim=0) + whole.cell).tolist()

    def given(x: Tensor) -> Tensor:
        return torch.where(region(x), whole.log_prob(x).clamp_min(_NOTHING), 2 * _NOTHING)

    return KnownRegion(PlaneDensity(given, (left, bottom), (right, top), points), region)


def known_region(system: str | None, region: Callable[[Tensor], Tensor]) -> RegionTruth | None:
    """The truth about a region of a system, or None where nothing is known of it.

    Args:
        system: the name of a case, or None.
        region: membership, (B, *event) -> bool (B,).

    Raises:
        ConfigError: there is no such case.

    >>> from leastwork.kernels.region import Ball
    >>> from leastwork.systems.muller_brown import SADDLE
    >>> known = known_region("muller-brown", Ball(SADDLE, 0.1))
    >>> round(known.log_probability, 2), len(known.sample(5, torch.Generator().manual_seed(0)))
    (-6.78, 5)
    """
    truth = None if system is None else case(system).region_truth
    return None if truth is None else truth(region)

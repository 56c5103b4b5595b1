"""Density on a rectangle of the plane, tabulated on a grid: averages by quadrature, samples by inversion.

    p(x) = e^{ℓ(x)}/Z        E[φ] ≈ Σ_ij p_ij φ(x_ij) a        a: area of a cell

The nodes are the midpoints of the cells. For a smooth density that vanishes at the edges the rule converges faster than
any power of the spacing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from leastwork.errors import LeastworkError

__all__ = ["PlaneDensity"]


@dataclass(frozen=True, eq=False)
class PlaneDensity:
    """p ∝ e^{ℓ} on a rectangle.

    Args:
        log_density: ℓ, (B, 2) -> (B,), nats.
        low, high: corners of the rectangle, which must hold all but a negligible part of the density.
        points: number of cells along each side.

    Raises:
        LeastworkError: the rectangle has no area, or ℓ is not finite on it.

    >>> normal = PlaneDensity(lambda x: -0.5 * (x**2).sum(dim=1), (-9.0, -9.0), (9.0, 9.0), 200)
    >>> round(float(normal.log_normaliser), 6), round(math.log(2 * math.pi), 6)
    (1.837877, 1.837877)
    """

    log_density: Callable[[Tensor], Tensor]
    low: tuple[float, float]
    high: tuple[float, float]
    points: int = 600

    def __post_init__(self) -> None:
        if not all(a < b for a, b in zip(self.low, self.high, strict=True)) or self.points < 2:
            raise LeastworkError(f"a rectangle from {self.low} to {self.high} in {self.points} cells has no area")
        if not bool(self._values.isfinite().all()):
            raise LeastworkError("the log-density is not finite on its rectangle: give it a finite floor")

    @cached_property
    def grid(self) -> Tensor:
        """Middles of the cells, float64 (points², 2), the second coordinate running fastest."""
        axes = [
            a + (b - a) * (torch.arange(self.points, dtype=torch.float64) + 0.5) / self.points
            for a, b in zip(self.low, self.high, strict=True)
        ]
        return torch.cartesian_prod(*axes)

    @property
    def cell(self) -> Tensor:
        """Sides of a cell, (2,)."""
        return (torch.tensor(self.high) - torch.tensor(self.low)).to(torch.float64) / self.points

    @cached_property
    def _values(self) -> Tensor:
        return self.log_density(self.grid).to(torch.float64)

    @cached_property
    def weights(self) -> Tensor:
        """Probability of every cell, (points²,)."""
        return torch.softmax(self._values, dim=0)

    @cached_property
    def log_normaliser(self) -> float:
        """ln Z = ln ∫ e^ℓ."""
        return float(torch.logsumexp(self._values, dim=0) + self.cell.prod().log())

    def log_prob(self, x: Tensor) -> Tensor:
        """ln p(x): (B, 2) -> (B,); −∞ beyond the rectangle."""
        inside = ((x >= torch.tensor(self.low)) & (x <= torch.tensor(self.high))).all(dim=1)
        return torch.where(inside, self.log_density(x) - self.log_normaliser, -math.inf)

    def mean(self, fn: Callable[[Tensor], Tensor]) -> Tensor:
        """E[φ] of φ: (B, 2) -> (B,) or (B, K)."""
        return torch.tensordot(self.weights, fn(self.grid).to(torch.float64), dims=1)

    def probability(self, region: Callable[[Tensor], Tensor]) -> float:
        """p(A) of a region, (B, 2) -> bool (B,); its border is resolved to the spacing of the grid."""
        return float(self.weights[region(self.grid)].sum())

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws, uniform within a cell, (n, 2), float64."""
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        cumulative = self.weights.cumsum(dim=0)
        index = torch.searchsorted(cumulative / cumulative[-1], u).clamp(max=len(cumulative) - 1)
        return self.grid[index] + (torch.rand(n, 2, generator=generator, dtype=torch.float64) - 0.5) * self.cell

"""View of angles: (cos θ, sin θ), standardised at every noise level like coordinates.

    E[e^{iθ_t} | θ_0] = e^{−σ²/2} e^{iθ_0}        mean variance of cos θ_t and sin θ_t given θ_0: (1 − e^{−σ²})/2

so that the points of the circle have signal α′ = e^{−σ²/2} and noise σ′² = (1 − e^{−σ²})/2.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.networks.coordinates import Coordinates

__all__ = ["Angles", "moments_on_circle"]


def moments_on_circle(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """α′ and σ′ of the points of the circle from σ, rad.

    >>> moments_on_circle(torch.tensor(0.1))
    (tensor(0.9950), tensor(0.0705))
    """
    return torch.exp(-0.5 * sigma.square()), (-0.5 * torch.expm1(-sigma.square())).sqrt()


@dataclass(frozen=True, eq=False)
class _Seen:
    """The values, (B, 2d), with those of the coordinates, and cos θ and sin θ, (B, d) each."""

    values: Tensor
    points: Any
    cos: Tensor
    sin: Tensor


class Angles(nn.Module):
    """cos θ and sin θ of flat states (B, d), standardised.

    >>> Angles(1)(torch.tensor([[0.0]]), torch.ones(1, 1), torch.zeros(1, 1)).values
    tensor([[1., 0.]])
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.points = Coordinates(2 * dimension)

    @property
    def count(self) -> int:
        """2d."""
        return self.points.count

    def standardise(self, x: Tensor) -> "Angles":
        """Take mean and spread of cos θ and sin θ from data, (n, d)."""
        self.points.standardise(_on_circle(x))
        return self

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> _Seen:
        """The values at x, (B, d); alpha and sigma are those of the points, (1, 1), or (B, 1) for a time per sample."""
        cos, sin = x.cos(), x.sin()
        points = self.points(torch.cat([cos, sin], dim=1), alpha, sigma)
        return _Seen(points.values, points, cos, sin)

    def pull(self, seen: _Seen, c: Tensor) -> Tensor:
        """Jᵀc, (B, d); c: (B, 2d)."""
        by_cos, by_sin = self.points.pull(seen.points, c).chunk(2, dim=1)
        return seen.cos * by_sin - seen.sin * by_cos

    def push(self, seen: _Seen, direction: Tensor) -> Tensor:
        """J u, (B, 2d); direction: u, (B, d)."""
        return self.points.push(seen.points, torch.cat([-seen.sin * direction, seen.cos * direction], dim=1))

    def variance(self, x: Tensor) -> Tensor:
        """Mean variance of cos θ and sin θ over data, (n, d)."""
        return _on_circle(x).var(dim=0).mean()


def _on_circle(x: Tensor) -> Tensor:
    return torch.cat([x.cos(), x.sin()], dim=1)

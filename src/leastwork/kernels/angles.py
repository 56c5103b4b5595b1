"""Kernel of angles: d² = Σ_i 4 sin²((θ_i − θ_i^m)/2), the squared chords, for small differences |θ − θ^m|²."""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.geometry.state import State, flatten
from leastwork.kernels.flat import FeatureKernel

__all__ = ["AngleKernel"]


@dataclass(frozen=True)
class AngleKernel:
    """The distance of states on the torus by the chords of their angles, rad.

    >>> kernel, guides = AngleKernel(), torch.tensor([[3.1]])
    >>> kernel.squared_distances(torch.tensor([[-3.1]]), kernel.embed(guides)).sqrt().round(decimals=3)  # 2π − 6.2
    tensor([[0.0830]], dtype=torch.float64)
    """

    @property
    def distance(self) -> str:
        return "distance of angles"

    def embed(self, points: State) -> Tensor:
        return _POINTS.embed(points)

    def dimension(self, points: State) -> int:
        return flatten(points).shape[1]

    def squared_distances(self, x: State, guides: Tensor) -> Tensor:
        return _POINTS.squared_distances(x, guides)

    def log_kernel(self, x: State, guides: Tensor, bandwidth: float) -> Tensor:
        return _POINTS.log_kernel(x, guides, bandwidth)

    def log_kernel_and_score(self, x: State, guides: Tensor, bandwidth: float) -> tuple[Tensor, State]:
        return _POINTS.log_kernel_and_score(x, guides, bandwidth)


def _on_circle(x: State) -> Tensor:
    """cos θ and sin θ, (B, 2d)."""
    flat = flatten(x)
    return torch.cat([flat.cos(), flat.sin()], dim=1)


_POINTS = FeatureKernel(_on_circle)

"""Views of a state for a value network: coordinates, standardised at every noise level,

    x̂ = (x − α m)/√(α²s² + σ²)

m and s are mean and standard deviation of each coordinate of the data. A view may have a focus, a small part of space
that matters and that the scale of the data would not resolve: then tanh(x̂′/2) is added, where x̂′ is standardised by
mean and standard deviation of that part. For molecules without orientation there is a view of invariants
(:mod:`leastwork.networks.invariants`). A view gives the products Jᵀc and Ju with its Jacobian J.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

__all__ = ["Coordinates", "View"]


class View(Protocol):
    """The inputs of a network as functions of the state, and products with their Jacobian."""

    @property
    def count(self) -> int: ...
    def standardise(self, x: Tensor) -> Any: ...
    def __call__(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Any: ...
    def pull(self, seen: Any, c: Tensor) -> Tensor: ...
    def push(self, seen: Any, direction: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class _Seen:
    """x̂, (B, F), and its derivative by the coordinate, (F,) or (B, F)."""

    values: Tensor
    slope: Tensor


class Coordinates(nn.Module):
    """x̂ of flat states (B, d), and tanh(x̂′/2) if there is a focus.

    >>> view = Coordinates(2).standardise(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    >>> view(torch.tensor([[1.0, 3.0]]), torch.ones(1, 1), torch.zeros(1, 1)).values
    tensor([[0., 2.]])
    """

    mean: Tensor
    std: Tensor
    focus_mean: Tensor
    focus_std: Tensor

    def __init__(self, dimension: int, focus: bool = False) -> None:
        super().__init__()
        self.focus = focus
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("std", torch.ones(dimension))
        if focus:
            self.register_buffer("focus_mean", torch.zeros(dimension))
            self.register_buffer("focus_std", torch.ones(dimension))

    @property
    def count(self) -> int:
        """F."""
        return (1 + self.focus) * len(self.mean)

    @torch.no_grad()
    def standardise(self, x: Tensor) -> "Coordinates":
        """Take m and s from data, (n, d); a constant coordinate keeps scale 1."""
        self.mean.copy_(x.mean(dim=0))
        self.std.copy_(_scale(x))
        return self

    @torch.no_grad()
    def focus_on(self, x: Tensor) -> "Coordinates":
        """Take mean and standard deviation of the part of space that matters from points in it, (n, d)."""
        self.focus_mean.copy_(x.mean(dim=0))
        self.focus_std.copy_(_scale(x))
        return self

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> _Seen:
        """x̂ of x, (B, d); alpha and sigma have shape (1, 1), or (B, 1) for a time per sample."""
        slope = (alpha.square() * self.std.square() + sigma.square()).rsqrt()
        values = (x - alpha * self.mean) * slope
        if not self.focus:
            return _Seen(values, slope)
        finer = 0.5 * (alpha.square() * self.focus_std.square() + sigma.square()).rsqrt()
        near = torch.tanh((x - alpha * self.focus_mean) * finer)
        slopes = torch.cat([slope.expand_as(near), finer * (1 - near.square())], dim=1)
        return _Seen(torch.cat([values, near], dim=1), slopes)

    def pull(self, seen: _Seen, c: Tensor) -> Tensor:
        """Jᵀc, (B, d); c: (B, F)."""
        pull = c * seen.slope
        return pull.unflatten(1, (2, -1)).sum(dim=1) if self.focus else pull

    def push(self, seen: _Seen, direction: Tensor) -> Tensor:
        """J u, (B, F); direction: u, (B, d)."""
        return direction.repeat(1, 1 + self.focus) * seen.slope


def _scale(x: Tensor) -> Tensor:
    std = x.std(dim=0)
    return torch.where(std > 1e-6 * std.max(), std, 1.0)

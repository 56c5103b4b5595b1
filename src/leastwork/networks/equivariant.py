"""Equivariant network for molecules: y = Jᵀ(r ⊙ MLP(q, t)), with invariants q of x and their Jacobian J.

    z_1 = φ(A_1(τ)(W_1 q + b_1) + B_1(τ))    z_l = z_{l−1} + φ(A_l(τ)(W_l z_{l−1} + b_l) + B_l(τ))    φ = SiLU

τ are smooth steps in the log-SNR that scale (A) and shift (B) every layer (Perez et al., AAAI 2018), and r are lengths
that give each column of J the size one. The output has no net force and no torque, turns with the structure, and is
sensitive to handedness, since some invariants are (:mod:`leastwork.networks.invariants`). One perceptron of a vector of
invariants costs a hundredth of message passing over all pairs.

A denoised structure is a mean of structures and no larger than the largest of them. But at states far from the training
data a network may predict larger ones, and the path may diverge. With a ``limit``, a denoised structure D = α x − σ y,
where y is the prediction "v", that is larger than ``limit`` times the mean size of the data is scaled back to that
size.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from leastwork.errors import LeastworkError
from leastwork.networks.invariants import Invariants
from leastwork.schedules.files import schedule_from

__all__ = ["EquivariantPerceptron"]


class EquivariantPerceptron(nn.Module):
    """An equivariant perceptron for states (B, N, 3) without preferred centre or orientation.

    Args:
        points: number N of points, four or more.
        schedule: description of the model's schedule by ``describe_schedule``; its α and σ scale the invariants.
        width: number of units in each hidden layer.
        depth: number of hidden layers.
        steps: number of smooth steps in the log-SNR.
        limit: largest size of a denoised structure, relative to the mean size of the data; None for no limit.

    Raises:
        LeastworkError: a size cannot be used.

    >>> from leastwork.schedules.gaussian import VPSchedule
    >>> from leastwork.schedules.files import describe_schedule
    >>> net = EquivariantPerceptron(5, describe_schedule(VPSchedule()), width=8, depth=2)
    >>> net(torch.randn(3, 5, 3), torch.tensor(0.5)).shape
    torch.Size([3, 5, 3])
    """

    knots: Tensor

    def __init__(
        self,
        points: int,
        schedule: Mapping[str, Any],
        width: int = 256,
        depth: int = 4,
        steps: int = 16,
        limit: float | None = None,
    ) -> None:
        super().__init__()
        if min(width, depth, steps) < 1:
            raise LeastworkError(f"EquivariantPerceptron needs width, depth and steps >= 1, not {width, depth, steps}")
        self.config: dict[str, Any] = {
            "points": points,
            "schedule": dict(schedule),
            "width": width,
            "depth": depth,
            "steps": steps,
            "limit": limit,
        }
        self.limit = limit
        self.schedule = schedule_from(schedule)
        self.invariants = Invariants(points)
        self.register_buffer("knots", torch.linspace(-9.0, 10.0, steps), persistent=False)
        self.first = nn.Linear(self.invariants.count, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.time = nn.Linear(steps, 2 * depth * width)
        self.last = nn.Linear(width, self.invariants.pairs + self.invariants.triples)

    @torch.no_grad()
    def limited(self, x: Tensor) -> "EquivariantPerceptron":
        """Set the limit to the size of the largest structure in the data, network units, (n, N, 3)."""
        about = x - x.mean(dim=1, keepdim=True)
        largest = about.square().sum(dim=(1, 2)).max().sqrt()
        self.limit = self.config["limit"] = round(float(largest / self.invariants.size), 3) + 0.001
        return self

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Prediction at x (B, N, 3); t is a scalar, or (B,) for a time per sample, as in training."""
        t = t.reshape(-1, 1).to(torch.float64)
        alpha, sigma = self.schedule.alpha(t).to(x), self.schedule.sigma(t).to(x)
        tau = torch.sigmoid(self.schedule.log_snr(t).to(x) - self.knots)
        seen = self.invariants(x.flatten(1), alpha, sigma)
        scales, shifts = self.time(tau).unflatten(1, (2, len(self.hidden) + 1, -1)).unbind(1)
        z = silu(_scaled(self.first, seen.values, 1 + scales[:, 0], shifts[:, 0]))
        for k, layer in enumerate(self.hidden, 1):
            assert isinstance(layer, nn.Linear)
            z = z + silu(_scaled(layer, z, 1 + scales[:, k], shifts[:, k]))
        y = self.invariants.turn(seen, seen.reach * self.last(z)).unflatten(1, (-1, 3))
        return y if self.limit is None else self._within(self.limit, x, y, alpha[..., None], sigma[..., None])

    def _within(self, limit: float, x: Tensor, y: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """y, changed where D is too large so that D has the largest size allowed."""
        denoised = alpha * x - sigma * y
        about = denoised - denoised.mean(dim=1, keepdim=True)
        size = about.square().sum(dim=(1, 2), keepdim=True).sqrt()
        most = limit * self.invariants.size
        return torch.where(size > most, (alpha * x - about * (most / size)) / sigma, y)


def _scaled(layer: nn.Linear, z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """A(Wz + b) + B; if all samples have one time, A and B are multiplied into the weights, which saves two passes."""
    if len(scale) == 1:
        return linear(z, layer.weight * scale.T, (layer.bias * scale + shift)[0])
    return layer(z) * scale + shift

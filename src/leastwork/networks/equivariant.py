"""A network for molecules that turns with them: y = Jᵀ(r ⊙ MLP(q, t)), q invariants of x and J their Jacobian.

    z_1 = φ(A_1(τ)(W_1 q + b_1) + B_1(τ))    z_l = z_{l−1} + φ(A_l(τ)(W_l z_{l−1} + b_l) + B_l(τ))    φ = SiLU

with τ smooth steps in the log-SNR that scale (A) and shift (B) every layer (Perez et al., AAAI 2018), and r the
length that makes each column of J of size one. The output has no net force and no torque, follows every rotation and
shift, and tells a structure from its mirror image, since some invariants do (:mod:`leastwork.networks.invariants`).
One perceptron over a vector of invariants costs a hundredth of message passing over all pairs.

A denoised structure is a mean of structures, and no larger than the largest of them, but a network knows nothing of
states that it never saw: a step too far may go on for ever. With a ``limit``, D = α x − σ y beyond so many times the
data's mean size is brought back to it, y being the prediction "v"; all other predictions are left as they are.
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
    """A perceptron for states (B, N, 3) without centre or orientation.

    Args:
        points: N, four or more.
        schedule: of the model, as ``describe_schedule`` gives it: invariants are scaled by its α and σ.
        width: units of each hidden layer.
        depth: hidden layers.
        steps: smooth steps in the log-SNR.
        limit: largest size of a denoised structure, in mean sizes of the data; None, none.

    Raises:
        LeastworkError: a size that cannot be used.

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
        """Take the limit from standardised data, network units, (n, N, 3): the largest structure there is."""
        about = x - x.mean(dim=1, keepdim=True)
        largest = about.square().sum(dim=(1, 2)).max().sqrt()
        self.limit = self.config["limit"] = round(float(largest / self.invariants.size), 3) + 0.001
        return self

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Prediction at x: (B, N, 3); t: scalar, or (B,) for a time per sample as in training."""
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
        """y, or where D is too large that of a D that is not."""
        denoised = alpha * x - sigma * y
        about = denoised - denoised.mean(dim=1, keepdim=True)
        size = about.square().sum(dim=(1, 2), keepdim=True).sqrt()
        most = limit * self.invariants.size
        return torch.where(size > most, (alpha * x - about * (most / size)) / sigma, y)


def _scaled(layer: nn.Linear, z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """A(Wz + b) + B; at one time for all samples, A and B go into the weights, to save two passes over z."""
    if len(scale) == 1:
        return linear(z, layer.weight * scale.T, (layer.bias * scale + shift)[0])
    return layer(z) * scale + shift

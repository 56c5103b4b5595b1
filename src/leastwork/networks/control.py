"""Network of a control, an added velocity, which is zero before training."""

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from leastwork.errors import LeastworkError
from leastwork.networks.perceptron import seeded_linear, usual_width

__all__ = ["ControlNetwork"]

_KNOTS = 17  # times between which mean and spread are interpolated
_COSINES = 6  # cosines of t among the inputs


class ControlNetwork(nn.Module):
    """c(x, t) of flat states, network units.

    Args:
        dimension: number of coordinates d of a state.
        width: number of units in each hidden layer; by default 64, more above 8 and above 64 dimensions.
        depth: number of hidden layers.
        seed: seed of the initial weights; the global generator is not used.
        angles: whether states are d angles, rad: the inputs are then their cosines and sines.

    Raises:
        LeastworkError: a size is below one.

    >>> network = ControlNetwork(2)
    >>> network(torch.randn(3, 2), 0.5).abs().max().item()  # the head starts at zero
    0.0
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, dimension: int, width: int | None = None, depth: int = 3, seed: int = 0, angles: bool = False
    ) -> None:
        super().__init__()
        width = usual_width(dimension) if width is None else width
        if min(dimension, width, depth) < 1:
            raise LeastworkError(f"ControlNetwork({dimension}, {width}, {depth}): every size must be at least 1")
        self.angles = angles
        self.config: dict[str, Any] = {"dimension": dimension, "width": width, "depth": depth}
        self.config |= {"angles": True} if angles else {}
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("mean", torch.zeros(_KNOTS, dimension))
        self.register_buffer("std", torch.ones(_KNOTS, dimension))
        self.first = seeded_linear(generator, (1 + angles) * dimension, width)
        self.hidden = nn.ModuleList(seeded_linear(generator, width, width) for _ in range(depth - 1))
        self.time = seeded_linear(generator, _COSINES, depth * width, bias=False)
        self.head = seeded_linear(generator, width, dimension)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    @staticmethod
    def knots() -> Tensor:
        """The times at which mean and spread are kept, float64 (17,)."""
        return torch.linspace(0.0, 1.0, _KNOTS, dtype=torch.float64)

    @torch.no_grad()
    def standardise(self, mean: Tensor, std: Tensor) -> "ControlNetwork":
        """Set mean and spread of the states at the knots, (17, d) each; a constant coordinate keeps scale 1."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6 * std.max(), std, 1.0))
        return self

    def forward(self, x: Tensor, t: Tensor | float) -> Tensor:
        """c (B, d) at x (B, d); t in [0, 1] is one time, or (B,) for a time per sample, as in training."""
        return self.head(self.features(x, t)) * self.unit

    def features(self, x: Tensor, t: Tensor | float) -> Tensor:
        """z_L, (B, width), the output of the last hidden layer, in which c is affine."""
        t = torch.as_tensor(t, dtype=x.dtype, device=x.device)[..., None]
        tau = torch.cos(torch.pi * t * torch.arange(1, _COSINES + 1, dtype=x.dtype, device=x.device))
        biases = self.time(tau).chunk(len(self.hidden) + 1, dim=-1)
        z = silu(self.first(self._seen(x, t)) + biases[0])
        for layer, bias in zip(self.hidden, biases[1:], strict=True):
            z = z + silu(layer(z) + bias)
        return z

    @torch.no_grad()
    def with_head(self, change: Tensor) -> "ControlNetwork":
        """A copy with (W, w) changed by (d, width + 1)."""
        other = deepcopy(self)
        other.head.weight.add_(change[:, :-1])
        other.head.bias.add_(change[:, -1])
        return other

    def _seen(self, x: Tensor, t: Tensor) -> Tensor:
        if self.angles:
            return 2**0.5 * torch.cat([x.cos(), x.sin()], dim=-1)
        mean, std = self._standard(t)
        return (x - mean) / std

    def _standard(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread at t: (..., 1) -> (..., d) each."""
        place = t.clamp(0, 1) * (_KNOTS - 1)
        low = place.long().clamp(max=_KNOTS - 2)
        share, low = place - low, low[..., 0]
        mean = (1 - share) * self.mean[low] + share * self.mean[low + 1]
        return mean, (1 - share) * self.std[low] + share * self.std[low + 1]

    @property
    def unit(self) -> Tensor:
        """s₀, scalar."""
        return self.std[0].square().mean().sqrt()

"""Small network for vectors: y = MLP(x, t), where time enters as a bias of the first layer,

    y = W_L φ(… φ(W_1 x + b_1 + U τ(t)) …) + b_L      τ(t) = (sin ω_k t, cos ω_k t)      φ = SiLU

with ω_k in geometric progression from 1 to 1000 (the sinusoids of Vaswani et al., NeurIPS 2017). During sampling all
samples have the same time, so U τ(t) is computed once in each step.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

from leastwork.errors import LeastworkError

__all__ = ["Perceptron", "filled", "seeded_linear", "usual_width"]

Network = TypeVar("Network", bound=nn.Module)

_HIGHEST_FREQUENCY = 1000.0  # resolves differences in t of 0.001, the usual t_min


class Perceptron(nn.Module):
    """A perceptron for states (B, dimension).

    Args:
        dimension: number of coordinates of a sample.
        width: number of units in each hidden layer.
        depth: number of hidden layers.
        time_features: number of frequencies ω_k in the time embedding.

    Raises:
        LeastworkError: a size is below one.

    >>> net = Perceptron(2, width=8, depth=2)
    >>> net(torch.zeros(5, 2), torch.tensor(0.5)).shape
    torch.Size([5, 2])
    >>> Perceptron(**net.config).config == net.config
    True
    """

    frequencies: Tensor

    def __init__(self, dimension: int, width: int = 128, depth: int = 3, time_features: int = 16) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "dimension": dimension,
            "width": width,
            "depth": depth,
            "time_features": time_features,
        }
        for name, size in self.config.items():
            if size < 1:
                raise LeastworkError(f"Perceptron needs {name} >= 1, not {size}")
        octaves = torch.linspace(0.0, math.log(_HIGHEST_FREQUENCY), time_features)
        self.register_buffer("frequencies", octaves.exp(), persistent=False)
        self.time = nn.Linear(2 * time_features, width, bias=False)
        self.first = nn.Linear(dimension, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.last = nn.Linear(width, dimension)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Prediction at x (B, dimension); t is a scalar, or (B,) for a time per sample, as in training."""
        angle = t[..., None] * self.frequencies
        bias = self.first.bias + self.time(torch.cat([angle.sin(), angle.cos()], dim=-1))
        y = silu(linear(x, self.first.weight, bias) if t.ndim == 0 else linear(x, self.first.weight) + bias)
        for layer in self.hidden:
            y = silu(layer(y))
        return self.last(y)


def usual_width(dimension: int) -> int:
    """Default number of units in a hidden layer of a guidance network: more above 8 and above 64 coordinates."""
    return 64 if dimension <= 8 else 96 if dimension <= 64 else 192


def seeded_linear(generator: torch.Generator, inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """A linear layer with weights uniform within ±1/√inputs, drawn from ``generator`` and not from the global one."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    assert isinstance(layer, nn.Linear)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer


def filled(network: Network, weights: Mapping[str, Tensor]) -> Network:
    """Load weights from a file into a network, in place, in their precision and without gradients.

    Raises:
        KeyError: the weights are those of another network; callers add the name of the file.
    """
    network.to(next(iter(weights.values())).dtype)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise KeyError(str(error).splitlines()[-1].strip()) from error
    return network.requires_grad_(False)

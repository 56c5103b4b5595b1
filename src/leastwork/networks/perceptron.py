"""A small network for vectors: y = MLP(x, t), where time enters as a bias of the first layer.

    y = W_L φ(… φ(W_1 x + b_1 + U τ(t)) …) + b_L      τ(t) = (sin ω_k t, cos ω_k t)      φ = SiLU

with ω_k geometric from 1 to 1000 (the sinusoids of Vaswani et al., NeurIPS 2017). In generation all samples share
one time, so that U τ(t) is computed once a step, whatever the batch.
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

_FASTEST = 1000.0  # resolves times a thousandth apart, the usual t_min


class Perceptron(nn.Module):
    """A perceptron for states (B, dimension).

    Args:
        dimension: coordinates of a sample.
        width: units of each hidden layer.
        depth: hidden layers.
        time_features: frequencies ω_k of the time embedding.

    Raises:
        LeastworkError: a size below one.

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
        octaves = torch.linspace(0.0, math.log(_FASTEST), time_features)
        self.register_buffer("frequencies", octaves.exp(), persistent=False)
        self.time = nn.Linear(2 * time_features, width, bias=False)
        self.first = nn.Linear(dimension, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.last = nn.Linear(width, dimension)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Prediction at x: (B, dimension); t: scalar, or (B,) for a time per sample as in training."""
        angle = t[..., None] * self.frequencies
        bias = self.first.bias + self.time(torch.cat([angle.sin(), angle.cos()], dim=-1))
        y = silu(linear(x, self.first.weight, bias) if t.ndim == 0 else linear(x, self.first.weight) + bias)
        for layer in self.hidden:
            y = silu(layer(y))
        return self.last(y)


def usual_width(dimension: int) -> int:
    """Units of a hidden layer where a guidance network is given none: more above 8 and above 64 coordinates."""
    return 64 if dimension <= 8 else 96 if dimension <= 64 else 192


def seeded_linear(generator: torch.Generator, inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """A linear layer, uniform within ±1/√inputs, from a generator of its own: the global one is not touched."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    assert isinstance(layer, nn.Linear)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer


def filled(network: Network, weights: Mapping[str, Tensor]) -> Network:
    """The network with weights from a file, in their precision, for use and not for training; changed in place.

    Raises:
        KeyError: weights of another network; readers of files say which file.
    """
    network.to(next(iter(weights.values())).dtype)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise KeyError(str(error).splitlines()[-1].strip()) from error
    return network.requires_grad_(False)

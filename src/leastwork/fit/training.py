"""What optimisers share: a learning rate that warms up and falls as a cosine, an average that follows, a state."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn, optim

__all__ = ["follow", "restore", "state_of", "warm_cosine"]


def warm_cosine(progress: float) -> float:
    """The learning rate over its largest value: it rises over a tenth of the run and falls as a cosine."""
    return min(10 * progress, 1.0) * 0.5 * (1 + math.cos(math.pi * max(0.0, progress - 0.1) / 0.9))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move an average of the weights towards the network's; keep: share that stays."""
    for a, b in zip(average.parameters(), network.parameters(), strict=True):
        a.lerp_(b, 1 - keep)


def state_of(networks: Sequence[nn.Module], optimiser: optim.Optimizer, random: torch.Generator) -> Any:
    """All that a loop needs to go on: weights, moments and the state of the random numbers."""
    return [dict(net.state_dict()) for net in networks], optimiser.state_dict(), random.get_state()


def restore(state: Any, networks: Sequence[nn.Module], optimiser: optim.Optimizer, random: torch.Generator) -> None:
    """Take over a state of :func:`state_of`."""
    weights, moments, drawn = state
    for net, values in zip(networks, weights, strict=True):
        net.load_state_dict(values)
    optimiser.load_state_dict(moments)
    random.set_state(drawn)

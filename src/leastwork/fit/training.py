"""Parts of training loops: the step, its learning rate, the running average of weights, and the saved state."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

__all__ = ["follow", "optimiser_of", "restore", "state_of", "take_step", "warm_cosine"]

_MOST_SLOPE = 1.0  # largest length of the gradient by all weights


def warm_cosine(progress: float) -> float:
    """Learning rate relative to its largest value: it rises over a tenth of the run, then falls as a cosine."""
    return min(10 * progress, 1.0) * 0.5 * (1 + math.cos(math.pi * max(0.0, progress - 0.1) / 0.9))


def optimiser_of(network: nn.Module, learning_rate: float) -> optim.Optimizer:
    """The optimiser of the weights of a network that are learned."""
    learned = [p for p in network.parameters() if p.requires_grad]
    return optim.AdamW(learned, lr=learning_rate, weight_decay=1e-4)


def take_step(optimiser: optim.Optimizer, loss: Tensor, learning_rate: float) -> None:
    """One step down the gradient of a loss, which is shortened where it is longer than one."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], _MOST_SLOPE)
    optimiser.step()


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Update a running average of the weights, of which the share ``keep`` stays."""
    for a, b in zip(average.parameters(), network.parameters(), strict=True):
        a.lerp_(b, 1 - keep)


def state_of(networks: Sequence[nn.Module], optimiser: optim.Optimizer, random: torch.Generator | None = None) -> Any:
    """The state from which a training loop can go on: weights, optimiser moments and state of the random numbers."""
    drawn = None if random is None else random.get_state()
    return [dict(net.state_dict()) for net in networks], optimiser.state_dict(), drawn


def restore(
    state: Any, networks: Sequence[nn.Module], optimiser: optim.Optimizer, random: torch.Generator | None = None
) -> None:
    """Restore a state that :func:`state_of` returned."""
    weights, moments, drawn = state
    for net, values in zip(networks, weights, strict=True):
        net.load_state_dict(values)
    optimiser.load_state_dict(moments)
    if random is not None:
        random.set_state(drawn)

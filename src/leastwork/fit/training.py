"""What optimisers here share: a learning rate that warms up and falls as a cosine, and an average that follows."""

import math

import torch
from torch import nn

__all__ = ["follow", "warm_cosine"]


def warm_cosine(progress: float) -> float:
    """The learning rate over its largest value: it rises over a tenth of the run and falls as a cosine."""
    return min(10 * progress, 1.0) * 0.5 * (1 + math.cos(math.pi * max(0.0, progress - 0.1) / 0.9))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move an average of the weights towards the network's; keep: share that stays."""
    for a, b in zip(average.parameters(), network.parameters(), strict=True):
        a.lerp_(b, 1 - keep)

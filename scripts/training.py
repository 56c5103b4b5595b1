"""What the training of every bundled model shares: Adam, a cosine decay of its rate, an average of the weights."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Network = TypeVar("Network", bound=nn.Module)


def averaged_network(
    build: Callable[[], Network],
    loss: Callable[[Network], Tensor],
    iterations: int,
    rate: float,
    averaging: float,
    seed: int,
) -> Network:
    """The exponential moving average of the weights after ``iterations`` steps, frozen.

    Args:
        build: makes the network.
        loss: of a batch, drawn anew at every call.
        iterations: steps of the optimiser.
        rate: of learning, at the start.
        averaging: share of the average that a step keeps.
        seed: of the network's first weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the network's own initialisation knows no generator
        net = build()
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(averaging))
    optimiser = torch.optim.Adam(net.parameters(), lr=rate, betas=(0.9, 0.99))
    decay = CosineAnnealingLR(optimiser, iterations)
    for _ in range(iterations):
        value = loss(net)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        decay.step()
        averaged.update_parameters(net)
    net.load_state_dict(averaged.module.state_dict())
    return net.requires_grad_(False)

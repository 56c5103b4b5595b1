"""What the training of every bundled model shares: Adam, a cosine decay of its rate, an average of the weights.

On a GPU one step is recorded as a graph and replayed: small networks take longer to launch than to compute.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

Network = TypeVar("Network", bound=nn.Module)
Told = Callable[[int, Tensor], None]
"""What is told of every step: how many there were, and the loss of its batch."""


def averaged_network(
    build: Callable[[], Network],
    loss: Callable[[Network], Tensor],
    iterations: int,
    rate: float,
    averaging: float,
    seed: int,
    device: str = "cpu",
    random: torch.Generator | None = None,
    told: Told | None = None,
) -> Network:
    """The exponential moving average of the weights after ``iterations`` steps, frozen.

    Args:
        build: makes the network.
        loss: of a batch, drawn anew at every call.
        iterations: steps of the optimiser.
        rate: of learning, at the start.
        averaging: share of the average that a step keeps.
        seed: of the network's first weights.
        device: where to compute.
        random: the generator that ``loss`` draws from, which a graph has to know.
        told: of every step.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the network's own initialisation knows no generator
        net = build()
    net = net.to(device)
    graphed = torch.device(device).type == "cuda"
    first_rate = torch.tensor(rate, device=device) if graphed else rate
    optimiser = torch.optim.Adam(net.parameters(), lr=first_rate, betas=(0.9, 0.99), capturable=graphed)
    decay = CosineAnnealingLR(optimiser, iterations)
    averaged: list[Tensor] = []

    def step() -> Tensor:
        optimiser.zero_grad()
        value = loss(net)
        value.backward()
        optimiser.step()
        weights = [p.detach() for p in net.parameters()]
        if averaged:
            torch._foreach_lerp_(averaged, weights, 1 - averaging)
        else:
            averaged.extend(p.clone() for p in weights)
        return value.detach()

    one = _aside(step) if graphed else step
    for i in range(iterations):
        if graphed and i == _WARM:
            one = _recorded(step, random)
        value = one()
        decay.step()
        if told is not None:
            told(i + 1, value)
    with torch.no_grad():
        for parameter, weight in zip(net.parameters(), averaged, strict=True):
            parameter.copy_(weight)
    return deepcopy(net).cpu().requires_grad_(False)


_WARM = 12  # steps before a graph is recorded, in which libraries and buffers settle


def _aside(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The step on a stream of its own, as a recording takes it."""
    stream = torch.cuda.Stream()

    def one() -> Tensor:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            value = step()
        torch.cuda.current_stream().wait_stream(stream)
        return value

    return one


def _recorded(step: Callable[[], Tensor], random: torch.Generator | None) -> Callable[[], Tensor]:
    """The step as a graph; recording does not take it."""
    graph = torch.cuda.CUDAGraph()
    if random is not None:
        graph.register_generator_state(random)
    with torch.cuda.graph(graph):
        value = step()

    def replay() -> Tensor:
        graph.replay()
        return value

    return replay

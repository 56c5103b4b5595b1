"""The duration of a run, from its network evaluations, its steps of learning, and the speed of both on this machine."""

import math
import time

import torch

from leastwork.geometry.state import event_numel
from leastwork.models.base import Model
from leastwork.models.placement import evaluating, placement
from leastwork.networks.value import ValueNetwork, value_and_gradient
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.process import Process

__all__ = ["seconds_of", "seconds_of_learning"]

_BATCH = 512
_TIMED_BATCHES = 3  # batches, of which the fastest counts
_LEARNED_STEPS = 3000  # steps of the optimiser of a fit with the usual settings
_WHOLE_RUN_FACTOR = 1.7
"""Seconds of a run for each second of evaluations: guidance, drawing noise and measuring take the rest."""


@torch.no_grad()
def seconds_of(model: Model, evaluations: int) -> float:
    """About how long a run of so many network evaluations takes, judged by three batches of the model."""
    process = Process(model, 0.0)
    device, dtype = placement(model)
    x = process.prior(BlockNoise(0, 0, _BATCH, model.noise_shape, dtype, device).draw())
    low, high = process.interval
    spent: list[float] = []
    with evaluating(model.net):
        for _ in range(_TIMED_BATCHES):
            begin = time.perf_counter()
            process.evaluate(x, 0.5 * (low + high))
            spent.append(time.perf_counter() - begin)
    return _WHOLE_RUN_FACTOR * evaluations * min(spent) / _BATCH


def seconds_of_learning(model: Model) -> float:
    """About how long the optimiser of a fit with the usual settings takes to learn V, judged by three of its steps."""
    d = event_numel(model.event_shape)
    network = ValueNetwork(d, seed=0)
    x = torch.randn(_BATCH, d, generator=torch.Generator().manual_seed(0))
    level = torch.full((_BATCH,), math.sqrt(0.5))
    spent: list[float] = []
    for _ in range(_TIMED_BATCHES):
        begin = time.perf_counter()
        value, slope = value_and_gradient(network, x, level, level)
        (value.exp().mean() + slope.square().sum(dim=1).mean()).backward()
        spent.append(time.perf_counter() - begin)
    return _LEARNED_STEPS * min(spent)

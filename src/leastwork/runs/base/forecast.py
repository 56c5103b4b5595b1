"""The duration of a run, from its network evaluations and the speed of the network on this machine."""

import time

import torch

from leastwork.models.base import Model
from leastwork.models.placement import evaluating, placement
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.process import Process

__all__ = ["seconds_of"]

_BATCH = 512
_TIMED_BATCHES = 3  # batches, of which the fastest counts
_WHOLE_RUN_FACTOR = 1.7
"""Seconds of a run for each second of evaluations: learning V, drawing noise and measuring take the rest."""


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

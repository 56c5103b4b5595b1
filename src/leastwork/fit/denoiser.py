"""Whether a network denoises the samples that it draws, as V of the denoised state takes for granted.

    E[x_0 − D(x_t, t) | x_t] = 0,  so that the regression of x_0 on D has the slope b = ⟨x_0·D⟩/⟨|D|²⟩ = 1

for noised samples x_t = α x_0 + σ ε of a model whose D is the mean of x_0 given x_t. The chain of a network with random
weights draws x_0 too, but its states are not those samples noised, and its D says little about them: b is about 0. V
that is learned from noised samples is then not the value of the chain, and D hides from it what x_t shows.
"""

import math
import warnings

import torch

from leastwork.errors import LeastworkWarning
from leastwork.geometry.state import State, flatten, take
from leastwork.models.base import Scored
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import generator

__all__ = ["is_denoiser"]

_SAMPLES = 256
_LOG_SNR = -4.0  # of the data's own variance; there D differs most from x_t while it still varies
_LEAST_LOSS = 0.05  # part of the variance of x_0 that (1 − b)²⟨|D|²⟩ adds to the error of D before it matters
_STANDARD_ERRORS = 5.0  # false alarms 3·10⁻⁷, as only slopes below one count


@torch.no_grad()
def is_denoiser(model: Scored, x: State) -> bool:
    """Whether D is the mean of the model's own samples given the noisy state, by one batch of evaluations.

    Args:
        model: a model of flat states, with its network in evaluation mode.
        x: samples of the model, network units, (n, *event).

    Warns:
        LeastworkWarning: D is not that mean, so that V has to take the noisy state.

    >>> import leastwork as lw
    >>> normal = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
    >>> is_denoiser(normal, torch.randn(256, 2))
    True
    """
    some = take(x, slice(_SAMPLES))
    data = flatten(some) - flatten(some).mean(dim=0)
    power = float(data.square().mean())
    if not power > 0:
        return True
    level = torch.tensor([_LOG_SNR - math.log(power)], dtype=torch.float64)
    t = float(model.schedule.time_of(level).clamp(*model.interval))
    noisy, _, _ = model.noised(some, t, generator(0, "denoiser"))
    end = flatten(model.denoise(noisy, t))
    end = end - end.mean(dim=0)
    size = float(end.square().sum(dim=1).mean())
    if not size > 0:
        return True
    short = Estimate.from_samples(((end - data) * end).sum(dim=1).double() / size)  # 1 − b
    loss = float(short.value) ** 2 * size / float(data.square().sum(dim=1).mean())
    if loss <= _LEAST_LOSS or float(short.value) <= _STANDARD_ERRORS * float(short.stderr):
        return True
    slope = f"{1 - float(short.value):.2f} ± {float(short.stderr):.2f}"
    warnings.warn(
        f"the network does not denoise the samples that it draws, as if its weights were random: at t = {t:.3g} their "
        f"slope on its denoised state is {slope}, and 1 is right; V takes the noisy state instead, and only guided "
        "paths can correct it where the chain's states are not noised samples: see whether the weights were loaded",
        LeastworkWarning,
        stacklevel=4,
    )
    return False

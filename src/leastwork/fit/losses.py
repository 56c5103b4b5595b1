"""The losses of which learning V is made, for one batch of noised samples (:mod:`leastwork.fit.value`)."""

import math
from typing import TypeAlias

import torch
from torch import Tensor, nn

from leastwork.fit.noised import Noised, Pool
from leastwork.networks.value import ValueNetwork, sees_denoised, value_and_gradient
from leastwork.schedules.base import Schedule

__all__ = ["Terms", "knows_clean", "loss_of_clean", "loss_of_ratio", "loss_of_tilt"]

_CLEAN = 8.0  # log-SNR from which V is taken as r − ln Z
_MANY_INPUTS = 256  # inputs of a network from which it is told so
_CLEAN_STATES = 256  # samples at which it is, in each step

Terms: TypeAlias = tuple[Tensor, Tensor, Tensor]


def loss_of_tilt(ceiling: float, network: nn.Module, seen: Noised) -> Terms:
    """Both terms of the loss for a tilt, and V or V − V₀, (B,) each."""
    value, slope = _correction(network, seen)
    within = value.clamp(max=ceiling)
    tilt = within.exp()
    bregman = tilt + tilt.detach() * (value - within) - seen.omega * value
    level = tilt.detach()
    score = 0.25 * (seen.omega + level) * seen.square(slope)
    return bregman, score + (seen.omega - level) * (slope * seen.along).sum(dim=1), value


def loss_of_ratio(network: nn.Module, seen: Noised) -> Terms:
    """Both terms of the loss for two populations, marked by ω = 0 and ω = 2, and V, (B,) each."""
    value, slope = _correction(network, seen)
    member = seen.omega > 0
    logistic = torch.nn.functional.softplus(torch.where(member, -value, value)) / math.log(2)
    score = 0.5 * seen.square(slope) + (slope * seen.along).sum(dim=1)
    return logistic, torch.where(member, score, 0.0), value


def _correction(network: nn.Module, seen: Noised) -> tuple[Tensor, Tensor]:
    """V and its slope, minus V₀ and its slope if the samples were guided."""
    value, slope = value_and_gradient(network, seen.seen, seen.alpha, seen.sigma)
    return (value, slope) if seen.known is None else (value - seen.known[0], slope - seen.known[1])


def knows_clean(network: nn.Module, pool: Pool) -> bool:
    """Whether V without noise is told to a network: it takes denoised states, has many inputs and sees little noise."""
    inputs = network.view.count if isinstance(network, ValueNetwork) else pool.x0.shape[1]
    return sees_denoised(network) and inputs >= _MANY_INPUTS and pool.ends[1] > _CLEAN


def loss_of_clean(
    network: nn.Module, pool: Pool, index: Tensor, clean: Tensor, schedule: Schedule, random: torch.Generator
) -> Tensor:
    """The mean Huber loss of V at some samples without noise.

    Args:
        network: a network that takes denoised states, which are the samples themselves here.
        pool: the samples.
        index: indices of samples, each as often as it shall be drawn.
        clean: r − ln Z of each sample, (n,).
        schedule: α and σ.
        random: generator of the draws.
    """
    drawn = index[torch.randint(len(index), (_CLEAN_STATES,), generator=random)]
    log_snr = _CLEAN + (pool.ends[1] - _CLEAN) * torch.rand(_CLEAN_STATES, generator=random, dtype=torch.float64)
    times = schedule.time_of(log_snr)
    value = network(pool.x0[drawn], schedule.alpha(times).to(pool.x0), schedule.sigma(times).to(pool.x0))
    return torch.nn.functional.huber_loss(value, clean[drawn].to(value))

"""V learned on states of guided paths; the label of a state is the part of ln dP/dQ + r that is still to come:

    Y_k = Σ_{j ≥ k} ln (dP/dQ)_j + r(x_0) − ln Z          e^{V(x_k)} = E_Q[e^{Y_k} | x_k]

This holds exactly for the discretised chain and for any guidance that draws the paths. The labels cost no network
evaluations beyond those of the paths, and neither r nor the network is differentiated. The noise of the labels vanishes
as the guidance gets better, whereas the labels e^r/Z of :mod:`leastwork.fit.value` stay noisy and only cover states
that the model's own samples visit. For every state the loss is minimal at V:

    E[e^{V − b} − e^{Y − b} V],        b = V held fixed,

This is the Bregman divergence of e^V on the scale of each state. Y − b is bounded from above, so that no single path
dominates.
"""

import math
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from leastwork.errors import NonFiniteError
from leastwork.fit.training import follow, optimiser_of, restore, state_of, take_step, warm_cosine
from leastwork.geometry.state import State, all_finite, cat, flatten
from leastwork.guidance.learned import Bound
from leastwork.models.base import Scored
from leastwork.models.placement import evaluating
from leastwork.networks.value import sees_denoised
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.stepping import Carry, Sampler, evaluate, move
from leastwork.support.checkpoints import each, resumable
from leastwork.support.executors import pieces
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import generator

__all__ = ["LabelFit", "Labelled", "draw_labelled", "fit_labels"]

_STATES_A_PATH = 64  # states of each path that are used, at most
_HELD_OUT_EVERY = 8  # one path in this many is held out
_HELD_OUT_STATES = 16_384
_CHECKS = 8  # validations in a full run
_MOST_EXCESS = 2.0  # largest value of Y − b that is used, nats

_PUSH_QUANTILE, _BOUND_FACTOR = 0.99, 2.0  # the bound on |h| is this quantile over paths times the factor


@dataclass(frozen=True)
class Labelled:
    """States of guided paths, and the path weights from which their labels are computed.

    Args:
        x: final states of the paths, data units, (n, *event).
        log_weight: ln dP/dQ of the paths, float64 (n,).
        work: Σ KL of the steps, nats, float64 (n,).
        seen: input of V at M states of each path, half precision, (n, M, d).
        left: ln dP/dQ of the rest of the path after each of these states, (n, M).
        alpha, sigma: α and σ at the times of these states, (n, M).
        evaluations: number of evaluations of the model's network.
        push: |h| of each step, network units, (n, S).
    """

    x: State
    log_weight: Tensor
    work: Tensor
    seen: Tensor
    left: Tensor
    alpha: Tensor
    sigma: Tensor
    evaluations: int
    push: Tensor

    def bound(self, log_snr: Tensor) -> Bound:
        """A bound on |h| that these paths hardly ever reach: twice the 99 % quantile over paths at each step.

        Args:
            log_snr: log-SNRs of the steps, rising, (S,).
        """
        return Bound(
            log_snr, torch.from_numpy(_BOUND_FACTOR * np.quantile(self.push.double().numpy(), _PUSH_QUANTILE, axis=0))
        )


@dataclass(frozen=True)
class LabelFit:
    """The network of V, and (before, after) of the loss and of Var(Y − V) on states of held-out paths."""

    network: nn.Module
    loss: tuple[float, float]
    variance: tuple[float, float]
    seconds: float


@torch.no_grad()
def draw_labelled(
    sampler: Sampler, network: nn.Module, n: int, seed: int, progress: Progress = no_progress
) -> Labelled:
    """Draw n guided paths and keep some of their states.

    Args:
        sampler: a chain with transition densities, with any guidance.
        network: the V that is to be learned; it decides whether the noisy or the denoised state is kept.
        n: number of paths.
        seed: seed of the noise of the paths.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.

    Raises:
        NonFiniteError: some paths are not finite.
    """
    like = next(network.parameters())
    random = generator(seed, "kept states")
    noise = BlockNoise(seed, 0, n, sampler.process.model.noise_shape, like.dtype, like.device)
    count, shared = noise.blocks, (sampler, sees_denoised(network), noise)
    with (
        evaluating(sampler.process.model.net),
        progress("drawing guided paths", n) as tick,
        pieces(_paths, shared, count, lambda i, random: (i, _kept_steps(len(sampler.steps), random)), random) as piece,
    ):

        def block(i: int) -> Labelled:
            drawn = piece(i)
            tick(len(drawn.log_weight))
            return drawn

        drawn = list(each("guided paths", count, block, Labelled, random=random))
    x = cat([one.x for one in drawn])
    names = ("log_weight", "work", "seen", "left", "alpha", "sigma", "push")
    joined = {name: torch.cat([getattr(one, name) for one in drawn]) for name in names}
    bad = (~(all_finite(x).cpu() & joined["log_weight"].isfinite())).nonzero()
    if len(bad):
        raise NonFiniteError(
            f"{len(bad)} of {n} guided paths are not finite, the first is {int(bad[0])}: use more steps"
        )
    return Labelled(x, **joined, evaluations=sum(one.evaluations for one in drawn))


def _kept_steps(steps: int, random: torch.Generator | None) -> Tensor:
    """Indices of the steps whose states are kept: stratified over all steps, in order."""
    count = min(_STATES_A_PATH, steps)
    return ((torch.arange(count) + torch.rand(count, generator=random)) / count * steps).long()


@torch.no_grad()
def _paths(shared: tuple[Sampler, bool, BlockNoise], some: tuple[int, Tensor]) -> Labelled:
    """Draw one block of paths, and keep their states at some steps."""
    (sampler, through, noise), (block, kept) = shared, some
    noise = noise.block(block)
    process, times = sampler.process, sampler.steps.times
    schedule = cast(Scored, process.model).schedule
    carry, zero = Carry(process.prior(noise.draw())), torch.zeros(noise.stop - noise.start, dtype=torch.float64)
    log_weight, work = zero, zero
    seen: list[Tensor] = []
    before: list[Tensor] = []
    push: list[Tensor] = []
    for i, step in enumerate(sampler.steps.table()):
        z = process.project(noise.draw())
        y, h = evaluate(sampler, carry.x, step.t)
        if bool((kept == i).any()):
            look = flatten(process.endpoint(carry.x, y, step.t) if through else carry.x).half()
            seen += [look] * int((kept == i).sum())
            before += [log_weight] * int((kept == i).sum())
        push.append(torch.zeros(len(zero)) if h is None else flatten(h).norm(dim=1).cpu())
        carry, cost = move(sampler, step, carry, y, h, z)
        if cost.log_weight is not None and cost.work is not None:
            log_weight, work = log_weight + cost.log_weight.cpu(), work + cost.work.cpu()
    last = float(times[-1])
    end = process.endpoint(carry.x, process.evaluate(carry.x, last), last)
    at = times[:-1][kept]
    left = (log_weight[:, None] - torch.stack(before, dim=1)).float()
    alpha, sigma = (part.float().expand_as(left) for part in (schedule.alpha(at), schedule.sigma(at)))
    return Labelled(
        process.model.to_data_units(end), log_weight, work, torch.stack(seen, dim=1), left, alpha, sigma,
        len(log_weight) * sampler.evaluations, torch.stack(push, dim=1).float(),
    )  # fmt: skip


def fit_labels(
    network: nn.Module,
    paths: Sequence[Labelled],
    log_tilt: Sequence[Tensor],
    *,
    iterations: int = 600,
    batch_size: int = 1024,
    learning_rate: float = 1e-3,
    seed: int = 0,
    progress: Progress = no_progress,
) -> LabelFit:
    """Improve V on states of guided paths; returns a changed copy of the network, or a mere copy if nothing helps.

    Args:
        network: the network of the initial V.
        paths: paths drawn with one or several guidances.
        log_tilt: r of the final states of each of the ``paths``, nats, (n,) each.
        iterations: number of optimiser steps.
        batch_size: number of states in each step.
        learning_rate: largest learning rate.
        seed: seed of the order of the states.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
    """
    begin = time.perf_counter()
    random = generator(seed, "labels")
    device = next(network.parameters()).device
    tilts = [r.detach().cpu().to(torch.float64) for r in log_tilt]
    log_w = torch.cat([each.log_weight + r for each, r in zip(paths, tilts, strict=True)])
    log_z = float(torch.logsumexp(log_w, dim=0)) - math.log(len(log_w))
    label = torch.cat([each.left + (r - log_z).float()[:, None] for each, r in zip(paths, tilts, strict=True)])
    parts = [torch.cat([getattr(each, name) for each in paths]) for name in ("seen", "alpha", "sigma")]
    held = torch.randperm(len(label), generator=random)
    judged, learned = held[: len(held) // _HELD_OUT_EVERY], held[len(held) // _HELD_OUT_EVERY :]

    def batch(of: Tensor, size: int) -> tuple[Tensor, ...]:
        j = of[torch.randint(len(of), (size,), generator=random)]
        m = torch.randint(label.shape[1], (size,), generator=random)
        return tuple(part[j, m].to(device=device, dtype=torch.float32) for part in (*parts, label))

    *seen, target = batch(judged, _HELD_OUT_STATES)

    def loss_of(net: nn.Module) -> tuple[float, float]:
        with torch.no_grad():
            value = net(*seen)
        gain = (
            torch.exp((value - base).clamp(max=_MOST_EXCESS))
            - torch.exp((target - base).clamp(max=_MOST_EXCESS)) * value
        )
        return float(gain.mean()), float((target - value).var())

    with torch.no_grad():
        base = network(*seen)
    start = best_loss, variance = loss_of(network)
    network, average, best = deepcopy(network), deepcopy(network), deepcopy(network)
    optimiser = optimiser_of(network, learning_rate)
    every = max(1, iterations // _CHECKS)
    point, first = resumable("learning V on guided paths"), 0
    if point.state is not None:
        first, best_loss, variance, loaded = point.state
        restore(loaded, (network, average, best), optimiser, random)
    with progress("learning V on guided paths", iterations) as tick, torch.enable_grad():
        tick(first)
        for i in range(first, iterations):
            *look, y = batch(learned, batch_size)
            value = network(*look)
            loss = (-torch.expm1((y - value.detach()).clamp(max=_MOST_EXCESS)) * value).mean()
            take_step(optimiser, loss, learning_rate * warm_cosine((i + 1) / iterations))
            follow(average, network, min(0.99, (i + 1) / (i + 10)))
            tick()
            if (i + 1) % every == 0 or i + 1 == iterations:
                found, spread = loss_of(average)
                told = {"iteration": i + 1, "validation": found, "variance of ln w": spread}
                report_metrics("learning V on guided paths", told)
                if found < best_loss:
                    best_loss, variance = found, spread
                    best.load_state_dict(average.state_dict())
            done = (i + 1, best_loss, variance)
            point.save(lambda: (*done, state_of((network, average, best), optimiser, random)), i + 1 == iterations)  # noqa: B023  (called at once)
    return LabelFit(best, (start[0], best_loss), (start[1], variance), time.perf_counter() - begin)

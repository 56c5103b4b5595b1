"""Trust-region log-variance: paths approach the target by steps of bounded divergence, without gradients of r.

    dQ_{i+1}/dQ_i ∝ w^β,  w = dP/dQ_i · e^r,  β ≤ 1 the largest with KL(Q_{i+1} ‖ Q_i) ≤ ε
    minimise Var_{Q_i}(ln dQ_h/dQ_i − β ln w)  over h

(Blessing et al., Trust Region Constrained Measure Transport, arXiv:2508.12511, with the loss of Nüsken & Richter,
Partial Differ. Equ. Appl. 2, 48, 2021; β is 1/(1 + λ) with that paper's multiplier λ of the bound.) Along all steps the
paths are annealed geometrically, Q_i ∝ P e^{a_i r} with 1 − a_{i+1} = (1 − a_i)(1 − β_i), and the bound places the a_i.
The paths of Q_i are kept for the whole step: their states and noise give ln dQ_h/dQ_i of any h without another
evaluation of the model. Formulas are those of the discretised chain, so that at the optimum the variance is zero but
for the error of Gaussian transitions.

The regression is that of :func:`leastwork.fit.on_policy.polish`, of all weights of V instead of its head alone, which a
least-squares problem no longer solves. Samples of the model are not used, and no path is weighted by more than w^β.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.fit.network import noisy_network, plain_scored
from leastwork.fit.training import optimiser_of, take_step, warm_cosine
from leastwork.geometry.state import State, flatten, shapes
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.base import Model, Scored
from leastwork.models.placement import evaluating, placement
from leastwork.networks.value import ValueNetwork, sees_denoised, value_and_gradient
from leastwork.observable_guidance.adjoint_matching import AdjointFit, Round
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.stepping import Carry, Cost, Sampler, evaluate, move
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["bounded_fraction", "match_variance"]

_ONE_STEP = Choices(solver="exponential")  # each step depends on the present state only
_HALVINGS = 40  # of the interval in which β lies


def match_variance(
    model: Model,
    log_tilt: Callable[[State], Tensor],
    *,
    network: nn.Module | None = None,
    seed: int = 0,
    bound: float = 0.1,
    rounds: int = 40,
    paths: int = 1024,
    updates: int = 20,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    progress: Progress = no_progress,
    choices: Choices = _ONE_STEP,
) -> AdjointFit:
    """Learn a guidance by trust-region steps of the log-variance loss.

    Args:
        model: a DiffusionModel.
        log_tilt: r of states in data units, (B, *event) -> (B,) nats, which needs no gradient.
        network: initial V(x, α, σ) of flat states in network units; it is copied, not changed. By default a
            ValueNetwork with V = 0, scaled to the first endpoints.
        seed: seed of all random numbers.
        bound: ε, the largest divergence of one step, nats.
        rounds: number of steps, each with new paths; those after the target is reached polish.
        paths: number of paths that are kept in one step.
        updates: number of optimiser steps on these paths.
        batch_size: number of whole paths in one optimiser step.
        learning_rate: largest learning rate; the rate rises over a tenth of the run and then falls as a cosine.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: process and steps; the solver must use the present state only, and have path weights.

    Raises:
        NonFiniteError: the weight of a path is NaN or infinite.
        LeastworkError: the model has no score or is one of frames, the network takes the denoised state, or the steps
            have no path weights or use earlier steps.
    """
    begin = time.perf_counter()
    model = _check(model, choices)
    device, dtype = placement(model)
    fresh, random = network is None, generator(seed, "trust region")
    network = noisy_network(model, network, seed)
    if sees_denoised(network):
        raise LeastworkError("the log-variance of kept paths takes V of the noisy state: build it with denoised=False")
    guidance = LearnedGuidance(network, model.schedule)
    optimiser = optimiser_of(network, learning_rate)
    history: list[Round] = []
    evaluations, reached = 0, 0.0
    with progress("trust-region steps", rounds) as tick, evaluating(model.net):
        for i in range(rounds):
            sampler = choices.sampler(model, guidance if i else None)
            noise = BlockNoise(derive_seed(seed, f"paths {i}"), 0, paths, model.event_shape, dtype, device)
            kept = _draw(sampler, log_tilt, noise)
            evaluations += paths * sampler.evaluations
            if not bool(kept.log_w.isfinite().all()):
                raise NonFiniteError(
                    f"the weight of a path of step {i + 1} is not finite: give r a finite floor, or use more steps"
                )
            if fresh and i == 0 and isinstance(network, ValueNetwork):
                network.standardise(kept.x[-1])  # the states before the last step, which are nearly samples
            fraction, spent = bounded_fraction(kept.log_w, bound)
            reached = reached + (1 - reached) * fraction
            loss = torch.zeros(())
            for j in range(updates):
                some = torch.randperm(paths, generator=random)[:batch_size]
                loss = _variance(network, sampler, model, kept, some, fraction)
                take_step(optimiser, loss, learning_rate * warm_cosine((i * updates + j + 1) / (rounds * updates)))
            history.append(Round(i + 1, float(loss.detach()), -float(kept.log_w.mean())))
            report_metrics("trust-region steps", {**vars(history[-1]), "divergence": spent, "way": reached})
            tick()
    return AdjointFit(guidance, tuple(history), evaluations, time.perf_counter() - begin)


def bounded_fraction(log_w: Tensor, bound: float) -> tuple[float, float]:
    """β and KL(Q_{i+1} ‖ Q_i) of the largest step w^β within the bound, by bisection.

    Args:
        log_w: ln w of paths of Q_i, up to a constant, (n,).
        bound: ε, nats. The divergence of n paths is at most ln n.

    >>> bounded_fraction(torch.zeros(8), 0.1)
    (1.0, 0.0)
    """

    def divergence(fraction: float) -> float:
        log_share = torch.log_softmax(fraction * log_w.double(), dim=0)
        return max(float((log_share.exp() * log_share).sum()) + math.log(len(log_w)), 0.0)

    low, high = 0.0, 1.0
    if divergence(high) <= bound:
        return high, divergence(high)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if divergence(middle) <= bound else (low, middle)
    return low, divergence(low)


@dataclass(frozen=True)
class _Kept:
    """States, noise and (e/c)h of the paths of one step, (S, n, d) each, network units, and ln dP/dQ + r, (n,)."""

    x: Tensor
    z: Tensor
    kick: Tensor
    log_w: Tensor


@torch.no_grad()
def _draw(sampler: Sampler, log_tilt: Callable[[State], Tensor], noise: BlockNoise) -> _Kept:
    process = sampler.process
    carry, total = Carry(process.prior(noise.draw())), Cost()
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    for step in sampler.steps.table():
        z = process.project(noise.draw())
        y, h = evaluate(sampler, carry.x, step.t)
        flat = flatten(z)
        kept.append((flatten(carry.x), flat, torch.zeros_like(flat) if h is None else step.lever * flatten(h)))
        carry, cost = move(sampler, step, carry, y, h, z)
        total = total + cost
    last = float(sampler.steps.times[-1])
    end = process.endpoint(carry.x, process.evaluate(carry.x, last), last)
    tilt = log_tilt(process.model.to_data_units(end)).detach().double()
    x, z, kick = (torch.stack(part) for part in zip(*kept, strict=True))
    return _Kept(x, z, kick, tilt if total.log_weight is None else tilt + total.log_weight)


def _variance(
    network: nn.Module, sampler: Sampler, model: Scored, kept: _Kept, some: Tensor, fraction: float
) -> Tensor:
    """Var(ln dQ_h/dQ_i − β ln w) of some of the paths, with ln dQ_h/dQ_i = Σ (Δ·z − ½|Δ|²), Δ = (e/c)(h − h_i)."""
    steps = sampler.steps
    x, (count, n) = kept.x[:, some], (len(steps), len(some))
    alpha, sigma = (
        fn(steps.times[:-1]).to(x).repeat_interleave(n) for fn in (model.schedule.alpha, model.schedule.sigma)
    )
    with torch.enable_grad():
        _, h = value_and_gradient(network, x.flatten(0, 1), alpha, sigma)
        lever = torch.where(steps.e != 0, steps.e / steps.c, 0.0).to(x)[:, None, None]
        guided = h.reshape(count * n, *shapes(model.event_shape)[0])
        moved = lever * flatten(sampler.process.project(guided)).reshape(count, n, -1) - kept.kick[:, some]
        ratio = (moved * kept.z[:, some] - 0.5 * moved.square()).sum(dim=(0, 2))
        return (ratio - (fraction * kept.log_w[some]).to(ratio)).var()


def _check(model: Model, choices: Choices) -> Scored:
    scored = plain_scored(model, "trust-region steps need")
    if not choices.has_least_work(model) or choices.sampler(model).steps.has_memory:
        raise LeastworkError(
            "trust-region steps need the SDE with κ = 1 and steps with path weights and without memory: leave out "
            "process, kappa and solver, or take solver='exponential'"
        )
    return scored

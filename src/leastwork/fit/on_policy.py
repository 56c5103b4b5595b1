"""On-policy polish: least squares on ln w of guided paths and on the averages that are to be met,

    minimise Var_Q(ln w + J·δ) + ridge |δ|² + (n/5K) Σ_k (E_Q[O_k] − target_k − Cov_Q(O_k, J·δ))²/σ_k²

δ is a change of the head of V, its last layer, in which h is linear, and J = ∂ ln w/∂δ = −Σ (z/c)·∂(shift)/∂δ along
each path. Near the optimum the dissipation is ½ Var ln w, so that this is the Gauss–Newton step of the log-variance
loss (Nüsken & Richter, Partial Differ. Equ. Appl. 2, 48, 2021). The step is that of the discretised chain, neither r
nor the network is differentiated, and at the optimum its noise vanishes. Since −J is also ∂ ln Q/∂δ, a guided average
changes by −Cov_Q(O, J): the averages are met by the unweighted samples, not only by weighted ones. The misses have
sampling errors of √(Var ln w/n) each. If they were removed exactly, an average that J hardly moves would raise Var ln w
without limit; with the weight n/5K, their noise adds at most a twentieth to Var ln w.

Far from the optimum, where ln w of paths that miss the target may lie ten nats below the rest, δ is still a descent
direction: Cov_Q(J, ln w) is the gradient of the dissipation KL(Q ‖ target) and Cov_Q(J) the Fisher information, so that
δ is a natural-gradient step (Kakade, NeurIPS 14, 2001). There :func:`descend` limits the length of the step by its
divergence ½ Var(J·δ) (Schulman et al., ICML 2015).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.state import State, all_finite, cat, flatten, smap
from leastwork.models.base import Scored, is_scored
from leastwork.models.denoised import PUSH, denoised
from leastwork.models.placement import evaluating
from leastwork.networks.value import ValueNetwork
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.solvers.steps import Step
from leastwork.sampling.stepping import Carry, Cost, Sampler, evaluate, move
from leastwork.sampling.work import certify, kish_ess
from leastwork.statistics.estimate import Estimate
from leastwork.support.checkpoints import each
from leastwork.support.executors import pieces
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress

__all__ = ["Descent", "Polish", "Response", "descend", "draw_response", "off_target", "polish"]

_HELD_OUT_SHARE = 0.2  # share of the paths that judge a step
_INVERSE_MISS_WEIGHT = 5.0  # a squared miss of K, in σ_O², has the weight n/5K in the objective
_RIDGES = torch.logspace(-8, 0, 25, dtype=torch.float64)  # ridges that are tried, relative to the largest eigenvalue


@dataclass(frozen=True)
class Response:
    """Guided samples, and the derivatives of their log-weights with respect to the head of V.

    Args:
        x: samples in data units, (n, *event).
        log_weight: ln dP/dQ of the paths, float64 (n,).
        work: Σ KL of the steps, nats, float64 (n,).
        jacobian: J, (n, 9 · width).
        evaluations: number of evaluations of the model's network.
    """

    x: State
    log_weight: Tensor
    work: Tensor
    jacobian: Tensor
    evaluations: int


@dataclass(frozen=True)
class Polish:
    """Result of one polishing step of the head.

    Args:
        network: V after the step.
        variance_before: Var ln w on held-out paths before the step.
        variance_after: predicted Var ln w on held-out paths after the step.
        ridge: ridge of the part of the step that lowers Var ln w.
        ess: Kish fraction of w.
        miss: misses of the averages before the step, in σ_O, only of observables with a spread.
        meeting: change of the head that lowers each average by one σ_O, (P, K); None if no average is to be met.
    """

    network: ValueNetwork
    variance_before: float
    variance_after: float
    ridge: float
    ess: float
    miss: Tensor
    meeting: Tensor | None = None


@torch.no_grad()
def draw_response(
    sampler: Sampler, network: ValueNetwork, n: int, seed: int, progress: Progress = no_progress
) -> Response:
    """Draw n guided paths with the derivatives of their log-weights.

    Args:
        sampler: a chain with transition densities, whose guidance has ∇V of the network as a term.
        network: the network whose head is to be changed.
        n: number of paths.
        seed: seed of the noise of the paths.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.

    Raises:
        LeastworkError: the sampler has no transition densities.
        NonFiniteError: some paths are not finite.
    """
    model = sampler.process.model
    if not is_scored(model) or not sampler.steps.has_density:
        raise LeastworkError("polishing needs path weights: use process='sde' and another solver than 'heun'")
    like = next(network.parameters())
    noise = BlockNoise(seed, 0, n, model.noise_shape, like.dtype, like.device)
    with (
        evaluating(model.net),
        progress("polishing on guided paths", n) as tick,
        pieces(_paths, (sampler, network, noise), noise.blocks) as piece,
    ):

        def block(i: int) -> tuple[State, Tensor, Tensor, Tensor]:
            drawn = piece(i)
            tick(len(drawn[1]))
            return drawn

        drawn = list(each("paths to polish on", noise.blocks, block))
    x, log_weight, work, jacobian = zip(*drawn, strict=True)
    evaluations = n * (sampler.evaluations + PUSH * len(sampler.steps) * network.denoised)
    joined = Response(cat(list(x)), torch.cat(log_weight), torch.cat(work), torch.cat(jacobian), evaluations)
    bad = (
        ~(all_finite(joined.x).cpu() & joined.log_weight.isfinite() & joined.jacobian.isfinite().all(dim=1))
    ).nonzero()
    if len(bad):
        raise NonFiniteError(
            f"{len(bad)} of {n} guided paths are not finite, the first is {int(bad[0])}: use more steps"
        )
    return joined


@torch.no_grad()
def _paths(shared: tuple[Sampler, ValueNetwork, BlockNoise], block: int) -> tuple[State, Tensor, Tensor, Tensor]:
    """Draw one block of paths: final states, log-weights, work and J."""
    sampler, network, noise = shared
    noise, model = noise.block(block), cast(Scored, sampler.process.model)
    schedule, steps = model.schedule, sampler.steps
    alpha, sigma = schedule.alpha(steps.times[:-1]), schedule.sigma(steps.times[:-1])
    times = network.head_times(alpha, sigma)
    carry, total = Carry(sampler.process.prior(noise.draw())), Cost()
    jacobian = torch.zeros(noise.stop - noise.start, times.shape[1], network.head.out_features).to(times)
    for i, step in enumerate(steps.table()):
        z = model.project(noise.draw())
        look = _look(network, sampler, carry.x, step.t, alpha[i], sigma[i])
        jacobian.add_(times[i][:, None] * look.response(-_kick(step, z))[:, None, :])
        carry, cost = move(sampler, step, carry, look.y, model.project(look.h), z)
        total = total + cost
    last = float(steps.times[-1])
    x = sampler.process.endpoint(carry.x, sampler.process.evaluate(carry.x, last), last)
    zero = torch.zeros(len(jacobian), dtype=torch.float64, device=jacobian.device)
    log_weight, work = (zero if v is None else v for v in (total.log_weight, total.work))
    return model.to_data_units(x), log_weight.cpu(), work.cpu(), jacobian.flatten(1).cpu()


@dataclass(frozen=True)
class _Look:
    """The model y and the guidance h at one batch of states, and the derivative of pull·h by the head of V."""

    y: State
    h: State
    response: Callable[[Tensor], Tensor]


def _look(network: ValueNetwork, sampler: Sampler, x: State, t: float, alpha: Tensor, sigma: Tensor) -> _Look:
    if not network.denoised:
        y, h = evaluate(sampler, x, t)
        assert h is not None
        flat = flatten(x)
        return _Look(y, h, lambda pull: network.head_response(flat, alpha.to(flat), sigma.to(flat), pull))
    assert sampler.guidance is not None
    end = denoised(cast(Scored, sampler.process.model), x, t)
    flat = flatten(end.state)
    h = smap(Tensor.detach, sampler.guidance(end.x, t, end.end))
    y: State = smap(Tensor.detach, end.y)

    def response(pull: Tensor) -> Tensor:
        return network.head_response(flat, alpha.to(flat), sigma.to(flat), end.pushes([pull])[0])

    return _Look(y, h, response)


def _kick(step: Step, z: State) -> Tensor:
    """e z/c of a step, (B, d); steps with noise do not use the guidance of the step before."""
    lever, turn = step.lever, step.turn
    if not isinstance(z, tuple) or turn is None:
        return flatten(z) * lever
    return torch.cat([z[0].flatten(1) * lever, z[1].flatten(1) * (turn.e / turn.c)], dim=1)


@torch.no_grad()
def polish(
    network: ValueNetwork, response: Response, log_tilt: Tensor, observed: Tensor, target: Tensor, spread: Tensor
) -> Polish:
    """Take one Gauss–Newton step of the head, with ridges chosen on held-out paths.

    Args:
        network: the V that guided the paths.
        response: the paths, with the derivatives of their log-weights.
        log_tilt: r of every sample, nats, (n,).
        observed: the observables whose averages are to be met, (n, K).
        target: averages of the observables under the target, (K,).
        spread: standard deviations σ_O of the observables, (K,); zero leaves an observable out.

    Returns:
        Polish: the network with the new head, for which no paths have been drawn yet.
    """
    log_w = (response.log_weight + log_tilt).to(torch.float64)
    jacobian = response.jacobian.to(torch.float64)
    fitted, judged = _fitted_and_held_out(len(log_w))
    part = _normal_equations(jacobian[fitted], log_w[fitted])
    before, best, ridge = _ridge(jacobian[judged], log_w[judged], part)
    moved = spread > 0
    share = (observed[:, moved].to(torch.float64) - target[moved]) / spread[moved]
    ess = kish_ess(log_w).value
    miss = off_target(log_w, observed, target, spread).value[moved]
    work, largest = float(response.work.mean()), float(miss.abs().max()) if len(miss) else 0.0
    report_metrics("polish", {"variance of ln w": before, "ess": ess, "largest miss": largest, "work": work})
    whole = values, vectors, pull = _normal_equations(jacobian, log_w)
    inverse = 1 / (values + min(ridge, 1.0) * values[-1])
    free = -vectors @ (inverse * (vectors.T @ pull)) if ridge <= 1 else torch.zeros_like(pull)
    step, after, lowering = _meet(jacobian, log_w, share, miss, free, part, whole)
    change = step.to(response.jacobian).reshape(-1, network.head.out_features)
    meeting = None
    if lowering is not None:
        meeting = torch.zeros(len(step), len(moved), dtype=torch.float64)
        meeting[:, moved] = lowering
    after = best if after is None else after
    return Polish(network.with_head(change), before, after, ridge, ess, miss, meeting)


def off_target(log_w: Tensor, observed: Tensor, target: Tensor, spread: Tensor) -> Estimate:
    """Misses (average − target)/σ_O of guided samples, (K,), with standard errors; zero where σ_O is zero.

    Args:
        log_w: ln w of the samples, (n,).
        observed: observables of the samples, (n, K).
        target: averages of the observables under the target, (K,).
        spread: standard deviations σ_O of the observables, (K,).
    """
    share = torch.where(spread > 0, (observed.to(torch.float64) - target) / torch.where(spread > 0, spread, 1.0), 0.0)
    if kish_ess(log_w).value <= 0.5:
        return Estimate.from_samples(share)
    # the weighted averages equal the targets, so subtracting them cancels most of the sampling noise
    w = len(log_w) * torch.softmax(log_w, dim=0)
    weighted = (w @ share) / len(w)
    influence = share - share.mean(dim=0) - w[:, None] * (share - weighted)
    return Estimate.from_influence(share.mean(dim=0) - weighted, influence)


_Equations: TypeAlias = tuple[Tensor, Tensor, Tensor]


def _meet(
    jacobian: Tensor, log_w: Tensor, share: Tensor, miss: Tensor, free: Tensor, part: _Equations, whole: _Equations
) -> tuple[Tensor, float | None, Tensor | None]:
    """The free step plus the step that meets the averages, Var ln w on held-out paths after both, and the matrix of the
    second step, which takes misses to changes of the head.

    The second step has its own ridge, chosen on held-out paths by both terms of the objective, since it moves along
    other directions of J than the free step; a step that is fitted to noise would cost work and not move the averages.
    The normal equations ``part`` are those of the fitted paths, ``whole`` those of all paths.
    """
    if not len(miss):
        return free, None, None
    fitted, judged = _fitted_and_held_out(len(log_w))
    weight, one = len(log_w) / (_INVERSE_MISS_WEIGHT * len(miss)), torch.eye(len(miss), dtype=torch.float64)

    def response(some: slice) -> Tensor:
        here, there = jacobian[some], share[some]
        return (there - there.mean(dim=0)).T @ (here - here.mean(dim=0)) / len(here)

    def matrix(equations: _Equations, answer: Tensor, ridge: float) -> Tensor:
        values, vectors, _ = equations
        direction = vectors @ ((vectors.T @ answer.T) / (values + ridge * values[-1])[:, None])
        return direction @ torch.linalg.inv(answer @ direction + one / weight)

    answer = response(fitted)
    about = share[judged] - share[judged].mean(dim=0)
    best, chosen, after = math.inf, float(_RIDGES[-1]), 0.0
    for ridge in _RIDGES.tolist():
        change = jacobian[judged] @ (free + matrix(part, answer, ridge) @ (miss - answer @ free))
        variance = float((log_w[judged] + change).var())
        left = miss - about.T @ change / len(about)
        if variance + weight * float(left @ left) < best:
            best, chosen, after = variance + weight * float(left @ left), ridge, variance
    answer = response(slice(None))
    meeting = matrix(whole, answer, chosen)
    return free + meeting @ (miss - answer @ free), after, meeting


@dataclass(frozen=True)
class Descent:
    """Result of one step of bounded divergence.

    Args:
        start: the network that guided the paths.
        network: the network after the step.
        dissipation: dissipation ln⟨w⟩ − ⟨ln w⟩ of the paths, nats.
        stderr: standard error of the dissipation, nats.
        taken: share of the unbounded step that was taken; 0 if no step helps.
        ess: Kish fraction of w.
    """

    start: ValueNetwork
    network: ValueNetwork
    dissipation: float
    stderr: float
    taken: float
    ess: float


@torch.no_grad()
def descend(network: ValueNetwork, response: Response, log_tilt: Tensor, trust: float) -> Descent:
    """Take one step of the head along the natural gradient of the dissipation, with a ridge chosen on held-out paths.

    Args:
        network: the V that guided the paths.
        response: the paths, with the derivatives of their log-weights.
        log_tilt: r of every sample, nats, (n,).
        trust: largest divergence KL(Q ‖ Q after the step) to second order, nats.
    """
    log_w = (response.log_weight + log_tilt).to(torch.float64)
    jacobian = response.jacobian.to(torch.float64)
    certificate = certify(response.work, response.log_weight, log_tilt)
    figures = certificate.dissipation.value, certificate.dissipation.stderr
    told = {"dissipation": figures[0], "ess": certificate.ess.value, "work": certificate.work.value}
    report_metrics("descent", {"variance of ln w": float(log_w.var()), **told})
    fitted, judged = _fitted_and_held_out(len(log_w))
    _, _, ridge = _ridge(jacobian[judged], log_w[judged], _normal_equations(jacobian[fitted], log_w[fitted]))
    if not math.isfinite(ridge):
        return Descent(network, network, *figures, 0.0, certificate.ess.value)
    values, vectors, pull = _normal_equations(jacobian, log_w)
    step = -vectors @ (vectors.T @ pull / (values + ridge * values[-1]))
    divergence = 0.5 * float((jacobian @ step).var())
    taken = min(1.0, math.sqrt(trust / divergence)) if divergence > 0 else 1.0
    change = (taken * step).to(response.jacobian).reshape(-1, network.head.out_features)
    return Descent(network, network.with_head(change), *figures, taken, certificate.ess.value)


def _fitted_and_held_out(n: int) -> tuple[slice, slice]:
    """The paths to which a step is fitted, and the held-out paths that judge the step."""
    held = round(_HELD_OUT_SHARE * n)
    return slice(held, None), slice(0, held)


def _ridge(jacobian: Tensor, log_w: Tensor, fitted: _Equations) -> tuple[float, float, float]:
    """Var ln w on held-out paths before and after the best step that is fitted to the others, and its ridge.

    The ridge is infinite if no step lowers the variance.
    """
    values, vectors, pull = fitted
    before = float(log_w.var())
    best, ridge = before, math.inf
    for factor in _RIDGES.tolist():
        step = -vectors @ (vectors.T @ pull / (values + factor * values[-1]))
        after = float((log_w + jacobian @ step).var())
        if after < best:
            best, ridge = after, factor
    return before, best, ridge


def _normal_equations(jacobian: Tensor, log_w: Tensor) -> _Equations:
    """Eigenvalues (≥ 0) and eigenvectors of Cov(J), and Cov(J, ln w)."""
    centred = jacobian - jacobian.mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    return values.clamp(min=0), vectors, centred.T @ (log_w - log_w.mean()) / len(centred)

"""Adjoint matching: h is regressed on ∇r, carried back along the guided paths by the Jacobian of the model's own steps.

    A_S = J_Dᵀ ∇r(x_0)     A_k = a A_{k+1} + b J_D(x_k)ᵀ A_{k+1}     minimise E_Q Σ_k |e h(x_k, t_k) − c² A_{k+1}|²/2c²

over h. The paths Q of the present guidance and the lean adjoint A along them are held fixed (Domingo-Enrich et al.,
Adjoint Matching, ICLR 2025). The formulas are those of the discretised chain: with V_k(x) = ln E_P[e^r | x_k = x], the
best step moves the mean by δ = c² E_Q[∇V_{k+1}(x_{k+1}) | x_k], where |δ|²/2c² − E V_{k+1} is stationary, and on paths
of the optimum ∇V_{k+1}(x_{k+1}) is the mean of A_{k+1}. So the loss equals, up to the noise of A, the work between each
step and the best one. The method needs no samples of the model beforehand, but r and the network must be
differentiable. Between metastable states that lie far apart, A is large on the few paths that cross the barrier and
zero on the others, so its average converges slowly.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.fit.network import noisy_network, plain_scored
from leastwork.fit.result import FitRecord
from leastwork.fit.training import optimiser_of, restore, state_of, take_step, warm_cosine
from leastwork.geometry.state import State, flatten, leaves, smap
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.base import Model, Scored, is_scored
from leastwork.models.placement import evaluating, placement
from leastwork.networks.value import ValueNetwork, value_and_gradient
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.process import Process
from leastwork.sampling.stepping import Carry, Cost, Sampler, move
from leastwork.support.checkpoints import resumable
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["AdjointFit", "AdjointPaths", "Round", "draw_adjoint", "match_adjoint"]

_ONE_STEP = Choices(solver="exponential")  # each step depends on the present state only


@dataclass(frozen=True)
class AdjointPaths:
    """Guided paths and their lean adjoints.

    Args:
        x: x_0 … x_{S−1} of the chain, network units, flat, (S, n, d).
        adjoint: A_1 … A_S, nats per network unit, (S, n, d).
        work: Σ KL of the steps, nats, (n,).
        log_tilt: r of the final samples, nats, (n,).
    """

    x: Tensor
    adjoint: Tensor
    work: Tensor
    log_tilt: Tensor


@dataclass(frozen=True)
class Round:
    """Batch number ``iteration``: its regression loss, and its W − ⟨r⟩, of which −ln Z is the least possible value."""

    iteration: int
    loss: float
    objective: float


@dataclass(frozen=True)
class AdjointFit:
    """The learned guidance and the cost of the fit.

    V is only known up to a function of time, since only its gradient h was fitted. ``network_evaluations`` counts each
    product with the network's Jacobian, which is a backward pass, as one more evaluation.
    """

    guidance: LearnedGuidance
    history: tuple[Round, ...]
    network_evaluations: int
    seconds: float

    def record(self) -> FitRecord:
        """The cost of the fit as plain values."""
        return FitRecord(self.network_evaluations, self.seconds)


def match_adjoint(
    model: Model,
    log_tilt: Callable[[State], Tensor],
    *,
    network: nn.Module | None = None,
    seed: int = 0,
    iterations: int = 100,
    batch_size: int = 512,
    updates: int = 10,
    points: int = 2048,
    learning_rate: float = 5e-3,
    progress: Progress = no_progress,
    choices: Choices = _ONE_STEP,
) -> AdjointFit:
    """Learn the least-work guidance of the target p·e^r/Z on guided paths alone.

    The memory holds the autograd graph of all steps of one batch.

    Args:
        model: a DiffusionModel, whose network autograd can differentiate.
        log_tilt: differentiable r of states in data units, (B, *event) -> (B,) nats, such as ``run.log_tilt`` of an
            observable run.
        network: initial V(x, α, σ) of flat states in network units; it is copied, not changed. By default a
            ValueNetwork with V = 0, scaled to the states of the first batch.
        seed: seed of all random numbers.
        iterations: number of batches of guided paths.
        batch_size: number of paths in one batch.
        updates: number of optimiser steps for each batch.
        points: number of pairs of a path and a step, stratified over the steps, in one optimiser step.
        learning_rate: largest learning rate; the rate rises over a tenth of the run and then falls as a cosine.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: process and steps; the solver must be "exponential" or "euler".

    Raises:
        NonFiniteError: a path or its adjoint became NaN or infinite.
        LeastworkError: the model has no score, κ ≠ 1, the solver uses earlier steps or has no path weights, or r has
            no gradient.
    """
    begin = time.perf_counter()
    model = _check_model(model, choices)
    device, dtype = placement(model)
    random = generator(seed, "adjoint matching")
    fresh = network is None
    network = noisy_network(model, network, seed)
    guidance = LearnedGuidance(network, model.schedule)
    sampler = choices.sampler(model, guidance)
    optimiser = optimiser_of(network, learning_rate)
    history: list[Round] = []
    total = iterations * updates
    point, first = resumable("matching adjoints", Round), 0
    if point.state is not None:
        first, history, loaded = point.state
        restore(loaded, (network,), optimiser, random)
    with progress("matching adjoints", iterations) as tick, evaluating(model.net):
        tick(first)
        for i in range(first, iterations):
            noise = BlockNoise(derive_seed(seed, f"paths {i}"), 0, batch_size, model.event_shape, dtype, device)
            paths = draw_adjoint(sampler, log_tilt, noise)
            if not bool(paths.adjoint.isfinite().all() & paths.log_tilt.isfinite().all()):
                raise NonFiniteError(
                    f"paths or adjoints of batch {i + 1} are not finite: use more steps, or a smaller learning rate"
                )
            if fresh and i == 0 and isinstance(network, ValueNetwork):
                network.standardise(paths.x[-1])  # the states before the last step, which are nearly samples
            losses = []
            for j in range(updates):
                loss = _loss(network, sampler, paths, points, random)
                take_step(optimiser, loss, learning_rate * warm_cosine((i * updates + j + 1) / total))
                losses.append(float(loss.detach()))
            history.append(Round(i + 1, sum(losses) / updates, float((paths.work - paths.log_tilt).mean())))
            report_metrics("matching adjoints", {**vars(history[-1]), "work": float(paths.work.mean())})
            tick()
            done = i + 1
            point.save(lambda: (done, history, state_of((network,), optimiser, random)), done == iterations)  # noqa: B023  (called at once)
    per_path = sampler.evaluations + len(sampler.steps)
    return AdjointFit(guidance, tuple(history), iterations * batch_size * per_path, time.perf_counter() - begin)


def draw_adjoint(sampler: Sampler, log_tilt: Callable[[State], Tensor], noise: BlockNoise) -> AdjointPaths:
    """Draw guided paths from one batch of noise, then carry their lean adjoint back along them.

    Args:
        sampler: a first-order chain with transition densities, for a DiffusionModel.
        log_tilt: differentiable r of states in data units, nats.
        noise: the noise of the batch; the first draw gives the prior.

    Raises:
        LeastworkError: r has no gradient.
    """
    process, table = sampler.process, sampler.steps.table()
    carry, total = Carry(process.prior(noise.draw())), Cost()
    graphs: list[tuple[State, State]] = []
    for step in table:
        x, y = _denoise_with_graph(process, carry.x, step.t)
        graphs.append((x, y))
        with torch.no_grad():
            here, denoised = carry.x, smap(torch.detach, y)
            h = None if sampler.guidance is None else process.project(sampler.guidance(here, step.t, denoised))
            carry, cost = move(sampler, step, Carry(here), denoised, h, process.project(noise.draw()))
        total = total + cost
    last = float(sampler.steps.times[-1])
    x, y = _denoise_with_graph(process, carry.x, last)
    with torch.enable_grad():
        tilt = log_tilt(process.model.to_data_units(process.endpoint(x, y, last)))
    if not tilt.requires_grad:
        raise LeastworkError("log_tilt has no gradient: adjoint matching needs an r that autograd can differentiate")
    adjoint = process.project(_vector_jacobian(x, tilt.sum(), None))
    adjoints = [flatten(adjoint)]
    for (x, y), step in zip(reversed(graphs[1:]), reversed(table[1:]), strict=True):
        a, b = step.a, step.b
        pulled = _vector_jacobian(x, y, adjoint)
        adjoint = process.project(smap(lambda A, JA, a=a, b=b: a * A + b * JA, adjoint, pulled))
        adjoints.append(flatten(adjoint))
    states = torch.stack([flatten(x).detach() for x, _ in graphs])
    tilt = tilt.detach().to(torch.float64)
    work = torch.zeros_like(tilt) if total.work is None else total.work
    return AdjointPaths(states, torch.stack(adjoints[::-1]), work, tilt)


def _denoise_with_graph(process: Process, x: State, t: float) -> tuple[State, State]:
    """x as the root of a new autograd graph, and D(x, t)."""
    with torch.enable_grad():
        x = smap(lambda leaf: leaf.detach().requires_grad_(), x)
        return x, process.evaluate(x, t)


def _vector_jacobian(x: State, y: State, pull: State | None) -> State:
    """(∂y/∂x)ᵀ pull, in the structure of x."""
    along = None if pull is None else leaves(pull)
    parts = torch.autograd.grad(leaves(y), leaves(x), along)
    return parts if isinstance(x, tuple) else parts[0]


def _loss(network: nn.Module, sampler: Sampler, paths: AdjointPaths, points: int, random: torch.Generator) -> Tensor:
    """Σ_k ⟨|e h − c² A|²/2c²⟩ from pairs of a step and a path, nats."""
    steps = sampler.steps
    model = sampler.process.model
    assert is_scored(model)
    count, n = paths.x.shape[:2]
    k = ((torch.arange(points) + torch.rand(points, generator=random)) * (count / points)).long().clamp(max=count - 1)
    j = torch.randint(n, (points,), generator=random)
    x, adjoint = paths.x[k, j], paths.adjoint[k, j]
    alpha, sigma = (fn(steps.times[k]).to(x) for fn in (model.schedule.alpha, model.schedule.sigma))
    e, c = steps.e[k, None].to(x), steps.c[k, None].to(x)
    with torch.enable_grad():
        _, h = value_and_gradient(network, x, alpha, sigma)
        return 0.5 * count * (e / c * h - c * adjoint).square().sum(dim=1).mean()


def _check_model(model: Model, choices: Choices) -> Scored:
    """The model, after a check that adjoint matching can guide it with these choices."""
    scored = plain_scored(model, "adjoint matching needs")
    if choices.process != "sde" or choices.kappa not in (None, 1):
        raise LeastworkError("adjoint matching is for κ = 1: leave out process and kappa")
    steps = choices.sampler(model).steps
    if not steps.has_density or steps.chain or steps.has_memory:
        raise LeastworkError(
            f"adjoint matching needs steps with a density and without memory, not solver={choices.solver!r}: "
            "use 'euler' or 'exponential'"
        )
    return scored

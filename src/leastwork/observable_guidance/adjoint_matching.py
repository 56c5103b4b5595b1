"""Adjoint matching: h is regressed on ∇r, carried back along the guided paths by the Jacobian of the model's own steps.

    A_S = J_Dᵀ ∇r(x_0)     A_k = a A_{k+1} + b J_D(x_k)ᵀ A_{k+1}     minimise E_Q Σ_k |e h(x_k, t_k) − c² A_{k+1}|²/2c²

over h, with the paths Q of the guidance so far and the lean adjoint A along them held fixed (Domingo-Enrich et al.,
Adjoint Matching, ICLR 2025). It is written for the discretised chain: with V_k(x) = ln E_P[e^r | x_k = x], the best
step moves the mean by δ = c² E_Q[∇V_{k+1}(x_{k+1}) | x_k], where |δ|²/2c² − E V_{k+1} is stationary, and on the paths
of the optimum ∇V_{k+1}(x_{k+1}) is the mean of A_{k+1}. So the loss is, but for the noise of A, the work between each
step and its best. No sample of the model is needed beforehand, but r and the network are differentiated, and where
the model's states lie far apart A is rare and large on the barriers between them, and so slow to average.
"""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.fit.result import FitRecord
from leastwork.fit.training import warm_cosine
from leastwork.geometry.state import State, event_numel, flatten, leaves, smap
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.base import Model, Scored, is_scored
from leastwork.models.placement import evaluating, placement
from leastwork.networks.value import ValueNetwork, value_and_gradient
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.process import Process
from leastwork.sampling.stepping import Carry, Cost, Sampler, move
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["AdjointFit", "AdjointPaths", "Round", "draw_adjoint", "match_adjoint"]

_WITHOUT_MEMORY = Choices(solver="exponential")  # steps that recall no step before


@dataclass(frozen=True)
class AdjointPaths:
    """Guided paths and their lean adjoint.

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
    """After so many batches of paths: the regression loss, and W − ⟨r⟩ of the batch, whose least value is −ln Z."""

    iteration: int
    loss: float
    objective: float


@dataclass(frozen=True)
class AdjointFit:
    """The guidance, and how it was found.

    V is known up to a function of time only, since h alone was fitted. ``network_evaluations`` counts each product with
    the network's Jacobian, a backward pass, as one more evaluation.
    """

    guidance: LearnedGuidance
    history: tuple[Round, ...]
    network_evaluations: int
    seconds: float

    def record(self) -> FitRecord:
        """The same as plain values."""
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
    choices: Choices = _WITHOUT_MEMORY,
) -> AdjointFit:
    """Learn the least-work guidance of the target p·e^r/Z on policy, from nothing.

    Memory holds the graph of every step of one batch.

    Args:
        model: a DiffusionModel, whose network autograd can differentiate.
        log_tilt: r, differentiable, data units (B, *event) -> (B,) nats; ``run.log_tilt`` of an observable run is one.
        network: V(x, α, σ) of flat states in network units, where the search starts; copied, not changed. By default a
            ValueNetwork that does nothing yet and takes its scale from the first batch.
        seed: of the paths, the network and the order.
        iterations: batches of guided paths.
        batch_size: paths of one batch.
        updates: steps of the optimiser for each batch.
        points: pairs of a path and a step, stratified over the steps, that one update sees.
        learning_rate: its largest value; it rises over a tenth of the run and falls as a cosine.
        progress: ``leastwork.support.progress.bar`` shows one.
        choices: how samples are drawn, by the solver "exponential" or "euler".

    Raises:
        NonFiniteError: a path or its adjoint became NaN or infinite.
        LeastworkError: a velocity model, κ ≠ 1, a solver with memory or without path weights, or an r without gradient.
    """
    begin = time.perf_counter()
    model = _checked(model, choices)
    device, dtype = placement(model)
    dimension = event_numel(model.event_shape)
    random = generator(seed, "adjoint matching")
    fresh = network is None
    network = ValueNetwork(dimension, seed=derive_seed(seed, "network")) if network is None else deepcopy(network)
    network = network.to(device=device, dtype=dtype)
    guidance = LearnedGuidance(network, model.schedule)
    sampler = choices.sampler(model, guidance)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    history: list[Round] = []
    total = iterations * updates
    with progress("matching adjoints", iterations) as tick, evaluating(model.net):
        for i in range(iterations):
            noise = BlockNoise(derive_seed(seed, f"paths {i}"), 0, batch_size, model.event_shape, dtype, device)
            paths = draw_adjoint(sampler, log_tilt, noise)
            if not bool(paths.adjoint.isfinite().all() & paths.log_tilt.isfinite().all()):
                raise NonFiniteError(
                    f"paths or adjoints of batch {i + 1} are not finite: use more steps, or a smaller learning rate"
                )
            if fresh and i == 0 and isinstance(network, ValueNetwork):
                network.standardise(paths.x[-1])  # close to samples of the model: the noise is nearly gone
            losses = []
            for j in range(updates):
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate * warm_cosine((i * updates + j + 1) / total)
                loss = _loss(network, sampler, paths, points, random)
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimiser.step()
                losses.append(float(loss.detach()))
            history.append(Round(i + 1, sum(losses) / updates, float((paths.work - paths.log_tilt).mean())))
            tick()
    per_path = sampler.evaluations + len(sampler.steps)
    return AdjointFit(guidance, tuple(history), iterations * batch_size * per_path, time.perf_counter() - begin)


def draw_adjoint(sampler: Sampler, log_tilt: Callable[[State], Tensor], noise: BlockNoise) -> AdjointPaths:
    """Guided paths from one batch of noise, forward, and their lean adjoint, back.

    Args:
        sampler: a first-order chain with transition densities, for a DiffusionModel.
        log_tilt: r, differentiable, data units.
        noise: the batch's; the first draw is the prior.

    Raises:
        LeastworkError: r has no gradient.
    """
    process, table = sampler.process, sampler.steps.table()
    carry, total = Carry(process.prior(noise.draw())), Cost()
    graphs: list[tuple[State, State]] = []
    for step in table:
        x, y = _tracked(process, carry.x, step.t)
        graphs.append((x, y))
        with torch.no_grad():
            here, denoised = carry.x, smap(torch.detach, y)
            h = None if sampler.guidance is None else process.project(sampler.guidance(here, step.t, denoised))
            carry, cost = move(sampler, step, Carry(here), denoised, h, process.project(noise.draw()))
        total = total + cost
    x, y = _tracked(process, carry.x, float(sampler.steps.times[-1]))
    with torch.enable_grad():
        tilt = log_tilt(process.model.to_data_units(y))
    if not tilt.requires_grad:
        raise LeastworkError("log_tilt has no gradient: adjoint matching needs an r that autograd can differentiate")
    adjoint = process.project(_pulled(x, tilt.sum(), None))
    adjoints = [flatten(adjoint)]
    for (x, y), step in zip(reversed(graphs[1:]), reversed(table[1:]), strict=True):
        a, b = step.a, step.b
        adjoint = process.project(smap(lambda A, JA, a=a, b=b: a * A + b * JA, adjoint, _pulled(x, y, adjoint)))
        adjoints.append(flatten(adjoint))
    states = torch.stack([flatten(x).detach() for x, _ in graphs])
    tilt = tilt.detach().to(torch.float64)
    work = torch.zeros_like(tilt) if total.work is None else total.work
    return AdjointPaths(states, torch.stack(adjoints[::-1]), work, tilt)


def _tracked(process: Process, x: State, t: float) -> tuple[State, State]:
    """x as the root of a graph, and D(x, t)."""
    with torch.enable_grad():
        x = smap(lambda leaf: leaf.detach().requires_grad_(), x)
        return x, process.evaluate(x, t)


def _pulled(x: State, y: State, pull: State | None) -> State:
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


def _checked(model: Model, choices: Choices) -> Scored:
    """The model, where its adjoints can be matched."""
    if not is_scored(model) or model.has_rotations:
        raise LeastworkError("adjoint matching needs an SDE, and a VelocityModel has none: pass a DiffusionModel")
    if choices.process != "sde" or choices.kappa not in (None, 1):
        raise LeastworkError("adjoint matching is for κ = 1: leave out process and kappa")
    steps = choices.sampler(model).steps
    if not steps.has_density or bool((steps.b_previous != 0).any()):
        raise LeastworkError(
            f"adjoint matching needs steps with a density and without memory, not solver={choices.solver!r}: "
            "use 'euler' or 'exponential'"
        )
    return model

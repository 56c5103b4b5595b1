"""Steering by sequential Monte Carlo: particles are weighted along the way, and multiply where the target wants more.

    ln w ← ln w + ln P/Q(step) + φ_{k+1}(x_{k+1}) − φ_k(x_k),    φ at the end = r(x_0),    E⟨w⟩ = Z = E_P[e^r] exactly

for the discretised model, whatever guidance drives Q and whatever look-ahead φ weights it (Del Moral, Feynman–Kac
Formulae, 2004; Wu et al., Twisted Diffusion Sampler, NeurIPS 2023; Singhal et al., Feynman–Kac steering, ICML 2025).
A system of particles whose effective fraction falls below a threshold is resampled, and each of its particles then
carries the mean weight. Guidance and look-ahead decide how noisy the answer is, not what it is: at Doob's h with φ = V
all weights agree.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError, NoPathWeightsError
from leastwork.geometry.state import State, all_finite, cat, take
from leastwork.guidance.base import Guidance
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.base import Model, as_model, is_scored
from leastwork.models.context import refuse_per_sample
from leastwork.models.latents import latent_decoder
from leastwork.models.placement import evaluating, placement
from leastwork.sampling.choices import Choices, ProcessName
from leastwork.sampling.ensemble import Ensemble, Ledger
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.solvers import SolverLike
from leastwork.sampling.stepping import Carry, Sampler, evaluate, move
from leastwork.support.arguments import function_of, number, refused, seed_number, whole
from leastwork.support.executors import executor_now, pieces, using
from leastwork.support.progress import Progress, Tick, check_progress, no_progress
from leastwork.support.random import generator

__all__ = [
    "WHY_NO_WORK",
    "DenoisedTilt",
    "LearnedValue",
    "LogTiltFn",
    "LookAhead",
    "check_sizes",
    "steer",
    "systematic_ancestors",
]

LogTiltFn: TypeAlias = Callable[[State], Tensor]

WHY_NO_WORK = (
    "resampled paths have no law of their own, so no work and no certificate: read ens.log_z and "
    "ens.mean(fn, under='target'), or draw with leastwork.sample"
)


class LookAhead(Protocol):
    """φ(x, t): a guess, in nats, of ln E[e^{r(x_0)} | x_t = x] up to a constant; the better, the less is lost."""

    def __call__(self, x: State, t: float, denoised: State) -> Tensor:
        """φ, (B,), at network-unit x (B, *event) with denoised = D(x, t)."""
        ...


@dataclass(frozen=True)
class DenoisedTilt:
    """φ = r(D(x, t)), the log-tilt where the model expects the sample to end; costs no network evaluation.

    Args:
        log_tilt: r, data units (B, *event) -> (B,) nats.
        model: knows the units.
    """

    log_tilt: LogTiltFn
    model: Model

    def __call__(self, x: State, t: float, denoised: State) -> Tensor:
        """r(D), (B,)."""
        return self.log_tilt(self.model.to_data_units(denoised))


@dataclass(frozen=True)
class LearnedValue:
    """φ = V(x, t) of a learned guidance; a constant missing from V does no harm.

    Args:
        guidance: whose V it is.
    """

    guidance: LearnedGuidance

    def __call__(self, x: State, t: float, denoised: State) -> Tensor:
        """V, (B,)."""
        return self.guidance.value(x, t, denoised)


def steer(
    model: Model,
    n: int,
    log_tilt: LogTiltFn,
    guidance: Guidance | None = None,
    *,
    look_ahead: LookAhead | None = None,
    threshold: float = 0.5,
    particles: int = 1024,
    process: ProcessName = "sde",
    solver: SolverLike | None = None,
    steps: int = 100,
    t_grid: str | Tensor | None = None,
    kappa: float | None = None,
    seed: int = 0,
    batch_size: int = 4096,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress = no_progress,
    executor: Executor | None = None,
) -> Ensemble:
    """Draw weighted samples of p·e^r/Z by sequential Monte Carlo, in systems of particles independent of each other.

    A step costs as many network evaluations as in :func:`leastwork.sample`. The samples of one system share ancestors,
    so that standard errors come from the n/particles systems: draw several, since with one they are NaN.

    Args:
        model: a DiffusionModel.
        n: number of samples, a multiple of ``particles``.
        log_tilt: r, finite, data units (B, *event) -> (B,) nats; ``run.log_tilt`` of an observable run is one.
        guidance: extra score that moves the particles towards the target, or None.
        look_ahead: φ that weights them before the end; by default ``DenoisedTilt``, the log-tilt of the denoised state.
            With a learned guidance, ``LearnedValue(guidance)`` is usually better.
        threshold: a system is resampled where its effective fraction falls below this; 0 never does, which is plain
            importance sampling.
        particles: number of particles of one system.
        process, solver, steps, t_grid, kappa: as in :func:`leastwork.sample`, with path weights.
        seed: the only source of randomness; the batch size does not matter, but for choices of ancestors that hang on
            the rounding of a network's output.
        batch_size: samples in memory at a time, rounded down to whole systems, at least one.
        device, dtype: device and precision; by default those of the network's parameters, else CPU and float32.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        executor: draws the batches on its workers, as in :func:`leastwork.sample`; the result is the same.

    Returns:
        Ensemble: samples in data units with their log-tilt; log_weight is ln w − r, so that ``mean`` knows the model
        and the target, and ``log_z`` is ln⟨w⟩. There is no ``work``.

    Raises:
        NoPathWeightsError: a process or solver without path weights.
        NonFiniteError: a path, its look-ahead or its log-tilt became NaN or infinite; names step and sample.
        LeastworkError: an argument that cannot be used.

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> ens = steer(model, 4096, lambda x: 2 * x[:, 0], steps=50)  # e^{2x} takes N(0, 1) to N(2, 1), ln Z = 2
    >>> bool(abs(ens.log_z.value - 2) < 5 * ens.log_z.stderr)
    True
    """
    begin = time.perf_counter()
    model, log_tilt = as_model(model), function_of("log_tilt", log_tilt)
    check_sizes(n, particles, threshold)
    seed, progress = seed_number(seed), check_progress(progress)
    choices = Choices(process, solver, steps, t_grid, kappa, batch_size, device, dtype)
    own_device, own_dtype = placement(model)
    device, dtype = torch.device(device or own_device), dtype or own_dtype
    refuse_per_sample(model)
    if not is_scored(model):
        raise NoPathWeightsError(
            "steering weighs the steps of an SDE, and a model without a score has none: guide it by its velocity, with "
            "leastwork.guide_observables and process='ode'"
        )
    sampler = choices.sampler(choices.place(model), guidance)
    if not sampler.steps.has_density:
        raise NoPathWeightsError(
            sampler.steps.unweighted
            or "steering weighs every step, and these have no density: use process='sde' with solver 'euler', "
            "'exponential' or 'multistep', on a t_grid that ends above t = 0"
        )
    systems = n // particles
    uniforms = torch.rand(systems, len(sampler.steps), generator=generator(seed, "resampling"), dtype=torch.float64)
    steering = _Steering(sampler, log_tilt, look_ahead or DenoisedTilt(log_tilt, model), threshold, particles)
    systems_at_once = max(1, batch_size // particles)
    starts = range(0, systems, systems_at_once)
    batches = _Batches(steering, uniforms, systems_at_once, seed, device, dtype)
    parts: list[tuple[State, Tensor, Tensor]] = []
    with (
        torch.no_grad(),
        evaluating(sampler.process.model.net),
        progress("steering", len(starts) * len(sampler.steps)) as tick,
        using(executor),
        pieces(_drawn, batches, len(starts), lambda i, _: starts[i]) as piece,
    ):
        for i, start in enumerate(starts):
            if executor_now() is None:
                parts.append(batches.draw(start, tick))
            else:
                parts.append(piece(i))
                tick(len(sampler.steps))
    x, log_weight, tilt = zip(*parts, strict=True)
    ledger = Ledger(
        sampler.steps.times, None, torch.cat(log_weight), why_no_weights=WHY_NO_WORK, group=particles,
        chain=sampler.steps.chain,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    evaluations = n * sampler.evaluations
    return Ensemble(cat(list(x)), ledger, torch.cat(tilt), evaluations, seconds, latent_decoder(model))


def systematic_ancestors(share: Tensor, uniform: Tensor) -> Tensor:
    """Ancestors by systematic resampling: particle i has N·share_i offspring, rounded up or down, in order.

    Args:
        share: weights of R systems of N particles, each row adding up to one, float64 (R, N).
        uniform: one number in [0, 1) for each system, float64 (R,).

    Returns:
        Tensor: indices within the system, (R, N).

    >>> systematic_ancestors(torch.tensor([[0.5, 0.0, 0.25, 0.25]], dtype=torch.float64), torch.zeros(1).double())
    tensor([[0, 0, 2, 3]])
    """
    n = share.shape[1]
    steps = share.cumsum(dim=1)
    steps = steps / steps[:, -1:]  # ends at one exactly, whatever was rounded
    places = (torch.arange(n, device=share.device) + uniform[:, None]) / n
    places = places.clamp(max=1 - 2.0**-53)  # rounding can take it to one, which lies beyond every particle
    return torch.searchsorted(steps, places, right=True)


@dataclass(frozen=True)
class _Steering:
    """The settings that all batches of systems share."""

    sampler: Sampler
    log_tilt: LogTiltFn
    look_ahead: LookAhead
    threshold: float
    particles: int

    def draw(self, noise: BlockNoise, uniforms: Tensor, tick: Tick) -> tuple[State, Tensor, Tensor]:
        """Samples in data units, ln w − r and r of R systems; uniforms: (R, S)."""
        process, table = self.sampler.process, self.sampler.steps.table()
        carry = Carry(process.prior(noise.draw()))
        log_w = potential = torch.zeros(noise.stop - noise.start, dtype=torch.float64, device=noise.device)
        for i, step in enumerate(table):
            t, where = step.t, f"before step {i + 1} of {len(table)} (t = {step.t:.4g})"
            y, h = evaluate(self.sampler, carry.x, t)
            ahead = self.look_ahead(carry.x, t, process.endpoint(carry.x, y, t))
            ahead = _finite(ahead, noise, "the look-ahead", where)
            log_w = _finite(log_w + ahead - potential, noise, "the weight", where)
            ancestors, log_w = self.resample(log_w, uniforms[:, i])
            if ancestors is not None:
                carry = Carry(take(carry.x, ancestors), _take(carry.y, ancestors), _take(carry.h, ancestors))
                y, h, ahead = take(y, ancestors), _take(h, ancestors), ahead[ancestors]
            carry, cost = move(self.sampler, step, carry, y, h, self.sampler.noise(noise.draw()))
            log_w = log_w if cost.log_weight is None else log_w + cost.log_weight
            potential = ahead
            tick()
        where = "at the end"
        x = process.model.to_data_units(process.model.finish(carry.x, float(self.sampler.steps.times[-1])))
        _finite(torch.where(all_finite(x), 0.0, torch.nan), noise, "the sample", where)
        tilt = _finite(self.log_tilt(x), noise, "the log-tilt", where)
        return x, _finite(log_w - potential, noise, "the weight", where), tilt

    def resample(self, log_w: Tensor, uniform: Tensor) -> tuple[Tensor | None, Tensor]:
        """Ancestors in the batch, None where no system needs any, and the weights that follow; (B,) each."""
        log_w = log_w.view(-1, self.particles)
        share = torch.softmax(log_w, dim=1)
        poor = share.square().sum(dim=1, keepdim=True) * self.particles * self.threshold > 1
        if not bool(poor.any()):
            return None, log_w.flatten()
        own = torch.arange(self.particles, device=share.device)
        ancestors = torch.where(poor, systematic_ancestors(share, uniform), own)
        level = torch.logsumexp(log_w, dim=1, keepdim=True) - math.log(self.particles)
        first = self.particles * torch.arange(len(share), device=share.device)[:, None]
        return (first + ancestors).flatten(), torch.where(poor, level, log_w).flatten()


@dataclass(frozen=True)
class _Batches:
    """What all batches share, and how many systems each has."""

    steering: _Steering
    uniforms: Tensor
    size: int
    seed: int
    device: torch.device
    dtype: torch.dtype

    @torch.no_grad()
    def draw(self, start: int, tick: Tick) -> tuple[State, Tensor, Tensor]:
        """The batch that begins with a system, as :meth:`_Steering.draw` gives it."""
        stop, particles = min(start + self.size, len(self.uniforms)), self.steering.particles
        shape = self.steering.sampler.process.model.event_shape
        noise = BlockNoise(self.seed, start * particles, stop * particles, shape, self.dtype, self.device)
        return self.steering.draw(noise, self.uniforms[start:stop].to(self.device), tick)


def _drawn(batches: _Batches, start: int) -> tuple[State, Tensor, Tensor]:
    """A batch, on a worker."""
    return batches.draw(start, lambda *_: None)


def _take(state: State | None, index: Tensor) -> State | None:
    return None if state is None else take(state, index)


def _finite(values: Tensor, noise: BlockNoise, what: str, where: str) -> Tensor:
    """Values in float64, once it is clear that there is one for each sample and that it is a number."""
    n = noise.stop - noise.start
    if values.shape != (n,):
        raise LeastworkError(f"{what} has shape {tuple(values.shape)} for {n} samples: return one number each, ({n},)")
    bad = (~torch.isfinite(values)).nonzero()[:, 0]
    if len(bad):
        raise NonFiniteError(
            f"{what} is not finite {where} for sample {noise.start + int(bad[0])} and {len(bad) - 1} more of {n}: use "
            "more steps or weaker guidance, give the log-tilt a finite floor, or check the network there"
        )
    return values.to(torch.float64)


def check_sizes(n: int, particles: int, threshold: float) -> None:
    n, particles = whole("n", n), whole("particles", particles)
    if n < particles:
        raise LeastworkError(f"n={n} is less than one system of {particles}: draw n={particles}, or lower particles")
    if n % particles:
        more = -(-n // particles) * particles
        raise LeastworkError(
            f"n={n} is not a whole number of systems of {particles}: draw n={more} or {n - n % particles}"
        )
    remedy = "it is an effective fraction, so choose it between 0 (never) and 1"
    if number("threshold", threshold, remedy, least=0.0) > 1:
        raise refused("threshold", threshold, remedy)

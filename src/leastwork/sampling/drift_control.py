"""Steering by drift control, without training: particles follow q_t ∝ p_t e^{r_t}, and a drift evens out their weights.

    dx = (−f x + g²(s + ∇r_t) + b) dτ + g dW          d ln w = (G + Σ_i θ_i h_i) dτ          τ = −t,  r_t = β(t) r
    G = ∂_τ r_t + ½g² Δr_t + ∇r_t·(−f x + g² s + ½g² ∇r_t)
    b = Σ_i θ_i s_i,   h_i = (s + ∇r_t)·s_i + ∇·s_i,   s_1 = ∇r_t, s_2 = s = ∇ln p_t, s_3 = f x

(Ren et al., DriftLite, arXiv:2509.21655, propositions 2.1 and 3.1, ansatz 3.3: variance-controlling guidance with SMC.)
At every step θ minimises the variance of G + Σ θ_i h_i over the weighted particles of a system, by least squares with
three unknowns. b changes paths but not the law q_t, since E_q[h_i] = 0. In contrast to :mod:`leastwork.sampling.steer`,
whose weights are exact for the discretised chain, these are an integral over time, so that ln Z and averages have an
error of order Δt. Traces of Jacobians are exact, or
with ``probes`` an average over random signs.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.state import event_numel, shapes
from leastwork.models.base import Model, Scored, is_periodic, is_scored
from leastwork.models.context import refuse_per_sample
from leastwork.models.denoised import PULL
from leastwork.models.latents import latent_decoder
from leastwork.models.placement import evaluating, placement
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble, Ledger
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.steer import WHY_NO_WORK, check_sizes, systematic_ancestors
from leastwork.schedules.base import diffusion_squared, drift
from leastwork.support.arguments import seed_number, whole
from leastwork.support.executors import executor_now, pieces, using
from leastwork.support.progress import Progress, Tick, check_progress, no_progress
from leastwork.support.random import generator

__all__ = ["control", "drift_control"]

_MOST_EXACT, _PROBES = 8, 2  # coordinates up to which traces are exact by default, and random signs above
_RIDGE = 1e-9  # relative to the largest variance of an h_i; bases may depend on each other


def drift_control(
    model: Model,
    n: int,
    log_tilt: Callable[[Tensor], Tensor],
    *,
    threshold: float = 0.5,
    particles: int = 1024,
    probes: int | None = None,
    steps: int = 100,
    t_grid: str | Tensor | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: Progress = no_progress,
    executor: Executor | None = None,
) -> Ensemble:
    """Draw weighted samples of p·e^r/Z by particles with a controlled drift, in independent systems.

    Args:
        model: a DiffusionModel of flat or shaped tensors, whose network autograd can differentiate.
        n: number of samples, a multiple of ``particles``.
        log_tilt: r, twice differentiable, data units (B, *event) -> (B,) nats.
        threshold: a system is resampled where its effective fraction falls below this.
        particles: number of particles of one system.
        probes: number of random signs for each trace of a Jacobian; by default none up to 8 dimensions, where traces
            are exact, and 2 above.
        steps, t_grid: number of Euler steps, and their grid, as in :func:`leastwork.sample`; by default uniform.
        seed: the only source of randomness.
        device, dtype: device and precision; by default those of the network's parameters, else CPU and float32.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        executor: draws the systems on its workers, as in :func:`leastwork.sample`; the result is the same.

    Returns:
        Ensemble: samples in data units with their log-tilt; log_weight is ln w − r, as of :func:`leastwork.steer`.

    Raises:
        NonFiniteError: a particle or its weight became NaN or infinite.
        LeastworkError: the model is a flow, or one of frames or angles, or an argument cannot be used.

    A standard normal tilted by e^{2x}, for which s_1 is all that is needed, so that all weights agree:

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> ens = drift_control(model, 2048, lambda x: 2 * x[:, 0], steps=50)
    >>> bool(abs(ens.mean(lambda x: x, "target").value - 2) < 0.2)
    True
    """
    begin = time.perf_counter()
    check_sizes(n, particles, threshold)
    seed, progress = seed_number(seed), check_progress(progress)
    refuse_per_sample(model)
    plain = is_scored(model) and model.subspace is None and len(shapes(model.event_shape)) == 1
    if not plain or model.has_rotations or is_periodic(model):
        remedy = "use leastwork.steer" if is_scored(model) else "guide it by guide_observables with process='ode'"
        raise LeastworkError(f"drift control needs the score of plain coordinates: {remedy} for this model")
    own_device, own_dtype = placement(model)
    device, dtype = torch.device(device or own_device), dtype or own_dtype
    choices = Choices(solver="euler", steps=steps, t_grid=t_grid, device=device, dtype=dtype)
    placed = choices.place(model)
    assert is_scored(placed)
    times = choices.sampler(placed).steps.times
    d = event_numel(model.event_shape)
    if probes is None and d > _MOST_EXACT:
        probes = _PROBES
    traces = d if probes is None else whole("probes", probes)
    run = _Particles(placed, log_tilt, threshold, particles, probes, seed)
    systems = n // particles
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    shared = _Systems(run, times, device, dtype)
    with (
        evaluating(placed.net),
        progress("drift control", systems * (len(times) - 1)) as tick,
        using(executor),
        pieces(_system, shared, systems) as piece,
    ):
        for k in range(systems):
            if executor_now() is None:
                parts.append(shared.draw(k, tick))
            else:
                parts.append(piece(k))
                tick(len(times) - 1)
    x, log_weight, tilt = (torch.cat(part) for part in zip(*parts, strict=True))
    ledger = Ledger(times, None, log_weight, why_no_weights=WHY_NO_WORK, group=particles)
    evaluations = n * ((len(times) - 1) * (1 + PULL * traces) + 1)
    return Ensemble(x, ledger, tilt, evaluations, time.perf_counter() - begin, latent_decoder(model))


def control(potential: Tensor, responses: Tensor, weights: Tensor) -> Tensor:
    """θ that minimises the weighted variance of G + Σ_i θ_i h_i.

    Args:
        potential: G, float64 (N,).
        responses: h_i, float64 (N, I).
        weights: weights of sum one, float64 (N,).

    >>> h = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    >>> control(torch.tensor([3.0, 1.0]).double(), h, torch.tensor([0.5, 0.5]).double()).round().tolist()
    [-1.0]
    """
    centred = responses - weights @ responses
    normal = centred.T @ (weights[:, None] * centred)
    ridge = _RIDGE * normal.diagonal().max().clamp(min=torch.finfo(normal.dtype).tiny)
    pull = centred.T @ (weights * (potential - weights @ potential))
    return -torch.linalg.solve(normal + ridge * torch.eye(len(normal), dtype=normal.dtype, device=normal.device), pull)


@dataclass(frozen=True)
class _Particles:
    """The settings that all systems share."""

    model: Scored
    log_tilt: Callable[[Tensor], Tensor]
    threshold: float
    particles: int
    probes: int | None
    seed: int

    def draw(self, noise: BlockNoise, times: Tensor, system: int, tick: Tick) -> tuple[Tensor, Tensor, Tensor]:
        """Samples in data units, ln w − r and r of one system."""
        schedule, n = self.model.schedule, self.particles
        random = generator(self.seed, f"drift control {system}")
        first = noise.draw()
        assert isinstance(first, Tensor)
        x = self.model.from_noise(first)
        assert isinstance(x, Tensor)
        log_w = torch.zeros(n, dtype=torch.float64, device=noise.device)
        low, high = float(times[-1]), float(times[0])
        for i, (t, after) in enumerate(zip(times[:-1].tolist(), times[1:].tolist(), strict=True)):
            log_w, x = self._resampled(log_w, x, random)
            at, dt = torch.tensor(t, dtype=torch.float64), t - after
            beta, rise = (high - t) / (high - low), dt / (high - low)
            f, g2 = float(drift(schedule, at)), float(diffusion_squared(schedule, at))
            tilt, slope, curvature = self._tilt(x, random)
            score, trace = self._score(x, t, random)
            own = score + beta * slope
            common = (slope * (-f * x + g2 * score + 0.5 * g2 * beta * slope)).sum(dim=1)
            potential = (tilt * rise + dt * beta * (0.5 * g2 * curvature + common)).double()
            bases = (beta * slope, score, f * x)
            divergences = (beta * curvature, trace, f * x.shape[1] * torch.ones_like(trace))
            pairs = zip(bases, divergences, strict=True)
            responses = torch.stack([(own * s).sum(dim=1) + div for s, div in pairs], dim=1).double()
            theta = control(potential / dt, responses, torch.softmax(log_w, dim=0))
            log_w = log_w + potential + dt * responses @ theta
            b = sum(float(part) * s for part, s in zip(theta, bases, strict=True))
            z = noise.draw()
            assert isinstance(z, Tensor)
            x = x + dt * (-f * x + g2 * own + b) + math.sqrt(g2 * dt) * z.flatten(1)
            if not bool(torch.isfinite(x).all() & torch.isfinite(log_w).all()):
                raise NonFiniteError(
                    f"particles of drift control are not finite at step {i + 1} of {len(times) - 1} (t = {t:.4g} to "
                    f"{after:.4g}): use more steps, or a weaker tilt"
                )
            tick()
        with torch.no_grad():
            end = self.model.to_data_units(self.model.finish(self._shaped(x), low))
            assert isinstance(end, Tensor)
            before = self._data(x)
            tilt = self.log_tilt(end).double()
            return end, log_w - self.log_tilt(before).double(), tilt

    def _resampled(self, log_w: Tensor, x: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        share = torch.softmax(log_w, dim=0)[None]
        x = x.flatten(1)
        uniform = torch.rand(1, generator=random, dtype=torch.float64).to(x.device)
        if float(share.square().sum()) * self.particles * self.threshold <= 1:
            return log_w, x
        level = torch.logsumexp(log_w, dim=0) - math.log(self.particles)
        return level.expand_as(log_w).clone(), x[systematic_ancestors(share, uniform)[0]]

    def _shaped(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *shapes(self.model.event_shape)[0])

    def _data(self, x: Tensor) -> Tensor:
        z = self.model.to_data_units(self._shaped(x))
        assert isinstance(z, Tensor)
        return z

    def _tilt(self, x: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """r, ∇r and Δr of network-unit states (N, d)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            r = self.log_tilt(self._data(x))
            if not r.requires_grad:
                raise LeastworkError("log_tilt has no gradient: drift control needs an r that autograd differentiates")
            (slope,) = torch.autograd.grad(r.sum(), x, create_graph=True)
            curvature = self._trace(slope, x, random)
        return r.detach(), slope.detach(), curvature

    def _score(self, x: Tensor, t: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """s = ∇ln p_t and ∇·s."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            score = self.model.score(self._shaped(x), t)
            assert isinstance(score, Tensor)
            score = score.flatten(1)
            return score.detach(), self._trace(score, x, random)

    def _trace(self, y: Tensor, x: Tensor, random: torch.Generator) -> Tensor:
        """Σ_i ∂y_i/∂x_i, (N,), zero where y does not depend on x."""
        if not y.requires_grad:
            return torch.zeros_like(y[:, 0])
        d = y.shape[1]
        if self.probes is None:
            signs = torch.eye(d, dtype=y.dtype, device=y.device)[:, None].expand(d, *y.shape)
        else:
            signs = torch.randint(2, (self.probes, *y.shape), generator=random).to(y) * 2 - 1
        parts = [(v * torch.autograd.grad(y, x, v, retain_graph=True, materialize_grads=True)[0]).sum(1) for v in signs]
        return torch.stack(parts).sum(dim=0) / (1 if self.probes is None else self.probes)


@dataclass(frozen=True)
class _Systems:
    """What all systems share."""

    particles: _Particles
    times: Tensor
    device: torch.device
    dtype: torch.dtype

    def draw(self, system: int, tick: Tick) -> tuple[Tensor, Tensor, Tensor]:
        """One system, as :meth:`_Particles.draw` gives it."""
        run, n = self.particles, self.particles.particles
        shape = run.model.event_shape
        noise = BlockNoise(run.seed, system * n, (system + 1) * n, shape, self.dtype, self.device)
        return run.draw(noise, self.times, system, tick)


def _system(systems: _Systems, system: int) -> tuple[Tensor, Tensor, Tensor]:
    """A system, on a worker."""
    return systems.draw(system, lambda *_: None)

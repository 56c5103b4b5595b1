"""Error of averages due to the number of steps, from the same paths with S and 2S steps and the same noise.

    Z = (a₂ c₁ z₁ + c₂ z₂)/√(a₂² c₁² + c₂²)        error(S) ≈ (⟨O⟩_S − ⟨O⟩_2S) · 2^p/(2^p − 1)

Each step is halved, in log-SNR where that is finite, else in t. The noise Z of the whole step is that part of the two
halves' noises z₁ and z₂ which reaches its end where the denoiser does not move: standard normal, and nearly the same
path, so that the difference of the two averages is known far better than either. An error that falls as S^−p leaves
1 − 2^−p of itself in the difference; Richardson's factor makes it whole. p is 2 for multistep steps and 1 for others,
and for guided averages under noise, since no step recalls the guidance. ln⟨w⟩ is a property of the model's own chain,
whatever the guidance, and keeps the solver's p.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.geometry.state import State, cat, smap
from leastwork.guidance.base import Guidance
from leastwork.models.base import Model
from leastwork.models.placement import evaluating, placement
from leastwork.sampling.choices import LAW, Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.placed import with_steps
from leastwork.sampling.solvers import Exponential, Heun, SolverLike, Steps
from leastwork.sampling.stepping import Carry, Cost, Sampler, advance
from leastwork.statistics.estimate import Estimate
from leastwork.support.arguments import function_of, seed_number, whole
from leastwork.support.progress import Progress, Tick, no_progress

__all__ = ["PAIRS", "StepError", "step_check", "warn_of_steps"]

LARGE = 0.05
"""Errors larger than this part of σ_O, or than this many k_BT of ln⟨w⟩, matter."""

PAIRS = 512
"""Paths that a check draws with S and with 2S steps, unless it is told how many."""

_BATCH = 512


@dataclass(frozen=True)
class StepError:
    """Estimated errors that the finite number of steps leaves; average at S steps less that at infinitely many.

    Args:
        observables: errors of the averages ⟨O⟩ of the samples as they are drawn, (K,), or None.
        spread: σ_O at 2S steps, (K,), or None.
        log_z: error of ln⟨w⟩, w = dP/dQ · e^r, nats, or None; for r = ln 1_A the error of −ln p(A) is minus this.
        steps: S.
        paths: number of paths drawn with both numbers of steps.
        network_evaluations: number of network evaluations of the check.
    """

    observables: Estimate | None
    spread: Tensor | None
    log_z: Estimate | None
    steps: int
    paths: int
    network_evaluations: int

    @property
    def large(self) -> Tensor:
        """Which of the averages err by more than 0.05 σ_O and two standard errors, bool (K,)."""
        if self.observables is None or self.spread is None:
            return torch.zeros(0, dtype=torch.bool)
        return self.observables.value.abs() > LARGE * self.spread + 2 * self.observables.stderr

    @property
    def matters(self) -> bool:
        """Whether an average errs so much, or ln⟨w⟩ by more than 0.05 and two standard errors."""
        free = self.log_z is not None and abs(self.log_z.value) > LARGE + 2 * self.log_z.stderr
        return free or bool(self.large.any())


def step_check(
    model: Model,
    observable: Callable[[State], Tensor] | None = None,
    guidance: Guidance | None = None,
    *,
    log_tilt: Callable[[State], Tensor] | None = None,
    paths: int = PAIRS,
    seed: int = 0,
    progress: Progress = no_progress,
    **law: Any,
) -> StepError:
    """Estimate what the finite number of steps does to averages, at three times the cost of that many samples.

    Args:
        model: the model that draws them.
        observable: O, data units (B, *event) -> (B,) or (B, K).
        guidance: h, or None for the model itself.
        log_tilt: r, data units (B, *event) -> (B,), where ln⟨w⟩ is asked for; −inf where w is zero.
        paths: number of paths to draw with both numbers of steps.
        seed: seed of their noise.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        law: process, solver, steps, t_grid, kappa as in :func:`leastwork.sample`.

    Raises:
        LeastworkError: fewer than two paths, or steps with churn.

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> step_check(model, lambda x: x[:, 0] ** 2, steps=50).matters
    False
    """
    paths, seed, choices = whole("paths", paths, least=2), seed_number(seed), Choices.of(law, LAW)
    for name, value in (("observable", observable), ("log_tilt", log_tilt)):
        if value is not None:
            function_of(name, value)
    coarse = choices.sampler(model, guidance)
    if coarse.steps.chain:
        raise LeastworkError("churn depends on the steps, and half a step has another: draw at two numbers of steps")
    fine = replace(choices, t_grid=with_steps(model, coarse.steps.times, 2 * len(coarse.steps))).sampler(
        model, guidance
    )
    device, dtype = placement(model)
    ends: list[tuple[State, State]] = []
    weights: list[tuple[Tensor, Tensor]] = []
    starts = range(0, paths, _BATCH)
    with (
        torch.no_grad(),
        evaluating(model.net),
        progress("pairs of paths", len(starts) * len(coarse.steps)) as tick,
    ):
        for start in starts:
            noise = BlockNoise(seed, start, min(start + _BATCH, paths), model.noise_shape, dtype, device)
            end, weight = _pair(coarse, fine, noise, tick)
            ends.append(end)
            weights.append(weight)
    x = tuple(model.to_data_units(cat([end[i] for end in ends])) for i in (0, 1))
    order = _order(model, choices.solver)
    averages = spread = log_z = None
    if observable is not None:
        here, there = (observable(one).to(torch.float64).cpu() for one in x)
        here, there = (one[:, None] if one.ndim == 1 else one for one in (here, there))
        guided = guidance is not None and coarse.process.kappa > 0
        averages = Estimate.from_samples(_whole(1 if guided else order) * (here - there))
        spread = there.std(dim=0)
    if log_tilt is not None and coarse.steps.has_density:
        logs = [torch.cat([w[i] for w in weights]).cpu() + log_tilt(x[i]).to(torch.float64).cpu() for i in (0, 1)]
        log_z = _log_ratio(logs[0], logs[1], _whole(order))
    return StepError(averages, spread, log_z, len(coarse.steps), paths, paths * (coarse.evaluations + fine.evaluations))


def warn_of_steps(found: StepError, names: tuple[str, ...], stacklevel: int = 2) -> None:
    """Warn where the number of steps matters, with the observables' names."""
    if not found.matters:
        return
    averages = [name for name, large in zip(names, found.large.tolist(), strict=False) if large]
    what = f"the averages of {', '.join(averages)}" if averages else "the free energy"
    warnings.warn(
        f"{found.steps} steps are too few for {what}: their error is above {LARGE} standard deviations (or k_BT); "
        "take more steps",
        LeastworkWarning,
        stacklevel=stacklevel + 1,
    )


def _pair(
    coarse: Sampler, fine: Sampler, noise: BlockNoise, tick: Tick
) -> tuple[tuple[State, State], tuple[Tensor, Tensor]]:
    """Ends of both chains, network units, and ln dP/dQ of their paths, float64 (B,)."""
    process = coarse.process
    here = there = Carry(process.prior(noise.draw()))
    spent, spent_there = Cost(), Cost()
    wholes, halves = coarse.steps.table(), fine.steps.table()
    shares, turns = _shares(fine.steps)
    for i, step in enumerate(wholes):
        z: State | None = None
        parts: list[State | None] = [None, None]
        if process.kappa > 0:
            parts = [process.project(noise.draw()) for _ in (0, 1)]
            z = _mixed(parts, shares[i], turns[i])
        here, cost = advance(coarse, step, here, z)
        spent = spent + cost
        for half, part in zip(halves[2 * i : 2 * i + 2], parts, strict=True):
            there, cost = advance(fine, half, there, part)
            spent_there = spent_there + cost
        tick()
    ends: list[State] = []
    for sampler, carry in ((coarse, here), (fine, there)):
        last = float(sampler.steps.times[-1])
        ends.append(process.model.finish(carry.x, last))
    zero = torch.zeros(noise.stop - noise.start, dtype=torch.float64, device=noise.device)
    logs = [zero if one.log_weight is None else one.log_weight for one in (spent, spent_there)]
    return (ends[0], ends[1]), (logs[0], logs[1])


_Share = tuple[float, float]


def _shares(steps: Steps) -> tuple[list[_Share], list[_Share]]:
    """The weights of z₁ and z₂ in Z for each pair of half steps, of positions and of turns."""

    def normal(first: Tensor, second: Tensor) -> list[_Share]:
        size = (first.square() + second.square()).sqrt().clamp(min=torch.finfo(torch.float64).tiny)
        return list(zip((first / size).tolist(), (second / size).tolist(), strict=True))

    shares = normal(steps.a[1::2] * steps.c[0::2], steps.c[1::2])
    return shares, shares if steps.turns is None else normal(steps.turns.c[0::2], steps.turns.c[1::2])


def _mixed(parts: list[State | None], share: _Share, turn: _Share) -> State:
    first, second = parts
    assert first is not None
    assert second is not None
    if isinstance(first, tuple) and isinstance(second, tuple) and len(first) == 2:
        pairs = zip(first, second, (share, turn), strict=True)
        return tuple(u * one + v * two for one, two, (u, v) in pairs)
    return smap(lambda one, two: share[0] * one + share[1] * two, first, second)


def _order(model: Model, solver: SolverLike | None) -> int:
    """p of the unguided chain in law, or of the guided ODE."""
    if model.has_rotations:
        return 1
    if solver is None or solver in ("multistep", "heun") or isinstance(solver, Heun):
        return 2
    return solver.order if isinstance(solver, Exponential) else 1


def _whole(order: int) -> float:
    """Richardson's factor 2^p/(2^p − 1)."""
    return 2**order / (2**order - 1)


def _log_ratio(coarse: Tensor, fine: Tensor, factor: float) -> Estimate | None:
    """factor · (ln⟨w⟩ of the coarse chain less that of the fine one), or None where no path has a weight."""
    parts = []
    for log_w in (coarse, fine):
        top = float(log_w.max())
        if not math.isfinite(top):
            return None
        w = torch.exp(log_w - top)
        parts.append((top + math.log(float(w.mean())), w / w.mean()))
    (here, influence), (there, influence_there) = parts
    return Estimate.from_influence(factor * (here - there), factor * (influence - influence_there))

"""Work that a chain of Gaussian steps dissipates even with exact guidance: Σ_k ¼ E |c² ∇h z|².

    best step ∝ N(x′; m, c²) e^{V(x′, t′)}        KL(guided step ‖ best step) ≈ ½ Var(½ c² zᵀHz) = ¼ c⁴ tr H²

H = ∇h is the Hessian of V at the step, z standard normal. A guided step is shifted by c²∇V and keeps the Gaussian's
width, while the best one also bends with V, which no step of fixed covariance does: this part of the dissipation falls
as 1/S with the number of steps S, and no better V lowers it. The trace is estimated by Hutchinson's probes (Commun.
Stat. Simul. Comput. 19, 433, 1990), here of the size of the step's own noise, tr H² = E|Hz|².

For rigid frames, h beside a state is a turn in another frame, so it is first carried back in parallel, by half of the
turn between the two; otherwise the derivative would have an antisymmetric part ½ h×, which wastes nothing.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.rotations import exp
from leastwork.geometry.state import State, batch_size, cat, flatten, smap, take
from leastwork.guidance.base import Guidance
from leastwork.models.base import Model
from leastwork.models.placement import evaluating, placement
from leastwork.sampling.choices import LAW, Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.solvers.steps import Step
from leastwork.sampling.stepping import Carry, Sampler, evaluate, move
from leastwork.statistics.estimate import Estimate
from leastwork.support.arguments import number, seed_number, whole
from leastwork.support.progress import Progress, Tick, no_progress

__all__ = ["PATHS", "StepLoss", "evaluations_of_loss", "step_loss"]

PATHS = 256
"""Paths of an estimate, unless it is told how many."""

_BATCH = 256
_DIFFERENCE = 0.3  # of the step's own noise: where h is compared, to either side


@dataclass(frozen=True)
class StepLoss:
    """The part of the dissipation that the finite number of steps makes.

    Args:
        total: summed over the steps, nats.
        each: loss of each step, nats, float64 (S,).
        network_evaluations: number of network evaluations of the estimate.
    """

    total: Estimate
    each: Tensor
    network_evaluations: int

    def steps_for(self, nats: float) -> int:
        """The number of steps on the same kind of grid that waste so much, since the loss falls as one over it.

        >>> StepLoss(Estimate(0.2, 0.01), torch.full((100,), 0.002), 0).steps_for(0.05)
        400
        """
        return math.ceil(len(self.each) * self.total.value / number("nats", nats, "give the loss in nats", least=1e-9))


@torch.no_grad()
def step_loss(
    model: Model, guidance: Guidance, *, paths: int = PATHS, seed: int = 0, progress: Progress = no_progress, **law: Any
) -> StepLoss:
    """Estimate what the steps alone waste, at three times the cost of so many guided samples.

    Args:
        model: a DiffusionModel or a FrameModel that draws them.
        guidance: h.
        paths: number of paths to draw.
        seed: seed of their noise.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        law: solver, steps, t_grid as in :func:`leastwork.sample`.

    Raises:
        LeastworkError: steps without a transition density or with churn, or fewer than two paths.

    >>> import leastwork as lw
    >>> from leastwork.guidance.interval import IntervalGuidance
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> coordinate = lw.Observable(lambda x: x, names=("x",))
    >>> h = IntervalGuidance(coordinate, 1.0, 2.0, 4.0, model.schedule)
    >>> few, many = (step_loss(model, h, steps=steps).total.value for steps in (40, 160))
    >>> bool(2.5 < few / many < 6)
    True
    """
    paths, seed = whole("paths", paths, least=2), seed_number(seed)
    sampler = Choices.of(law, LAW).sampler(model, guidance)
    if not sampler.steps.has_density or sampler.steps.chain:
        raise LeastworkError("the loss of the steps is known with process='sde' and no churn")
    device, dtype = placement(model)
    batches: list[Tensor] = []
    starts = range(0, paths, _BATCH)
    with evaluating(model.net), progress("loss of the steps", len(starts) * len(sampler.steps)) as tick:
        for start in starts:
            noise = BlockNoise(seed, start, min(start + _BATCH, paths), model.noise_shape, dtype, device)
            batches.append(_losses(sampler, noise, tick).cpu())
    lost = torch.cat(batches)
    return StepLoss(
        Estimate.from_samples(lost.sum(dim=1)), lost.mean(dim=0), evaluations_of_loss(paths, sampler.evaluations)
    )


def evaluations_of_loss(paths: int, each: int) -> int:
    """Network evaluations of an estimate from so many paths, of which each takes ``each`` when it is drawn."""
    return paths * (3 * each - 2)


def _losses(sampler: Sampler, noise: BlockNoise, tick: Tick) -> Tensor:
    """Loss of each path and step, float64 (B, S)."""
    process = sampler.process
    carry = Carry(process.prior(noise.draw()))
    found: list[Tensor] = []
    for step in sampler.steps.table():
        z = process.project(noise.draw())
        probe = process.project(noise.draw())
        beside = [_beside(step, carry.x, probe, side) for side in (_DIFFERENCE, -_DIFFERENCE)]
        y, h = evaluate(sampler, cat([carry.x, *(state for state, _ in beside)]), step.t)
        (here, h_here), *others = zip(_thirds(y), _thirds(h), strict=True)
        ahead, behind = (_as_tangent(step, h, turn) for (_, h), (_, turn) in zip(others, beside, strict=True))
        found.append(0.25 * (ahead - behind).div(2 * _DIFFERENCE).square().sum(dim=1).to(torch.float64))
        carry, _ = move(sampler, step, carry, here, h_here, z)
        tick()
    return torch.stack(found, dim=1)


def _beside(step: Step, x: State, probe: State, by: float) -> tuple[State, Tensor | None]:
    """x + by · c · probe, and the turn from x to it where there are rotations."""
    if step.turn is None or not isinstance(x, tuple) or not isinstance(probe, tuple):
        return smap(lambda a, b: a + by * step.c * b, x, probe), None
    turn = by * step.turn.c * probe[1]
    return (x[0] + by * step.c * probe[0], x[1] @ exp(turn)), turn


def _thirds(state: State | None) -> list[State]:
    """The state itself and the two beside it, which were evaluated as one batch."""
    assert state is not None
    n = batch_size(state) // 3
    return [take(state, torch.arange(i * n, (i + 1) * n)) for i in range(3)]


def _as_tangent(step: Step, h: State, turn: Tensor | None) -> Tensor:
    """e h/c of a step beside a state, as tangents at that state, (B, k)."""
    if step.turn is None or turn is None:
        return step.lever * flatten(h)
    assert isinstance(h, tuple)
    back = (exp(0.5 * turn) @ h[1][..., None]).squeeze(-1)
    return torch.cat([step.lever * h[0].flatten(1), step.turn.e / step.turn.c * back.flatten(1)], dim=1)

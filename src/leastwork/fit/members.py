"""Guidance into a rare region A by a copy of the model that was fine-tuned to p(x | A), late by A's own border.

    h = s_A − s          s_A the score of the members of A that chains from the guides found

Least work for a share s in A comes from p e^{L 1_A}/Z, a mixture of p(x | A) and a little of p; as s → 1 its score is
s_A. Where A is an interval of a smooth coordinate, its border is sharper than any network learns it, and
:class:`leastwork.guidance.IntervalGuidance` takes over late, when little noise is left and the coordinate given x_t is
nearly Gaussian. From which log-SNR is decided on fresh paths, by the least dissipation.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.ensemble import Ensemble
from leastwork.errors import LeastworkError
from leastwork.fit.region import log_odds
from leastwork.fit.renoise import renoise
from leastwork.fit.tuning import fine_tune
from leastwork.geometry.state import State, take
from leastwork.guidance.base import Guidance
from leastwork.guidance.handover import Handover
from leastwork.guidance.interval import IntervalGuidance
from leastwork.guidance.region import IntervalRegion
from leastwork.guidance.tuned import TunedGuidance
from leastwork.models.diffusion import DiffusionModel
from leastwork.progress import Progress, no_progress
from leastwork.random import derive_seed, generator
from leastwork.sampling import LAW, sample
from leastwork.work import certify

__all__ = ["MemberFit", "Trial", "learn_members"]

_COUNTED = 100  # of the model's own samples in A: so many tell p(A) as well as path weights do
_HANDOVERS = (3.5, 4.5, 5.5)  # log-SNR
_AIM = 0.75  # of the interval, its middle part: what aims at all of it stops short at its ends
_BEYOND = 1.5  # log-SNR that is still learned after the last handover


@dataclass(frozen=True)
class Trial:
    """A guidance that was tried: the log-SNR of its handover, None without one; success, dissipation, nats."""

    handover: float | None
    success: float
    dissipation: float


@dataclass(frozen=True)
class MemberFit:
    """The guidance, L and p(A) of its target, and what that took.

    Args:
        guidance: h.
        log_odds: L.
        probability: p(A) that L was made with.
        acceptance: of the moves that found members.
        members: different ones that it was learned from.
        trials: of handovers.
        network_evaluations: of the model; steps of the fine-tuning count three for each of their samples.
        seconds: all together.
    """

    guidance: Guidance
    log_odds: float
    probability: float
    acceptance: float
    members: int
    trials: tuple[Trial, ...]
    network_evaluations: int
    seconds: float

    @property
    def handover(self) -> float | None:
        """The log-SNR of the one chosen, which wastes least; None without one."""
        return _best(self.trials).handover


def learn_members(
    model: DiffusionModel,
    region: Callable[[State], Tensor],
    points: State,
    own: Ensemble,
    *,
    success: float = 0.99,
    seed: int = 0,
    members: int = 20_000,
    iterations: int = 6000,
    paths: int = 2048,
    progress: Progress = no_progress,
    **choices: Any,
) -> MemberFit:
    """Learn the guidance into a region from a few of its members.

    Args:
        model: a DiffusionModel whose network is an ``nn.Module``.
        region: membership of A, data units (B, *event) -> bool (B,); with an ``interval``, its border is met by it.
        points: members of A, (M, *event), data units.
        own: the model's own samples, drawn with the same choices.
        success: s, the share of the target inside A.
        seed: of everything random.
        members: to find, and learn from.
        iterations: of the fine-tuning.
        paths: of each trial of a handover.
        progress: ``leastwork.progress.bar`` shows one.
        choices: as in :func:`leastwork.sample`, with path weights at κ = 1.

    Raises:
        LeastworkError: a network that cannot be tuned, or a region that the model does not come back to.
    """
    begin = time.perf_counter()
    law = {name: value for name, value in choices.items() if name in LAW}
    found = renoise(model, region, points, members=members, seed=derive_seed(seed, "members"), progress=progress, **law)
    spent = own.network_evaluations + found.evaluations
    batch = 512
    drawn = torch.multinomial(found.stays, 4 * len(found.stays), True, generator=generator(seed, "stays"))
    bounded = isinstance(region, IntervalRegion)
    tuned = fine_tune(
        model,
        take(found.x, drawn),
        iterations=iterations,
        batch_size=batch,
        most=_HANDOVERS[-1] + _BEYOND if bounded else math.inf,
        seed=derive_seed(seed, "tuning"),
        progress=progress,
    )
    spent += 3 * batch * iterations
    early = TunedGuidance(tuned.model)
    inside = region(own.x)
    probability = float(inside.double().mean())
    trials: list[Trial] = []
    candidates: dict[float | None, Guidance] = {None: early}

    def tried(guidance: Guidance, at: float | None) -> None:
        nonlocal spent, probability
        number = derive_seed(seed, f"handover {at}")
        ensemble = sample(model, paths, guidance, seed=number, progress=progress, **choices)
        spent += ensemble.network_evaluations
        hit = region(ensemble.x).to(torch.float64)
        if at is None and int(inside.sum()) < _COUNTED:
            probability = float((ensemble.log_weight.exp() * hit).mean())
        if not 0 < probability < 1:
            raise LeastworkError("the tuned model does not reach the region: find more members, or tune for longer")
        tilt = log_odds(probability, success) * hit
        certificate = certify(ensemble.work, ensemble.log_weight, tilt)
        trials.append(Trial(at, float(hit.mean()), certificate.dissipation.value))

    tried(early, None)
    odds = log_odds(probability, success)
    if bounded and odds > 0:
        coordinate, lower, upper = region.interval
        middle, half = 0.5 * (lower + upper), 0.5 * _AIM * (upper - lower)
        if half < math.inf:
            lower, upper = middle - half, middle + half
        late = IntervalGuidance(coordinate, lower, upper, odds, model.schedule, model.shift, model.scale)
        for at in _HANDOVERS:
            candidates[at] = Handover(early, late, model.schedule, at)
            tried(candidates[at], at)
    return MemberFit(
        candidates[_best(trials).handover],
        odds,
        probability,
        found.acceptance,
        len(found.stays),
        tuple(trials),
        spent,
        time.perf_counter() - begin,
    )


def _best(trials: Sequence[Trial]) -> Trial:
    return min(trials, key=lambda trial: trial.dissipation)

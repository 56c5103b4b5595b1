"""Least-work guidance into a rare region A of the model, from a few of its members.

    r(x) = L 1_A(x)      L = ln [s (1 − p) / (p (1 − s))]      V(x, t) = ln E[e^r/Z | x_t = x] → ln p_t(x | A)/p_t(x)

With p = p(A), the tilt puts a share s of the target into A. This costs at least s ln(s/p) + (1 − s) ln((1 − s)/(1 − p))
nats, the work of the target p e^r/Z. For s < 1 the work stays finite when a sample misses A.

1. Chains of noising and denoising find members of A from the guides (:mod:`leastwork.path_guidance.renoise`).
2. V is learned as the log-ratio of the noised members and the model's own noised samples
   (:mod:`leastwork.fit.value`).
3. In several rounds V is learned again as the mean of the part of ln dP/dQ + r that is still to come at the states of
   guided paths (:mod:`leastwork.fit.labels`). These paths have the steps of the actual chain and show its errors.
4. If A is an interval of a smooth coordinate, its border is sharper than a network can learn, so
   :class:`leastwork.guidance.interval.IntervalGuidance` takes over late, when the coordinate given x_t is nearly
   Gaussian. Fresh paths decide from which log-SNR, and all paths which round's V is kept: where steps are coarse at
   the border, labels can make V worse.
5. The head of V, its last layer, follows the natural gradient of the dissipation
   (:func:`leastwork.fit.on_policy.descend`); fresh paths judge each step. After the handover its change is added to
   the guidance of the interval.

From the first round on, the length of ∇V is bounded by what the guided paths hardly ever exceed
(:class:`leastwork.guidance.learned.Bound`). A fit that is stopped has the guidance of the last complete part.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError
from leastwork.fit.labels import fit_labels
from leastwork.fit.network import value_network
from leastwork.fit.on_policy import descend, draw_response
from leastwork.fit.result import FitRecord
from leastwork.fit.stopping import stops, warn_of_stop
from leastwork.fit.value import Check, fit_ratio
from leastwork.geometry.state import State, take
from leastwork.guidance.base import Guidance
from leastwork.models.base import Scored
from leastwork.models.denoised import PUSH
from leastwork.networks.value import ValueNetwork, sees_denoised
from leastwork.path_guidance.renoise import Members, renoise
from leastwork.path_guidance.rounds import (
    FEWEST_PATHS,
    Paths,
    Round,
    Task,
    change_of,
    has_border,
    odds_of,
    weighted_mean,
)
from leastwork.path_guidance.shares import HANDOVERS, MEMBER_SHARE, TRIAL_SHARE, Share, share_budget
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.statistics.estimate import Estimate
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["RegionFit", "Round", "learn_region"]

_ROUNDS = 2  # of guided paths from which V is learned
_MOST_DESCENTS = 4  # steps of the head, each on fresh paths
_PATHS_A_DESCENT = 2500  # paths for one step of the head, if the budget allows
_MOST_PATHS, _MOST_MEMBERS = 16_384, 50_000
_MOST_DIVERGENCE = 0.5  # largest divergence of one step of the head, nats
_WORSE = 3.0  # standard errors by which the dissipation may rise before a step of the head is taken back
_REMEDY = "give more guides, a wider region, or a larger budget"


@dataclass(frozen=True)
class RegionFit:
    """The learned guidance, L and p(A) of its target, and the cost of the fit.

    Args:
        guidance: h.
        log_odds: L.
        probability: p(A), with its standard error.
        members: number of different members of A from which V was learned.
        acceptance: share of the noising and denoising moves that stayed in A.
        checks: validation losses of the first V, the log-ratio.
        history: one entry per round.
        handover: the log-SNR at which the guidance of the interval takes over; None if V guides to the end.
        network_evaluations: number of evaluations of the model's network.
        seconds: duration of the whole fit, s.
    """

    guidance: Guidance
    log_odds: float
    probability: Estimate
    members: int
    acceptance: float
    checks: tuple[Check, ...]
    history: tuple[Round, ...]
    handover: float | None
    network_evaluations: int
    seconds: float

    def record(self) -> FitRecord:
        """Cost and history as plain values, in one stage."""
        found = {"members": self.members, "acceptance": self.acceptance, "handover": self.handover}
        stage = {**found, "rounds": [asdict(one) for one in self.history]}
        return FitRecord(self.network_evaluations, self.seconds, (stage,))


@dataclass
class _SoFar:
    """What a fit has; each part of the fit changes it when it is complete.

    Args:
        network: V.
        success: s.
        estimates: unbiased estimates of p(A).
        evaluations: network evaluations of the parts that are complete.
        members: members of A, once they have been found.
        checks: validation losses of the first V.
        history: one entry per round.
        handover: the log-SNR at which the guidance of the interval takes over; None if V guides to the end.
        guidance: h, once V has been learned.
    """

    network: nn.Module
    success: float
    estimates: list[Estimate]
    evaluations: int
    members: Members | None = None
    checks: tuple[Check, ...] = ()
    history: list[Round] = field(default_factory=list)
    handover: float | None = None
    guidance: Guidance | None = None

    @property
    def odds(self) -> float:
        """L."""
        return odds_of(self.estimates, self.success)

    def put_down(self, drawn: Paths) -> None:
        """Add the cost of guided paths, and their estimate of p(A)."""
        self.evaluations += drawn.paths.evaluations
        self.estimates.append(drawn.probability)

    def fit(self, seconds: float) -> RegionFit:
        assert self.guidance is not None
        assert self.members is not None
        return RegionFit(
            self.guidance, self.odds, weighted_mean(self.estimates), len(self.members.stays), self.members.acceptance,
            self.checks, tuple(self.history), self.handover, self.evaluations, seconds,
        )  # fmt: skip

    def judged(self) -> str:
        if not self.history:
            return "which no guided path has judged"
        last = self.history[-1]
        return f"and of the last {last.paths} guided paths {last.success:.0%} ended in the region"


def learn_region(
    model: Scored,
    region: Callable[[State], Tensor],
    points: State,
    own: Ensemble,
    *,
    success: float = 0.99,
    seed: int = 0,
    budget: int = 10_000_000,
    focus: bool = False,
    progress: Progress = no_progress,
    choices: Choices = USUAL,
) -> RegionFit:
    """Learn the guidance that puts a share of the samples into a region with the least work.

    Args:
        model: a DiffusionModel or a FrameModel.
        region: membership in A of states in data units, (B, *event) -> bool (B,); an IntervalRegion lets the guidance
            resolve its border.
        points: members of A, (M, *event), data units.
        own: the model's own samples, drawn with the same choices.
        success: s, the share of the target in A, below one.
        seed: seed of all random numbers.
        budget: largest number of network evaluations, those of the model's own samples included.
        focus: whether V has additional units for the part of space where the points are, on its scale.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: process, solver and steps, which must have path weights at κ = 1.

    Raises:
        LearningError: V was not learned.
        LeastworkError: the noised and denoised guides or the guided paths do not reach A, or the budget is too small.

    Warns:
        LeastworkWarning: the fit was stopped, and the guidance is the one so far.
    """
    begin = time.perf_counter()
    task = Task(model, region, seed, progress, choices)
    network = value_network(model, [region], own.x, derive_seed(seed, "network"), points if focus else None)
    steps, through = len(choices.sampler(model).steps), sees_denoised(network)
    bounded = has_border(region) and through
    share = share_budget(budget, own.network_evaluations, steps, through, bounded, _ROUNDS)
    estimates = [Estimate.from_samples(region(own.x).to(torch.float64).cpu())]
    so_far = _SoFar(network, success, estimates, own.network_evaluations)
    try:
        _learn(task, so_far, share, bounded, points, own)
    except stops() as stop:
        if so_far.guidance is None or float(weighted_mean(so_far.estimates).value) == 0:
            raise
        warn_of_stop(stop, so_far.judged())
    return so_far.fit(time.perf_counter() - begin)


def _learn(task: Task, so_far: _SoFar, share: Share, bounded: bool, points: State, own: Ensemble) -> None:
    """Learn V, part by part, each of which ``so_far`` has when it is complete."""
    model, region, seed, progress = task.model, task.region, task.seed, task.progress
    found = renoise(
        model, region, points, budget=int(MEMBER_SHARE * share.budget), most=_MOST_MEMBERS,
        seed=derive_seed(seed, "members"), progress=progress, choices=task.choices,
    )  # fmt: skip
    so_far.members = found
    so_far.evaluations += found.evaluations
    left, n = share.for_paths(so_far.evaluations), share.paths(so_far.evaluations)
    first = fit_ratio(
        so_far.network, model, model.to_network_units(own.x), _resampled_by_stays(found, derive_seed(seed, "stays")),
        iterations=1500, noised=share.noised, seed=derive_seed(seed, "ratio"), progress=progress,
    )  # fmt: skip
    so_far.evaluations += first.network_evaluations
    so_far.network, so_far.checks = first.network, first.history
    so_far.handover = HANDOVERS[0] if bounded else None
    so_far.guidance = task.guidance(so_far.network, so_far.odds, so_far.handover)
    seen: list[Paths] = []
    guided_by: list[nn.Module] = []
    for number in range(_ROUNDS):
        drawn = task.draw(so_far.guidance, so_far.network, n, share.budget - so_far.evaluations, f"round {number}")
        so_far.put_down(drawn)
        seen.append(drawn)
        guided_by.append(so_far.network)
        if so_far.odds == 0:
            raise LeastworkError(f"no guided path reaches the region after V was first learned: {_REMEDY}")
        task = task.bounded_by(drawn.paths)
        learned = fit_labels(
            so_far.network, [each.paths for each in seen], [so_far.odds * each.inside for each in seen],
            seed=derive_seed(seed, f"labels {number}"), progress=progress,
        )  # fmt: skip
        so_far.network = learned.network
        so_far.history.append(drawn.round(so_far.odds, so_far.handover, learned.variance))
        so_far.guidance = task.guidance(so_far.network, so_far.odds, so_far.handover)
    if bounded:
        tried: list[Round] = []
        odds, few = so_far.odds, max(int(TRIAL_SHARE * n), FEWEST_PATHS)
        for at in HANDOVERS:
            guidance = task.guidance(so_far.network, odds, at)
            drawn = task.draw(guidance, so_far.network, few, share.budget - so_far.evaluations, f"handover {at}")
            so_far.put_down(drawn)
            tried.append(drawn.round(odds, at))
        judged = [(one, so_far.network) for one in tried]
        judged += [(drawn.round(odds, HANDOVERS[0]), by) for drawn, by in zip(seen, guided_by, strict=True)]
        best, so_far.network = min(judged, key=lambda one: one[0].dissipation)
        so_far.handover = best.handover
        so_far.history += tried
        so_far.guidance = task.guidance(so_far.network, so_far.odds, so_far.handover)
    if isinstance(so_far.network, ValueNetwork):
        _descend_head(task, so_far, so_far.network, min(int(share.descents * left), share.budget - so_far.evaluations))


def _descend_head(task: Task, so_far: _SoFar, start: ValueNetwork, left: int) -> None:
    """Change the head step by step on fresh paths until the dissipation rises.

    Successive steps overshoot the minimum from one side and the other, and the dissipation is convex around it. So half
    of the last step, which no fresh paths have judged, is taken.
    """
    spent, odds, handover = 0, so_far.odds, so_far.handover
    before, network, lowest = start, start, math.inf
    sampler = task.choices.sampler(task.model, task.guidance(start, odds, handover))
    each = sampler.evaluations + PUSH * len(sampler.steps) * sees_denoised(start)
    draws = min(max(int(left / each / _PATHS_A_DESCENT), 1), _MOST_DESCENTS)
    for number in range(draws):
        n = min(int((left - spent) / (draws - number) / each), _MOST_PATHS)
        if n < FEWEST_PATHS:
            break
        sampler = task.choices.sampler(task.model, task.with_change(start, network, odds, handover))
        response = draw_response(sampler, network, n, derive_seed(task.seed, f"descent {number}"), task.progress)
        spent += response.evaluations
        so_far.evaluations += response.evaluations
        inside = task.region(response.x).to(torch.float64).cpu()
        so_far.estimates.append(Estimate.from_samples(response.log_weight.exp() * inside))
        done = descend(network, response, odds * inside, _MOST_DIVERGENCE)
        so_far.history.append(Round(handover, n, float(inside.mean()), done.dissipation, done.ess, None))
        if done.dissipation > lowest + _WORSE * done.stderr:
            network = before
            break
        before, network, lowest = network, done.network, done.dissipation
        so_far.guidance = task.with_change(start, before, so_far.odds, handover)
    if network is not before:  # otherwise no step was taken; a change of zero would cost a product with the Jacobian
        before = before.with_head(0.5 * change_of(before, network))
    so_far.guidance = task.with_change(start, before, so_far.odds, handover)


def _resampled_by_stays(found: Members, seed: int) -> State:
    """Members drawn as often as the chains stayed at them."""
    index = torch.multinomial(found.stays, 2 * len(found.stays), True, generator=generator(seed, "stays"))
    return take(found.x, index)

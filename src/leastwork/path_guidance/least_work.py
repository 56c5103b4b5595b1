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
   Gaussian. Fresh paths decide from which log-SNR.
5. The head of V, its last layer, follows the natural gradient of the dissipation
   (:func:`leastwork.fit.on_policy.descend`); fresh paths judge each step. After the handover its change is added to
   the guidance of the interval.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError
from leastwork.fit.labels import Labelled, draw_labelled, fit_labels
from leastwork.fit.network import value_network
from leastwork.fit.noised import evaluations_of_noised
from leastwork.fit.on_policy import descend, draw_response
from leastwork.fit.result import FitRecord
from leastwork.fit.value import Check, fit_ratio
from leastwork.geometry.state import State, take
from leastwork.guidance.base import Guidance
from leastwork.guidance.handover import Handover
from leastwork.guidance.interval import IntervalGuidance
from leastwork.guidance.learned import LearnedGuidance
from leastwork.kernels.region import IntervalRegion
from leastwork.models.base import Scored
from leastwork.models.denoised import PULL, PUSH
from leastwork.networks.value import ValueNetwork, sees_denoised
from leastwork.path_guidance.renoise import Members, renoise
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.work import certify, log_odds
from leastwork.statistics.estimate import Estimate
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["RegionFit", "Round", "learn_region"]

_MEMBER_SHARE, _NOISED_SHARE, _PATH_SHARE = 0.2, 0.15, 0.45  # of the budget; the model's own samples take the rest
_DESCENT_SHARE = {True: 0.35, False: 0.65}  # of the paths' evaluations, for steps of the head; True for an interval
_MOST_DESCENTS = 4  # steps of the head, each on fresh paths
_PATHS_A_DESCENT = 2500  # paths for one step of the head, if the budget allows
_MOST_DIVERGENCE = 0.5  # largest divergence of one step of the head, nats
_WORSE = 3.0  # standard errors by which the dissipation may rise before a step of the head is taken back
_MOST_NOISED, _MOST_PATHS, _MOST_MEMBERS = 400_000, 16_384, 50_000
_FEWEST_PATHS = 256  # in one round
_HELD_OUT = 8192  # noised states for the validation of V
_TRIAL_SHARE = 0.1  # paths that try one handover, relative to the paths of a round
_HANDOVERS: tuple[float | None, ...] = (4.5, None)  # log-SNR of the handovers that are tried; None: no handover
_AIM = 0.75  # middle part of the interval that is aimed at: guidance towards all of it stops short at its ends


@dataclass(frozen=True)
class Round:
    """One round of guided paths, from which V was learned or by which a handover was tried.

    Args:
        handover: the log-SNR at which the guidance of the interval took over; None if V guided to the end.
        paths: number of paths.
        success: share of the paths that end in A.
        dissipation: work wasted by the guidance that drew the paths, nats.
        ess: Kish fraction of dP/dQ · e^r.
        variance: variance of label − V on held-out states before and after learning; None if V was not learned.
    """

    handover: float | None
    paths: int
    success: float
    dissipation: float
    ess: float
    variance: tuple[float, float] | None


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


@dataclass(frozen=True)
class _Task:
    """Settings shared by all rounds."""

    model: Scored
    region: Callable[[State], Tensor]
    success: float
    seed: int
    progress: Progress
    choices: Choices

    def with_change(self, start: ValueNetwork, network: ValueNetwork, odds: float, handover: float | None) -> Guidance:
        """∇V early; after the handover the guidance of the interval plus the change of ∇V since ``start``."""
        if handover is None or network is start:
            return self.guidance(network, odds, handover)
        return self.guidance(network, odds, handover, start.with_head(_change(start, network) - _head(start)))

    def guidance(
        self, network: nn.Module, odds: float, handover: float | None, change: ValueNetwork | None = None
    ) -> Guidance:
        early = LearnedGuidance(network, self.model.schedule)
        if handover is None or odds <= 0:
            return early
        assert isinstance(self.region, IntervalRegion)  # only then is there a handover
        coordinate, lower, upper = self.region.interval
        middle, half = 0.5 * (lower + upper), 0.5 * _AIM * (upper - lower)
        if half < math.inf:
            lower, upper = middle - half, middle + half
        late = IntervalGuidance(coordinate, lower, upper, odds, self.model.schedule, self.model.units)
        if change is not None:
            late = late + LearnedGuidance(change, self.model.schedule)
        return Handover(early, late, self.model.schedule, handover)

    def draw(self, guidance: Guidance, network: nn.Module, n: int, purpose: str) -> "_Paths":
        sampler = self.choices.sampler(self.model, guidance)
        paths = draw_labelled(sampler, network, n, derive_seed(self.seed, purpose), self.progress)
        return _Paths(paths, self.region(paths.x).to(torch.float64).cpu())


@dataclass(frozen=True)
class _Paths:
    """Guided paths, and 1 for each that ends in A, else 0, float64 (n,)."""

    paths: Labelled
    inside: Tensor

    @property
    def probability(self) -> Estimate:
        """Unbiased estimate of p(A), ⟨dP/dQ 1_A⟩."""
        return Estimate.from_samples(self.paths.log_weight.exp() * self.inside)

    def round(self, odds: float, handover: float | None, variance: tuple[float, float] | None = None) -> Round:
        judged = certify(self.paths.work, self.paths.log_weight, odds * self.inside)
        share = float(self.inside.mean())
        return Round(handover, len(self.inside), share, judged.dissipation.value, judged.ess.value, variance)


def learn_region(
    model: Scored,
    region: Callable[[State], Tensor],
    points: State,
    own: Ensemble,
    *,
    success: float = 0.99,
    seed: int = 0,
    budget: int = 10_000_000,
    rounds: int = 2,
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
        rounds: number of rounds of guided paths from which V is learned.
        focus: whether V has additional units for the part of space where the points are, on its scale.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: process, solver and steps, which must have path weights at κ = 1.

    Raises:
        LearningError: V was not learned.
        LeastworkError: the noised and denoised guides or the guided paths do not reach A, or the budget is too small.
    """
    begin = time.perf_counter()
    task = _Task(model, region, success, seed, progress, choices)
    steps = len(choices.sampler(model).steps)
    spent = own.network_evaluations
    network = value_network(model, [region], own.x, derive_seed(seed, "network"), points if focus else None)
    through, bounded = sees_denoised(network), _has_border(region)
    path = (steps * (1 + PULL * through) + 1) * (1 + bounded * _TRIAL_SHARE * len(_HANDOVERS)) * rounds
    noised = min(int(_NOISED_SHARE * budget / evaluations_of_noised(through)), _MOST_NOISED)
    least = math.ceil(_FEWEST_PATHS * path / _PATH_SHARE / (1 - _DESCENT_SHARE[bounded]))
    if budget < least:
        raise LeastworkError(
            f"budget={budget} is too small for {steps} steps: give at least {least} network evaluations, or take fewer "
            "steps"
        )
    found = renoise(
        model, region, points, budget=int(_MEMBER_SHARE * budget), most=_MOST_MEMBERS,
        seed=derive_seed(seed, "members"), progress=progress, choices=choices,
    )  # fmt: skip
    spent += found.evaluations
    left = min(_PATH_SHARE * budget, budget - spent - (noised + _HELD_OUT) * evaluations_of_noised(through))
    n = min(max(int((1 - _DESCENT_SHARE[bounded]) * left / path), _FEWEST_PATHS), _MOST_PATHS)
    first = fit_ratio(
        network, model, model.to_network_units(own.x), _resampled_by_stays(found, derive_seed(seed, "stays")),
        iterations=1500, noised=noised, seed=derive_seed(seed, "ratio"), progress=progress,
    )  # fmt: skip
    spent += first.network_evaluations
    network = first.network
    estimates = [Estimate.from_samples(region(own.x).to(torch.float64).cpu())]
    history: list[Round] = []
    seen: list[_Paths] = []
    handover = _HANDOVERS[0] if bounded else None
    odds = _odds(estimates, success)
    for number in range(rounds):
        drawn = task.draw(task.guidance(network, odds, handover), network, n, f"round {number}")
        spent += drawn.paths.evaluations
        seen.append(drawn)
        estimates.append(drawn.probability)
        odds = _odds(estimates, success)
        if odds == 0:
            raise LeastworkError(f"no guided path reaches the region after V was first learned: {_REMEDY}")
        learned = fit_labels(
            network, [each.paths for each in seen], [odds * each.inside for each in seen],
            seed=derive_seed(seed, f"labels {number}"), progress=progress,
        )  # fmt: skip
        network = learned.network
        history.append(drawn.round(odds, handover, learned.variance))
    if bounded:
        tried = []
        for at in _HANDOVERS:
            drawn = task.draw(
                task.guidance(network, odds, at), network, max(int(_TRIAL_SHARE * n), _FEWEST_PATHS), f"handover {at}"
            )
            spent += drawn.paths.evaluations
            estimates.append(drawn.probability)
            tried.append(drawn.round(odds, at))
        handover = min(tried, key=lambda one: one.dissipation).handover
        history += tried
    odds = _odds(estimates, success)
    guidance = task.guidance(network, odds, handover)
    if isinstance(network, ValueNetwork):
        descent_budget = min(int(_DESCENT_SHARE[bounded] * left), budget - spent)
        moved, evaluations = _descend_head(task, network, odds, handover, descent_budget, estimates, history)
        spent += evaluations
        odds = _odds(estimates, success)
        guidance = task.with_change(network, moved, odds, handover)
    return RegionFit(
        guidance, odds, _weighted_mean(estimates), len(found.stays), found.acceptance,
        first.history, tuple(history), handover, spent, time.perf_counter() - begin,
    )  # fmt: skip


def _has_border(region: Callable[[State], Tensor]) -> bool:
    """Whether the region is an interval of a coordinate that can be differentiated."""
    return isinstance(region, IntervalRegion) and region.interval[0].differentiable


def _descend_head(
    task: _Task, start: ValueNetwork, odds: float, handover: float | None, left: int, estimates: list[Estimate],
    history: list[Round],
) -> tuple[ValueNetwork, int]:  # fmt: skip
    """Change the head step by step on fresh paths until the dissipation rises; also returns the evaluations used.

    Successive steps overshoot the minimum from one side and the other, and the dissipation is convex around it. So half
    of the last step, which no fresh paths have judged, is taken.
    """
    spent = 0
    before, network, lowest = start, start, math.inf
    sampler = task.choices.sampler(task.model, task.guidance(start, odds, handover))
    each = sampler.evaluations + PUSH * len(sampler.steps) * sees_denoised(start)
    draws = min(max(int(left / each / _PATHS_A_DESCENT), 1), _MOST_DESCENTS)
    for number in range(draws):
        n = min(int((left - spent) / (draws - number) / each), _MOST_PATHS)
        if n < _FEWEST_PATHS:
            break
        sampler = task.choices.sampler(task.model, task.with_change(start, network, odds, handover))
        response = draw_response(sampler, network, n, derive_seed(task.seed, f"descent {number}"), task.progress)
        spent += response.evaluations
        inside = task.region(response.x).to(torch.float64).cpu()
        estimates.append(Estimate.from_samples(response.log_weight.exp() * inside))
        done = descend(network, response, odds * inside, _MOST_DIVERGENCE)
        history.append(Round(handover, n, float(inside.mean()), done.dissipation, done.ess, None))
        if done.dissipation > lowest + _WORSE * done.stderr:
            return before, spent
        before, network, lowest = network, done.network, done.dissipation
    if network is before:  # no step was taken; a change of zero would still cost a product with the Jacobian
        return network, spent
    return before.with_head(0.5 * _change(before, network)), spent


def _head(network: ValueNetwork) -> Tensor:
    """Weights and bias of the last layer, (9, width)."""
    return torch.cat([network.head.weight.T, network.head.bias[None]]).detach()


def _change(before: ValueNetwork, after: ValueNetwork) -> Tensor:
    """Change of weights and bias of the last layer, (9, width)."""
    return _head(after) - _head(before)


_REMEDY = "give more guides, a wider region, or a larger budget"


def _resampled_by_stays(found: Members, seed: int) -> State:
    """Members drawn as often as the chains stayed at them."""
    index = torch.multinomial(found.stays, 2 * len(found.stays), True, generator=generator(seed, "stays"))
    return take(found.x, index)


def _weighted_mean(estimates: list[Estimate]) -> Estimate:
    """The mean of unbiased estimates of p(A), weighted by their inverse variances."""
    known = [one for one in estimates if float(one.value) > 0 and float(one.stderr) > 0]
    if not known:
        return Estimate(0.0, math.nan)
    weights = torch.tensor([1 / float(one.stderr) ** 2 for one in known], dtype=torch.float64)
    values = torch.tensor([float(one.value) for one in known], dtype=torch.float64)
    return Estimate(float(weights @ values / weights.sum()), float(weights.sum() ** -0.5))


def _odds(estimates: list[Estimate], success: float) -> float:
    """L from the estimates of p(A); if only the model's own samples are there, and none in A, from p(A) = 0.001."""
    probability = float(_weighted_mean(estimates).value)
    if probability == 0:
        return log_odds(1e-3, success) if len(estimates) == 1 else 0.0
    return log_odds(min(probability, 1 - 1e-6), success)

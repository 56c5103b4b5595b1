"""Least-work guidance into a rare region A of the model, from a few of its members.

    r(x) = L 1_A(x)      L = ln [s (1 − p) / (p (1 − s))]      V(x, t) = ln E[e^r/Z | x_t = x] → ln p_t(x | A)/p_t(x)

The tilt puts a share s of the target into A, p = p(A): it costs at least s ln(s/p) + (1 − s) ln((1 − s)/(1 − p)), and
p e^r/Z attains that. With s < 1 it is finite: a sample that misses A costs work, and does not make it infinite.

Chains of noising and denoising find members of A from the guides (:mod:`leastwork.path_guidance.renoise`). V is first
the log-ratio of the noised members and the model's own samples (:mod:`leastwork.fit.value`), and then the mean of what
is left of ln dP/dQ + r on the states of guided paths (:mod:`leastwork.fit.labels`), which know the chain's own steps
and where it goes astray; several rounds of them, each with the guidance so far. Where A is an interval of a smooth
coordinate its border is sharper than any network learns it, and :class:`leastwork.guidance.interval.IntervalGuidance`
takes over late, when the coordinate given x_t is nearly Gaussian; from which log-SNR is decided on fresh paths. Then
the head of V goes down the natural gradient of the dissipation (:func:`leastwork.fit.on_policy.descend`), late in
addition to the interval's guidance, each step judged by fresh paths.
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

_MEMBERS, _NOISED, _LABELLED = 0.2, 0.15, 0.45  # of the budget; a fifth is for the model's own samples
_DESCENDED = {True: 0.35, False: 0.65}  # of the paths' part of it, for steps of the head, with and without an interval
_DESCENTS = 4  # draws of paths for such steps, at most
_ENOUGH = 2500  # paths for one of them
_TRUST = 0.5  # nats: largest divergence of one of them
_WORSE = 3.0  # standard errors of the dissipation
_MOST_NOISED, _MOST_PATHS, _MOST_MEMBERS = 400_000, 16_384, 50_000
_FEWEST = 256  # paths of a round
_HELD = 8192  # noised states that judge how V is learned
_TRIED = 0.1  # of the paths of the rounds, for each handover that is tried
_HANDOVERS: tuple[float | None, ...] = (4.5, None)  # log-SNR; None: V goes all the way
_AIM = 0.75  # of the interval, its middle part: what aims at all of it stops short at its ends


@dataclass(frozen=True)
class Round:
    """Guided paths that V was learned from, or that tried a handover.

    Args:
        handover: the log-SNR at which the border of A took over; None where V went all the way.
        paths: their number.
        success: share of them in A.
        dissipation: work wasted, nats, of the guidance that drew them.
        ess: of dP/dQ · e^r.
        variance: of label − V on held-out states, before and after learning; None where nothing was learned.
    """

    handover: float | None
    paths: int
    success: float
    dissipation: float
    ess: float
    variance: tuple[float, float] | None


@dataclass(frozen=True)
class RegionFit:
    """The guidance, L and p(A) of its target, and what that took.

    Args:
        guidance: h.
        log_odds: L.
        probability: p(A), with its standard error.
        members: different members of A that V was learned from.
        acceptance: share of the moves that stayed in A.
        checks: how V was first learned.
        history: one entry a round.
        handover: the log-SNR at which the border of A takes over; None where V goes all the way.
        network_evaluations: of the model.
        seconds: all together.
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
        """The same as plain values, in one stage."""
        found = {"members": self.members, "acceptance": self.acceptance, "handover": self.handover}
        stage = {**found, "rounds": [asdict(one) for one in self.history]}
        return FitRecord(self.network_evaluations, self.seconds, (stage,))


@dataclass(frozen=True)
class _Task:
    """What all rounds share."""

    model: Scored
    region: Callable[[State], Tensor]
    success: float
    seed: int
    progress: Progress
    choices: Choices

    def steered(self, start: ValueNetwork, network: ValueNetwork, odds: float, handover: float | None) -> Guidance:
        """∇V of the network, late that of the interval and of what has changed since the start."""
        if handover is None or network is start:
            return self.guidance(network, odds, handover)
        return self.guidance(network, odds, handover, start.with_head(_change(start, network) - _head(start)))

    def guidance(
        self, network: nn.Module, odds: float, handover: float | None, change: ValueNetwork | None = None
    ) -> Guidance:
        early = LearnedGuidance(network, self.model.schedule)
        if handover is None or not isinstance(self.region, IntervalRegion) or odds <= 0:
            return early
        coordinate, lower, upper = self.region.interval
        middle, half = 0.5 * (lower + upper), 0.5 * _AIM * (upper - lower)
        if half < math.inf:
            lower, upper = middle - half, middle + half
        late = IntervalGuidance(coordinate, lower, upper, odds, self.model.schedule, self.model.units)
        if change is not None:
            late = late + LearnedGuidance(change, self.model.schedule)
        return Handover(early, late, self.model.schedule, handover)

    def draw(self, guidance: Guidance, network: nn.Module, n: int, purpose: str) -> "_Seen":
        sampler = self.choices.sampler(self.model, guidance)
        paths = draw_labelled(sampler, network, n, derive_seed(self.seed, purpose), self.progress)
        return _Seen(paths, self.region(paths.x).to(torch.float64).cpu())


@dataclass(frozen=True)
class _Seen:
    """Guided paths and which of them end in A, float64 (n,)."""

    paths: Labelled
    inside: Tensor

    @property
    def probability(self) -> Estimate:
        """p(A) = ⟨dP/dQ 1_A⟩, unbiased."""
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
        region: membership of A, data units (B, *event) -> bool (B,); with an ``interval``, its border is met by it.
        points: members of A, (M, *event), data units.
        own: the model's own samples, drawn with the same choices.
        success: s, the share of the target inside A, below one.
        seed: of all random numbers.
        budget: network evaluations, at most, those of the model's own samples included.
        rounds: of guided paths that V is learned from.
        focus: whether V also looks at the part of space where the points are, at its scale.
        progress: ``leastwork.support.progress.bar`` shows one.
        choices: how samples are drawn, with path weights at κ = 1.

    Raises:
        LearningError: V was not learned.
        LeastworkError: a region that the model does not come back to, or a budget that is too small.
    """
    begin = time.perf_counter()
    task = _Task(model, region, success, seed, progress, choices)
    steps = len(choices.sampler(model).steps)
    spent = own.network_evaluations
    network = value_network(model, [region], own.x, derive_seed(seed, "network"), points if focus else None)
    through, bounded = sees_denoised(network), isinstance(region, IntervalRegion)
    path = (steps * (1 + PULL * through) + 1) * (1 + bounded * _TRIED * len(_HANDOVERS)) * rounds
    noised = min(int(_NOISED * budget / evaluations_of_noised(through)), _MOST_NOISED)
    least = math.ceil(_FEWEST * path / _LABELLED / (1 - _DESCENDED[bounded]))
    if budget < least:
        raise LeastworkError(
            f"budget={budget} is too small for {steps} steps: give at least {least} network evaluations, or take fewer "
            "steps"
        )
    found = renoise(
        model, region, points, budget=int(_MEMBERS * budget), most=_MOST_MEMBERS, seed=derive_seed(seed, "members"),
        progress=progress, choices=choices,
    )  # fmt: skip
    spent += found.evaluations
    left = min(_LABELLED * budget, budget - spent - (noised + _HELD) * evaluations_of_noised(through))
    n = min(max(int((1 - _DESCENDED[bounded]) * left / path), _FEWEST), _MOST_PATHS)
    first = fit_ratio(
        network, model, model.to_network_units(own.x), _as_often(found, derive_seed(seed, "stays")),
        iterations=1500, noised=noised, seed=derive_seed(seed, "ratio"), progress=progress,
    )  # fmt: skip
    spent += first.network_evaluations
    network = first.network
    estimates = [Estimate.from_samples(region(own.x).to(torch.float64).cpu())]
    history: list[Round] = []
    seen: list[_Seen] = []
    handover = _HANDOVERS[0] if bounded else None
    odds = _odds(estimates, success)
    for number in range(rounds):
        drawn = task.draw(task.guidance(network, odds, handover), network, n, f"round {number}")
        spent += drawn.paths.evaluations
        seen.append(drawn)
        estimates.append(drawn.probability)
        odds = _odds(estimates, success)
        if odds == 0:
            raise LeastworkError(f"the guidance that was learned first does not reach the region: {_REMEDY}")
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
                task.guidance(network, odds, at), network, max(int(_TRIED * n), _FEWEST), f"handover {at}"
            )
            spent += drawn.paths.evaluations
            estimates.append(drawn.probability)
            tried.append(drawn.round(odds, at))
        handover = min(tried, key=lambda one: one.dissipation).handover
        history += tried
    odds = _odds(estimates, success)
    guidance = task.guidance(network, odds, handover)
    if isinstance(network, ValueNetwork):
        steered = min(int(_DESCENDED[bounded] * left), budget - spent)
        moved, evaluations = _descended(task, network, odds, handover, steered, estimates, history)
        spent += evaluations
        odds = _odds(estimates, success)
        guidance = task.steered(network, moved, odds, handover)
    return RegionFit(
        guidance, odds, _combined(estimates), len(found.stays), found.acceptance,
        first.history, tuple(history), handover, spent, time.perf_counter() - begin,
    )  # fmt: skip


def _descended(
    task: _Task, start: ValueNetwork, odds: float, handover: float | None, left: int, estimates: list[Estimate],
    history: list[Round],
) -> tuple[ValueNetwork, int]:  # fmt: skip
    """Steps of the head on fresh paths, as long as none makes things worse; and the evaluations that they took.

    Successive steps overshoot by turns, and the dissipation is convex about its minimum: of the last step, which no
    fresh paths have judged, half is taken.
    """
    spent = 0
    before, network, lowest = start, start, math.inf
    sampler = task.choices.sampler(task.model, task.guidance(start, odds, handover))
    each = sampler.evaluations + PUSH * len(sampler.steps) * sees_denoised(start)
    draws = min(max(int(left / each / _ENOUGH), 1), _DESCENTS)
    for number in range(draws):
        n = min(int((left - spent) / (draws - number) / each), _MOST_PATHS)
        if n < _FEWEST:
            break
        sampler = task.choices.sampler(task.model, task.steered(start, network, odds, handover))
        response = draw_response(sampler, network, n, derive_seed(task.seed, f"descent {number}"), task.progress)
        spent += response.evaluations
        inside = task.region(response.x).to(torch.float64).cpu()
        estimates.append(Estimate.from_samples(response.log_weight.exp() * inside))
        done = descend(network, response, odds * inside, _TRUST)
        history.append(Round(handover, n, float(inside.mean()), done.dissipation, done.ess, None))
        if done.dissipation > lowest + _WORSE * done.stderr:
            return before, spent
        before, network, lowest = network, done.network, done.dissipation
    if network is before:  # no step was taken, and a change of zero would cost a product with the Jacobian
        return network, spent
    return before.with_head(0.5 * _change(before, network)), spent


def _head(network: ValueNetwork) -> Tensor:
    """Its weights and bias, (9, width)."""
    return torch.cat([network.head.weight.T, network.head.bias[None]]).detach()


def _change(before: ValueNetwork, after: ValueNetwork) -> Tensor:
    """Of the head, (9, width)."""
    return _head(after) - _head(before)


_REMEDY = "give more guides, a wider region, or a larger budget"


def _as_often(found: Members, seed: int) -> State:
    """Members drawn as often as the chains stayed at them."""
    index = torch.multinomial(found.stays, 2 * len(found.stays), True, generator=generator(seed, "stays"))
    return take(found.x, index)


def _combined(estimates: list[Estimate]) -> Estimate:
    """The mean of unbiased estimates, each with the inverse of its variance as its weight."""
    known = [one for one in estimates if float(one.value) > 0 and float(one.stderr) > 0]
    if not known:
        return Estimate(0.0, math.nan)
    weights = torch.tensor([1 / float(one.stderr) ** 2 for one in known], dtype=torch.float64)
    values = torch.tensor([float(one.value) for one in known], dtype=torch.float64)
    return Estimate(float(weights @ values / weights.sum()), float(weights.sum() ** -0.5))


def _odds(estimates: list[Estimate], success: float) -> float:
    """L by the estimates of p(A); that of one in a thousand where none of them has a sample in A yet."""
    probability = float(_combined(estimates).value)
    if probability == 0:
        return log_odds(1e-3, success) if len(estimates) == 1 else 0.0
    return log_odds(min(probability, 1 - 1e-6), success)

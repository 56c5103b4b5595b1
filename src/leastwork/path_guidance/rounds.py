"""Rounds of guided paths into a region: their guidance, their estimates of p(A), and the share that ends in A."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from leastwork.fit.labels import Labelled, draw_labelled
from leastwork.fit.stopping import StoppedError
from leastwork.geometry.state import State
from leastwork.guidance.base import Guidance
from leastwork.guidance.handover import Handover
from leastwork.guidance.interval import IntervalGuidance
from leastwork.guidance.learned import Bound, LearnedGuidance
from leastwork.kernels.region import IntervalRegion
from leastwork.models.base import Scored
from leastwork.networks.value import ValueNetwork
from leastwork.sampling.choices import Choices
from leastwork.sampling.work import certify, log_odds
from leastwork.statistics.estimate import Estimate
from leastwork.support.progress import Progress
from leastwork.support.random import derive_seed

__all__ = ["FEWEST_PATHS", "Paths", "Round", "Task", "change_of", "has_border", "odds_of", "weighted_mean"]

FEWEST_PATHS = 256
"""Smallest number of paths in one round."""

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
class Paths:
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


@dataclass(frozen=True)
class Task:
    """Settings shared by all rounds; ``bound`` is that of |∇V|, once guided paths have been drawn."""

    model: Scored
    region: Callable[[State], Tensor]
    seed: int
    progress: Progress
    choices: Choices
    bound: Bound | None = None

    def with_change(self, start: ValueNetwork, network: ValueNetwork, odds: float, handover: float | None) -> Guidance:
        """∇V early; after the handover the guidance of the interval plus the change of ∇V since ``start``."""
        if handover is None or network is start:
            return self.guidance(network, odds, handover)
        return self.guidance(network, odds, handover, start.with_head(change_of(start, network) - _head(start)))

    def guidance(
        self, network: nn.Module, odds: float, handover: float | None, change: ValueNetwork | None = None
    ) -> Guidance:
        early = LearnedGuidance(network, self.model.schedule, self.bound)
        if handover is None or odds <= 0:
            return early
        assert isinstance(self.region, IntervalRegion)  # only then is there a handover
        coordinate, lower, upper = self.region.interval
        middle, half = 0.5 * (lower + upper), 0.5 * _AIM * (upper - lower)
        if half < math.inf:
            lower, upper = middle - half, middle + half
        late = IntervalGuidance(coordinate, lower, upper, odds, self.model.schedule, self.model.units)
        if change is not None:
            late = late + LearnedGuidance(change, self.model.schedule, self.bound)
        return Handover(early, late, self.model.schedule, handover)

    def draw(self, guidance: Guidance, network: nn.Module, n: int, left: int, purpose: str) -> "Paths":
        """Draw guided paths, at most n, and no more than the ``left`` network evaluations pay for.

        Raises:
            StoppedError: they pay for too few.
        """
        sampler = self.choices.sampler(self.model, guidance)
        n = min(n, left // sampler.evaluations)
        if n < FEWEST_PATHS:
            raise StoppedError("the budget of network evaluations was used up", "give a larger budget")
        paths = draw_labelled(sampler, network, n, derive_seed(self.seed, purpose), self.progress)
        return Paths(paths, self.region(paths.x).to(torch.float64).cpu())

    def bounded_by(self, paths: Labelled) -> "Task":
        """The same settings with a bound on |∇V| that these paths hardly ever exceed."""
        times = self.choices.sampler(self.model).steps.times[:-1]
        return replace(self, bound=paths.bound(self.model.schedule.log_snr(times)))


def has_border(region: Callable[[State], Tensor]) -> bool:
    """Whether the region is an interval of a coordinate that can be differentiated."""
    return isinstance(region, IntervalRegion) and region.interval[0].differentiable


def weighted_mean(estimates: list[Estimate]) -> Estimate:
    """The mean of unbiased estimates of p(A), weighted by their inverse variances."""
    known = [one for one in estimates if float(one.value) > 0 and float(one.stderr) > 0]
    if not known:
        return Estimate(0.0, math.nan)
    weights = torch.tensor([1 / float(one.stderr) ** 2 for one in known], dtype=torch.float64)
    values = torch.tensor([float(one.value) for one in known], dtype=torch.float64)
    return Estimate(float(weights @ values / weights.sum()), float(weights.sum() ** -0.5))


def odds_of(estimates: list[Estimate], success: float) -> float:
    """L from the estimates of p(A); if only the model's own samples are there, and none in A, from p(A) = 0.001."""
    probability = float(weighted_mean(estimates).value)
    if probability == 0:
        return log_odds(1e-3, success) if len(estimates) == 1 else 0.0
    return log_odds(min(probability, 1 - 1e-6), success)


def _head(network: ValueNetwork) -> Tensor:
    """Weights and bias of the last layer, (9, width)."""
    return torch.cat([network.head.weight.T, network.head.bias[None]]).detach()


def change_of(before: ValueNetwork, after: ValueNetwork) -> Tensor:
    """Change of weights and bias of the last layer, (9, width)."""
    return _head(after) - _head(before)

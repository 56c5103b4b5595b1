"""Stages towards distant data: o_β = (1 − β) m + β o, with β as large as the effective samples allow.

Where the data o are far from the model's own averages m, the weights e^r have few effective samples. Then the data
are approached in stages that aim at

    o_β = (1 − β) m + β o,      β the largest with ESS(dP/dQ · e^{r_β}) ≥ ½ ESS(dP/dQ · e^{r of the stage before}),

Each stage weights its samples by the path weights dP/dQ of the guidance that drew them, so that λ always refers to the
model itself (annealed importance sampling; Neal, Stat. Comput. 11, 125, 2001). Stages on the way take fewer steps; λ of
the data themselves is solved for on paths of all steps.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.errors import InfeasibleError, LeastworkError, LeastworkWarning
from leastwork.geometry.state import State, cat
from leastwork.sampling.choices import Choices
from leastwork.sampling.work import kish_ess

__all__ = [
    "Aim",
    "Drawn",
    "agrees",
    "aim",
    "at_once",
    "fewer_steps",
    "join",
    "needs_stages",
    "part_way",
    "solve",
    "solve_pooled",
]

_MIN_ESS_KEPT = 0.5  # ESS of a stage's target, at least, relative to that of the stage before
_MIN_ESS_FOR_DATA = 0.3  # the same for the last stage, which aims at the data themselves
_STEPS_ON_THE_WAY = 0.25  # steps of a stage that does not aim at the data themselves, relative to those asked for
_FEWEST_STEPS = 50  # but not fewer than so many
_FEWEST_AT_ONCE = 100  # effective samples from which V of the data themselves is learned where stages cost too much
_CONFIDENCE = 0.95  # level of the χ² test of whether the model's averages equal the data


@dataclass(frozen=True)
class Drawn:
    """Samples of one guidance: states in data units, observables (n, K), ln dP/dQ (n,), network evaluations."""

    x: State
    observed: Tensor
    log_weight: Tensor
    evaluations: int

    def log_w(self, maxent: MaxEnt) -> Tensor:
        """ln(dP/dQ · e^r), (n,)."""
        return self.log_weight + maxent.log_tilt_of(self.observed)

    def ess(self, maxent: MaxEnt) -> float:
        return kish_ess(self.log_w(maxent)).value

    def omega(self, lambdas: Tensor) -> Tensor:
        """dP/dQ · e^{−λ·O}/Z, of mean one, (n,); λ: (K,)."""
        return len(self.observed) * torch.softmax(self.log_weight - self.observed @ lambdas, dim=0)


@dataclass(frozen=True)
class Aim:
    """The goal of a stage: the fraction β of the way, its maximum-entropy fit, and the ESS of dP/dQ · e^r."""

    fraction: float
    maxent: MaxEnt
    ess: float


def aim(drawn: Drawn, data: Experiment, start: Tensor, reached: float = 0.0, keep: float = 1.0) -> Aim:
    """The goal with the largest β that the samples allow, found by bisection.

    Args:
        drawn: samples of the guidance so far.
        data: the experiment, which is the goal at β = 1.
        start: m, the model's own averages, (K,).
        reached: β of the stage before.
        keep: ESS of the drawn samples at that β.

    Raises:
        InfeasibleError: neither the data nor any goal on the way to them can be reached.
        LeastworkError: β cannot be raised by a useful amount.
    """
    best = _try(drawn, data, 1.0)
    if best is not None and best.ess >= _MIN_ESS_FOR_DATA * keep:
        return best
    low, high, best = reached, 1.0, None
    for _ in range(12):
        middle = 0.5 * (low + high)
        found = _try(drawn, part_way(data, start, middle), middle)
        if found is not None and found.ess >= _MIN_ESS_KEPT * keep:
            low, best = middle, found
        else:
            high = middle
    if best is None or best.fraction < reached + 1e-3 * (1 - reached):
        solve(drawn, data)  # raises InfeasibleError, which names the datum that is out of reach
        raise LeastworkError(
            f"guidance in stages stalls at {reached:.1%} of the way from the model's averages to the data: "
            "draw more samples, use more steps, or give the data larger errors"
        )
    return best


def agrees(drawn: Drawn, maxent: MaxEnt, data: Experiment) -> bool:
    """Whether the model's averages agree with the data within sampling error: 2n·KL against χ² (Wilks, 1938)."""
    n, fitted = len(drawn.observed), len(data.fitted)
    half = torch.tensor([fitted / 2, max(n * maxent.kl, 0.0)], dtype=torch.float64)
    return float(torch.special.gammainc(*half)) < _CONFIDENCE  # P(χ² < 2n·KL)


def at_once(drawn: Drawn, data: Experiment, reached: float, budget: int, enough: int, pays: bool) -> Aim:
    """The data themselves as the goal, since a budget pays for no stage on the way.

    Args:
        drawn: samples of the guidance so far.
        data: the experiment.
        reached: β of the stage before.
        budget: network evaluations of the whole fit.
        enough: network evaluations with which a fit has stages, for the messages.
        pays: whether what is left of them pays for the last stage.

    Raises:
        InfeasibleError: the data cannot be reached.
        LeastworkError: the samples have fewer than a hundred effective ones for the data, or the budget is used up.

    Warns:
        LeastworkWarning: the data are the goal.
    """
    found = Aim(1.0, maxent := solve(drawn, data), drawn.ess(maxent))
    effective = found.ess * len(drawn.observed)
    if not pays or effective < _FEWEST_AT_ONCE:
        raise LeastworkError(
            f"the budget of {budget} network evaluations ends {reached:.0%} of the way from the model's averages to "
            f"the data, for which {effective:.0f} samples are effective: give at least {enough}, or take fewer steps"
        )
    warnings.warn(
        f"the budget of {budget} network evaluations pays for no stage on the way to the data, so V is learned at once "
        f"from {effective:.0f} effective samples, and wastes more than it would: give at least {enough}",
        LeastworkWarning,
        stacklevel=6,
    )
    return found


def fewer_steps(choices: Choices) -> Choices:
    """The choices of stages on the way: their V is only a beginning for the next, so that fewer steps suffice.

    A grid that is given as times is kept.

    >>> fewer_steps(Choices(steps=400)).steps, fewer_steps(Choices(steps=30)).steps
    (100, 30)
    """
    if isinstance(choices.t_grid, Tensor):
        return choices
    steps = max(int(_STEPS_ON_THE_WAY * choices.steps), min(choices.steps, _FEWEST_STEPS))
    return replace(choices, steps=steps)


def needs_stages(drawn: Drawn, data: Experiment) -> bool:
    """Whether the data take more than one stage."""
    found = _try(drawn, data, 1.0)
    return found is None or found.ess < _MIN_ESS_FOR_DATA


def solve(drawn: Drawn, data: Experiment) -> MaxEnt:
    """λ on weighted samples, without the warning of few effective samples, which the stages deal with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)
        return fit_lambdas(drawn.observed, data, drawn.log_weight)


def join(pool: Sequence[Drawn], maxent: MaxEnt) -> Drawn:
    """Samples of several guidances, each with a share in proportion to its effective number under ``maxent``."""
    shares = [math.log(len(drawn.observed) * drawn.ess(maxent)) for drawn in pool]
    parts = [torch.log_softmax(drawn.log_weight, dim=0) + s for drawn, s in zip(pool, shares, strict=True)]
    return Drawn(
        cat([drawn.x for drawn in pool]),
        torch.cat([drawn.observed for drawn in pool]),
        torch.cat(parts),
        sum(drawn.evaluations for drawn in pool),
    )


def solve_pooled(pool: Sequence[Drawn], data: Experiment, maxent: MaxEnt) -> MaxEnt:
    """λ on the samples of several guidances."""
    return solve(join(pool, maxent), data)


def part_way(data: Experiment, start: Tensor, fraction: float) -> Experiment:
    """The data, moved back towards the averages ``start`` (K,) by the fraction 1 − ``fraction`` of the way."""
    if fraction == 1:
        return data
    lower, upper = data.interval
    shift = (1 - fraction) * (start - torch.minimum(torch.maximum(start, lower), upper))
    return replace(data, values=data.values + shift, lower=data.lower + shift, upper=data.upper + shift)


def _try(drawn: Drawn, data: Experiment, fraction: float) -> Aim | None:
    """The goal at ``data``, or None if no weights of the samples reach it."""
    try:
        maxent = solve(drawn, data)
    except InfeasibleError:
        return None
    return Aim(fraction, maxent, drawn.ess(maxent))

"""How far guidance may go towards the data with the samples there are.

Far from the model, where e^r has few effective samples, the data are approached from the model's own averages m,

    o_β = (1 − β) m + β o,      β the largest with ESS(dP/dQ · e^{r_β}) ≥ ½ ESS(dP/dQ · e^{r of the stage before}),

each stage weighting its samples by the path weights of the guidance that drew them, so that λ is always that of the
model itself (annealed importance sampling; Neal, Stat. Comput. 11, 125, 2001).
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from scipy.special import gammaincinv
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.errors import InfeasibleError, LeastworkError, LeastworkWarning
from leastwork.geometry.state import State, cat
from leastwork.sampling.work import kish_ess

__all__ = ["Aim", "Drawn", "agrees", "aim", "far", "joined", "part_way", "pooled", "solve"]

_ENOUGH = 0.5  # ESS that a stage keeps
_LAST = 0.3  # ESS with which it may go all the way
_ALIKE = 0.95  # of models that do have the data's averages, the share whose samples agree with them


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
    """What a stage is to reach: the fraction β of the way, its maximum-entropy fit, and the ESS of dP/dQ · e^r."""

    fraction: float
    maxent: MaxEnt
    ess: float


def aim(drawn: Drawn, data: Experiment, start: Tensor, reached: float = 0.0, keep: float = 1.0) -> Aim:
    """The largest β, by bisection.

    Args:
        drawn: samples of the guidance so far.
        data: what is to be met at β = 1.
        start: m, the model's own averages, (K,).
        reached: β so far.
        keep: ESS of the drawn samples at that β.

    Raises:
        InfeasibleError: the data are out of reach, and nearer ones too.
        LeastworkError: no step worth taking is left.
    """
    best = _try(drawn, data, 1.0)
    if best is not None and best.ess >= _LAST * keep:
        return best
    low, high, best = reached, 1.0, None
    for _ in range(12):
        middle = 0.5 * (low + high)
        found = _try(drawn, part_way(data, start, middle), middle)
        if found is not None and found.ess >= _ENOUGH * keep:
            low, best = middle, found
        else:
            high = middle
    if best is None or best.fraction < reached + 1e-3 * (1 - reached):
        solve(drawn, data)  # says what is out of reach
        raise LeastworkError(
            f"guidance in stages stalls at {reached:.1%} of the way from the model's averages to the data: "
            "draw more samples, use more steps, or give the data larger errors"
        )
    return best


def agrees(drawn: Drawn, maxent: MaxEnt, data: Experiment) -> bool:
    """Whether the model's own samples cannot tell its averages from the data: 2n·KL against χ² (Wilks, 1938)."""
    n, fitted = len(drawn.observed), len(data.fitted)
    return 2 * n * maxent.kl < 2 * float(gammaincinv(fitted / 2, _ALIKE))  # the quantile of χ²


def far(drawn: Drawn, data: Experiment) -> bool:
    """Whether the data take more than one stage."""
    found = _try(drawn, data, 1.0)
    return found is None or found.ess < _LAST


def solve(drawn: Drawn, data: Experiment) -> MaxEnt:
    """λ on weighted samples; few effective ones are what stages are for, so there is no warning of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)
        return fit_lambdas(drawn.observed, data, drawn.log_weight)


def joined(pool: Sequence[Drawn], maxent: MaxEnt) -> Drawn:
    """Samples of several guidances, each with a share in proportion to its effective number under ``maxent``."""
    shares = [math.log(len(drawn.observed) * drawn.ess(maxent)) for drawn in pool]
    parts = [torch.log_softmax(drawn.log_weight, dim=0) + s for drawn, s in zip(pool, shares, strict=True)]
    return Drawn(
        cat([drawn.x for drawn in pool]),
        torch.cat([drawn.observed for drawn in pool]),
        torch.cat(parts),
        sum(drawn.evaluations for drawn in pool),
    )


def pooled(pool: Sequence[Drawn], data: Experiment, maxent: MaxEnt) -> MaxEnt:
    """λ on samples of several guidances."""
    return solve(joined(pool, maxent), data)


def part_way(data: Experiment, start: Tensor, fraction: float) -> Experiment:
    """The data, moved back towards averages ``start`` (K,)."""
    if fraction == 1:
        return data
    lower, upper = data.interval
    shift = (1 - fraction) * (start - torch.minimum(torch.maximum(start, lower), upper))
    return replace(data, values=data.values + shift, lower=data.lower + shift, upper=data.upper + shift)


def _try(drawn: Drawn, data: Experiment, fraction: float) -> Aim | None:
    """None where the samples cannot reach the data."""
    try:
        maxent = solve(drawn, data)
    except InfeasibleError:
        return None
    return Aim(fraction, maxent, drawn.ess(maxent))

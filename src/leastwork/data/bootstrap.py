"""Bootstrap errors of reweighted quantities, with λ fitted anew in each repeat:

    samples:  p_i ∝ E_i p_i, E_i ~ Exp(1)        data:  o ~ N(o, Σ)        stderr(T)² = Σ_b (T_b − T̄)² / (B − 1)

(Efron, Ann. Stat. 7, 1, 1979). Samples get random positive weights instead of random copies (Rubin, Ann. Stat. 9, 130,
1981): no sample is lost, so that data within reach of the samples stay within reach. Data are drawn from the errors of
the experiment, including θ; bounds are not changed. Both sources of error in reweighted ensembles are discussed by
Orioli, Larsen, Bottaro & Lindorff-Larsen (Prog. Mol. Biol. Transl. Sci. 170, 123, 2020).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.errors import LeastworkError, LeastworkWarning, NonFiniteError
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import generator

__all__ = ["Refit", "Resample", "bootstrap_reweighted"]

Resample: TypeAlias = Literal["samples", "data", "both"]


@dataclass(frozen=True, eq=False)
class Refit:
    """One repeat of the bootstrap.

    Args:
        fit: λ and averages of this repeat.
        experiment: the data of this repeat.
        model: weights of the samples under the model, float64 (n,), of sum one.
        tilted: weights of the samples under the tilted distribution, float64 (n,), of sum one.
    """

    fit: MaxEnt
    experiment: Experiment
    model: Tensor
    tilted: Tensor


def bootstrap_reweighted(
    observed: Tensor,
    experiment: Experiment,
    statistic: Callable[[Refit], Tensor],
    *,
    log_weight: Tensor | None = None,
    repeats: int = 200,
    resample: Resample = "both",
    group: int = 1,
    seed: int = 0,
) -> Estimate:
    """A statistic of the reweighted samples, with its standard error.

    Args:
        observed: O of the model's samples, (n, K).
        experiment: the K data.
        statistic: function of a Refit that gives a number or (M,), such as ``lambda refit: refit.fit.predicted``, or
            ``lambda refit: refit.tilted @ f`` for the average of a function with values f (n, M).
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.
        repeats: number B of repeats; the relative error of a standard error is 1/√(2B).
        resample: what is drawn anew: the "samples", the "data" or "both".
        group: number of successive samples that depend on each other; different groups are independent.
        seed: seed of all random numbers.

    Returns:
        The statistic of the samples and data as they are, and its standard error, float64.

    Raises:
        LeastworkError: there are fewer than two repeats, ``resample`` is unknown, or the samples do not form whole
            groups.
        InfeasibleError: no weighting of the samples meets the data.
        NonFiniteError: the statistic is NaN or infinite.

    >>> from leastwork.observables import Observable
    >>> x = torch.linspace(-3, 3, 1001, dtype=torch.float64)[:, None]
    >>> data = Experiment(Observable(lambda x: x, names="x"), values=[0.5], errors=0.5)
    >>> bootstrap_reweighted(x, data, lambda refit: refit.fit.predicted, resample="data")
    [0.4611 ± 0.45]
    """
    observed = observed.detach().to("cpu", torch.float64)
    observed = observed[:, None] if observed.ndim == 1 else observed
    n = len(observed)
    if repeats < 2:
        raise LeastworkError(f"repeats = {repeats}: give at least two, so that there is a spread")
    if resample not in get_args(Resample):
        raise LeastworkError(f"resample = {resample!r}: choose one of {get_args(Resample)}")
    if group < 1 or n % group:
        raise LeastworkError(f"{n} samples do not divide into groups of {group}: pass whole groups")
    value = _statistic_of_fit(observed, experiment, statistic, log_weight)
    base = torch.zeros(n, dtype=torch.float64) if log_weight is None else log_weight.detach().to(value)
    of_samples, of_data = generator(seed, "bootstrap of samples"), generator(seed, "bootstrap of data")
    root = _root(experiment.covariance)
    drawn = []
    for _ in range(repeats):
        weight, data = log_weight, experiment
        if resample != "data":
            shares = torch.empty(n // group, dtype=torch.float64).exponential_(generator=of_samples)
            weight = base + shares.log().repeat_interleave(group)
        if resample != "samples":
            noise = root @ torch.randn(len(root), generator=of_data, dtype=torch.float64)
            data = replace(experiment, values=experiment.values + noise)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeastworkWarning)  # the warning has been given for the samples as they are
            drawn.append(_statistic_of_fit(observed, data, statistic, weight))
    stderr = torch.stack(drawn).std(dim=0)
    return Estimate(value, stderr) if value.ndim else Estimate(float(value), float(stderr))


def _statistic_of_fit(
    observed: Tensor, experiment: Experiment, statistic: Callable[[Refit], Tensor], log_weight: Tensor | None
) -> Tensor:
    fit = fit_lambdas(observed, experiment, log_weight)
    log_p = torch.zeros(len(observed), dtype=torch.float64) if log_weight is None else log_weight.to(observed)
    refit = Refit(fit, experiment, log_p.softmax(dim=0), (log_p + fit.log_tilt_of(observed)).softmax(dim=0))
    value = torch.as_tensor(statistic(refit)).detach().to("cpu", torch.float64)
    if not value.isfinite().all():
        raise NonFiniteError("the statistic of the bootstrap is NaN or infinite: check its value for one fit")
    return value


def _root(covariance: Tensor) -> Tensor:
    """R with R Rᵀ = Σ, which may be singular."""
    size, vectors = torch.linalg.eigh(covariance)
    return vectors * size.clamp(min=0).sqrt()

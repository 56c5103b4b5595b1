"""Metrics of a run with couplings, under ``quality`` in metrics.json: θ, and χ² per datum of each type.

    χ² = dᵀΣ⁻¹d / K,  d = E[J] − J_measured        Var χ² = (4 dᵀΣ⁻¹VΣ⁻¹d + 2 tr(VΣ⁻¹VΣ⁻¹)) / K²

Σ is the covariance of the errors as stated, that of the relations included and θ not; V that of the averages over n
samples. Of reweighted averages the error is bootstrapped, λ fitted anew to samples drawn anew. The change of χ² from
before to after has an error over data besides, from leaving out one of the K at a time (the jackknife; Efron & Stein,
Ann. Stat. 9, 586, 1981): how much it depends on what was measured.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from leastwork.data.bootstrap import Refit, bootstrap_reweighted
from leastwork.data.experiment import Experiment
from leastwork.data.trust import chi_squared, with_theta
from leastwork.observable_guidance.files import FitNumbers
from leastwork.runs.base.numbers import with_stderr
from leastwork.runs.observables.couplings.inputs import KindsOfData
from leastwork.sampling.work import kish_ess
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import derive_seed

__all__ = ["ENOUGH", "coupling_metrics"]

ENOUGH = 1000
"""Effective samples with which reweighting alone does."""

_REPEATS = 100


def coupling_metrics(
    found: KindsOfData,
    stated: Experiment,
    data: Experiment,
    fitted: FitNumbers,
    guided: Tensor | None,
    rows: Sequence[Mapping[str, Any]],
    theta: float,
    seed: int,
) -> dict[str, Any]:
    """Everything about couplings and the data beside them.

    Args:
        found: the kinds of the data.
        stated: the data as stated.
        data: the data as they are fitted, but for θ of the fit.
        fitted: λ, θ and the model's samples.
        guided: couplings of guided samples, (n, K), or None.
        rows: the averages, as in metrics.json.
        theta: θ of the couplings where it was not chosen.
        seed: the seed of the run.
    """
    curve = {"theta": theta} if fitted.trust is None else fitted.trust.parts()
    ess = kish_ess(fitted.maxent.log_tilt_of(fitted.observed)).value
    effective = len(fitted.observed) * float(ess)
    return {
        "trust": {**curve, "left_out": None if fitted.trust is None else found.left_out},
        "chi_squared": _by_type(found, stated, data, fitted, guided, seed),
        "reweighting": {"effective": effective, "enough": effective >= ENOUGH, "criterion": ENOUGH},
        "guided_against_reweighted": None if guided is None else _largest_difference(rows),
    }


def _by_type(
    found: KindsOfData,
    data: Experiment,
    fitted_data: Experiment,
    fitted: FitNumbers,
    guided: Tensor | None,
    seed: int,
) -> list[dict[str, Any]]:
    """χ² of each kind, then of all that is fitted, all that is held out, and all; data without error are left out."""
    held = data.held_out.tolist()
    parts: dict[str, list[int]] = {}
    judged = (data.covariance.diagonal() > 0).tolist()
    for k, (kind, out) in enumerate(zip(found.types, held, strict=True)):
        if not judged[k]:
            continue
        split = any(kind == other and out != held[j] for j, other in enumerate(found.types))
        parts.setdefault(kind if not split else f"{kind}, {'held out' if out else 'fitted'}", []).append(k)
    parts |= {"all fitted": [k for k, out in enumerate(held) if judged[k] and not out]}
    aside = [k for k, out in enumerate(held) if judged[k] and out]
    if aside:
        parts |= {"all held out": aside, "all": [k for k, has_error in enumerate(judged) if has_error]}
    members = [torch.tensor(part) for part in parts.values()]
    weights = torch.softmax(fitted.maxent.log_tilt_of(fitted.observed), dim=0)
    reweighted = [chi_squared(weights @ fitted.observed, data, part) for part in members]
    errors = _refitted_errors(data, fitted_data, fitted, members, seed)
    mean = fitted.observed.mean(dim=0)
    last = weights @ fitted.observed if guided is None else guided.to(torch.float64).mean(dim=0)
    before = _of_samples(fitted.observed, data, members)
    after = None if guided is None else _of_samples(guided, data, members)
    entries = []
    for i, (name, part) in enumerate(parts.items()):
        out = {held[k] for k in part}
        entries.append(
            {
                "type": name,
                "data": len(part),
                "held_out": out.pop() if len(out) == 1 else None,
                "model": with_stderr(before[i]),
                "reweighted": with_stderr(Estimate(reweighted[i], errors[i])),
                "guided": None if after is None else with_stderr(after[i]),
                "change": with_stderr(_change(data, mean, last, members[i])),
            }
        )
    return entries


def _of_samples(observed: Tensor, data: Experiment, members: Sequence[Tensor]) -> list[Estimate]:
    """χ² of plain averages of samples, (n, K)."""
    observed = observed.to(torch.float64)
    mean, covariance = observed.mean(dim=0), observed.T.cov() / len(observed)
    covariance = covariance.reshape(len(mean), len(mean))
    outside = data.outside(mean)
    found = []
    for of in members:
        precision = torch.linalg.inv(data.covariance[of][:, of])
        pull, spread = precision @ outside[of], covariance[of][:, of] @ precision
        variance = 4 * pull @ covariance[of][:, of] @ pull + 2 * (spread @ spread).trace()
        found.append(Estimate(chi_squared(mean, data, of), float(variance.sqrt()) / len(of)))
    return found


def _change(data: Experiment, before: Tensor, after: Tensor, of: Tensor) -> Estimate:
    """χ² after less χ² before, with its error over the data; NaN where there is one."""

    def change(some: Tensor) -> float:
        return chi_squared(after, data, some) - chi_squared(before, data, some)

    count = len(of)
    if count < 2:
        return Estimate(change(of), math.nan)
    without = torch.tensor([change(torch.cat([of[:k], of[k + 1 :]])) for k in range(count)], dtype=torch.float64)
    return Estimate(change(of), float(((count - 1) * without.var(correction=0)).sqrt()))


def _refitted_errors(
    stated: Experiment, data: Experiment, fitted: FitNumbers, members: Sequence[Tensor], seed: int
) -> list[float]:
    """Standard errors of χ² of reweighted averages, λ fitted to each draw of the samples."""

    def statistic(refit: Refit) -> Tensor:
        return torch.tensor([chi_squared(refit.fit.predicted, stated, of) for of in members], dtype=torch.float64)

    drawn = bootstrap_reweighted(
        fitted.observed,
        with_theta(data, fitted.theta),
        statistic,
        repeats=_REPEATS,
        resample="samples",
        seed=derive_seed(seed, "errors of χ²"),
    )
    return drawn.stderr.tolist()


def _largest_difference(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of guided from reweighted averages, in standard errors of both together."""

    def size(row: Mapping[str, Any]) -> float:
        error = math.hypot(row["stderr"] or 0.0, row["reweighted_stderr"] or 0.0)
        return (row["guided"] - row["reweighted"]) / error if error else 0.0

    worst = max(rows, key=lambda row: abs(size(row)))
    return {"name": worst["name"], "difference": worst["guided"] - worst["reweighted"], "standard_errors": size(worst)}

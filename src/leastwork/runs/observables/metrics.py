"""The numbers of a run as they stand in ``metrics.json``: each with its standard error, null where there is none."""

import math
from typing import Any

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.observable_guidance.files import FitNumbers
from leastwork.runs.base.numbers import number
from leastwork.runs.base.typed import as_plain_values
from leastwork.runs.observables.numbers import ObservableRow
from leastwork.statistics.estimate import Estimate

__all__ = ["observable_metrics", "reweighted_averages"]


def observable_metrics(data: Experiment, fitted: FitNumbers, guided: Tensor | None) -> list[dict[str, Any]]:
    """One entry a datum: before, reweighted and after.

    Args:
        data: the experiment.
        fitted: λ and the model's samples.
        guided: observables of guided samples, (n, K), or None where nothing was guided.
    """
    maxent = fitted.maxent
    model = Estimate.from_samples(fitted.observed)
    if fitted.linearisation is not None:  # of a function of averages its slope tells little so far away
        model = Estimate(fitted.linearisation.model, model.stderr)
    reweighted = reweighted_averages(data, fitted)
    nothing = torch.full((len(data.names),), math.nan)
    after = Estimate(nothing, nothing) if guided is None else Estimate.from_samples(guided)
    columns = {
        "target": data.values,
        "error": data.covariance.diagonal().sqrt(),
        "lower": data.lower,
        "upper": data.upper,
        "optimum": maxent.target,
        "model": model.value,
        "model_stderr": model.stderr,
        "reweighted": reweighted.value,
        "reweighted_stderr": reweighted.stderr,
        "guided": after.value,
        "stderr": after.stderr,
        "sigma": maxent.model_std,
        "lambda_": maxent.lambdas,
        "lambda_stderr": maxent.stderr,
    }
    return [
        as_plain_values(
            ObservableRow(
                name, data.units[k], bool(data.held_out[k]), **{key: number(one[k]) for key, one in columns.items()}
            )
        )
        for k, name in enumerate(data.names)
    ]


def reweighted_averages(data: Experiment, fitted: FitNumbers, of: Tensor | None = None) -> Estimate:
    """Averages of the model's samples under the target, (K,), with errors that know λ was fitted to the same samples.

    Args:
        data: the experiment, its errors as stated.
        fitted: λ, θ and the model's samples.
        of: other functions of the samples than the observables that were fitted, float64 (n, M).

    λ holds the fitted averages f at their data, so that of an observable only what does not follow them is uncertain:
    ψ = w (O − ⟨O⟩ − (f − ⟨f⟩)(C_ff + θΣ_ff)⁻¹ C_fO), with C the covariance under the target. A λ that was fitted to
    guided samples too holds nothing of these: ψ = w (O − ⟨O⟩).
    """
    observed, lambdas = fitted.observed, fitted.maxent.lambdas
    w = torch.softmax(fitted.maxent.log_tilt_of(observed), dim=0)
    wanted = observed if of is None else of
    mean = w @ wanted
    centred = wanted - mean
    if fitted.stages:
        return Estimate.from_influence(mean, len(w) * w[:, None] * centred)
    active = lambdas.nonzero()[:, 0]
    f = observed[:, active] - w @ observed[:, active]
    covariance = f.T @ (w[:, None] * f) + fitted.theta * data.covariance[active][:, active]
    follows = torch.linalg.lstsq(covariance, f.T @ (w[:, None] * centred), driver="gelsd").solution
    return Estimate.from_influence(mean, len(w) * w[:, None] * (centred - f @ follows))

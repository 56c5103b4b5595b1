"""The numbers of a run as they stand in ``metrics.json``: each with its standard error, null where there is none."""

import math
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from leastwork.ensemble import Ensemble
from leastwork.estimate import Estimate
from leastwork.experiment import Experiment
from leastwork.step_error import StepError
from leastwork.step_loss import StepLoss
from leastwork.work import ON_TARGET, Certificate, certify
from leastwork.workflow.fitted import Fitted

__all__ = [
    "certificate_metrics",
    "certify_run",
    "number",
    "observable_metrics",
    "reweighted_averages",
    "step_metrics",
    "versions",
    "with_stderr",
]


def number(value: Any) -> float | None:
    """A finite float, or None."""
    value = float(value)
    return value if math.isfinite(value) else None


def with_stderr(one: Estimate) -> dict[str, float | None]:
    """A value and its standard error."""
    return {"value": number(one.value), "stderr": number(one.stderr)}


def step_metrics(found: StepError, loss: StepLoss | None = None) -> dict[str, Any]:
    """Estimated errors of the number of steps: of each average with the observable's σ, of ln⟨w⟩, and wasted work."""
    averages = found.observables
    rows: list[dict[str, Any]] = []
    if averages is not None and found.spread is not None:
        columns = zip(averages.value, averages.stderr, found.spread, found.large.tolist(), strict=True)
        rows = [{"value": number(v), "stderr": number(e), "sigma": number(s), "large": b} for v, e, s, b in columns]
    return {
        "steps": found.steps,
        "paths": found.paths,
        "averages": rows,
        "log_z": None if found.log_z is None else with_stderr(found.log_z),
        "matters": found.matters,
        "loss": None if loss is None else with_stderr(loss.total),
    }


def versions() -> dict[str, str]:
    """Of what determines a run's numbers."""
    found = {"python": platform.python_version()}
    for package in ("leastwork", "torch", "numpy", "scipy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # a source tree that was never installed
            found[package] = "unknown"
    return found


def observable_metrics(data: Experiment, fitted: Fitted, guided: Tensor | None) -> list[dict[str, Any]]:
    """One entry a datum: before, reweighted and after.

    Args:
        data: the experiment.
        fitted: λ and the model's samples.
        guided: observables of guided samples, (n, K), or None where nothing was guided.
    """
    maxent = fitted.maxent
    model = Estimate.from_samples(fitted.observed)
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
        "lambda": maxent.lambdas,
        "lambda_stderr": maxent.stderr,
    }
    return [
        {
            "name": name,
            "unit": data.units[k],
            "held_out": bool(data.held_out[k]),
            **{key: number(column[k]) for key, column in columns.items()},
        }
        for k, name in enumerate(data.names)
    ]


def reweighted_averages(data: Experiment, fitted: Fitted, of: Tensor | None = None) -> Estimate:
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


def certify_run(ensemble: Ensemble, observed: Tensor, fitted: Fitted, data: Experiment) -> Certificate | None:
    """The certificate of fresh samples whose observables are ``observed``, (n, K); None without path weights."""
    ledger, maxent = ensemble.ledger, fitted.maxent
    if ledger.work is None or ledger.log_weight is None:
        return None
    tilt = fitted.maxent.log_tilt_of(observed)
    return certify(ledger.work, ledger.log_weight, tilt, observed, maxent.target, maxent.model_std, data.fitted)


def certificate_metrics(certificate: Certificate, names: Sequence[str] = ()) -> dict[str, Any]:
    """A certificate; it is on target if every datum that was fitted is.

    Args:
        certificate: of fresh samples.
        names: of the observables; a region has none, and its miss and on_target are null.
    """
    miss = certificate.miss
    scalars = {key: getattr(certificate, key) for key in ("work", "bound", "dissipation", "efficiency", "ess", "log_z")}
    found: dict[str, Any] = {key: with_stderr(one) for key, one in scalars.items()}
    found |= {"miss": None, "on_target": None}
    if miss is not None:
        found["miss"] = [
            {"name": name, "value": number(miss.value[k]), "stderr": number(miss.stderr[k])}
            for k, name in enumerate(names)
        ]
        found["on_target"] = {"value": certificate.on_target, "tolerance": ON_TARGET}
    found |= {"biased_high": certificate.biased_high, "worst_path": number(certificate.worst_path)}
    return {**found, "samples": certificate.samples}

"""Numbers of metrics.json: estimates with their standard errors, the certificate, what the steps leave."""

import math
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from leastwork.sampling.step_error import StepError
from leastwork.sampling.step_loss import StepLoss
from leastwork.sampling.work import ON_TARGET, Certificate
from leastwork.statistics.estimate import Estimate

__all__ = ["certificate_metrics", "number", "step_metrics", "versions", "with_stderr"]


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

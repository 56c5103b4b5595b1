"""Numbers of ``metrics.json`` that all single runs have: as they are written, and as reports read them back."""

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from typing import Any, Protocol

from leastwork.runs.base.typed import as_plain_values, read_as
from leastwork.sampling.step_error import StepError
from leastwork.sampling.step_loss import StepLoss
from leastwork.sampling.work import ON_TARGET, Certificate
from leastwork.statistics.estimate import Estimate

__all__ = [
    "PLACE",
    "CertificateNumbers",
    "Discretisation",
    "Estimated",
    "Miss",
    "Number",
    "OnTarget",
    "RunNumbers",
    "as_number",
    "certificate_metrics",
    "number",
    "run_numbers",
    "step_metrics",
    "versions",
    "with_stderr",
]

PLACE = "metrics.json"


class Estimated(Protocol):
    """Anything that has a value and a standard error."""

    @property
    def value(self) -> float | None: ...
    @property
    def stderr(self) -> float | None: ...


@dataclass(frozen=True)
class Number:
    """A value and its standard error; each is None where there is none."""

    value: float | None
    stderr: float | None


@dataclass(frozen=True)
class Miss:
    """The distance of the guided average of an observable from its target, in standard deviations."""

    name: str
    value: float | None
    stderr: float | None


@dataclass(frozen=True)
class OnTarget:
    """True if every fitted average is within the tolerance, which is in standard deviations."""

    value: bool
    tolerance: float


@dataclass(frozen=True)
class CertificateNumbers:
    """A certificate; ``miss`` and ``on_target`` are None for a region, and ``worst_path`` in runs of older versions."""

    work: Number
    bound: Number
    dissipation: Number
    efficiency: Number
    ess: Number
    log_z: Number
    miss: tuple[Miss, ...] | None
    on_target: OnTarget | None
    biased_high: bool
    worst_path: float | None = None
    samples: int = 0


@dataclass(frozen=True)
class StepShift:
    """The shift of an average due to the number of steps, the observable's σ, and whether the shift is large."""

    value: float | None
    stderr: float | None
    sigma: float | None
    large: bool


@dataclass(frozen=True)
class Discretisation:
    """The name of the time grid, None if times were given, and the errors due to the number of steps.

    The loss is None in runs of older versions.
    """

    t_grid: str | None
    steps: int
    paths: int
    averages: tuple[StepShift, ...]
    log_z: Number | None
    matters: bool
    loss: Number | None = None


@dataclass(frozen=True)
class RunNumbers:
    """The metrics that all single runs have."""

    seed: int
    versions: Mapping[str, str]
    seconds: float
    network_evaluations: int
    discretisation: Discretisation
    certificate: CertificateNumbers | None


def run_numbers(metrics: Mapping[str, Any]) -> RunNumbers:
    """The metrics that all single runs have, from all metrics of a run.

    Args:
        metrics: as in metrics.json.

    Raises:
        ConfigError: they are of another version.
    """
    shared = {each.name for each in fields(RunNumbers)}
    return read_as(RunNumbers, {key: value for key, value in metrics.items() if key in shared}, PLACE)


def number(value: Any) -> float | None:
    """A finite float, or None."""
    value = float(value)
    return value if math.isfinite(value) else None


def as_number(one: Estimate) -> Number:
    """An estimate, with None in place of what is not finite."""
    return Number(number(one.value), number(one.stderr))


def with_stderr(one: Estimate) -> dict[str, float | None]:
    """A value and its standard error, as plain values."""
    return as_plain_values(as_number(one))


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
    """The versions of Python and of the packages that determine a run's numbers."""
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
        certificate: the certificate of fresh samples.
        names: names of the observables; for a region there are none, and miss and on_target are null.
    """
    miss, on_target = certificate.miss, certificate.on_target
    misses = None
    if miss is not None:
        misses = tuple(Miss(name, number(miss.value[k]), number(miss.stderr[k])) for k, name in enumerate(names))
    return as_plain_values(
        CertificateNumbers(
            as_number(certificate.work),
            as_number(certificate.bound),
            as_number(certificate.dissipation),
            as_number(certificate.efficiency),
            as_number(certificate.ess),
            as_number(certificate.log_z),
            misses,
            None if miss is None or on_target is None else OnTarget(on_target, ON_TARGET),
            certificate.biased_high,
            number(certificate.worst_path),
            certificate.samples,
        )
    )

"""The metrics that all single runs have, as reports read them from ``metrics.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from leastwork.runs.base.typed import read_as

__all__ = [
    "PLACE",
    "CertificateNumbers",
    "Discretisation",
    "Estimated",
    "Miss",
    "Number",
    "OnTarget",
    "RunNumbers",
    "run_numbers",
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
    """By how many standard deviations of an observable the guided samples miss its target."""

    name: str
    value: float | None
    stderr: float | None


@dataclass(frozen=True)
class OnTarget:
    """Whether every average that was fitted is within the tolerance, in standard deviations."""

    value: bool
    tolerance: float


@dataclass(frozen=True)
class CertificateNumbers:
    """A certificate; of a region ``miss`` and ``on_target`` are None, and runs of older versions know no worst path."""

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
    """By how much the number of steps moves an average, the observable's σ, and whether that is large."""

    value: float | None
    stderr: float | None
    sigma: float | None
    large: bool


@dataclass(frozen=True)
class Discretisation:
    """The grid of times by its name, None if it was given, and what the number of steps does.

    Runs of older versions know no loss.
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
    """What the metrics of all single runs have in common."""

    seed: int
    versions: Mapping[str, str]
    seconds: float
    network_evaluations: int
    discretisation: Discretisation
    certificate: CertificateNumbers | None


def run_numbers(metrics: Mapping[str, Any]) -> RunNumbers:
    """What all single runs have in common, whatever else there is.

    Args:
        metrics: as in metrics.json.

    Raises:
        ConfigError: they are of another version.
    """
    shared = {each.name for each in fields(RunNumbers)}
    return read_as(RunNumbers, {key: value for key, value in metrics.items() if key in shared}, PLACE)

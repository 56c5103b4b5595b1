"""The metrics of a run of a difference, as its report reads them from ``metrics.json``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leastwork.runs.base.numbers import PLACE, CertificateNumbers, Number, RunNumbers
from leastwork.runs.base.typed import read_as

__all__ = ["DifferenceNumbers", "DifferenceValues", "difference_numbers"]


@dataclass(frozen=True)
class DifferenceValues:
    """F_B − F_A, the free energies of the states, and what counting gives, with and without all evaluations."""

    value: float | None
    stderr: float | None
    unit: str
    a: Number
    b: Number
    counted: Number
    counting_error: float | None
    guided_to: tuple[str, ...]
    effective: tuple[float | None, ...]


@dataclass(frozen=True)
class DifferenceQuality:
    """The difference, and the work and efficiency of the guidance to the rarer state."""

    work: Number
    efficiency: Number
    difference: DifferenceValues


@dataclass(frozen=True)
class DifferenceNumbers(RunNumbers):
    """All metrics of a run, which always has a certificate."""

    certificate: CertificateNumbers
    observables: tuple[None, ...]
    free_energy: None
    quality: DifferenceQuality


def difference_numbers(metrics: Mapping[str, Any]) -> DifferenceNumbers:
    """The metrics of a run, from those in metrics.json.

    Raises:
        ConfigError: they are of another version.
    """
    return read_as(DifferenceNumbers, metrics, PLACE)

"""The metrics of a run of a profile, as its report reads them from ``metrics.json``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leastwork.runs.base.numbers import PLACE, CertificateNumbers, Number, RunNumbers
from leastwork.runs.base.typed import read_as

__all__ = ["ProfileNumbers", "WindowNumbers", "profile_numbers"]


@dataclass(frozen=True)
class WindowNumbers:
    """−ln Z of a window by path weights and by overlaps, effective samples, and the largest overlap with another."""

    free_energy: Number
    by_overlap: float | None
    effective: float | None
    next_overlap: float | None


@dataclass(frozen=True)
class ProfileValues:
    """F in bins, flat, and the windows; the first of these are the model's own samples, the last the flat histogram."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    edges: tuple[tuple[float, ...], ...]
    values: tuple[float | None, ...]
    stderrs: tuple[float | None, ...]
    windows: tuple[WindowNumbers, ...]


@dataclass(frozen=True)
class ProfileQuality:
    """The profile, and the work and efficiency of the flat histogram."""

    work: Number
    efficiency: Number
    profile: ProfileValues


@dataclass(frozen=True)
class ProfileNumbers(RunNumbers):
    """All metrics of a run, which always has a certificate."""

    certificate: CertificateNumbers
    observables: tuple[None, ...]
    free_energy: None
    quality: ProfileQuality


def profile_numbers(metrics: Mapping[str, Any]) -> ProfileNumbers:
    """The metrics of a run, from those in metrics.json.

    Raises:
        ConfigError: they are of another version.
    """
    return read_as(ProfileNumbers, metrics, PLACE)

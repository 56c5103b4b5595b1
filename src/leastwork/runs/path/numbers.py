"""The metrics of a run of Path Guidance, as its report reads them from ``metrics.json``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leastwork.runs.base.numbers import PLACE, CertificateNumbers, Number, RunNumbers
from leastwork.runs.base.typed import read_as

__all__ = ["FreeEnergy", "PathNumbers", "PathQualityNumbers", "path_numbers"]


@dataclass(frozen=True)
class ExactFreeEnergy:
    """The exact −ln p(A) and p(A), with their source."""

    value: float
    probability: float
    source: str


@dataclass(frozen=True)
class FreeEnergy:
    """−ln p(A) and p(A) under the model, None if no sample is in A, and the exact values if they are known."""

    value: float | None
    stderr: float | None
    unit: str
    region: str
    probability: Number | None
    exact: ExactFreeEnergy | None


@dataclass(frozen=True)
class NearestGuide:
    """Median distances to the nearest guide; of the model's own samples None where there are too few in A."""

    guided: Number
    guides: Number
    ratio: Number
    model: Number | None


@dataclass(frozen=True)
class Discrepancy:
    """The squared maximum mean discrepancy, and the bandwidth that it was taken with."""

    value: float | None
    stderr: float | None
    bandwidth: float | None


@dataclass(frozen=True)
class Diversity:
    """A ratio of Vendi scores, over those of ``reference``."""

    value: float | None
    stderr: float | None
    reference: str


@dataclass(frozen=True)
class Distance:
    """A Wasserstein distance of one coordinate, and its value for two sets of samples of one distribution."""

    coordinate: int
    name: str
    samples: str
    reference: str
    value: float | None
    stderr: float | None
    noise: float | None


@dataclass(frozen=True)
class AtBandwidth:
    """The region of the guides at another bandwidth: the share of the samples in it, and its −ln p."""

    factor: float
    bandwidth: float
    share: Number
    free_energy: Number | None


@dataclass(frozen=True)
class PathQualityNumbers:
    """The quality of the samples, beginning with the numbers that matter most."""

    work: Number
    efficiency: Number
    free_energy: Number
    region: str
    success: Number
    bandwidth: float
    model_samples: int
    model_samples_in_region: int
    model_share: Number
    ess_in_region: Number | None
    nearest_guide: NearestGuide | None
    discrepancy_to_guides: Discrepancy | None
    diversity: Diversity | None
    wasserstein: tuple[Distance, ...]
    bandwidth_sensitivity: tuple[AtBandwidth, ...]


@dataclass(frozen=True)
class PathNumbers(RunNumbers):
    """All metrics of a run, which always has a certificate."""

    certificate: CertificateNumbers
    observables: tuple[None, ...]
    free_energy: FreeEnergy
    quality: PathQualityNumbers


def path_numbers(metrics: Mapping[str, Any]) -> PathNumbers:
    """The metrics of a run, from those in metrics.json.

    Raises:
        ConfigError: they are of another version.
    """
    return read_as(PathNumbers, metrics, PLACE)

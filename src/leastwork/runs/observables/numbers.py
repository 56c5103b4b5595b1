"""The metrics of a run of Observable Guidance, as its report reads them from ``metrics.json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from leastwork.runs.base.numbers import PLACE, Number, RunNumbers
from leastwork.runs.base.typed import REST, read_as

__all__ = [
    "CredibleInterval",
    "ObservableNumbers",
    "ObservableQuality",
    "ObservableRow",
    "PosteriorNumbers",
    "observable_numbers",
]


@dataclass(frozen=True)
class ObservableRow:
    """One datum with the averages before, reweighted and after; None stands where there is no number.

    Args:
        name, unit: name and unit of the observable.
        held_out: True if the datum took no part in the fit.
        target, error, lower, upper: the datum, a value with its standard error, or bounds.
        optimum: the average under the target distribution.
        model, model_stderr: the average of the model's samples.
        reweighted, reweighted_stderr: their average under the target.
        guided, stderr: the average of guided samples.
        sigma: standard deviation of the observable under the model.
        lambda_, lambda_stderr: λ with its sampling error.
    """

    name: str
    unit: str
    held_out: bool
    target: float | None
    error: float | None
    lower: float | None
    upper: float | None
    optimum: float | None
    model: float | None
    model_stderr: float | None
    reweighted: float | None
    reweighted_stderr: float | None
    guided: float | None
    stderr: float | None
    sigma: float | None
    lambda_: float | None
    lambda_stderr: float | None

    @property
    def before(self) -> Number:
        """The average of the model's samples."""
        return Number(self.model, self.model_stderr)

    def after(self, guides: bool) -> Number:
        """The average that a method ends with: of guided samples if it guides, or else of reweighted ones."""
        return Number(self.guided, self.stderr) if guides else Number(self.reweighted, self.reweighted_stderr)


@dataclass(frozen=True)
class Unknown:
    """An unknown of the data, such as a scale, with its standard error."""

    name: str
    value: float
    stderr: float | None


@dataclass(frozen=True)
class SuspectNumbers:
    """A datum against what all others predict, in standard errors, and what it moves most."""

    name: str
    datum: float
    predicted: float
    stderr: float
    z: float
    moves: str
    by: float
    contradicts: str | None


@dataclass(frozen=True)
class TailNumbers:
    """Tail indices of an observable's deviations, among samples of the model and as weighted."""

    name: str
    model: float | None
    weighted: float | None


@dataclass(frozen=True)
class Doubt:
    """What to doubt: tail indices of the weights and of observables, and data by how far they are from predictions."""

    weights: float | None
    tails: tuple[TailNumbers, ...]
    data: tuple[SuspectNumbers, ...]


@dataclass(frozen=True)
class LeftOutNumbers:
    """χ² per datum of a technique before and after the others are fitted, and the change."""

    technique: str
    data: int
    before: Number
    after: Number
    change: Number


@dataclass(frozen=True)
class CredibleInterval:
    """An interval that holds with a stated probability, and its median."""

    name: str
    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class PosteriorNumbers:
    """Credible intervals of λ, of averages under the target and of what is reported, and of θ of each technique.

    Args:
        level: probability of the intervals.
        spread: standard deviation of ln θ in the prior.
        draws, ess: number of draws, and of effective ones.
        samples: effective number of samples with the weights of a draw, the median over draws.
        doubts: why the intervals are not to be believed; none where they may be.
        lambdas, averages, reported, thetas: the intervals.
    """

    level: float
    spread: float
    draws: int
    ess: float
    samples: float
    doubts: tuple[str, ...]
    lambdas: tuple[CredibleInterval, ...]
    averages: tuple[CredibleInterval, ...]
    reported: tuple[CredibleInterval, ...]
    thetas: tuple[CredibleInterval, ...]


@dataclass(frozen=True)
class ObservableQuality:
    """How well λ is known, and how far samples are from the truth where that is known.

    Args:
        model_samples: number of the model's samples.
        reweighting_ess, reweighting_kl: effective fraction of them under the target, and its divergence.
        efficiency_of_exact: efficiency of the exact guidance of least work, if it is known.
        kl_truth_model, kl_truth_reweighted, kl_truth_guided: KL(truth ‖ samples).
        samples, bins, histogram_noise: number of samples and of bins of these histograms, and the bias by their noise.
        unknowns: unknowns of functions of averages that were fitted beside λ.
        doubt: tails of the weights, and data that the others do not predict.
        left_out: techniques left out in turn, if the run asks for that.
        posterior: credible intervals, if the run asks for them.
        besides: what the form of the data and the case add.
    """

    model_samples: int
    reweighting_ess: float
    reweighting_kl: float
    efficiency_of_exact: Number | None = None
    kl_truth_model: Number | None = None
    kl_truth_reweighted: Number | None = None
    kl_truth_guided: Number | None = None
    samples: int = 0
    bins: int = 0
    histogram_noise: float = 0.0
    unknowns: tuple[Unknown, ...] = ()
    doubt: Doubt | None = None
    left_out: tuple[LeftOutNumbers, ...] = ()
    posterior: PosteriorNumbers | None = None
    besides: Mapping[str, Any] = field(default_factory=dict, metadata=REST)


@dataclass(frozen=True)
class ObservableNumbers(RunNumbers):
    """All metrics of a run."""

    observables: tuple[ObservableRow, ...]
    free_energy: None
    quality: ObservableQuality

    @property
    def fitted(self) -> list[ObservableRow]:
        """The data that took part in the fit."""
        return [row for row in self.observables if not row.held_out]


def observable_numbers(metrics: Mapping[str, Any]) -> ObservableNumbers:
    """The metrics of a run, from those in metrics.json.

    Raises:
        ConfigError: they are of another version.
    """
    return read_as(ObservableNumbers, metrics, PLACE)

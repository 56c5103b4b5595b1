"""A fitted run of either job: fresh samples from seeds that the fit has not used, and a folder for it."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from leastwork.errors import LeastworkError, NoPathWeightsError
from leastwork.models.base import Model
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.placed import with_steps
from leastwork.sampling.sample import sample
from leastwork.sampling.step_error import StepError
from leastwork.sampling.work import Certificate, certify
from leastwork.support.above import above
from leastwork.support.arguments import path_of
from leastwork.support.html import html_table
from leastwork.support.numerals import count, duration
from leastwork.support.progress import Progress
from leastwork.support.random import derive_seed

__all__ = ["FittedRun", "tilt_of"]


def tilt_of(ensemble: Ensemble) -> Tensor:
    """The log-tilt of samples.

    Raises:
        NoPathWeightsError: they have none.
    """
    if ensemble.log_tilt is None:
        raise NoPathWeightsError("these samples have no log-tilt of a target: draw them with run.sample(...)")
    return ensemble.log_tilt


class FittedRun:
    """Base class of the runs of both jobs, which are frozen dataclasses with the attributes named here."""

    kind_of_run: ClassVar[str]
    """The name of its kind among the runs of run files."""

    times: Tensor | None = None
    """Times at which the fit has placed the steps, (S + 1,), or None where they are as chosen."""

    if TYPE_CHECKING:
        model: Model
        method: str
        settings: Mapping[str, Any]
        model_samples: Ensemble
        choices: Choices
        seed: int
        certificate_samples: int | None
        progress: Progress
        ensemble: Ensemble | None
        network_evaluations: int
        seconds: float
        guidance: Any  # a Guidance, or None of a run that only weighs
        log_tilt: Any  # r of the target: states -> nats, float64 (B,); a method, or a property that returns it

    @property
    def drawing(self) -> Choices:
        """The choices of the fit, with the times at which it has placed the steps."""
        return self.choices if self.times is None else replace(self.choices, t_grid=self.times)

    def with_target(self, ensemble: Ensemble) -> Ensemble:
        """The samples with the log-tilt of the target."""
        return replace(ensemble, log_tilt=self.log_tilt(ensemble.x))

    def sample(self, n: int, seed: int = 1, **choices: Any) -> Ensemble:
        """Draw fresh guided samples, with the log-tilt of the target; ``choices`` as in :func:`leastwork.sample`.

        Raises:
            LeastworkError: ``seed`` is that of the fit, on whose samples the guidance would look better than it is.
        """
        if seed == self.seed:
            raise LeastworkError(f"seed={seed} was used for the fit: draw with another, so that figures are honest")
        drawing = self.drawing
        if self.times is not None and "steps" in choices:
            drawing = replace(drawing, t_grid=with_steps(self.model, self.times, Choices.of(choices).steps))
        options = {**drawing.given, **choices, "seed": seed, "out": None}
        return self.with_target(sample(self.model, n, self.guidance, **options))

    @cached_property
    def certificate_ensemble(self) -> Ensemble:
        """The samples from which the certificate is computed."""
        if self.certificate_samples is None and self.ensemble is not None:
            return self.ensemble
        seed = derive_seed(self.seed, "certificate")
        return self.sample(self.certificate_samples or 10_000, seed=seed, progress=self.progress)

    @cached_property
    @abstractmethod
    def step_error(self) -> StepError:
        """Errors of averages due to the number of steps, from a few hundred paths of another seed."""

    @cached_property
    def certificate(self) -> Certificate:
        """Work, bound, dissipation, efficiency and ESS towards the target, and misses of data, on fresh samples.

        Raises:
            NoPathWeightsError: the process or solver of the run has no path weights.
        """
        return self.certify(self.certificate_ensemble)

    def certify(self, ensemble: Ensemble | None = None) -> Certificate:
        """Compute the certificate of fresh samples.

        Args:
            ensemble: samples drawn by :meth:`sample`; by default those of :attr:`certificate`.

        Raises:
            NoPathWeightsError: the samples have no path weights, or no log-tilt of a target.
        """
        if ensemble is None:
            return self.certificate
        return certify(ensemble.work, ensemble.log_weight, tilt_of(ensemble), chain=ensemble.ledger.chain)

    def _repr_html_(self) -> str:
        rows = [
            ("method", self.method),
            ("model", type(self.model).__name__),
            ("seed", self.seed),
            ("the model's own samples", count(len(self.model_samples))),
            ("network evaluations of the fit", count(self.network_evaluations)),
            ("time of the fit", duration(self.seconds)),
        ]
        later = "<p>run.certificate draws fresh samples and judges the guidance.</p>"
        judged = self.certificate._repr_html_() if "certificate" in self.__dict__ else later
        return html_table(type(self).__name__, rows) + judged

    def plot(self) -> list[Any]:
        """Draw the certificate, where along the path the work was spent, and how far the data are missed.

        Draws the samples of the certificate if they are missing.

        Returns:
            list: axes of matplotlib, the last of them only if the run has data.

        Raises:
            NoPathWeightsError: as for :attr:`certificate`.
        """
        names = self.data.names if hasattr(self, "data") else ()  # pyright: ignore[reportAttributeAccessIssue]  (one job)
        certificate, ledger = self.certificate, self.certificate_ensemble.ledger
        return above("leastwork.report.plots", "run_figure")(certificate, ledger.times, ledger.step_work, names)

    def save(self, folder: str | Path, model: str | Path | Mapping[str, Any] | None = None) -> Path:
        """Write the run, with the samples of its certificate if drawn, into a folder for :func:`leastwork.load_run`.

        Args:
            folder: a new or empty folder, or one into which this run was saved before.
            model: the name of a bundled model or a folder written by ``save_model``, if the model came from there; by
                default a copy of the model is written into the folder.

        Returns:
            Path: the folder.

        Raises:
            ConfigError: the folder holds another run, or a part of this run has no file form.
        """
        return above("leastwork.runs.saved", "save_run")(self, path_of("folder", folder), model)

    def report(self, folder: str | Path, model: str | Path | Mapping[str, Any] | None = None) -> Path:
        """Save the run, draw the samples of the certificate if they are missing, and write the report.

        Args:
            folder, model: as for :meth:`save`.

        Returns:
            Path: the path of ``report.html``; ``metrics.json`` beside it has the numbers.

        Raises:
            ConfigError: as for :meth:`save`.
        """
        return above("leastwork.runs.saved", "report_run")(self, path_of("folder", folder), model)

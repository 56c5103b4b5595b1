"""The protocol of a job, which a kind of run implements; :mod:`leastwork.runs.carry_out` does the rest."""

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from warnings import catch_warnings, simplefilter

from torch import Tensor

from leastwork.errors import LeastworkWarning
from leastwork.fit.run import FittedRun
from leastwork.geometry.state import State
from leastwork.models.base import Model
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.step_error import StepError
from leastwork.support.progress import Progress, no_progress

__all__ = ["Job", "step_error_of"]


_Fitted = TypeVar("_Fitted", bound=FittedRun)


class Job(Generic[_Fitted]):
    """A run whose inputs are loaded and checked; each kind is a frozen dataclass of its settings and inputs."""

    if TYPE_CHECKING:
        config: Any
        inputs: Any  # with at least the model and the choices of the sampling

    @property
    def model(self) -> Model:
        return self.inputs.model

    @property
    def choices(self) -> Choices:
        """Process, solver, steps and batch size of the sampling."""
        return self.inputs.choices

    @property
    def budget(self) -> int | None:
        """Largest number of network evaluations of the fit, or None if its method has no such bound."""
        return self.config.chosen.most_evaluations

    @property
    def goal(self) -> str:
        """What is asked of which model, in a sentence without a full stop, said before anything is done."""
        return f"{self.config.name} guides the model {self.config.source.label} by method: {self.config.method}"

    def step_error(self, fitted: _Fitted, progress: Progress = no_progress) -> StepError:
        """Errors of the averages and of ln⟨w⟩ due to the number of steps; the report warns of them."""
        with catch_warnings():
            simplefilter("ignore", LeastworkWarning)
            known = "step_error" in fitted.__dict__
            told = fitted if known else replace(fitted, progress=progress)  # pyright: ignore[reportArgumentType]  (a dataclass)
            return told.step_error

    @abstractmethod
    def load(self, folder: Path) -> _Fitted | None:
        """The fit that is stored in a folder, or None."""

    @abstractmethod
    def fit(self, progress: Progress) -> _Fitted:
        """Fit anew."""

    @abstractmethod
    def save(self, fitted: _Fitted, folder: Path) -> None:
        """Write the fit, so that an interrupted run goes on with the very same guidance."""

    @abstractmethod
    def log_tilt(self, fitted: _Fitted, x: State) -> Tensor:
        """The log-tilt r of the target, (n,)."""

    @abstractmethod
    def measure(self, folder: Path, fitted: _Fitted, ensemble: Ensemble, judged: Ensemble) -> dict[str, Any]:
        """The metrics ``observables``, ``certificate``, ``free_energy`` and ``quality``; saves arrays for figures.

        Args:
            folder: the folder of the run.
            fitted: the outcome of the fit.
            ensemble: guided samples.
            judged: the samples of the certificate, which may be the same.
        """


def step_error_of(task: Job[_Fitted], fitted: _Fitted, progress: Progress = no_progress) -> StepError:
    """What the number of steps does to averages; not known for a chain with churn, which halved steps would change."""
    steps = task.choices.sampler(task.model).steps
    return StepError(None, None, None, len(steps), 0, 0) if steps.chain else task.step_error(fitted, progress)

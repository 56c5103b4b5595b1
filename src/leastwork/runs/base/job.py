"""The protocol of a job, which a kind of run implements; :mod:`leastwork.runs.carry_out` does the rest."""

from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from leastwork.geometry.state import State
from leastwork.guidance.base import Guidance
from leastwork.models.base import Model
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.step_error import StepError
from leastwork.support.progress import Progress

__all__ = ["Fitted", "Job"]


class Fitted(Protocol):
    """The outcome of a fit, all that drawing needs."""

    @property
    def guidance(self) -> Guidance | None: ...
    @property
    def network_evaluations(self) -> int: ...
    @property
    def seconds(self) -> float: ...


_Fitted = TypeVar("_Fitted", bound=Fitted)


class Job(Protocol[_Fitted]):
    """A run whose inputs are loaded and checked."""

    @property
    def model(self) -> Model: ...

    @property
    def choices(self) -> Choices:
        """Process, solver, steps and batch size of the sampling."""
        ...

    @property
    def budget(self) -> int | None:
        """Network evaluations of the fit, at most, or None where its method has no such bound."""
        ...

    def load(self, folder: Path) -> _Fitted | None:
        """What was fitted before, or None."""
        ...

    def fit(self, progress: Progress) -> _Fitted:
        """Fit anew."""
        ...

    def save(self, fitted: _Fitted, folder: Path) -> None:
        """Write it, so that an interrupted run goes on with the very same guidance."""
        ...

    def log_tilt(self, fitted: _Fitted, x: State) -> Tensor:
        """r of the target, (n,)."""
        ...

    def step_error(self, fitted: _Fitted) -> StepError:
        """What the number of steps does to the averages and to ln⟨w⟩."""
        ...

    def measure(self, folder: Path, fitted: _Fitted, ensemble: Ensemble, judged: Ensemble) -> dict[str, Any]:
        """The metrics ``observables``, ``certificate``, ``free_energy`` and ``quality``; arrays for figures are saved.

        Args:
            folder: the folder of the run.
            fitted: the outcome of the fit.
            ensemble: guided samples.
            judged: those of the certificate, which may be the same.
        """
        ...

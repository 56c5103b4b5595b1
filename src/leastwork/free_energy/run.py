"""Fitted runs of free energies: all samples that were drawn for them, and a guidance to draw more.

A run of a profile is guided to the flat histogram of its coordinate, one of a difference to the rarer of its states.
Fresh samples of the guidance join the others, with path weights of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from leastwork.fit.result import FitRecord
from leastwork.fit.run import FittedRun
from leastwork.free_energy.collected import Collected, Tilt
from leastwork.free_energy.guided import Drawn
from leastwork.geometry.state import State
from leastwork.guidance.base import Guidance
from leastwork.models.base import Model
from leastwork.observables import Observable, evaluate
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.step_error import StepError, step_check, warn_of_steps
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["DifferenceRun", "FreeEnergyRun", "ProfileRun"]


@dataclass(frozen=True)
class FreeEnergyRun(FittedRun):
    """What both kinds of run have.

    Args:
        model: the model.
        coordinate: ξ, or the memberships in A and B.
        method: the name of the method.
        guidance: h towards the last of the tilts.
        collected: all samples by their coordinates and path weights.
        choices: sampling choices of the fit.
        seed: seed of the fit; later samples are drawn with other seeds.
        model_samples: the model's own samples.
        fit: cost of the fit.
        certificate_samples: number of fresh samples for the certificate; None to use those of ``ensemble``.
        network_evaluations, seconds: cost of the whole fit, the model's own samples included.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        settings: the settings of the method, by name.
        ensemble: guided samples that a run read from a folder has already.
    """

    model: Model
    coordinate: Observable
    method: str
    guidance: Guidance
    collected: Collected
    choices: Choices
    seed: int
    model_samples: Ensemble
    fit: FitRecord
    certificate_samples: int | None = 10_000
    network_evaluations: int = 0
    seconds: float = 0.0
    progress: Progress = field(default=no_progress, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    ensemble: Ensemble | None = field(default=None, repr=False)

    @property
    def tilt(self) -> Tilt:
        """The target, the last of the tilts."""
        return self.collected.tilts[-1]

    def log_tilt(self, x: State) -> Tensor:
        """The log-tilt r of the target, nats, float64 (B,)."""
        return self.tilt.log_tilt(evaluate(self.coordinate, x))

    def with_samples(self, ensemble: Ensemble) -> Collected:
        """All samples, and fresh ones drawn by :meth:`sample`."""
        seen = evaluate(self.coordinate, ensemble.x)
        more = Drawn(None, seen, ensemble.log_weight.double().cpu(), None, ensemble.network_evaluations)
        return self.collected.with_part(more, len(self.collected.tilts))

    @cached_property
    def step_error(self) -> StepError:
        """Errors of the coordinate's averages and of ln Z due to the number of steps.

        Warns:
            LeastworkWarning: an error is above 0.05 standard deviations or 0.05 k_BT, and above two of its standard
                errors.
        """
        found = step_check(
            self.model, self.coordinate, self.guidance, log_tilt=self.log_tilt, seed=derive_seed(self.seed, "steps"),
            progress=self.progress, **self.choices.law,
        )  # fmt: skip
        warn_of_steps(found, self.coordinate.names, stacklevel=3)
        return found


@dataclass(frozen=True)
class ProfileRun(FreeEnergyRun):
    """A model guided to the flat histogram of a coordinate, with the edges of the bins of its profile."""

    kind_of_run: ClassVar[str] = "profile"

    edges: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class DifferenceRun(FreeEnergyRun):
    """A model guided to the rarer of two states."""

    kind_of_run: ClassVar[str] = "difference"

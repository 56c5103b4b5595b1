"""A run of a difference: guided samples of two states, and their free energies by MBAR with path weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from leastwork.free_energy.difference import difference_of, memberships
from leastwork.free_energy.files import load_difference, save_fit
from leastwork.free_energy.job import guide_to_states
from leastwork.free_energy.run import DifferenceRun
from leastwork.geometry.state import State
from leastwork.models.base import Model
from leastwork.models.latents import data_shape
from leastwork.observables import Observable
from leastwork.runs.base.along import AlongInputs, model_with_free_energy
from leastwork.runs.base.finished import save_plots
from leastwork.runs.base.job import Job
from leastwork.runs.base.numbers import certificate_metrics, number, with_stderr
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.difference.config import DifferenceConfig
from leastwork.sampling.ensemble import Ensemble
from leastwork.statistics.estimate import Estimate
from leastwork.support.progress import Progress

__all__ = ["DifferenceJob"]


@dataclass(frozen=True)
class DifferenceJob(Job[DifferenceRun]):
    """A run of a difference with its inputs."""

    config: DifferenceConfig
    inputs: AlongInputs

    @classmethod
    def of(
        cls, config: DifferenceConfig, model: Model | None = None, coordinate: Observable | None = None
    ) -> "DifferenceJob":
        """Load and check everything.

        Args:
            config: the run.
            model, coordinate: in place of those that the run names.

        Raises:
            ConfigError: a file, name or shape that cannot be used.
        """
        model = model_with_free_energy(config, model)
        if coordinate is None:
            a, b = (one.build(data_shape(model)) for one in (config.difference.a, config.difference.b))
            coordinate = memberships(a, b, model)
        return cls(config, AlongInputs(model, coordinate, sampling_choices(config.sampling)))

    @property
    def goal(self) -> str:
        return (
            f"the difference of the free energies of two states of the model {self.config.source.label} is to be known"
        )

    def load(self, folder: Path) -> DifferenceRun | None:
        config, inputs = self.config, self.inputs
        return load_difference(folder, inputs.model, inputs.coordinate, config.method, inputs.choices, config.seed)

    def fit(self, progress: Progress) -> DifferenceRun:
        config, inputs = self.config, self.inputs
        return guide_to_states(
            inputs.model, inputs.coordinate, config.chosen, samples=config.fit.samples, seed=config.seed,
            progress=progress, **inputs.choices.given,
        )  # fmt: skip

    def save(self, fitted: DifferenceRun, folder: Path) -> None:
        save_fit(fitted, folder)

    def log_tilt(self, fitted: DifferenceRun, x: State) -> Tensor:
        return fitted.log_tilt(x)

    def measure(self, folder: Path, fitted: DifferenceRun, ensemble: Ensemble, judged: Ensemble) -> dict[str, Any]:
        certificate, collected = fitted.certify(judged), fitted.with_samples(ensemble)
        found = difference_of(collected, collected.joined(fitted.seed))
        save_plots(folder, {"overlap": found.overlap})
        of_states = found.free_energies
        return {
            "observables": [],
            "certificate": certificate_metrics(certificate),
            "free_energy": None,
            "quality": {
                "work": with_stderr(certificate.work),
                "efficiency": with_stderr(certificate.efficiency),
                "difference": {
                    **with_stderr(found.value),
                    "unit": "kT",
                    "a": with_stderr(Estimate(of_states.value[0], of_states.stderr[0])),
                    "b": with_stderr(Estimate(of_states.value[1], of_states.stderr[1])),
                    "counted": with_stderr(found.counted),
                    "counting_error": number(found.counting_error),
                    "guided_to": list(found.states),
                    "effective": [number(one) for one in found.effective],
                },
            },
        }

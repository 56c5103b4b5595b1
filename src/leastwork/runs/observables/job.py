"""A run of Observable Guidance: λ and the guidance from data, averages, work and distance from the truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from leastwork.geometry.state import State
from leastwork.models.base import Model
from leastwork.observables import evaluate
from leastwork.runs.base.cases import case
from leastwork.runs.base.finished import PLOTTED, save_plots
from leastwork.runs.base.numbers import certificate_metrics, with_stderr
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings.metrics import coupling_metrics
from leastwork.runs.observables.fitted import Fitted, as_numbers, fit, load_fitted, save_fitted
from leastwork.runs.observables.inputs import Inputs, build_inputs
from leastwork.runs.observables.metrics import certify_run, observable_metrics
from leastwork.runs.observables.truth import ceiling, quality, truth
from leastwork.runs.observables.without_data import group_means, reported
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.sample import law_of
from leastwork.sampling.step_error import StepError, step_check
from leastwork.sampling.work import kish_ess
from leastwork.support.progress import Progress
from leastwork.support.random import derive_seed

__all__ = ["ObservableJob"]


@dataclass(frozen=True)
class ObservableJob:
    """One run: its settings and what they name."""

    config: RunConfig
    inputs: Inputs

    @classmethod
    def of(cls, config: RunConfig) -> "ObservableJob":
        """Load and check everything."""
        config.check_method()
        return cls(config, build_inputs(config))

    @property
    def model(self) -> Model:
        return self.inputs.model

    @property
    def choices(self) -> Mapping[str, Any]:
        return self.inputs.choices

    @property
    def budget(self) -> int | None:
        return self.config.chosen.most_evaluations

    def load(self, folder: Path) -> Fitted | None:
        return load_fitted(folder, self.inputs.data.observable)

    def fit(self, progress: Progress) -> Fitted:
        return fit(self.config, self.inputs, progress)

    def save(self, fitted: Fitted, folder: Path) -> None:
        save_fitted(fitted, folder)

    def log_tilt(self, fitted: Fitted, x: State) -> Tensor:
        return fitted.maxent.log_tilt_of(evaluate(self.inputs.data.observable, x))

    def step_error(self, fitted: Fitted) -> StepError:
        law = law_of(self.choices)
        observable = self.inputs.data.observable
        return step_check(
            self.model, observable, fitted.guidance, log_tilt=fitted.maxent.log_tilt(observable),
            seed=derive_seed(self.config.seed, "steps"), **law,
        )  # fmt: skip

    def measure(self, folder: Path, fitted: Fitted, ensemble: Ensemble, judged: Ensemble) -> dict[str, Any]:
        config, data, guided = self.config, self.inputs.data, fitted.guidance is not None
        observed = evaluate(data.observable, ensemble.x)
        x = as_numbers(ensemble.x)
        arrays = {"observed": observed[:PLOTTED]} | ({} if x is None else {"x": x[:PLOTTED]})
        save_plots(folder, arrays)
        seen = observed if judged is ensemble else evaluate(data.observable, judged.x)
        certificate = certify_run(judged, seen, fitted, data) if guided else None
        exact = None
        if certificate is not None:
            tilt = fitted.maxent.log_tilt(data.observable)
            exact = ceiling(config.model, self.model, tilt, 4096, config.seed, self.choices)
        density = truth(config.system)
        reweighted = fitted.maxent.log_tilt_of(fitted.observed)
        known: dict[str, Any] = {}
        if density is not None and fitted.x is not None and x is not None:
            known = quality(density, fitted.x, reweighted, x if guided else None, config.seed)
        rows = observable_metrics(data, fitted, observed if guided else None)
        if self.inputs.couplings is not None:
            known |= coupling_metrics(self.inputs.couplings, fitted, observed if guided else None, rows, config.seed)
        if self.inputs.reported is not None and fitted.reported is not None:
            shown = self.inputs.reported
            after = evaluate(shown, ensemble.x) if guided else None
            known["reported"] = reported(shown, data, fitted, after)
            if config.system is not None:
                known |= group_means(case(config.system), shown, data, fitted, after)
        return {
            "observables": rows,
            "certificate": None if certificate is None else certificate_metrics(certificate, data.names),
            "free_energy": None,
            "quality": {
                "model_samples": len(fitted.observed),
                "reweighting_ess": kish_ess(reweighted).value,
                "reweighting_kl": fitted.maxent.kl,
                "efficiency_of_exact": None if exact is None else with_stderr(exact.efficiency),
                **known,
            },
        }

"""A run of Observable Guidance: λ and the guidance from data, averages, work and distance from the truth."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from leastwork.data.fixed_point import at_point
from leastwork.data.trust import with_theta
from leastwork.geometry.state import State, leaves
from leastwork.observable_guidance.files import load_fit, numbers_of, on_a_line, save_fit
from leastwork.observable_guidance.job import guide_observables
from leastwork.observable_guidance.run import ObservableRun
from leastwork.observables import evaluate
from leastwork.runs.base.cases import case
from leastwork.runs.base.finished import PLOTTED, save_plots
from leastwork.runs.base.job import Job
from leastwork.runs.base.numbers import certificate_metrics, with_stderr
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.couplings.metrics import coupling_metrics
from leastwork.runs.observables.credible import credible
from leastwork.runs.observables.doubt import doubts
from leastwork.runs.observables.inputs import Inputs, build_inputs
from leastwork.runs.observables.left_out import left_out
from leastwork.runs.observables.metrics import observable_metrics
from leastwork.runs.observables.truth import ceiling, quality, truth
from leastwork.runs.observables.without_data import group_means, reported
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.work import kish_ess
from leastwork.support.numerals import count
from leastwork.support.progress import Progress

__all__ = ["ObservableJob"]

_EXACTLY_GUIDED = 4096  # samples of the exact guidance, whose efficiency is the ceiling


@dataclass(frozen=True)
class ObservableJob(Job[ObservableRun]):
    """A run of Observable Guidance with its inputs."""

    config: RunConfig
    inputs: Inputs

    @classmethod
    def of(cls, config: RunConfig) -> "ObservableJob":
        """Load and check everything."""
        return cls(config, build_inputs(config))

    @property
    def goal(self) -> str:
        config, names = self.config, self.inputs.data.names
        fitted = len(names) - int(self.inputs.data.held_out.sum())
        how = "changed as little as possible" if config.chosen.guides else "weighted as little as possible"
        first = names[self.inputs.data.held_out.tolist().index(False)]
        averages = f"the average of {first} agrees" if fitted == 1 else f"{count(fitted)} averages agree"
        rest = len(names) - fitted
        held_out = "1 datum is held out and judges" if rest == 1 else f"{count(rest)} data are held out and judge"
        judged = f", while {held_out} the result" if rest else ""
        return (
            f"samples of the model {config.source.label} are to be {how}, so that {averages} with measured data{judged}"
        )

    def load(self, folder: Path) -> ObservableRun | None:
        config = self.config
        return load_fit(folder, self.model, self.inputs.data, config.method, self.choices, config.seed)

    def fit(self, progress: Progress) -> ObservableRun:
        config, inputs = self.config, self.inputs
        stated = config.data.stated_theta
        found = guide_observables(
            inputs.model,
            inputs.data if stated is None else with_theta(inputs.data, stated),
            config.chosen,
            seed=config.seed,
            samples=config.fit.samples,
            groups=inputs.kinds.groups if stated is None and inputs.kinds is not None else None,
            progress=progress,
            **inputs.choices.given,
        )
        return found if stated is None else replace(found, theta=stated)

    def save(self, fitted: ObservableRun, folder: Path) -> None:
        save_fit(fitted, folder)

    def log_tilt(self, fitted: ObservableRun, x: State) -> Tensor:
        return fitted.maxent.log_tilt_of(self._observed(fitted, x))

    @cached_property
    def _seen(self) -> WeakTensorKeyDictionary:
        return WeakTensorKeyDictionary()

    def _observed(self, fitted: ObservableRun, x: State) -> Tensor:
        """The observables of samples, (n, K), once for the log-tilt and the metrics, since programs may compute them.

        Kept while the samples are, as one fit gives them.
        """
        first = leaves(x)[0]
        known = self._seen.get(first)
        if known is None:
            known = evaluate(fitted.data.observable, x)
            self._seen[first] = known
        return known

    def measure(self, folder: Path, fitted: ObservableRun, ensemble: Ensemble, judged: Ensemble) -> dict[str, Any]:
        config, guided = self.config, fitted.guidance is not None
        data = at_point(self.inputs.data, fitted.linearisation)
        numbers = numbers_of(fitted)
        observed = self._observed(fitted, ensemble.x)
        x = on_a_line(ensemble.x)
        arrays = {"observed": observed[:PLOTTED]} | ({} if x is None else {"x": x[:PLOTTED]})
        save_plots(folder, arrays)
        seen = observed if judged is ensemble else self._observed(fitted, judged.x)
        weighted = judged.ledger.work is not None and judged.ledger.log_weight is not None
        certificate = fitted.certify(judged, seen) if guided and weighted else None
        exact = None
        if certificate is not None:
            tilt = fitted.maxent.log_tilt(data.observable)
            exact = ceiling(str(config.source.plain()), self.model, tilt, _EXACTLY_GUIDED, config.seed, self.choices)
        density = truth(config.system)
        reweighted = fitted.maxent.log_tilt_of(fitted.observed)
        known: dict[str, Any] = {}
        if density is not None and numbers.x is not None and x is not None:
            known = quality(density, numbers.x, reweighted, x if guided else None, config.seed)
        rows = observable_metrics(data, numbers, observed if guided else None)
        if self.inputs.kinds is not None:
            theta = next((one.stated_theta for one in config.data.members if one.form == CouplingsConfig.form), None)
            after = observed if guided else None
            theta = fitted.theta if theta is None else theta
            kinds = self.inputs.kinds
            stated = at_point(kinds.experiment, fitted.linearisation)
            known |= coupling_metrics(kinds, stated, data, numbers, after, rows, theta, config.seed)
        known["doubt"] = doubts(numbers, fitted.data)
        known["left_out"] = []
        if config.leave_each_out:
            own = with_theta(self.inputs.data, fitted.theta)
            of_model = evaluate(own.observable, fitted.model_samples.x)
            known["left_out"] = left_out(of_model, own, self.inputs.techniques, config.seed)
        known["unknowns"] = [{"name": name, **with_stderr(one)} for name, one in fitted.unknowns.items()]
        known["posterior"] = None
        if config.posterior:
            shown = self.inputs.reported
            of_shown = None if shown is None else evaluate(shown, fitted.model_samples.x)
            names = () if shown is None else shown.names
            known["posterior"] = credible(fitted, self.inputs.techniques, names, of_shown)
        if self.inputs.reported is not None:
            shown = self.inputs.reported
            before = evaluate(shown, fitted.model_samples.x)
            after = evaluate(shown, ensemble.x) if guided else None
            known["reported"] = reported(shown, data, numbers, before, after)
            if config.system is not None:
                known |= group_means(case(config.system), shown, data, numbers, before, after)
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

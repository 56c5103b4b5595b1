"""A fitted Observable Guidance: fresh samples, averages and the certificate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.linear import Linearisation
from leastwork.data.maxent import LogTilt, MaxEnt
from leastwork.data.posterior import Posterior, posterior
from leastwork.data.trust import TrustCurve
from leastwork.fit.result import Fit
from leastwork.fit.run import FittedRun, tilt_of
from leastwork.guidance.base import Guidance
from leastwork.models.base import Model
from leastwork.observables import evaluate
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.step_error import StepError, step_check, warn_of_steps
from leastwork.sampling.work import Certificate, certify
from leastwork.statistics.estimate import Estimate
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["Method", "ObservableRun"]

Method: TypeAlias = Literal[
    "least-work", "scheduled", "loss", "adjoint-matching", "ram", "trust-region", "reweight"
]  # fmt: skip


@dataclass(frozen=True)
class ObservableRun(FittedRun):
    """A fitted guidance for measured averages, with its target and its certificate.

    Args:
        model: the model that is guided.
        data: the experiment, functions of averages linearised, with the covariance of its errors multiplied by θ if θ
            was chosen.
        method: the name of the method.
        maxent: λ, the target averages and the reweighted averages, from the model's own samples.
        guidance: h, or None for ``method="reweight"``.
        choices: sampling choices (process, solver, steps, t_grid, …) of the fit.
        seed: seed of the fit; later samples are drawn with other seeds.
        model_samples: the model's own samples, with the log-tilt of the target.
        observed: the observables of the model's own samples, float64 (n, K).
        fit: how the guidance was found, or None.
        certificate_samples: number of fresh samples for the certificate; None to use those of ``ensemble``.
        network_evaluations, seconds: cost of the whole fit, the model's own samples included.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        trust: the cross-validation by which θ was chosen, or None if θ was not chosen.
        theta: θ, by which the covariance of the data's stated errors was multiplied.
        settings: the settings of the method, by name.
        linearisation: where functions of averages were linearised, with their unknowns; None where data are averages.
        ensemble: guided samples that a run read from a folder has already.
        times: the times at which the fit has placed the steps, (S + 1,), or None where they are as chosen.
    """

    kind_of_run: ClassVar[str] = "observables"

    model: Model
    data: Experiment
    method: str
    maxent: MaxEnt
    guidance: Guidance | None
    choices: Choices
    seed: int
    model_samples: Ensemble
    observed: Tensor = field(repr=False)
    fit: Fit | None = None
    certificate_samples: int | None = 10_000
    network_evaluations: int = 0
    seconds: float = 0.0
    progress: Progress = field(default=no_progress, repr=False)
    trust: TrustCurve | None = None
    theta: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    linearisation: Linearisation | None = None
    ensemble: Ensemble | None = field(default=None, repr=False)
    times: Tensor | None = field(default=None, repr=False)

    @property
    def lambdas(self) -> Estimate:
        """λ with its sampling error, (K,)."""
        return Estimate(self.maxent.lambdas, self.maxent.stderr)

    @property
    def unknowns(self) -> dict[str, Estimate]:
        """Unknowns of the data, such as a scale, with standard errors, by name; of data without unknowns none."""
        found = self.linearisation
        if found is None:
            return {}
        pairs = zip(found.parameters.tolist(), found.errors.tolist(), strict=True)
        return {name: Estimate(*pair) for name, pair in zip(found.names, pairs, strict=True)}

    def posterior(
        self, techniques: Sequence[str] | None = None, *, spread: float = math.log(2), draws: int = 4000
    ) -> Posterior:
        """Draws of λ, averages and errors from their posterior, on the model's own samples.

        Args:
            techniques: the technique of each datum, (K,), whose errors are known up to a factor; None if they are as
                stated, times θ.
            spread: standard deviation of the logarithm of that factor, squared, in its prior.
            draws: number of draws.

        Raises:
            LeastworkError: a fitted datum has no error, or there are too many data.
        """
        seed = derive_seed(self.seed, "posterior")
        return posterior(self.observed, self.data, techniques, spread=spread, draws=draws, seed=seed)

    @property
    def log_tilt(self) -> LogTilt:
        """The log-tilt r(x_0) of the target, nats."""
        return self.maxent.log_tilt(self.data.observable)

    def with_target(self, ensemble: Ensemble) -> Ensemble:
        """The samples with the log-tilt of the target."""
        return replace(ensemble, log_tilt=self.maxent.log_tilt_of(evaluate(self.data.observable, ensemble.x)))

    @cached_property
    def step_error(self) -> StepError:
        """Errors of the averages and of ln Z due to the number of steps, from a few hundred paths of another seed.

        Warns:
            LeastworkWarning: an error is above 0.05 σ_O or 0.05 nats, and above two standard errors.
        """
        found = step_check(
            self.model, self.data.observable, self.guidance, log_tilt=self.log_tilt,
            seed=derive_seed(self.seed, "steps"), progress=self.progress, **self.drawing.law,
        )  # fmt: skip
        warn_of_steps(found, self.data.names, stacklevel=3)
        return found

    def certify(self, ensemble: Ensemble | None = None, observed: Tensor | None = None) -> Certificate:
        """Compute the certificate of fresh samples.

        Args:
            ensemble: samples drawn by :meth:`sample`; by default those of :attr:`certificate`.
            observed: observables of the samples, (n, K), if they have been evaluated already.

        Raises:
            NoPathWeightsError: the samples have no path weights, or no log-tilt of a target.
        """
        if ensemble is None:
            return self.certificate
        log_tilt = tilt_of(ensemble)
        observed = evaluate(self.data.observable, ensemble.x) if observed is None else observed
        return certify(
            ensemble.work,
            ensemble.log_weight,
            log_tilt,
            observed,
            self.maxent.target,
            self.maxent.model_std,
            self.data.fitted,
            ensemble.ledger.chain,
        )

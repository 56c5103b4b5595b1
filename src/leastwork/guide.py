"""Observable Guidance: from a model and measured averages to guided samples and their certificate.

model samples → maximum entropy → λ → guidance → fresh guided samples → certificate. The target distribution
p·exp(−λ·O)/Z is fixed by the model's samples before a single guided one is drawn.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

from leastwork.ensemble import Ensemble
from leastwork.errors import LeastworkError, NoPathWeightsError
from leastwork.estimate import Estimate
from leastwork.experiment import Experiment
from leastwork.fit.objective import Objective
from leastwork.fit.scheduled import ScheduleFit, Search, fit_schedule
from leastwork.guidance.base import Guidance
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.maxent import LogTilt, MaxEnt, fit_lambdas
from leastwork.observables import evaluate
from leastwork.process import Model
from leastwork.progress import Progress, no_progress
from leastwork.random import derive_seed
from leastwork.sampling import LAW, sample
from leastwork.work import Certificate, certify

__all__ = ["Method", "ObservableRun", "guide_observables"]

Method: TypeAlias = Literal["scheduled", "reweight"]


@dataclass(frozen=True)
class ObservableRun:
    """A guidance for measured averages, the target it was made for, and what it is worth.

    Args:
        model: what is guided.
        data: the experiment.
        method: how.
        maxent: λ, target and the reweighted answer, from the model's own samples.
        guidance: h, or None for ``method="reweight"``.
        choices: sampling choices (process, solver, steps, t_grid, …) that the fit was made for.
        seed: of the fit; samples for figures come from other seeds.
        model_samples: the model's own, with the target's log-tilt.
        fit: how the guidance was found, or None.
        certificate_samples: how many fresh samples the certificate takes.
    """

    model: Model
    data: Experiment
    method: Method
    maxent: MaxEnt
    guidance: Guidance | None
    choices: Mapping[str, Any]
    seed: int
    model_samples: Ensemble
    fit: ScheduleFit | None = None
    certificate_samples: int = 10_000
    network_evaluations: int = 0
    seconds: float = 0.0
    progress: Progress = field(default=no_progress, repr=False)

    @property
    def lambdas(self) -> Estimate:
        """λ with its sampling error, (K,)."""
        return Estimate(self.maxent.lambdas, self.maxent.stderr)

    @property
    def log_tilt(self) -> LogTilt:
        """r(x_0) of the target."""
        return self.maxent.log_tilt(self.data.observable)

    def sample(self, n: int, seed: int = 1, **choices: Any) -> Ensemble:
        """Fresh guided samples that know their target; ``choices`` as in :func:`leastwork.sample`.

        Raises:
            LeastworkError: ``seed`` is that of the fit, whose samples would flatter the guidance.
        """
        if seed == self.seed:
            raise LeastworkError(f"seed={seed} was used for the fit: draw with another, so that figures are honest")
        ensemble = sample(self.model, n, self.guidance, **{**self.choices, **choices, "seed": seed, "out": None})
        observed = evaluate(self.data.observable, ensemble.x)
        return replace(ensemble, log_tilt=self.maxent.log_tilt_of(observed))

    @cached_property
    def certificate_ensemble(self) -> Ensemble:
        """The fresh samples of the certificate."""
        seed = derive_seed(self.seed, "certificate")
        return self.sample(self.certificate_samples, seed=seed, progress=self.progress)

    @cached_property
    def certificate(self) -> Certificate:
        """Work, bound, dissipation, efficiency, misses and ESS, on fresh samples.

        Raises:
            NoPathWeightsError: the run draws by a process or solver that has no path weights.
        """
        return self.certify(self.certificate_ensemble)

    def certify(self, ensemble: Ensemble) -> Certificate:
        """The certificate of samples drawn by :meth:`sample`."""
        if ensemble.log_tilt is None:
            raise NoPathWeightsError("these samples know no target: draw them with run.sample(...)")
        observed = evaluate(self.data.observable, ensemble.x)
        return certify(
            ensemble.work,
            ensemble.log_weight,
            ensemble.log_tilt,
            observed,
            self.maxent.target,
            self.maxent.model_std,
            self.data.fitted,
        )


def guide_observables(
    model: Model,
    data: Experiment,
    method: Method = "scheduled",
    *,
    seed: int = 0,
    samples: int = 20_000,
    fit_samples: int = 10_000,
    certificate_samples: int = 10_000,
    gamma: float = 1e-3,
    jacobian: bool = False,
    search: Search | None = None,
    progress: Progress = no_progress,
    **choices: Any,
) -> ObservableRun:
    """Make ensemble averages agree with measurements, changing the model no more than needed.

    Args:
        model: a DiffusionModel or VelocityModel.
        data: observables with measured values, errors or bounds.
        method: "scheduled", the published form h = −η(t) Σ λ_k ∇O_k(D), its schedule fitted to mismatch + γ·work;
            "reweight", no guidance, weights only.
        seed: of everything random.
        samples: of the model, for λ.
        fit_samples: for each evaluation of the schedule's objective.
        certificate_samples: fresh guided samples for the certificate.
        gamma: price of a nat of work, in squared standard deviations of the observables.
        jacobian: differentiate the scheduled form through the network.
        search: a derivative-free search of the schedule instead of gradients.
        progress: ``leastwork.progress.bar`` shows one.
        choices: process, solver, steps, t_grid, kappa, batch_size, device, dtype as in :func:`leastwork.sample`.

    Raises:
        InfeasibleError: no reweighting of the samples reaches the values; says which datum and what range.
        LeastworkError: an argument that cannot be used.
    """
    begin = time.perf_counter()
    if method not in get_args(Method):
        raise LeastworkError(f"method={method!r} is not a method: choose one of {get_args(Method)}")
    own = sample(model, samples, seed=derive_seed(seed, "model"), progress=progress, **choices)
    observed = evaluate(data.observable, own.x)
    maxent = fit_lambdas(observed, data)
    own = replace(own, log_tilt=maxent.log_tilt_of(observed))
    guidance, fit = None, None
    if method == "scheduled":
        guess = ScheduledGuidance(
            data.observable, maxent.lambdas, 1.0, 1.0, jacobian, shift=model.shift, scale=model.scale
        )
        drawing: dict[str, Any] = {k: v for k, v in choices.items() if k in LAW}
        objective = Objective(model, data.observable, maxent.target, maxent.model_std, data.fitted, gamma, **drawing)
        fit = fit_schedule(objective, guess, n=fit_samples, seed=seed, search=search, progress=progress)
        guidance = fit.guidance
    return ObservableRun(
        model,
        data,
        method,
        maxent,
        guidance,
        choices,
        seed,
        own,
        fit,
        certificate_samples,
        own.network_evaluations + (fit.network_evaluations if fit else 0),
        time.perf_counter() - begin,
        progress,
    )

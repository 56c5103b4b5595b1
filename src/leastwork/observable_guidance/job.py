"""Observable Guidance: from a model and measured averages to guided samples and their certificate.

model samples → maximum entropy → λ → guidance → fresh guided samples → certificate. The target distribution
p·exp(−λ·O)/Z is fixed by the model's samples before a single guided one is drawn.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from torch import nn

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import fit_lambdas
from leastwork.data.trust import check_groups, trust, trusted
from leastwork.errors import LeastworkError
from leastwork.fit.budget import own_samples
from leastwork.fit.result import Fit
from leastwork.guidance.base import Guidance
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.models.base import Model, is_scored
from leastwork.models.denoised import check_gradient
from leastwork.models.placement import moved
from leastwork.networks.control import ControlNetwork
from leastwork.observable_guidance.adjoint_matching import match_adjoint
from leastwork.observable_guidance.least_action import ActionFit, learn_control
from leastwork.observable_guidance.least_work import LeastWorkFit, learn_guidance
from leastwork.observable_guidance.objective import Objective
from leastwork.observable_guidance.run import Method, ObservableRun
from leastwork.observable_guidance.scheduled import Search, fit_schedule
from leastwork.observables import evaluate
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.sample import LAW, make_sampler, sample
from leastwork.statistics.outliers import warn_of_outliers
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["guide_observables"]


def guide_observables(
    model: Model,
    data: Experiment,
    method: Method = "least-work",
    *,
    seed: int = 0,
    samples: int | None = None,
    certificate_samples: int = 10_000,
    groups: Sequence[str] | None = None,
    network: nn.Module | None = None,
    budget: int = 5_000_000,
    iterations: int | None = None,
    fit_samples: int = 10_000,
    gamma: float = 1e-3,
    jacobian: bool = False,
    search: Search | None = None,
    progress: Progress = no_progress,
    **choices: Any,
) -> ObservableRun:
    """Make ensemble averages agree with measurements, changing the model no more than needed.

    Args:
        model: a DiffusionModel, FrameModel or VelocityModel.
        data: observables with measured values, errors or bounds.
        method: "least-work", h = ∇V learned from the model's own samples, in stages where the data are far, and on
            guided paths; "scheduled", the published form h = −η(t) Σ λ_k ∇O_k(D), its schedule fitted to
            mismatch + γ·work; "loss", h = −Σ λ_k ∇ₓO_k(D(x, t)), the gradient of the tilt at the denoised estimate;
            "adjoint-matching", h = ∇V learned on its own paths alone; "reweight", no guidance, weights only. A
            VelocityModel has no score: there "least-work" is the added velocity of least kinetic action.
        seed: of everything random.
        samples: of the model, for λ and V; by default what a third of the budget pays for.
        certificate_samples: fresh guided samples for the certificate.
        groups: of which group each datum is, (K,), such as its type of coupling; then θ, by which the covariance of
            the data's errors is multiplied, is chosen by cross-validation over them on the model's own samples, before
            λ is fitted (:func:`leastwork.data.trust.trust`). By default the errors are taken as they are.
        network: for "least-work", V(x, α, σ) of flat states in network units; by default a ``ValueNetwork``.
        budget: for "least-work", network evaluations of the fit, at most.
        iterations: for "least-work", of the optimiser, by default 1500.
        fit_samples: for "scheduled", in each evaluation of the schedule's objective.
        gamma: for "scheduled", price of a nat of work, in squared standard deviations of the observables.
        jacobian: for "scheduled", differentiate through the network.
        search: for "scheduled", a derivative-free search instead of gradients.
        progress: ``leastwork.support.progress.bar`` shows one.
        choices: process, solver, steps, t_grid, kappa, batch_size, device, dtype as in :func:`leastwork.sample`.

    Raises:
        InfeasibleError: no reweighting reaches the values; says which datum and what range.
        LearningError: V was not learned; its ``history`` tells how it went.
        LeastworkError: an argument that cannot be used, or groups that no θ can be chosen by.
    """
    begin = time.perf_counter()
    if method not in get_args(Method):
        raise LeastworkError(f"method={method!r} is not a method: choose one of {get_args(Method)}")
    if groups is not None:
        check_groups(data, groups)
    if method == "adjoint-matching":
        choices = {"solver": "exponential", **choices}  # its adjoints need steps without memory
    model = moved(model, choices.get("device"), choices.get("dtype"))
    law: dict[str, Any] = {name: value for name, value in choices.items() if name in LAW}
    if samples is None:
        samples = own_samples(budget, make_sampler(model, None, **law).evaluations)
    own = sample(model, samples, seed=derive_seed(seed, "model"), progress=progress, **choices)
    warn_of_outliers(own.x)
    observed = evaluate(data.observable, own.x)
    curve = None if groups is None else trust(observed, data, groups)
    data = data if curve is None else trusted(data, curve.theta)
    guidance: Guidance | None = None
    fit: Fit | None = None
    evaluations = own.network_evaluations
    if method == "least-work":
        found = _least_work(model, data, own, seed, network, budget, iterations, progress, choices)
        maxent, guidance, fit, evaluations = found.maxent, found.guidance, found, 0  # own samples are counted in it
    else:
        maxent = fit_lambdas(observed, data)
    if method in ("scheduled", "loss"):
        if model.has_rotations:
            raise LeastworkError(f"method={method!r} is not for frames: use 'least-work' or 'reweight'")
        through = jacobian or method == "loss"
        if through and is_scored(model):
            check_gradient(model, own.x)
        guidance = ScheduledGuidance(data.observable, maxent.lambdas, 1.0, 0.0, through, model.units)
        if method == "scheduled":
            objective = Objective(model, data.observable, maxent.target, maxent.model_std, data.fitted, gamma, **law)
            fit = fit_schedule(objective, guidance, n=fit_samples, seed=seed, search=search, progress=progress)
            guidance = fit.guidance
    elif method == "adjoint-matching":
        fit = match_adjoint(model, maxent.log_tilt(data.observable), seed=seed, progress=progress, **law)
        guidance = fit.guidance
    return ObservableRun(
        model,
        data,
        method,
        maxent,
        guidance,
        choices,
        seed,
        replace(own, log_tilt=maxent.log_tilt_of(observed)),
        fit,
        certificate_samples,
        evaluations + (fit.network_evaluations if fit else 0),
        time.perf_counter() - begin,
        progress,
        curve,
    )


def _least_work(
    model: Model,
    data: Experiment,
    own: Ensemble,
    seed: int,
    network: nn.Module | None,
    budget: int,
    iterations: int | None,
    progress: Progress,
    choices: Mapping[str, Any],
) -> LeastWorkFit | ActionFit:
    """Values where there is a score, the control of least action where there is none."""
    if not model.has_score:
        if network is not None and not isinstance(network, ControlNetwork):
            raise LeastworkError("the control of a VelocityModel is a ControlNetwork: leave out network=, or pass one")
        return learn_control(model, data, seed=seed, own=own, network=network, progress=progress, **choices)
    return learn_guidance(
        model, data, seed=seed, own=own, network=network, budget=budget, iterations=iterations, progress=progress,
        **choices,
    )  # fmt: skip

"""Observable Guidance: from a model and measured averages to guided samples and their certificate.

model samples → maximum entropy → λ → guidance → fresh guided samples → certificate. The target distribution
p·exp(−λ·O)/Z is fixed by the model's samples before a single guided one is drawn.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from leastwork.data.experiment import Experiment
from leastwork.data.trust import check_groups, trust, trusted
from leastwork.fit.budget import own_samples
from leastwork.fit.methods import settings_given
from leastwork.models.base import Model
from leastwork.observable_guidance.methods import METHODS, ObservableMethod, Problem
from leastwork.observable_guidance.run import Method, ObservableRun
from leastwork.observable_guidance.scheduled import Search
from leastwork.observables import evaluate
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import draw
from leastwork.statistics.outliers import warn_of_outliers
from leastwork.support.arguments import seed_number, whole
from leastwork.support.checkpoints import kept
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["guide_observables"]


def guide_observables(
    model: Model,
    data: Experiment,
    method: Method | str | ObservableMethod = "least-work",
    *,
    seed: int = 0,
    samples: int | None = None,
    certificate_samples: int = 10_000,
    groups: Sequence[str] | None = None,
    network: nn.Module | None = None,
    budget: int | None = None,
    iterations: int | None = None,
    fit_samples: int | None = None,
    gamma: float | None = None,
    jacobian: bool | None = None,
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
            VelocityModel has no score: there "least-work" is the added velocity of least kinetic action. Or a method
            itself, such as ``Scheduled(gamma=0.01)`` or one of your own
            (:mod:`leastwork.observable_guidance.methods`).
        seed: of everything random.
        samples: of the model, for λ and V; by default what a third of the budget pays for.
        certificate_samples: fresh guided samples for the certificate.
        groups: of which group each datum is, (K,), such as its type of coupling; then θ, by which the covariance of
            the data's errors is multiplied, is chosen by cross-validation over them on the model's own samples, before
            λ is fitted (:func:`leastwork.data.trust.trust`). By default the errors are taken as they are.
        network: for "least-work", V(x, α, σ) of flat states in network units; by default a ``ValueNetwork``.
        budget: for "least-work", network evaluations of the fit, at most, by default 5,000,000; for the others, those
            of which a third pays for the model's own samples.
        iterations: for "least-work", of the optimiser, by default 1500.
        fit_samples: for "scheduled", in each evaluation of the schedule's objective, by default 10,000.
        gamma: for "scheduled", price of a nat of work, in squared standard deviations of the observables, by
            default 0.001.
        jacobian: for "scheduled", differentiate through the network.
        search: for "scheduled", a derivative-free search instead of gradients.
        progress: ``leastwork.support.progress.bar`` shows one.
        choices: process, solver, steps, t_grid, kappa, batch_size, device, dtype as in :func:`leastwork.sample`.

    Returns:
        ObservableRun: λ and the target, the guidance, and what it is worth; it draws, certifies, saves and reports.

    Raises:
        InfeasibleError: no reweighting reaches the values; says which datum and what range.
        LearningError: V was not learned; its ``history`` tells how it went.
        LeastworkError: an argument that cannot be used or belongs to another method, or groups that no θ can be
            chosen by.

    A standard normal whose mean is to be 0.5, by the gradient of the tilt at the denoised estimate:

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> mean = lw.Observable(lambda x: x, names=("x",))
    >>> run = lw.guide_observables(model, lw.Experiment(mean, values=[0.5]), "loss", samples=2000, steps=20)
    >>> run.lambdas.value.shape, bool(run.sample(1000).x.mean() > 0.2)
    (torch.Size([1]), True)
    """
    begin = time.perf_counter()
    settings = {
        "network": network,
        "budget": budget,
        "iterations": iterations,
        "fit_samples": fit_samples,
        "gamma": gamma,
        "jacobian": jacobian,
        "search": search,
    }
    chosen = METHODS.build(method, settings)
    if groups is not None:
        check_groups(data, groups)
    seed, certificate_samples = seed_number(seed), whole("certificate_samples", certificate_samples)
    choices = {**chosen.choices, **choices}
    drawing = Choices.of(choices)
    model = drawing.place(model)
    if samples is None:
        samples = own_samples(chosen.budget, drawing.sampler(model).evaluations)
    own = draw(model, whole("samples", samples), drawing, seed=derive_seed(seed, "model"), progress=progress)
    warn_of_outliers(own.x)
    observed = kept("observables", partial(evaluate, data.observable, own.x))
    curve = None if groups is None else trust(observed, data, groups)
    data = data if curve is None else trusted(data, curve.theta)
    found = chosen.fit(Problem(model, data, own, observed, drawing, seed, progress))
    return ObservableRun(
        model,
        data,
        METHODS.name_of(chosen),
        found.maxent,
        found.guidance,
        choices,
        seed,
        replace(own, log_tilt=found.maxent.log_tilt_of(observed)),
        observed,
        found.fit,
        certificate_samples,
        found.network_evaluations,
        time.perf_counter() - begin,
        progress,
        curve,
        1.0 if curve is None else curve.theta,
        settings_given(chosen),
    )

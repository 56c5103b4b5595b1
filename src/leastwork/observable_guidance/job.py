"""Observable Guidance: from a model and measured averages to guided samples and their certificate.

model samples → maximum entropy → λ → guidance → fresh guided samples → certificate. Samples of the model fix the
target distribution p·exp(−λ·O)/Z before the first guided sample is drawn.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from leastwork.data.fixed_point import on_averages
from leastwork.data.mixture import Data
from leastwork.data.trust import check_groups, trust, with_theta
from leastwork.fit.budget import own_samples
from leastwork.fit.methods import settings_given
from leastwork.models.base import Model
from leastwork.models.context import refuse_inference_mode, refuse_per_sample
from leastwork.models.latents import check_encoder
from leastwork.observable_guidance.methods import METHODS, ObservableMethod, Problem
from leastwork.observable_guidance.run import Method, ObservableRun
from leastwork.observable_guidance.scheduled import Search
from leastwork.observables import evaluate
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import draw
from leastwork.statistics.outliers import warn_of_outliers
from leastwork.support.arguments import refused, seed_number, whole
from leastwork.support.checkpoints import kept
from leastwork.support.metrics import OnMetrics, check_on_metrics, listening
from leastwork.support.progress import Progress, check_progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["guide_observables"]


def guide_observables(
    model: Model,
    data: Data,
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
    on_metrics: OnMetrics | None = None,
    **choices: Any,
) -> ObservableRun:
    """Make ensemble averages agree with measurements, changing the model no more than needed.

    Args:
        model: a DiffusionModel, FrameModel or VelocityModel.
        data: observables with measured values, errors or bounds; of a latent model, observables of decoded data. Data
            on functions of averages, :class:`~leastwork.Indirect`, are linearised at the averages of the model's own
            samples under the target.
        method: the name of a method. "least-work": h = ∇V learned from the model's own samples and on guided paths, in
            stages if the data are far. "scheduled": the published form h = −η(t) Σ λ_k ∇O_k(D) with a schedule fitted
            to mismatch + γ·work. "loss": h = −Σ λ_k ∇ₓO_k(D(x, t)), the gradient of the tilt at the denoised estimate.
            "adjoint-matching": h = ∇V learned on guided paths alone. "ram": h = ∇V regressed on the reward of re-noised
            endpoints of guided paths. "trust-region": h = ∇V from the variance of log-weights of its own paths, in
            steps of bounded divergence. "reweight": weights and no guidance. For a VelocityModel, which has no score,
            "least-work" fits the added velocity of least kinetic action. Or a method object, such as
            ``Scheduled(gamma=0.01)`` or one of your own (:mod:`leastwork.observable_guidance.methods`).
        seed: seed of all random numbers.
        samples: number of samples of the model for λ and V; by default as many as a third of the budget pays for.
        certificate_samples: number of fresh guided samples for the certificate.
        groups: the group of each datum, (K,), such as its type of coupling. If given, θ, by which the covariance of the
            data's errors is multiplied, is chosen by cross-validation over the groups on the model's own samples,
            before λ is fitted (:func:`leastwork.data.trust.trust`). By default the errors are taken as they are.
        network: for "least-work", V(x, α, σ) of flat states in network units; by default a ``ValueNetwork``.
        budget: for "least-work", the largest number of network evaluations of the fit, by default 5,000,000; for the
            other methods, a third of it pays for the model's own samples.
        iterations: for "least-work", the number of optimiser steps, by default 1500.
        fit_samples: for "scheduled", the number of samples in each evaluation of the objective, by default 10,000.
        gamma: for "scheduled", the price of a nat of work, in squared standard deviations of the observables, by
            default 0.001.
        jacobian: for "scheduled", whether to differentiate through the network.
        search: for "scheduled", a derivative-free search that is used instead of gradients.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        on_metrics: called as ``on_metrics(step, values)`` while the fit goes on, with losses, effective samples, misses
            and work by name; :func:`leastwork.support.sinks.sink` makes one for a CSV file or a tracker.
        choices: process, solver, steps, t_grid, kappa, batch_size, device, dtype as in :func:`leastwork.sample`.
            Without ``t_grid``, "least-work" places the steps where its guidance wastes most (``run.times``).

    Returns:
        ObservableRun: λ, the target, the guidance and its certificate; its methods draw, certify, save and report.

    Raises:
        InfeasibleError: no reweighting reaches the values; the message names the datum and the range that is reached.
        LearningError: V was not learned; the ``history`` of the error has the losses.
        LeastworkError: an argument cannot be used or belongs to another method, or the groups do not allow a choice
            of θ.

    A standard normal is guided to the mean 0.5 by the gradient of the tilt at the denoised estimate:

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
    progress = check_progress(progress)
    if not isinstance(data, Data):
        raise refused("data", data, "give an lw.Experiment, or an lw.Indirect of data on functions of averages")
    drawing = Choices.of({**chosen.choices, **choices})
    refuse_per_sample(model)
    refuse_inference_mode()
    model = drawing.place(model)
    data = data.sampled_by(model)
    if samples is None:
        samples = own_samples(chosen.budget, drawing.sampler(model).evaluations)
    own = draw(model, whole("samples", samples), drawing, seed=derive_seed(seed, "model"), progress=progress)
    warn_of_outliers(own.x)
    check_encoder(model, own.x)
    columns = kept("observables", partial(evaluate, data.observable, own.x))
    averages, observed, indirect = on_averages(data, columns)
    curve = None if groups is None else trust(observed, averages, groups)
    if curve is not None:
        averages, observed, indirect = on_averages(with_theta(data, curve.theta), columns)
    with listening(check_on_metrics(on_metrics)), torch.enable_grad():  # also where the caller has torch.no_grad
        found = chosen.fit(Problem(model, averages, own, observed, drawing, seed, progress))
    if indirect is not None and torch.equal(found.maxent.lambdas, indirect.maxent.lambdas):
        found = replace(found, maxent=replace(found.maxent, stderr=indirect.maxent.stderr))  # they know the curvature
    return ObservableRun(
        model,
        averages,
        METHODS.name_of(chosen),
        found.maxent,
        found.guidance,
        drawing,
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
        linearisation=None if indirect is None else indirect.point,
        times=found.times,
    )

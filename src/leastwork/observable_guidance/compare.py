"""Comparison of methods on the same data: misses, cost, and effective samples.

Each method is judged by its own fresh samples, drawn with the same seed and steps. Reweighting and particles, "smc" and
"driftlite", are judged by their weighted samples, guidance by its unweighted samples.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from leastwork.data.mixture import Data
from leastwork.errors import LeastworkError
from leastwork.geometry.state import State
from leastwork.models.base import Model
from leastwork.observable_guidance.job import guide_observables
from leastwork.observable_guidance.methods import METHODS
from leastwork.observable_guidance.run import Method, ObservableRun
from leastwork.observables import evaluate
from leastwork.sampling.choices import Choices
from leastwork.sampling.drift_control import drift_control
from leastwork.sampling.ensemble import Ensemble, log_weight_under
from leastwork.sampling.steer import steer
from leastwork.sampling.work import kish_ess
from leastwork.statistics.estimate import Estimate
from leastwork.support.arguments import seed_number, whole
from leastwork.support.progress import Progress, check_progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["COMPARED", "Compared", "Row", "compare", "strangers"]

Compared: TypeAlias = Method | Literal["smc", "driftlite"]

COMPARED: tuple[Compared, ...] = (
    "reweight", "smc", "driftlite", "loss", "scheduled", "adjoint-matching", "ram", "trust-region",
    "least-work",
)  # fmt: skip
"""The methods of the library, in the order of a table."""

_PARTICLE_METHODS: dict[str, tuple[Callable[..., Ensemble], tuple[str, ...]]] = {
    "smc": (steer, ("process", "solver", "steps", "t_grid", "kappa", "batch_size", "device", "dtype")),
    "driftlite": (drift_control, ("steps", "t_grid", "device", "dtype")),
}
"""Methods that draw weighted particles without a guidance, and the choices that each of them takes."""

_PARTICLES = 1024


def strangers() -> tuple[str, ...]:
    """Names of the registered methods that are not the library's own."""
    return tuple(name for name in METHODS.names() if name not in COMPARED)


@dataclass(frozen=True)
class Row:
    """One row of the comparison, for one method.

    Args:
        method: name of the method.
        miss: (average − target)/σ_O of each observable, (K,). The target is the maximum-entropy average for fitted
            data, and the measured value for data that were held out.
        work: mean work, nats; None if the method has no path weights.
        efficiency: 1 − dissipation/work, or None.
        ess: Kish fraction of the effective samples under the target.
        divergence: KL(truth ‖ samples), nats, or None if the truth is not known.
        fit_evaluations: number of network evaluations of the fit, the model's own samples included.
        sample_evaluations: number of network evaluations for each sample after the fit.
        seconds: duration of the fit, s, the model's own samples included.
        reason: why the method has no numbers; empty if it has.
    """

    method: str
    miss: Estimate | None = None
    work: Estimate | None = None
    efficiency: Estimate | None = None
    ess: Estimate | None = None
    divergence: float | None = None
    fit_evaluations: int = 0
    sample_evaluations: float = 0.0
    seconds: float = 0.0
    reason: str = ""


def compare(
    model: Model,
    data: Data,
    methods: Sequence[str] | None = None,
    *,
    n: int = 20_480,
    seed: int = 0,
    divergence: Callable[[State, Tensor], float] | None = None,
    samples: int | None = None,
    fit: dict[str, Any] | None = None,
    progress: Progress = no_progress,
    **choices: Any,
) -> Iterator[Row]:
    """Fit and judge each method; yields its row as soon as it has finished.

    Args:
        model: the model that is guided.
        data: the experiment.
        methods: names of the methods, in the order of the rows; by default all of the library, then those of your own.
        n: number of fresh samples by which each method is judged, a multiple of 1024.
        seed: seed of all random numbers.
        divergence: function (x, ln w) -> KL(truth ‖ samples), nats, of samples x (n, *event) in data units with
            log-weights ln w (n,).
        samples: number of samples of the model for λ, as in :func:`leastwork.guide_observables`.
        fit: more settings of :func:`leastwork.guide_observables`; each method takes those that it has.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: as in :func:`leastwork.sample`.

    Raises:
        LeastworkError: a method is unknown. An error raised by a method becomes the ``reason`` of its row.
    """
    known = (*COMPARED, *strangers())
    methods = known if methods is None else methods
    unknown = [method for method in methods if method not in known]
    if unknown:
        raise LeastworkError(f"{unknown[0]!r} is not a method: choose from {', '.join(known)}")
    seed, drawing, progress = seed_number(seed), Choices.of(choices), check_progress(progress)
    if whole("n", n) < _PARTICLES or n % _PARTICLES:
        raise LeastworkError(f"n={n} is not a multiple of {_PARTICLES}: draw n={-(-n // _PARTICLES) * _PARTICLES}")
    given = fit or {}
    shared = {key: value for key, value in given.items() if not METHODS.owners(key)}
    settings: dict[str, Any] = {"seed": seed, "samples": samples, "progress": progress, **shared, **choices}
    fresh = derive_seed(seed, "comparison")
    for method in methods:
        begin = time.perf_counter()
        try:
            name = "reweight" if method in _PARTICLE_METHODS else method
            run = guide_observables(model, data, METHODS.build(name, METHODS.own(name, given)), **settings)
            seconds = time.perf_counter() - begin
            if method in _PARTICLE_METHODS:
                particles, taken = _PARTICLE_METHODS[method]
                how = {name: getattr(drawing, name) for name in choices if name in taken}
                drawn = particles(run.model, n, run.log_tilt, seed=fresh, progress=progress, **how)
            else:
                drawn = run.sample(n, seed=fresh, progress=progress)
            yield _row(method, run, drawn, divergence, seconds)
        except LeastworkError as error:
            yield Row(method, reason=str(error), seconds=time.perf_counter() - begin)


def _row(
    method: str,
    run: ObservableRun,
    drawn: Ensemble,
    divergence: Callable[[State, Tensor], float] | None,
    seconds: float,
) -> Row:
    weighted = method in _PARTICLE_METHODS or run.guidance is None
    observed = evaluate(run.data.observable, drawn.x)
    used = log_weight_under("target" if weighted else "guided", drawn)
    log_w = None if drawn.ledger.log_weight is None else log_weight_under("target", drawn)
    group = drawn.ledger.group
    averages = Estimate.from_log_weights(observed, used, group)
    goal = torch.where(run.data.held_out & ~run.data.values.isnan(), run.data.values, run.maxent.target)
    spread = run.maxent.model_std
    certificate = None if weighted or drawn.ledger.work is None else run.certify(drawn)
    return Row(
        method,
        miss=Estimate((averages.value - goal) / spread, averages.stderr / spread),
        work=None if certificate is None else certificate.work,
        efficiency=None if certificate is None else certificate.efficiency,
        ess=None if log_w is None else kish_ess(log_w, group),
        divergence=None if divergence is None else divergence(drawn.x, used),
        fit_evaluations=run.network_evaluations,
        sample_evaluations=drawn.network_evaluations / len(observed),
        seconds=seconds,
    )

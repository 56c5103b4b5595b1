"""Fit of the schedule η(t) = a e^{−bt} of the published guidance to mismatch + γ W.

A coarse scan of (ln a, b) on few samples finds the basin. Then a quasi-Newton search follows the exact gradient
through the sampler on common random numbers (L-BFGS-B, Byrd et al., SIAM J. Sci. Comput. 16, 1190, 1995). The final
value of the objective comes from a fresh seed.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from leastwork.errors import LeastworkError
from leastwork.fit.result import FitRecord
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.observable_guidance.objective import Objective
from leastwork.statistics.estimate import Estimate
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["ScheduleFit", "fit_schedule"]

STRENGTHS = (0.01, 100.0)
DECAYS = (-4.0, 16.0)
"""Bounds of the search for a and b; b < 0 puts the weight on the noisy end."""

_OBJECTIVE_IF_INFINITE = 1e6  # value given to the line search where samples explode; the history has inf

Search = Callable[[Callable[[float, float], float]], tuple[float, float]]


@dataclass(frozen=True)
class Trial:
    """One evaluation of the objective in a fit; ``objective`` is infinite if samples exploded."""

    strength: float
    decay: float
    objective: float
    samples: int


@dataclass(frozen=True)
class ScheduleFit:
    """The fitted guidance, its objective on fresh samples, and the cost of the fit."""

    guidance: ScheduledGuidance
    objective: Estimate
    history: tuple[Trial, ...]
    network_evaluations: int
    seconds: float

    def record(self) -> FitRecord:
        """The cost of the fit as plain values."""
        return FitRecord(self.network_evaluations, self.seconds, trials=len(self.history))


def fit_schedule(
    objective: Objective,
    guidance: ScheduledGuidance,
    *,
    n: int = 10_000,
    seed: int = 0,
    search: Search | None = None,
    progress: Progress = no_progress,
) -> ScheduleFit:
    """Find the strength a and decay b that minimise the objective.

    Args:
        objective: the objective J, with model, target and γ.
        guidance: the guidance with observable, λ and units; its strength and decay are replaced.
        n: number of samples in each evaluation of J.
        seed: seed from which the common random numbers of the fit and those of the final objective are derived.
        search: a derivative-free search that is used instead of gradients, such as ``gaussian_process_search()``; it
            takes the function J(ln a, b) and returns the best (ln a, b).
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.

    Raises:
        LeastworkError: samples exploded at all schedules that were tried.
    """
    begin = time.perf_counter()
    fit_seed = derive_seed(seed, "schedule fit")
    history: list[Trial] = []
    evaluations = 0
    per_sample = objective.sampler(guidance).evaluations

    def value(log_strength: float, decay: float, samples: int = n) -> float:
        nonlocal evaluations
        trial = replace(guidance, strength=math.exp(log_strength), decay=decay)
        found = float(objective.value(trial, samples, fit_seed).value)
        found = found if math.isfinite(found) else math.inf
        history.append(Trial(math.exp(log_strength), decay, found, samples))
        report_metrics("fitting the schedule", vars(history[-1]))
        evaluations += samples * per_sample
        return found

    def value_and_gradient(point) -> tuple[float, list[float]]:
        nonlocal evaluations
        strength = torch.tensor(math.exp(point[0]), dtype=torch.float64, requires_grad=True)
        decay = torch.tensor(point[1], dtype=torch.float64, requires_grad=True)
        trial = replace(guidance, strength=strength, decay=decay)
        found, (by_strength, by_decay) = objective.value_and_gradient(trial, (strength, decay), n, fit_seed)
        J = float(found.value) if math.isfinite(float(found.value)) else math.inf
        history.append(Trial(math.exp(point[0]), float(point[1]), J, n))
        report_metrics("fitting the schedule", vars(history[-1]))
        evaluations += 2 * n * per_sample
        tick()
        if math.isinf(J):
            return _OBJECTIVE_IF_INFINITE, [0.0, 0.0]  # this makes the line search turn back
        return J, [float(by_strength) * math.exp(point[0]), float(by_decay)]

    with progress("fitting the schedule", 40) as tick:
        if search is not None:
            best = search(value)
        else:
            few = min(n, 1024)
            scan = []
            for a in (0.03, 0.1, 0.3, 1.0, 3.0):
                for b in (-1.0, 0.5, 2.0, 4.0, 8.0):
                    scan.append((value(math.log(a), b, few), math.log(a), b))
                    tick()
            start = min(scan)
            if math.isinf(start[0]):
                raise LeastworkError("samples exploded at every schedule tried: use more steps, or check λ's units")
            from scipy.optimize import minimize  # slow to import, and needed here alone

            box = [(math.log(STRENGTHS[0]), math.log(STRENGTHS[1])), DECAYS]
            options = {"maxfun": 15, "ftol": 1e-5}
            result = minimize(value_and_gradient, start[1:], jac=True, method="L-BFGS-B", bounds=box, options=options)
            tried = [trial for trial in history if trial.samples == n and math.isfinite(trial.objective)]
            top = min(tried, key=lambda trial: trial.objective)
            best = (math.log(top.strength), top.decay) if tried else tuple(result.x)
    fitted = replace(guidance, strength=math.exp(best[0]), decay=float(best[1]))
    final = objective.value(fitted, n, derive_seed(seed, "schedule held-out"))
    return ScheduleFit(fitted, final, tuple(history), evaluations, time.perf_counter() - begin)

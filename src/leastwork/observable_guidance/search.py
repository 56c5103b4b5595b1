"""Derivative-free search of a schedule by a Gaussian process (optuna's GPSampler; extra ``search``)."""

import math
from collections.abc import Callable
from typing import Any

from leastwork.errors import LeastworkError
from leastwork.observable_guidance.scheduled import DECAYS, STRENGTHS, Search
from leastwork.support.extras import needs

__all__ = ["gaussian_process_search"]


def gaussian_process_search(calls: int = 256, seed: int = 0) -> Search:
    """A search for ``fit_schedule`` that returns the best (ln a, b) of ``calls`` evaluations of J.

    Raises:
        LeastworkError: optuna is not installed.
    """
    optuna = needs("optuna", "search")

    def search(value: Callable[[float, float], float]) -> tuple[float, float]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=seed % 2**32))

        def objective(trial: Any) -> float:
            strength = trial.suggest_float("strength", *STRENGTHS, log=True)
            found = value(math.log(strength), trial.suggest_float("decay", *DECAYS))
            if math.isinf(found):
                raise optuna.TrialPruned  # exploded samples have no value to learn from
            return found

        study.optimize(objective, n_trials=calls)
        if not any(trial.value is not None for trial in study.trials):
            raise LeastworkError("samples exploded at every schedule tried: use more steps, or check λ's units")
        return math.log(study.best_params["strength"]), float(study.best_params["decay"])

    return search

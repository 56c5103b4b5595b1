"""The outcome of a least-work fit to averages: its stages, the guidance, and where the steps were placed."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from leastwork.data.maxent import MaxEnt
from leastwork.fit.labels import LabelFit
from leastwork.fit.on_policy import Polish
from leastwork.fit.result import FitRecord
from leastwork.fit.value import Check
from leastwork.guidance.learned import Bound, LearnedGuidance

__all__ = ["LeastWorkFit", "Stage"]


@dataclass(frozen=True)
class Stage:
    """One stage: how far towards the data it aimed, its effective samples, and how V was learned and polished."""

    fraction: float
    """β, the fraction of the way from the model's averages to the data."""
    ess: float
    """Kish fraction of the weights dP/dQ · e^r on the samples of the guidance before."""
    checks: tuple[Check, ...]
    polishes: tuple[Polish, ...] = ()
    labels: LabelFit | None = None
    bound: Bound | None = None
    """Of |h|, from the guided paths that V was learned on."""
    times: Tensor | None = None
    """Times at which a pilot has placed the steps, (S + 1,), or None where they are as chosen."""

    def record(self) -> dict[str, Any]:
        """Plain values: β, the effective samples, the held-out losses and the variance before and after each polish."""
        return {
            "fraction": self.fraction,
            "ess": self.ess,
            "iterations": [check.iteration for check in self.checks],
            "validation": [check.validation for check in self.checks],
            "variance_before": [polish.variance_before for polish in self.polishes],
            "variance_after": [polish.variance_after for polish in self.polishes],
        }


@dataclass(frozen=True)
class LeastWorkFit:
    """The guidance, the target that it was fitted to, and the cost of the fit; the history has one entry per stage."""

    guidance: LearnedGuidance
    maxent: MaxEnt
    history: tuple[Stage, ...]
    network_evaluations: int
    seconds: float

    @property
    def times(self) -> Tensor | None:
        """Times at which the steps were placed, (S + 1,), or None where they are as chosen."""
        return self.history[-1].times if self.history else None

    def record(self) -> FitRecord:
        """Cost and history as plain values."""
        return FitRecord(self.network_evaluations, self.seconds, tuple(stage.record() for stage in self.history))

"""A fitted Path Guidance: fresh samples of a region, its free energy and its certificate."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.fit.result import Fit
from leastwork.fit.run import FittedRun
from leastwork.geometry.state import State, take
from leastwork.guidance.base import Guidance
from leastwork.kernels.density import KernelDensity
from leastwork.kernels.region import Membership
from leastwork.models.base import Model
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.step_error import StepError, step_check, warn_of_steps
from leastwork.statistics.estimate import Estimate
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["PathMethod", "PathRun"]

PathMethod: TypeAlias = Literal["least-work", "transported", "loss"]


@dataclass(frozen=True)
class PathRun(FittedRun):
    """A fitted guidance into a region, with its certificate and the free energy of the region.

    Args:
        model: the model that is guided.
        guides: the guiding points with their kernel and bandwidth.
        region: membership in A of samples in data units.
        method: the name of the method.
        guidance: h.
        log_odds: L of the target p·e^{L 1_A}/Z; 0 if no guided sample of the fit reaches A.
        target: the share of the target in A.
        choices: sampling choices of the fit.
        seed: seed of the fit; later samples are drawn with other seeds.
        model_samples: the model's own samples.
        fit: how the guidance was found.
        certificate_samples: number of fresh samples for the certificate; None to use those of ``ensemble``.
        network_evaluations, seconds: cost of the whole fit, the model's own samples included.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        settings: the settings of the method, by name.
        ensemble: guided samples that a run read from a folder has already.
    """

    kind_of_run: ClassVar[str] = "path"

    model: Model
    guides: KernelDensity
    region: Membership
    method: str
    guidance: Guidance
    log_odds: float
    target: float
    choices: Choices
    seed: int
    model_samples: Ensemble
    fit: Fit
    certificate_samples: int | None = 10_000
    network_evaluations: int = 0
    seconds: float = 0.0
    progress: Progress = field(default=no_progress, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    ensemble: Ensemble | None = field(default=None, repr=False)

    def log_tilt(self, x: State) -> Tensor:
        """The log-tilt r = L 1_A of the target, nats, float64 (B,)."""
        return self.log_odds * self.region(x).to(torch.float64)

    def inside(self, ensemble: Ensemble) -> Ensemble:
        """The samples in A alone; their averages under "model" are those of the model given A.

        Raises:
            LeastworkError: no sample is in A.
        """
        index = self.region(ensemble.x).nonzero()[:, 0]
        if len(index) == 0:
            raise LeastworkError(f"none of {len(ensemble)} samples is in the region: {_REMEDY}")
        ledger = ensemble.ledger
        parts = {name: _rows(getattr(ledger, name), index) for name in ("work", "log_weight", "action")}
        tilt = _rows(ensemble.log_tilt, index)
        return replace(
            ensemble, x=take(ensemble.x, index), ledger=replace(ledger, step_work=None, **parts), log_tilt=tilt
        )

    @cached_property
    def step_error(self) -> StepError:
        """Errors of the share in A and, with the opposite sign, of −ln p(A) due to the number of steps.

        Warns:
            LeastworkWarning: an error is above 0.05 standard deviations of 1_A or 0.05 k_BT, and above two of its
                standard errors.
        """

        def share(x: State) -> Tensor:
            return self.region(x).to(torch.float64)

        found = step_check(
            self.model, share, self.guidance, log_tilt=lambda x: share(x).log(), seed=derive_seed(self.seed, "steps"),
            progress=self.progress, **self.choices.law,
        )  # fmt: skip
        warn_of_steps(found, ("1_A",), stacklevel=3)
        return found

    @property
    def success(self) -> Estimate:
        """Share of the certificate's samples in A."""
        return Estimate.from_samples(self.region(self.certificate_ensemble.x).to(torch.float64))

    @property
    def free_energy(self) -> Estimate:
        """−ln p(A) under the model, k_B T, from the path weights of the certificate's samples.

        Raises:
            LeastworkError: none of the samples is in A.
        """
        return self.free_energy_of(self.certificate_ensemble)

    def free_energy_of(self, ensemble: Ensemble) -> Estimate:
        """−ln p(A) from samples drawn by :meth:`sample`: the estimate of p(A) is unbiased, −ln p(A) a little high."""
        inside = self.region(ensemble.x).to(torch.float64)
        if not bool(inside.any()):
            raise LeastworkError(f"none of {len(ensemble)} samples is in the region: {_REMEDY}")
        log_weight = ensemble.log_weight.to(torch.float64)
        top = log_weight[inside > 0].max()
        w = torch.exp(log_weight - top) * inside
        return Estimate.from_influence(float(-(top + w.mean().log())), -w / w.mean(), ensemble.ledger.group)


_REMEDY = "give more guides, a wider region, or use method='least-work'"


def _rows(values: Tensor | None, index: Tensor) -> Tensor | None:
    return None if values is None else values[index]

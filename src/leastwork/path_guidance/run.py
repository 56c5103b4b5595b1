"""A fitted Path Guidance: fresh samples of a region, its free energy and its certificate."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NoPathWeightsError
from leastwork.fit.result import Fit
from leastwork.geometry.state import State, take
from leastwork.guidance.base import Guidance
from leastwork.kernels.density import KernelDensity
from leastwork.kernels.region import Membership
from leastwork.models.base import Model
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.sample import law_of, sample
from leastwork.sampling.step_error import StepError, step_check, warn_of_steps
from leastwork.sampling.work import Certificate, certify
from leastwork.statistics.estimate import Estimate
from leastwork.support.above import above
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["PathMethod", "PathRun"]

PathMethod: TypeAlias = Literal["least-work", "transported", "loss"]


@dataclass(frozen=True)
class PathRun:
    """A guidance into a region, what it is worth, and what the region is worth.

    Args:
        model: what is guided.
        guides: the points with their kernel and bandwidth.
        region: A, membership of samples in data units.
        method: the name of the method.
        guidance: h.
        log_odds: L of the target p·e^{L 1_A}/Z, which has a share ``target`` in A; 0 where a baseline never gets there.
        target: that share.
        choices: sampling choices that the fit was made for.
        seed: of the fit.
        model_samples: the model's own.
        fit: how the guidance was found.
        certificate_samples: how many fresh samples the certificate takes; None for those of ``ensemble``.
        network_evaluations, seconds: of the whole fit, the model's own samples included.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        settings: of the method, by name.
        ensemble: guided samples that were drawn already, where the run was read from a folder that has some.
    """

    model: Model
    guides: KernelDensity
    region: Membership
    method: str
    guidance: Guidance
    log_odds: float
    target: float
    choices: Mapping[str, Any]
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
        """r = L 1_A of the target, (B,), float64."""
        return self.log_odds * self.region(x).to(torch.float64)

    def sample(self, n: int, seed: int = 1, **choices: Any) -> Ensemble:
        """Fresh guided samples that know their target; ``choices`` as in :func:`leastwork.sample`.

        Raises:
            LeastworkError: ``seed`` is that of the fit, whose samples would flatter the guidance.
        """
        if seed == self.seed:
            raise LeastworkError(f"seed={seed} was used for the fit: draw with another, so that figures are honest")
        ensemble = sample(self.model, n, self.guidance, **{**self.choices, **choices, "seed": seed, "out": None})
        return replace(ensemble, log_tilt=self.log_tilt(ensemble.x))

    def inside(self, ensemble: Ensemble) -> Ensemble:
        """The samples in A alone; their averages under "model" are those of the model *given* A.

        Raises:
            LeastworkError: none is.
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
    def certificate_ensemble(self) -> Ensemble:
        """The fresh samples of the certificate."""
        if self.certificate_samples is None and self.ensemble is not None:
            return self.ensemble
        seed = derive_seed(self.seed, "certificate")
        return self.sample(self.certificate_samples or 10_000, seed=seed, progress=self.progress)

    @cached_property
    def certificate(self) -> Certificate:
        """Work, bound, dissipation, efficiency and ESS towards the target, on fresh samples.

        Raises:
            NoPathWeightsError: the run draws by a process or solver that has no path weights.
        """
        return self.certify(self.certificate_ensemble)

    def certify(self, ensemble: Ensemble | None = None) -> Certificate:
        """The certificate of fresh samples.

        Args:
            ensemble: drawn by :meth:`sample`; by default those of :attr:`certificate`.

        Raises:
            NoPathWeightsError: the samples have no path weights, or know no target.
        """
        if ensemble is None:
            return self.certificate
        if ensemble.log_tilt is None:
            raise NoPathWeightsError("these samples know no target: draw them with run.sample(...)")
        return certify(ensemble.work, ensemble.log_weight, ensemble.log_tilt)

    @cached_property
    def step_error(self) -> StepError:
        """What the number of steps does to the share in A and, with the other sign, to −ln p(A).

        Warns:
            LeastworkWarning: an error above 0.05 standard deviations of 1_A or 0.05 k_BT, and two standard errors.
        """

        def share(x: State) -> Tensor:
            return self.region(x).to(torch.float64)

        law = law_of(self.choices)
        found = step_check(
            self.model, share, self.guidance, log_tilt=lambda x: share(x).log(), seed=derive_seed(self.seed, "steps"),
            **law,
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
            LeastworkError: none of them is in A.
        """
        return self.free_energy_of(self.certificate_ensemble)

    def free_energy_of(self, ensemble: Ensemble) -> Estimate:
        """−ln p(A) from samples drawn by :meth:`sample`; the mean weight is unbiased, −ln of it a little high."""
        inside = self.region(ensemble.x).to(torch.float64)
        if not bool(inside.any()):
            raise LeastworkError(f"none of {len(ensemble)} samples is in the region: {_REMEDY}")
        log_weight = ensemble.log_weight.to(torch.float64)
        top = log_weight[inside > 0].max()
        w = torch.exp(log_weight - top) * inside
        return Estimate.from_influence(float(-(top + w.mean().log())), -w / w.mean(), ensemble.ledger.group)

    def save(self, folder: str | Path, model: str | Path | None = None) -> Path:
        """Write the run into a folder that :func:`leastwork.load_run` reads, the samples of the certificate if drawn.

        Args:
            folder: new or empty, or that of this run, saved before.
            model: the name of a bundled model or a folder written by ``save_model``, where the model is such a one;
                by default a copy of the model is written beside.

        Returns:
            Path: the folder.

        Raises:
            ConfigError: another run is there, or a part of this one has no file form.
        """
        return above("leastwork.runs.saved", "save_path_run")(self, Path(folder), model)

    def report(self, folder: str | Path, model: str | Path | None = None) -> Path:
        """Save the run, draw the samples of the certificate unless they are, and make the page that reports on it.

        Args:
            folder, model: as for :meth:`save`.

        Returns:
            Path: of ``report.html``; ``metrics.json`` beside it has its numbers.

        Raises:
            ConfigError: as for :meth:`save`.
        """
        return above("leastwork.runs.saved", "report_path_run")(self, Path(folder), model)


_REMEDY = "give more guides, a wider region, or use method='least-work'"


def _rows(values: Tensor | None, index: Tensor) -> Tensor | None:
    return None if values is None else values[index]

"""A run of Path Guidance: guides to a region, guided samples of it, its free energy, and what both are worth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leastwork.geometry.state import State, leaves
from leastwork.kernels.region import definition_of
from leastwork.path_guidance.files import load_fit, save_fit
from leastwork.path_guidance.job import guide_path
from leastwork.path_guidance.run import PathRun
from leastwork.runs.base.finished import PLOTTED, save_plots
from leastwork.runs.base.job import Job
from leastwork.runs.base.numbers import certificate_metrics, with_stderr
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.figures import outlines
from leastwork.runs.path.inputs import PathInputs, build_path_inputs
from leastwork.runs.path.quality import path_quality, region_share
from leastwork.runs.path.truth import RegionTruth, known_region
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.work import Certificate
from leastwork.support.numerals import count, fraction
from leastwork.support.progress import Progress

__all__ = ["PathJob"]


@dataclass(frozen=True)
class PathJob(Job[PathRun]):
    """A run of Path Guidance with its inputs."""

    config: PathConfig
    inputs: PathInputs

    @classmethod
    def of(cls, config: PathConfig) -> "PathJob":
        """Load and check everything."""
        return cls(config, build_path_inputs(config))

    @property
    def goal(self) -> str:
        config, guides = self.config, len(leaves(self.inputs.points)[0])
        return (
            f"{fraction(config.success)} of the samples of the model {config.source.label} are to lie in a rare "
            f"region, known from {count(guides)} examples, and the free energy of that region is measured"
        )

    def load(self, folder: Path) -> PathRun | None:
        config, inputs = self.config, self.inputs
        return load_fit(
            folder,
            inputs.model,
            inputs.points,
            inputs.region,
            config.method,
            inputs.choices,
            config.seed,
            inputs.kernel,
        )

    def fit(self, progress: Progress) -> PathRun:
        config, inputs = self.config, self.inputs
        return guide_path(
            inputs.model,
            inputs.points,
            config.chosen,
            region=inputs.region,
            bandwidth=config.bandwidth,
            seed=config.seed,
            samples=config.fit.samples,
            progress=progress,
            **inputs.choices.given,
        )

    def save(self, fitted: PathRun, folder: Path) -> None:
        save_fit(fitted, folder)

    def log_tilt(self, fitted: PathRun, x: State) -> Tensor:
        return fitted.log_tilt(x)

    def measure(self, folder: Path, fitted: PathRun, ensemble: Ensemble, judged: Ensemble) -> dict[str, Any]:
        certificate = fitted.certify(judged)
        truth = known_region(self.config.system, fitted.region)
        found = path_quality(fitted, ensemble, truth)
        save_plots(
            folder, {"guides": leaves(self.inputs.points)[0], **_in_a_plane(fitted, ensemble), **found.distances}
        )
        energy = _free_energy(fitted, ensemble, definition_of(fitted.region), truth)
        return {
            "observables": [],
            "certificate": certificate_metrics(certificate),
            "free_energy": energy,
            "quality": {**_headline(certificate, energy), **found.metrics},
        }


def _in_a_plane(run: PathRun, ensemble: Ensemble) -> dict[str, Tensor]:
    """Samples for a figure, where a state has two coordinates."""
    (guided, *_), (model, *_) = leaves(ensemble.x), leaves(run.model_samples.x)
    if guided[0].numel() != 2:
        return {}
    guides = leaves(run.guides.points)[0]
    shape = tuple(guides.shape[1:])

    def inside(x: NDArray[np.float64]) -> NDArray[np.bool_]:
        return run.region(torch.from_numpy(x).to(guides.dtype).reshape(-1, *shape)).numpy()

    guided, model = guided[:PLOTTED], model[:PLOTTED]
    every, drawn, points = (part.flatten(1).to(torch.float64).numpy() for part in (model, guided, guides))
    membership = outlines(every, drawn, points, inside)
    return {"x": guided, "x of the model": model, "outlines": torch.from_numpy(membership)}


def _free_energy(run: PathRun, ensemble: Ensemble, definition: str, truth: RegionTruth | None) -> dict[str, Any]:
    """−ln p(A) and p(A) under the model, null where no sample is in A, and of the true density, where that is known."""
    found: dict[str, Any] = {"value": None, "stderr": None, "unit": "kT", "region": definition, "probability": None}
    if region_share(run, ensemble).value > 0:
        energy = run.free_energy_of(ensemble)
        p = math.exp(-energy.value)
        found |= {**with_stderr(energy), "probability": {"value": p, "stderr": p * energy.stderr}}
    exact = None
    if truth is not None:
        exact = {
            "value": -truth.log_probability,
            "probability": math.exp(truth.log_probability),
            "source": truth.source,
        }
    return {**found, "exact": exact}


def _headline(certificate: Certificate, energy: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "work": with_stderr(certificate.work),
        "efficiency": with_stderr(certificate.efficiency),
        "free_energy": {key: energy[key] for key in ("value", "stderr")},
        "region": energy["region"],
    }

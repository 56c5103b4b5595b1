"""A run of a profile: windows along a coordinate, then samples of its flat histogram, which refine the profile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.free_energy.files import load_profile, save_fit
from leastwork.free_energy.job import flat_histogram
from leastwork.free_energy.profile import profile_of
from leastwork.free_energy.result import Profile
from leastwork.free_energy.run import ProfileRun
from leastwork.geometry.state import State, shapes
from leastwork.models.base import Model
from leastwork.models.latents import data_shape, of_data
from leastwork.observables import Observable, on_alpha_carbons
from leastwork.runs.base.along import AlongInputs, model_with_free_energy
from leastwork.runs.base.finished import save_plots
from leastwork.runs.base.job import Job
from leastwork.runs.base.numbers import certificate_metrics, number, with_stderr
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.profile.config import ProfileConfig
from leastwork.sampling.ensemble import Ensemble
from leastwork.support.progress import Progress

__all__ = ["ProfileJob"]


@dataclass(frozen=True)
class ProfileJob(Job[ProfileRun]):
    """A run of a profile with its inputs."""

    config: ProfileConfig
    inputs: AlongInputs

    @classmethod
    def of(
        cls, config: ProfileConfig, model: Model | None = None, coordinate: Observable | None = None
    ) -> "ProfileJob":
        """Load and check everything.

        Args:
            config: the run.
            model, coordinate: in place of those that the run names.

        Raises:
            ConfigError: a file, name or shape that cannot be used.
        """
        model = model_with_free_energy(config, model)
        seen = of_data(_built(config, model) if coordinate is None else coordinate, model)
        return cls(config, AlongInputs(model, seen, sampling_choices(config.sampling)))

    @property
    def goal(self) -> str:
        names = " and ".join(self.inputs.coordinate.names)
        return f"the free energy of the model {self.config.source.label} along {names} is to be known, bin by bin"

    def load(self, folder: Path) -> ProfileRun | None:
        config, inputs = self.config, self.inputs
        return load_profile(folder, inputs.model, inputs.coordinate, config.method, inputs.choices, config.seed)

    def fit(self, progress: Progress) -> ProfileRun:
        config, inputs, asked = self.config, self.inputs, self.config.profile
        return flat_histogram(
            inputs.model, inputs.coordinate, config.chosen, lower=asked.lower, upper=asked.upper, bins=asked.bins,
            width=asked.width, samples=config.fit.samples, seed=config.seed, progress=progress, **inputs.choices.given,
        )  # fmt: skip

    def save(self, fitted: ProfileRun, folder: Path) -> None:
        save_fit(fitted, folder, fitted.edges)

    def log_tilt(self, fitted: ProfileRun, x: State) -> Tensor:
        return fitted.log_tilt(x)

    def measure(self, folder: Path, fitted: ProfileRun, ensemble: Ensemble, judged: Ensemble) -> dict[str, Any]:
        certificate, collected = fitted.certify(judged), fitted.with_samples(ensemble)
        profile = profile_of(collected, collected.joined(fitted.seed), fitted.edges, fitted.coordinate)
        arrays = {"values": profile.values, "errors": profile.errors, "overlap": profile.overlap}
        arrays |= {f"edges.{i}": edge for i, edge in enumerate(profile.edges)}
        save_plots(folder, arrays)
        return {
            "observables": [],
            "certificate": certificate_metrics(certificate),
            "free_energy": None,
            "quality": {
                "work": with_stderr(certificate.work),
                "efficiency": with_stderr(certificate.efficiency),
                "profile": _plain(profile),
            },
        }


def _built(config: ProfileConfig, model: Model) -> Observable:
    """The coordinate, of frames that of their positions unless its kind sees frames as they are."""
    item = config.profile.coordinate
    try:
        if not model.has_rotations or item.sees_frames:
            return item.build(data_shape(model))
        return on_alpha_carbons(item.build(shapes(model.event_shape)[0]))
    except ConfigError:
        raise
    except LeastworkError as error:
        raise ConfigError(f"{config.name}: 'coordinate': {error}") from error


def _plain(profile: Profile) -> dict[str, Any]:
    """The profile in bins, and what is known of each window, as plain values."""
    known = profile.free_energies
    flat = [number(value) for value in profile.values.flatten()]
    return {
        "names": list(profile.names),
        "units": list(profile.units),
        "edges": [edge.tolist() for edge in profile.edges],
        "values": flat,
        "stderrs": [number(e) if v is not None else None for v, e in zip(flat, profile.errors.flatten(), strict=True)],
        "windows": [
            {
                "free_energy": {"value": number(value), "stderr": number(error)},
                "by_overlap": number(overlap),
                "effective": number(effective),
                "next_overlap": number(near),
            }
            for value, error, overlap, effective, near in zip(
                known.value, known.stderr, profile.by_overlap, profile.effective, _nearest(profile.overlap), strict=True
            )
        ],
    }


def _nearest(overlap: Tensor) -> Tensor:
    """The largest overlap of each window with another, (K,)."""
    if len(overlap) == 1:
        return torch.ones(1)
    return (overlap - torch.diag(overlap.diagonal())).amax(dim=1)

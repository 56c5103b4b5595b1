"""A finished run's folder, as reports read it:  config.yaml · metrics.json · ensemble.zarr · plots.safetensors."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor

from leastwork.errors import LeastworkWarning
from leastwork.report import figures
from leastwork.report.drawing import Drawing
from leastwork.runs.base.numbers import RunNumbers, run_numbers
from leastwork.runs.base.settings import AnyConfig, Run
from leastwork.sampling.ensemble import Ensemble
from leastwork.support.json_files import read_json, write_json
from leastwork.support.numerals import count, fraction, plain
from leastwork.support.tensor_files import write_tensors

__all__ = ["PLOTTED", "Finished", "FinishedJoint", "read_metrics", "save_plots", "write_metrics"]

_Settings = TypeVar("_Settings", bound=AnyConfig)

PLOTTED = 50_000
"""Samples kept for figures, at most."""


@dataclass(frozen=True, eq=False)
class Finished(Generic[_Settings]):
    """A finished run, as its folder holds it.

    Args:
        folder: the folder of the run.
        config: the settings of the run.
        metrics: as in metrics.json.
        ensemble: the guided samples.
        kind: kind of the guidance, as its file names it; empty if there is none.
        schedule: its parameters.
        plots: arrays for figures.
    """

    folder: Path
    config: _Settings
    metrics: dict[str, Any]
    ensemble: Ensemble
    kind: str
    schedule: Mapping[str, Any]
    plots: Mapping[str, Tensor]

    @cached_property
    def numbers(self) -> RunNumbers:
        """The metrics that all single runs have.

        Raises:
            ConfigError: metrics.json is of another version.
        """
        return run_numbers(self.metrics)

    def work_figure(self) -> Drawing | None:
        """The figure of the work, beside its bound and along the path; None if there is no certificate."""
        certificate, steps = self.numbers.certificate, self.ensemble.ledger.step_work
        if certificate is None or steps is None:
            return None
        bound, wasted, efficiency = certificate.bound, certificate.dissipation, certificate.efficiency
        if bound.value is None or bound.stderr is None or wasted.value is None:
            return None
        known = efficiency.value is not None
        caption = f"efficiency {fraction(efficiency.value, efficiency.stderr)}" if known else "nothing was to be done"
        times, work, stderr = (part.numpy() for part in (self.ensemble.ledger.times, steps.value, steps.stderr))
        return figures.ledger((bound.value, bound.stderr), wasted.value, caption, times, work, stderr)

    def drawing_settings(self) -> list[tuple[str, str]]:
        """The settings of all kinds of run that affect the numbers."""
        config, sampling = self.config, self.config.sampling
        taken = self.numbers.discretisation.t_grid if sampling.t_grid is None else sampling.t_grid
        grid = f"{len(taken)} times given" if isinstance(taken, tuple) else taken
        churned = sampling.churned
        noise = "" if sampling.process == "ode" else f", κ = {plain(sampling.kappa or 1.0)}"
        return [
            ("model", config.source.label),
            ("method", config.method),
            ("seed", str(config.seed)),
            ("process", f"{sampling.process.upper()}{noise}" if churned is None else churned.chain),
            ("solver", f"{sampling.solver}, {count(sampling.steps)} steps, grid {grid}"),
            ("samples drawn", count(sampling.n)),
        ]


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write ``metrics.json``, which marks a run as finished.

    Warns:
        LeastworkWarning: a number is not finite; it is null in the file.
    """
    lost: list[str] = []
    known = {key: _finite(value, key, lost) for key, value in metrics.items()}
    if lost:
        warnings.warn(
            f"{', '.join(lost[:5])} of {folder / 'metrics.json'} came out as no finite number and stand there as null: "
            "the samples are too few or too much alike for them",
            LeastworkWarning,
            stacklevel=2,
        )
    write_json(folder / "metrics.json", known, readable=True)


def _finite(value: Any, key: str, lost: list[str]) -> Any:
    """Plain values with None in place of numbers that are not finite; the keys of these are appended to ``lost``."""
    if isinstance(value, Mapping):
        return {name: _finite(one, f"{key}.{name}", lost) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one, f"{key}.{i}", lost) for i, one in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        lost.append(key)
        return None
    return value


def read_metrics(folder: Path) -> dict[str, Any]:
    """The metrics that :func:`write_metrics` wrote.

    Raises:
        ConfigError: the file is damaged.
    """
    return read_json(folder / "metrics.json", "delete it and resume the run")


def save_plots(folder: Path, arrays: Mapping[str, Tensor]) -> None:
    """Write arrays for figures, whole or not at all."""
    write_tensors(folder / "plots.safetensors", arrays)


@dataclass(frozen=True, eq=False)
class FinishedJoint:
    """A finished joint run, as its folder holds it.

    Args:
        folder: the folder of the run.
        config: the settings of the run.
        metrics: as in metrics.json.
        parts: its finished parts by their names.
    """

    folder: Path
    config: Run
    metrics: dict[str, Any]
    parts: Mapping[str, Finished[Any]]

"""The report of Path Guidance: where the samples lie, the region's free energy, work, novelty, the bandwidth's part."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.fit.methods import Told
from leastwork.kernels.density import kernel_density
from leastwork.kernels.region import Region
from leastwork.path_guidance.files import read_numbers
from leastwork.runs.base.finished import Finished
from leastwork.runs.path import figures as path_figures
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.figures import Curve, Panel
from leastwork.runs.path.sentences import free_energy, kind_of, methods, outcome, warnings, whose_region
from leastwork.support.numerals import count, plain

__all__ = ["context"]

_COORDINATES = 12  # of a table
_NAMES = {"guided": "guided samples in A", "model given A": "the same, weighted"}


def context(run: Finished, config: PathConfig) -> dict[str, Any]:
    """What the template shows.

    Raises:
        ConfigError: the folder holds no fit, or a file of the region is missing.
    """
    fit = read_numbers(run.folder)
    if fit is None:
        raise ConfigError(f"{run.folder} holds no fit, fit/fit.json is missing: run it again")
    metrics = run.metrics
    return {
        "kind": kind_of(config),
        "outcome": outcome(config, metrics),
        "warnings": warnings(config, metrics),
        "free_energy": free_energy(metrics),
        "whose_region": whose_region(config),
        "plane": _plane(run, config, fit.bandwidth),
        "nearest": _nearest(run.plots),
        "sensitivity": _sensitivity(metrics),
        "ledger": run.work_figure(),
        "distances": _distances(metrics),
        "coordinates": _COORDINATES,
        "methods": methods(config, metrics, len(run.plots["guides"]), fit.stages),
        "stages": fit.stages,
        "settings": _settings(run, config, fit.bandwidth, fit.trials),
    }


def _plane(run: Finished, config: PathConfig, bandwidth: float) -> str | None:
    """States of two coordinates; any other have no such figure."""
    if "x" not in run.plots:
        return None
    model, guided, points = (_flat(run.plots[name]) for name in ("x of the model", "x", "guides"))
    return path_figures.plane(model, guided, points, _membership(run, config, bandwidth))


def _membership(run: Finished, config: PathConfig, bandwidth: float) -> NDArray[np.bool_] | None:
    """Where the region is, as the run found it; older runs tell only the region, and one that is code is not run."""
    if "outlines" in run.plots:
        return run.plots["outlines"].numpy()
    guides = run.plots["guides"]
    event = tuple(guides.shape[1:])
    if config.region is not None and config.region.runs_code:
        return None
    region = (
        Region(kernel_density(guides, bandwidth=bandwidth)) if config.region is None else config.region.build(event)
    )

    def inside(x: NDArray[np.float64]) -> NDArray[np.bool_]:
        return region(torch.from_numpy(x).to(guides.dtype).reshape(-1, *event)).numpy()

    model, guided, points = (_flat(run.plots[name]) for name in ("x of the model", "x", "guides"))
    return path_figures.outlines(model, guided, points, inside)


def _flat(x: Tensor) -> NDArray[np.float64]:
    return x.flatten(1).to(torch.float64).numpy()


def _nearest(plots: Mapping[str, Tensor]) -> str | None:
    if "guided to guide" not in plots:
        return None
    model = plots.get("model to guide")
    return path_figures.nearest(
        plots["guided to guide"].numpy(), plots["guide to guide"].numpy(), None if model is None else model.numpy()
    )


def _sensitivity(metrics: Mapping[str, Any]) -> str:
    rows = metrics["quality"]["bandwidth_sensitivity"]
    x = np.array([row["bandwidth"] for row in rows])
    share, energy = (_curve([row[key] for row in rows]) for key in ("share", "free_energy"))
    panels = [Panel("guided samples in the region", [share], (0, 1.05)), Panel("−ln p of it  (kT)", [energy])]
    chosen = metrics["quality"]["bandwidth"]
    return path_figures.curves(x, panels, "bandwidth of the guides' kernel", logarithmic=True, chosen=chosen)


def _curve(estimates: list[Mapping[str, float | None] | None]) -> Curve:
    values, errors = (
        np.array([np.nan if one is None or one[key] is None else one[key] for one in estimates], dtype=float)
        for key in ("value", "stderr")
    )
    return Curve("guided", values, errors)


def _distances(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """W₁, a row for each reference, coordinate and weighting."""
    rows = [row for row in metrics["quality"]["wasserstein"] if row["coordinate"] < _COORDINATES]
    against = {"model": "the model's own in A", "truth": "exact draws in A"}
    return [
        {**row, "samples": _NAMES[row["samples"]],
         "against": against[row["reference"]]} for row in rows
    ]  # fmt: skip


def _settings(run: Finished, config: PathConfig, bandwidth: float, trials: int) -> list[tuple[str, str]]:
    """Settings that shape the numbers, as the run resolved them."""
    how = "given" if config.bandwidth is not None else "by leave-one-out likelihood"
    rows = [
        *run.drawing_settings(),
        ("model samples", count(run.metrics["quality"]["model_samples"])),
        ("guides", count(len(run.plots["guides"]))),
        ("bandwidth", f"{plain(bandwidth)} ({how})"),
    ]
    return rows + config.chosen.table(Told(trials=trials))

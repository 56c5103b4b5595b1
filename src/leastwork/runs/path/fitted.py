"""What a run of Path Guidance knows before it draws: the guidance, its target, and the model's own samples.

It is written before the first guided sample, so that an interrupted run goes on with the very same guidance.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leastwork.errors import ConfigError
from leastwork.guidance.files import load_guidance, save_guidance
from leastwork.kernels.density import kernel_density, usual_kernel
from leastwork.kernels.region import Region
from leastwork.path_guidance.job import guide_path
from leastwork.path_guidance.least_work import RegionFit
from leastwork.path_guidance.run import PathRun
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.inputs import PathInputs
from leastwork.runs.path.regions import interval_coordinate
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.storage import open_ensemble, save_ensemble
from leastwork.support.files import readable, write_text
from leastwork.support.progress import Progress

__all__ = ["StoredFit", "fit_path_run", "load_path_run", "read_fit", "save_path_run"]


@dataclass(frozen=True)
class StoredFit:
    """How a guidance was found, as a folder remembers it.

    Args:
        log_odds: L of the target.
        target: its share of A.
        network_evaluations, seconds: what it took.
        stages: how a least-work guidance was found, plain values.
        trials: parameters that were tried for the published forms.
        bandwidth: of the guides' kernel.
    """

    log_odds: float
    target: float
    network_evaluations: int
    seconds: float
    stages: tuple[Mapping[str, Any], ...]
    trials: int
    bandwidth: float


def fit_path_run(config: PathConfig, inputs: PathInputs, progress: Progress) -> PathRun:
    """Find the guidance as the run says."""
    return guide_path(
        inputs.model,
        inputs.points,
        config.chosen,
        region=inputs.region,
        bandwidth=config.bandwidth,
        seed=config.seed,
        samples=config.fit.samples,
        progress=progress,
        **inputs.choices,
    )


def save_path_run(run: PathRun, folder: Path) -> None:
    """Write into ``guidance/`` and ``fit/``; ``fit/fit.json`` comes last and marks the whole."""
    save_guidance(run.guidance, folder / "guidance")
    shutil.rmtree(folder / "fit", ignore_errors=True)
    save_ensemble(run.model_samples, folder / "fit" / "model.zarr")
    stages: list[dict[str, Any]] = []
    trials = 0
    if isinstance(run.fit, RegionFit):
        found = {"members": run.fit.members, "acceptance": run.fit.acceptance, "handover": run.fit.handover}
        stages = [{**found, "rounds": [asdict(one) for one in run.fit.history]}]
    else:
        trials = len(getattr(run.fit, "history", ()))
    fit = StoredFit(
        run.log_odds,
        run.target,
        run.network_evaluations,
        run.seconds,
        tuple(stages),
        trials,
        run.guides.bandwidth,
    )
    write_text(folder / "fit" / "fit.json", json.dumps(asdict(fit), indent=1) + "\n")


def read_fit(folder: Path) -> StoredFit | None:
    """How the guidance was found; None where there is none yet.

    Raises:
        ConfigError: the file is damaged.
    """
    mark = folder / "fit" / "fit.json"
    if not mark.exists():
        return None
    try:
        described = json.loads(readable(mark).read_text(encoding="utf-8"))
        return StoredFit(**{**described, "stages": tuple(described["stages"])})
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{mark.parent} is damaged ({error}): delete it to fit anew") from error


def load_path_run(folder: Path, config: PathConfig, inputs: PathInputs) -> PathRun | None:
    """Read the run back; None where there is none yet.

    Raises:
        ConfigError: the files are damaged.
    """
    fit = read_fit(folder)
    if fit is None:
        return None
    guides = kernel_density(inputs.points, usual_kernel(inputs.model), fit.bandwidth)
    return PathRun(
        inputs.model,
        guides,
        Region(guides) if inputs.region is None else inputs.region,
        config.method,
        load_guidance(folder / "guidance", interval_coordinate(inputs.region)),
        fit.log_odds,
        fit.target,
        inputs.choices,
        config.seed,
        _model_samples(folder / "fit"),
        fit,
        network_evaluations=fit.network_evaluations,
        seconds=fit.seconds,
    )


def _model_samples(fit: Path) -> Ensemble:
    """The model's own samples, which the fit was made of."""
    try:
        return open_ensemble(fit / "model.zarr")
    except ConfigError as error:
        raise ConfigError(f"{fit} is damaged ({error}): delete it to fit anew") from error

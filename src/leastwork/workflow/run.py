"""One run: fit, draw, certify, report; every file is whole or not there, and what was finished is never redone.

The folder afterwards:  config.yaml · fit/ · guidance/ · ensemble.zarr · plots.safetensors · metrics.json · report.html
"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import zarr
from torch import Tensor, set_num_threads

from leastwork.ensemble import Ensemble
from leastwork.errors import ConfigError, LeastworkError
from leastwork.process import Model
from leastwork.progress import Progress, no_progress
from leastwork.random import derive_seed
from leastwork.sampling import sample
from leastwork.storage import open_ensemble, write_text
from leastwork.workflow import job
from leastwork.workflow.config import AnyRun, dump_config
from leastwork.workflow.inputs import copy_inputs
from leastwork.workflow.job import Job
from leastwork.workflow.metrics import versions
from leastwork.workflow.observable_run import ObservableJob
from leastwork.workflow.path_config import PathConfig
from leastwork.workflow.path_run import PathJob
from leastwork.workflow.report import write_report

__all__ = ["choose_threads", "default_folder", "open_folder", "run"]

SMALL_NETWORK = 50_000
"""Weights of a network that runs no faster on two threads."""

_Fitted = TypeVar("_Fitted", bound=job.Fitted)


def default_folder(config: AnyRun) -> Path:
    """Where a run goes that names no folder: the same place every time, so that it can be resumed."""
    return Path("runs") / f"{config.name}-seed{config.seed}"


def run(config: AnyRun, out: str | Path | None = None, resume: bool = False, progress: Progress = no_progress) -> Path:
    """Carry out a run.

    Args:
        config: from :func:`load_config`.
        out: folder of the results; must be empty or new unless resumed.
        resume: go on with an interrupted run of the same settings; the ensemble comes out the same, bit for bit.
        progress: ``leastwork.progress.bar`` shows one.

    Returns:
        Path: of the report.

    Raises:
        ConfigError: settings or a folder that cannot be used.
        LeastworkError: what the fit or the sampling refuse.
    """
    folder = default_folder(config) if out is None else Path(out)
    if isinstance(config, PathConfig):
        _carry_out(config, PathJob.of(config), folder, resume, progress)
    else:
        _carry_out(config, ObservableJob.of(config), folder, resume, progress)
    return write_report(folder)


def _carry_out(config: AnyRun, task: Job[_Fitted], folder: Path, resume: bool, progress: Progress) -> None:
    choose_threads(task.model)
    open_folder(folder, config, resume)
    if (folder / "metrics.json").exists():
        return
    fitted = _fit(folder, task, progress)
    try:
        ensemble = _draw(folder, config, task, fitted, progress)
        _measure(folder, config, task, fitted, ensemble, progress)
    except (LeastworkError, OSError) as error:
        raise LeastworkError(f"{error}; what is finished is in {folder}, --resume continues there") from error


def choose_threads(model: Model) -> None:
    """One thread for a small network, whose operations are too short to share; the user's own choice goes first.

    A run owns its process, the library does not: ``leastwork.sample`` leaves torch's threads as they are.
    """
    size = sum(p.numel() for p in model.parameters())
    if "OMP_NUM_THREADS" not in os.environ and size < SMALL_NETWORK:
        set_num_threads(1)


def open_folder(folder: Path, config: AnyRun, resume: bool) -> None:
    """Make the folder and describe the run there, or see that it is the same run."""
    described = folder / "config.yaml"
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file: choose another folder with --out")
    used = folder.is_dir() and any(folder.iterdir())
    if used and not resume:
        remedy = "continue it with --resume, or " if described.exists() else ""
        raise ConfigError(f"{folder} is not empty: {remedy}choose another folder with --out")
    if used and not described.exists():
        raise ConfigError(f"{folder} holds no run to resume, config.yaml is missing: choose another folder with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = dump_config(copy_inputs(config, folder))
        if not used:
            write_text(described, text)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}): choose another folder with --out") from error
    begun = described.read_text(encoding="utf-8")
    if begun != text:
        here = [line for line in text.splitlines() if line not in begun.splitlines()]
        what = f" ({here[0].strip()!r} is new)" if here else ""
        raise ConfigError(f"{folder} was begun with other settings{what}: use those, or another folder with --out")


def _fit(folder: Path, task: Job[_Fitted], progress: Progress) -> _Fitted:
    """Fit, or read what was fitted before. A refused fit leaves no folder behind that would be in the way."""
    known = task.load(folder)
    if known is not None:
        return known
    try:
        fitted = task.fit(progress)
    except LeastworkError:
        (folder / "config.yaml").unlink()
        shutil.rmtree(folder / "inputs", ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    task.save(fitted, folder)
    return fitted


def _draw(folder: Path, config: AnyRun, task: Job[_Fitted], fitted: _Fitted, progress: Progress) -> Ensemble:
    out = folder / "ensemble.zarr"
    if not out.exists():
        seed = derive_seed(config.seed, "ensemble")
        sample(
            task.model,
            config.sampling.n,
            fitted.guidance,
            seed=seed,
            progress=progress,
            out=out,
            resume=True,
            **task.choices,
        )
    drawn = open_ensemble(out)
    tilt = task.log_tilt(fitted, drawn.x)
    _add_log_tilt(out, tilt)
    return replace(drawn, log_tilt=tilt)


def _add_log_tilt(out: Path, tilt: Tensor) -> None:
    """Lets the stored samples know their target; written anew by every call that finds no metrics.json."""
    group = zarr.open_group(str(out), mode="a", zarr_format=2)
    array = group.create_array("log_tilt", data=tilt.numpy(), overwrite=True)
    array.attrs["_ARRAY_DIMENSIONS"] = ["sample"]
    zarr.consolidate_metadata(str(out), zarr_format=2)


def _measure(
    folder: Path, config: AnyRun, task: Job[_Fitted], fitted: _Fitted, ensemble: Ensemble, progress: Progress
) -> None:
    """Everything that is reported, into metrics.json, and arrays for figures."""
    judged = ensemble
    if fitted.guidance is not None and config.certificate_samples is not None and ensemble.ledger.work is not None:
        seed = derive_seed(config.seed, "certificate")
        judged = sample(
            task.model, config.certificate_samples, fitted.guidance, seed=seed, progress=progress, **task.choices
        )
        judged = replace(judged, log_tilt=task.log_tilt(fitted, judged.x))
    drawn = [ensemble] if judged is ensemble else [ensemble, judged]
    metrics = {
        "seed": config.seed,
        "versions": versions(),
        "seconds": fitted.seconds + sum(one.seconds for one in drawn),
        "network_evaluations": fitted.network_evaluations + sum(one.network_evaluations for one in drawn),
        **task.measure(folder, fitted, ensemble, judged),
    }
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False, ensure_ascii=False) + "\n")

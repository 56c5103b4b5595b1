"""One run: fit, draw, certify, report; every file is whole or not there, and what was finished is never redone.

The folder afterwards:  config.yaml · fit/ · guidance/ · ensemble.zarr · plots.safetensors · metrics.json · report.html
"""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import zarr
from safetensors.torch import save_file
from torch import Tensor

from leastwork.ensemble import Ensemble
from leastwork.errors import ConfigError, LeastworkError
from leastwork.observables import evaluate
from leastwork.progress import Progress, no_progress
from leastwork.random import derive_seed
from leastwork.sampling import sample
from leastwork.storage import open_ensemble, write_text
from leastwork.work import kish_ess
from leastwork.workflow.config import RunConfig, dump_config
from leastwork.workflow.fitted import Fitted, as_numbers, fit, load_fitted, save_fitted
from leastwork.workflow.inputs import Inputs, build_inputs, copy_inputs
from leastwork.workflow.metrics import certificate_metrics, certify_run, observable_metrics, versions, with_stderr
from leastwork.workflow.quality import ceiling, quality, truth
from leastwork.workflow.report import write_report

__all__ = ["choose_threads", "default_folder", "open_folder", "run"]

SMALL_NETWORK = 50_000
"""Weights of a network that runs no faster on two threads."""

PLOTTED = 50_000
"""Samples kept for figures, at most."""


def default_folder(config: RunConfig) -> Path:
    """Where a run goes that names no folder: the same place every time, so that it can be resumed."""
    return Path("runs") / f"{config.name}-seed{config.seed}"


def run(
    config: RunConfig, out: str | Path | None = None, resume: bool = False, progress: Progress = no_progress
) -> Path:
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
    inputs = build_inputs(config)
    choose_threads(inputs)
    open_folder(folder, config, resume)
    if not (folder / "metrics.json").exists():
        fitted = _fit(folder, config, inputs, progress)
        try:
            ensemble = _draw(folder, config, inputs, fitted, progress)
            _measure(folder, config, inputs, fitted, ensemble, progress)
        except (LeastworkError, OSError) as error:
            raise LeastworkError(f"{error}; what is finished is in {folder}, --resume continues there") from error
    return write_report(folder)


def choose_threads(inputs: Inputs) -> None:
    """One thread for a small network, whose operations are too short to share; the user's own choice goes first.

    A run owns its process, the library does not: ``leastwork.sample`` leaves torch's threads as they are.
    """
    size = sum(p.numel() for p in inputs.model.parameters())
    if "OMP_NUM_THREADS" not in os.environ and size < SMALL_NETWORK:
        torch.set_num_threads(1)


def open_folder(folder: Path, config: RunConfig, resume: bool) -> None:
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


def _fit(folder: Path, config: RunConfig, inputs: Inputs, progress: Progress) -> Fitted:
    """Fit, or read what was fitted before. A refused fit leaves no folder behind that would be in the way."""
    known = load_fitted(folder, inputs.data.observable)
    if known is not None:
        return known
    try:
        fitted = fit(config, inputs, progress)
    except LeastworkError:
        (folder / "config.yaml").unlink()
        shutil.rmtree(folder / "inputs", ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    save_fitted(fitted, folder)
    return fitted


def _draw(folder: Path, config: RunConfig, inputs: Inputs, fitted: Fitted, progress: Progress) -> Ensemble:
    out = folder / "ensemble.zarr"
    if not out.exists():
        seed = derive_seed(config.seed, "ensemble")
        sample(
            inputs.model,
            config.sampling.n,
            fitted.guidance,
            seed=seed,
            progress=progress,
            out=out,
            resume=True,
            **inputs.choices,
        )
    drawn = open_ensemble(out)
    tilt = fitted.maxent.log_tilt_of(evaluate(inputs.data.observable, drawn.x))
    _add_log_tilt(out, tilt)
    return replace(drawn, log_tilt=tilt)


def _add_log_tilt(out: Path, tilt: Tensor) -> None:
    """Lets the stored samples know their target; written anew by every call that finds no metrics.json."""
    group = zarr.open_group(str(out), mode="a", zarr_format=2)
    array = group.create_array("log_tilt", data=tilt.numpy(), overwrite=True)
    array.attrs["_ARRAY_DIMENSIONS"] = ["sample"]
    zarr.consolidate_metadata(str(out), zarr_format=2)


def _measure(
    folder: Path, config: RunConfig, inputs: Inputs, fitted: Fitted, ensemble: Ensemble, progress: Progress
) -> None:
    """Everything that is reported, into metrics.json and plots.safetensors."""
    data, guided = inputs.data, fitted.guidance is not None
    observed = evaluate(data.observable, ensemble.x)
    x = as_numbers(ensemble.x)
    _save_plots(folder / "plots.safetensors", observed, x)
    judged, seen = ensemble, observed
    evaluations, seconds = ensemble.network_evaluations, ensemble.seconds
    if guided and config.certificate_samples is not None and ensemble.ledger.work is not None:
        seed = derive_seed(config.seed, "certificate")
        judged = sample(
            inputs.model, config.certificate_samples, fitted.guidance, seed=seed, progress=progress, **inputs.choices
        )
        seen = evaluate(data.observable, judged.x)
        evaluations, seconds = evaluations + judged.network_evaluations, seconds + judged.seconds
    certificate = certify_run(judged, seen, fitted, data) if guided else None
    exact = None
    if certificate is not None:
        exact = ceiling(
            config.model, inputs.model, fitted.maxent.log_tilt(data.observable), 4096, config.seed, inputs.choices
        )
    density = truth(config.system)
    known: dict[str, Any] = {}
    if density is not None and fitted.x is not None and x is not None:
        known = quality(
            density, fitted.x, fitted.maxent.log_tilt_of(fitted.observed), x if guided else None, config.seed
        )
    metrics = {
        "seed": config.seed,
        "versions": versions(),
        "seconds": fitted.seconds + seconds,
        "network_evaluations": fitted.network_evaluations + evaluations,
        "observables": observable_metrics(data, fitted, observed if guided else None),
        "certificate": None if certificate is None else certificate_metrics(certificate, data),
        "free_energy": None,
        "quality": {
            "model_samples": len(fitted.observed),
            "reweighting_ess": kish_ess(fitted.maxent.log_tilt_of(fitted.observed)).value,
            "reweighting_kl": fitted.maxent.kl,
            "efficiency_of_exact": None if exact is None else with_stderr(exact.efficiency),
            **known,
        },
    }
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def _save_plots(path: Path, observed: Tensor, x: Tensor | None) -> None:
    tensors = {"observed": observed[:PLOTTED].contiguous()}
    if x is not None:
        tensors["x"] = x[:PLOTTED].contiguous()
    save_file(tensors, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)

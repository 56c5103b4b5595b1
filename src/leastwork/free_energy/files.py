"""Files of a fitted free-energy run: fit/fit.json, fit/parts.safetensors, fit/parts.json, fit/model.zarr, guidance/.

``fit.json`` is written last: if it is there, the fit is complete.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from leastwork.fit.files import open_own_samples
from leastwork.fit.result import FitRecord
from leastwork.free_energy.collected import load_collected, save_collected
from leastwork.free_energy.run import DifferenceRun, FreeEnergyRun, ProfileRun
from leastwork.guidance.files import load_guidance, save_guidance
from leastwork.models.base import Model
from leastwork.models.files import check_fingerprint, fingerprint, in_precision, precision
from leastwork.models.latents import latent_decoder
from leastwork.observables import Observable
from leastwork.sampling.choices import Choices
from leastwork.sampling.storage import save_ensemble
from leastwork.support.json_files import read_json, write_json

__all__ = ["load_difference", "load_profile", "save_fit"]

_REMEDY = "delete the folder fit to fit anew"


def save_fit(run: FreeEnergyRun, folder: Path, edges: tuple[torch.Tensor, ...] = ()) -> None:
    """Write a fit into a folder, replacing a fit that may be there.

    Raises:
        ConfigError: the guidance has no file form.
    """
    fit = folder / "fit"
    shutil.rmtree(fit, ignore_errors=True)
    save_guidance(run.guidance, folder / "guidance")
    fit.mkdir(parents=True)
    save_ensemble(run.model_samples, fit / "model.zarr")
    save_collected(run.collected, fit)
    described = {
        "network_evaluations": run.network_evaluations,
        "seconds": run.seconds,
        "model": fingerprint(run.model),
        "precision": precision(run.model),
        "edges": [edge.tolist() for edge in edges],
    }
    write_json(fit / "fit.json", described)


def load_profile(
    folder: Path, model: Model, coordinate: Observable, method: str, choices: Choices, seed: int
) -> ProfileRun | None:
    """The fitted profile in a folder, or None if there is none yet.

    Raises:
        ConfigError: the files are damaged, or of another model.
    """
    found = _fit(folder)
    if found is None:
        return None
    edges = tuple(torch.tensor(edge, dtype=torch.float64) for edge in found["edges"])
    return ProfileRun(**_fields(folder, found, model, coordinate, method, choices, seed), edges=edges)


def load_difference(
    folder: Path, model: Model, coordinate: Observable, method: str, choices: Choices, seed: int
) -> DifferenceRun | None:
    """The fitted difference in a folder, or None if there is none yet.

    Raises:
        ConfigError: the files are damaged, or of another model.
    """
    found = _fit(folder)
    return None if found is None else DifferenceRun(**_fields(folder, found, model, coordinate, method, choices, seed))


def _fit(folder: Path) -> Mapping[str, Any] | None:
    mark = folder / "fit" / "fit.json"
    return read_json(mark, _REMEDY) if mark.exists() else None


def _fields(
    folder: Path, found: Mapping[str, Any], model: Model, coordinate: Observable, method: str, choices: Choices,
    seed: int,
) -> dict[str, Any]:  # fmt: skip
    check_fingerprint(model, found["model"], folder)
    return {
        "model": in_precision(model, found["precision"]),
        "coordinate": coordinate,
        "method": method,
        "guidance": load_guidance(folder / "guidance"),
        "collected": load_collected(folder / "fit"),
        "choices": choices,
        "seed": seed,
        "model_samples": replace(open_own_samples(folder / "fit"), decoder=latent_decoder(model)),
        "fit": FitRecord(found["network_evaluations"], found["seconds"]),
        "network_evaluations": found["network_evaluations"],
        "seconds": found["seconds"],
    }

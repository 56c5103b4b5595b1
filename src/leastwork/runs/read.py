"""Finished runs, read back from their folders."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from leastwork.errors import ConfigError
from leastwork.runs.base.file import read
from leastwork.runs.base.finished import Finished, FinishedJoint, read_metrics
from leastwork.runs.base.sealed import check_seal
from leastwork.runs.base.settings import AnyConfig
from leastwork.runs.load import load_config
from leastwork.runs.status import absent, missing_in_words
from leastwork.sampling.storage import open_ensemble
from leastwork.support.json_files import read_json
from leastwork.support.tensor_files import read_tensors
from leastwork.support.text import brief

__all__ = ["read_finished", "read_joint"]


def read_finished(folder: Path) -> Finished[AnyConfig]:
    """Read the folder of a run.

    Raises:
        ConfigError: it holds no finished run.
    """
    for name in ("config.yaml", "metrics.json", "ensemble.zarr", "plots.safetensors"):
        if not (folder / name).exists():
            is_marked = name != "metrics.json" and (folder / "metrics.json").exists()
            left = missing_in_words(folder)
            if left is not None:
                raise ConfigError(f"{folder} holds no finished run, {name} is missing: {left}")
            again = "delete metrics.json, and " if is_marked else ""
            hint = absent(folder) or f"{again}finish it with leastwork run … --resume"
            raise ConfigError(f"{folder} holds no finished run, {name} is missing: {hint}")
    check_seal(folder, inputs=False)
    metrics = read_metrics(folder)
    try:
        plots = read_tensors(folder / "plots.safetensors")
    except SafetensorError as error:
        place = folder / "plots.safetensors"
        raise ConfigError(
            f"{place} is damaged ({brief(error)}): delete it and metrics.json, and resume the run"
        ) from error
    kind, schedule = _guidance(folder, metrics)
    ensemble = open_ensemble(folder / "ensemble.zarr")
    config = load_config(folder / "config.yaml").parts.get("")
    if config is None:
        raise ConfigError(f"{folder} is of a joint run beside the files of a single one: take one of its parts")
    return Finished(folder, config, metrics, ensemble, kind, schedule, plots)


def read_joint(folder: Path) -> FinishedJoint | None:
    """Read the folder of a joint run; None if it holds another run or none.

    Raises:
        ConfigError: the run is not finished.
    """
    described, metrics = folder / "config.yaml", folder / "metrics.json"
    if not described.is_file() or "runs" not in read(described):
        return None
    if not metrics.exists():
        raise ConfigError(
            f"{folder} holds no finished run, some parts are missing: finish it with leastwork run … --resume"
        )
    check_seal(folder, inputs=False)
    config, found = load_config(described), read_metrics(folder)
    return FinishedJoint(folder, config, found, {part: read_finished(folder / part) for part in config.parts})


def _guidance(folder: Path, metrics: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Kind and parameters of the guidance, as its file names them; nothing where the run has none."""
    file = folder / "guidance" / "guidance.json"
    remedy = "delete the folders fit and guidance and metrics.json, and resume the run"
    try:
        found = read_json(file, remedy)
    except (FileNotFoundError, NotADirectoryError):
        if metrics.get("certificate") is not None:
            raise ConfigError(f"{file} is missing, and the run has a guidance: {remedy}") from None
        return "", {}
    if not isinstance(found.get("kind"), str) or not isinstance(found.get("parts"), dict):
        raise ConfigError(f"{file} is damaged (it names no kind with its parts): {remedy}")
    return found["kind"], found["parts"]

"""Finished runs, read back from their folders."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from leastwork.errors import ConfigError
from leastwork.runs.base.file import read
from leastwork.runs.base.finished import Finished, FinishedJoint
from leastwork.runs.joint.config import AnyRun, JointConfig
from leastwork.runs.load import load_config
from leastwork.sampling.storage import open_ensemble
from leastwork.support.files import readable
from leastwork.support.tensor_files import read_tensors

__all__ = ["read_finished", "read_joint"]


def read_finished(folder: Path) -> Finished[AnyRun]:
    """Read the folder of a run.

    Raises:
        ConfigError: it holds no finished run.
    """
    for name in ("config.yaml", "metrics.json", "ensemble.zarr", "plots.safetensors"):
        if not (folder / name).exists():
            hint = "finish it with leastwork run … --resume" if folder.is_dir() else "there is no such folder"
            raise ConfigError(f"{folder} holds no finished run, {name} is missing: {hint}")
    try:
        metrics = json.loads(readable(folder / "metrics.json").read_text(encoding="utf-8"))
        plots = read_tensors(folder / "plots.safetensors")
        guidance = folder / "guidance" / "guidance.json"
        described: dict[str, Any] = {"kind": "", "parts": {}}
        if readable(guidance).exists():
            described = json.loads(guidance.read_text(encoding="utf-8"))
        kind, schedule = described["kind"], described["parts"]
    except ConfigError:
        raise
    except (ValueError, KeyError, SafetensorError) as error:
        raise ConfigError(f"{folder} is damaged ({error}): delete metrics.json and resume the run") from error
    ensemble = open_ensemble(folder / "ensemble.zarr")
    config = load_config(folder / "config.yaml")
    if isinstance(config, JointConfig):
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
    config = load_config(described)
    assert isinstance(config, JointConfig)
    try:
        found = json.loads(readable(metrics).read_text(encoding="utf-8"))
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{folder} is damaged ({error}): delete metrics.json and resume the run") from error
    return FinishedJoint(folder, config, found, {part: read_finished(folder / part) for part in config.runs})

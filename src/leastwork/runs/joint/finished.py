"""A finished joint run's folder:  config.yaml · metrics.json, and a finished run's folder for each of its parts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leastwork.runs.base.finished import Finished
from leastwork.runs.joint.config import AnyRun, JointConfig
from leastwork.support.files import write_text

__all__ = ["FinishedJoint", "write_joint_metrics"]


@dataclass(frozen=True, eq=False)
class FinishedJoint:
    """A finished joint run, as its folder holds it.

    Args:
        folder: where.
        config: of the run.
        metrics: as in metrics.json.
        parts: its finished parts by their names.
    """

    folder: Path
    config: JointConfig
    metrics: dict[str, Any]
    parts: Mapping[str, Finished[AnyRun]]


def write_joint_metrics(folder: Path, config: JointConfig) -> None:
    """Gather those of the finished parts; all else follows from them, so that a resumed run says the same."""
    parts = {part: json.loads((folder / part / "metrics.json").read_text(encoding="utf-8")) for part in config.runs}
    found = {
        "versions": _versions([one["versions"] for one in parts.values()]),
        "seconds": sum(one["seconds"] for one in parts.values()),
        "network_evaluations": sum(one["network_evaluations"] for one in parts.values()),
        "parts": parts,
    }
    write_text(folder / "metrics.json", json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def _versions(parts: list[dict[str, str]]) -> dict[str, str]:
    """Of each package what the parts were made with, which is more than one where it changed in between."""
    return {
        package: ", ".join(dict.fromkeys(one[package] for one in parts if package in one))
        for package in dict.fromkeys(package for one in parts for package in one)
    }

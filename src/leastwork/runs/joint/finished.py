"""A finished joint run's folder:  config.yaml · metrics.json, and a finished run's folder for each of its parts."""

import json
from pathlib import Path

from leastwork.runs.joint.config import JointConfig
from leastwork.support.files import write_text

__all__ = ["write_joint_metrics"]


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

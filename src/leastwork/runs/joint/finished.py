"""A finished joint run's folder:  config.yaml · metrics.json, and a finished run's folder for each of its parts."""

from collections.abc import Iterable
from pathlib import Path

from leastwork.runs.base.finished import read_metrics, write_metrics

__all__ = ["write_joint_metrics"]


def write_joint_metrics(folder: Path, parts: Iterable[str]) -> None:
    """Gather those of the finished parts; all else follows from them, so that a resumed run says the same."""
    each = {part: read_metrics(folder / part) for part in parts}
    found = {
        "versions": _versions([one["versions"] for one in each.values()]),
        "seconds": sum(one["seconds"] for one in each.values()),
        "network_evaluations": sum(one["network_evaluations"] for one in each.values()),
        "parts": each,
    }
    write_metrics(folder, found)


def _versions(parts: list[dict[str, str]]) -> dict[str, str]:
    """Of each package what the parts were made with, which is more than one where it changed in between."""
    return {
        package: ", ".join(dict.fromkeys(one[package] for one in parts if package in one))
        for package in dict.fromkeys(package for one in parts for package in one)
    }

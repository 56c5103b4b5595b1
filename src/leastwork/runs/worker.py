"""What processes that draw for one run must have in common, so that their samples are those of one process."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leastwork.models.files import fingerprint
from leastwork.runs.base.job import Job
from leastwork.runs.base.numbers import versions
from leastwork.runs.base.sealed import settings_in
from leastwork.support.same_code import hash_of_files, source_here

__all__ = ["NO_WORKER", "worker_of"]

NO_WORKER: Mapping[str, str] = {}
"""Of a run that no other process draws for."""


def worker_of(folder: Path, task: Job[Any]) -> Mapping[str, str]:
    """Versions and hashes of this process, by names to be read after "another".

    Args:
        folder: the folder of a run whose fit is finished.
        task: its job, as this process has loaded it.
    """
    known = versions()
    return {
        "version of leastwork": known["leastwork"],
        "version of torch": known["torch"],
        "set of sources of leastwork": source_here(),
        "model": fingerprint(task.model) or "a function",
        "config.yaml": hashlib.sha256(settings_in(folder).encode("utf-8", "surrogateescape")).hexdigest(),
        "set of files in inputs": _hash_of(folder / "inputs"),
        "fit": _hash_of(folder / "fit"),
        "guidance": _hash_of(folder / "guidance"),
    }


def _hash_of(folder: Path) -> str:
    return hash_of_files(folder, (path for path in folder.rglob("*") if path.is_file()))

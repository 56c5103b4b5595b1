"""The files of a store: chunks of arrays with their metadata, and what closes, holds and clears it."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from leastwork.errors import ConfigError, WriteError
from leastwork.geometry.state import State, leaves
from leastwork.sampling.ensemble import Ledger
from leastwork.sampling.stored import consolidated
from leastwork.sampling.zarr_arrays import as_json, checksum, declared, encoded
from leastwork.support.files import TEMPORARY, read_bytes, sweep, sync_files, write_bytes
from leastwork.support.locks import Lock, lock

GROUP = as_json({"zarr_format": 2})


def close_store(
    path: Path,
    ledger: Ledger,
    moments: np.ndarray,
    n: int,
    evaluations: int,
    seconds: float,
    written: Mapping[str, str],
    settings: str | None,
) -> None:
    """Add what is known of all samples together, and the metadata and checksums of the whole."""
    columns = {"times": (ledger.times.numpy(), "edge")}
    if "work/.zarray" in written:
        mean, square = moments
        stderr = np.sqrt(np.maximum(square - mean**2, 0) / max(n - 1, 1))
        columns |= {"step_work": (mean, "step"), "step_work_stderr": (stderr, "step")}
    files = dict(written)
    for name, (data, dimension) in columns.items():
        files |= write_files(path, array_files(name, np.asarray(data), len(data), len(data), 0, [dimension]))
    attributes = {
        "network_evaluations": evaluations,
        "seconds": seconds,
        "why_no_weights": ledger.why_no_weights,
        "group": ledger.group,
    }
    if ledger.chain:
        attributes["chain"] = ledger.chain
    files |= write_if_other(path, ".zattrs", as_json(attributes))
    ordered = dict(sorted(files.items()))
    sync_files(path / name for name in ordered)
    write_bytes(path / ".zmetadata", consolidated(metadata_in(path, ordered), ordered, settings))


def metadata_in(path: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """The contents of those files that are metadata."""
    names = [name for name in files if name.rpartition("/")[2].startswith(".")]
    return {name: json.loads(read_bytes(path / name)) for name in names}


def rows_of(name: str, value: Tensor, n: int, rows: int, k: int) -> dict[str, bytes]:
    """The files of the k-th chunk of an array of samples, by their names in the store."""
    data = value.detach().cpu().numpy()
    return array_files(name, data, n, rows, k, ["sample", *(f"{name}_dim_{i}" for i in range(data.ndim - 1))])


def array_files(name: str, data: np.ndarray, n: int, rows: int, k: int, dimensions: list[str]) -> dict[str, bytes]:
    """The k-th chunk of an array, after the metadata of the array, by their names in the store."""
    files = {
        f"{name}/.zattrs": as_json({"_ARRAY_DIMENSIONS": dimensions}),
        f"{name}/.zarray": as_json(declared((n, *data.shape[1:]), max(rows, 1), data.dtype)),
    }
    if data.size:
        files[f"{name}/{k}" + ".0" * (data.ndim - 1)] = encoded(data, max(rows, 1))
    return files


def write_files(path: Path, files: Mapping[str, bytes]) -> dict[str, str]:
    """Write files of a store, metadata only where it is not there, not yet forced to disk; their checksums."""
    for name, data in files.items():
        if name.rpartition("/")[2].startswith("."):
            write_if_other(path, name, data)
        else:
            write_bytes(path / name, data, force=False)
    return {name: checksum(data) for name, data in files.items()}


def write_if_other(path: Path, name: str, data: bytes) -> dict[str, str]:
    """Write a small file unless it is there already; its checksum by its name."""
    file = path / name
    if file.is_symlink() or not file.is_file() or file.read_bytes() != data:
        write_bytes(file, data, force=False)
    return {name: checksum(data)}


def clear_store(path: Path) -> None:
    """Remove what a finished store needs no longer; the settings come last, so that a call that resumes can go on."""
    marks = path / "finished"
    if marks.is_dir() and not marks.is_symlink():
        shutil.rmtree(marks)
    sweep(path)
    (path / "settings.json").unlink(missing_ok=True)


def hold_store(path: Path, shared: bool = False) -> Lock:
    """The lock of a store that is to be written; a killed process leaves its file, which :func:`sweep` removes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return lock(path.with_name(f"{TEMPORARY}{path.name}.lock"), str(path), shared)
    except OSError as error:
        raise ConfigError(it_is_unwritable(path, error)) from error


def partial_of(path: Path) -> Path:
    """Where a store grows."""
    return path.with_name(path.name + ".partial")


def refuse_links(partial: Path) -> None:
    """A store is a tree of plain folders, so that nothing is written elsewhere."""
    for place in (partial, *partial.iterdir()):
        if place.is_symlink():
            raise ConfigError(f"{place} is a link, and nothing is written through it: delete it")


def it_is_unwritable(path: Path, error: OSError) -> str:
    return f"{path} cannot be written ({error.strerror}): choose another folder"


def it_exists(path: Path) -> str:
    return f"{path} exists: choose another folder for the ensemble, or delete it"


def named_leaves(x: State) -> dict[str, Tensor]:
    return {"x": x} if isinstance(x, Tensor) else {f"x{i}": leaf for i, leaf in enumerate(leaves(x))}


@contextmanager
def saying(path: Path) -> Iterator[None]:
    """Tells of a full disk and the like in a sentence."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        why = error.strerror or str(error)
        raise WriteError(
            f"{path} cannot be written ({why}): what is finished is kept, so see to that and resume"
        ) from error

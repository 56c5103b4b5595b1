"""Ensembles on disk: a Zarr store that xarray opens, written batch by batch.

    NAME.partial/settings.json          what is drawn; another drawing does not go on here
    NAME.partial/x/3.0, work/3, …       the chunks of a batch, each written whole or not at all
    NAME.partial/finished/START.npy     its mark, written last: moments of its steps, and checksums of its files
    .writing-NAME.lock                  held by the process that writes

A batch counts once its mark is there and its files are those of the checksums. So a killed run loses the batch at work
and nothing else; after a loss of power, batches whose data had not reached the disk are drawn again. When all batches
are there, their files are forced to disk together, and only then the store takes its name; marks and settings go last.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkWarning, WriteError
from leastwork.geometry.state import State, leaves
from leastwork.sampling.ensemble import Ensemble, Ledger
from leastwork.sampling.growing import take_name, take_over, with_other_number
from leastwork.sampling.marks import Mark, read_mark, write_mark
from leastwork.sampling.stepping import BatchResult
from leastwork.sampling.stored import PER_SAMPLE, StoredEnsemble, consolidated, contents, open_ensemble
from leastwork.sampling.zarr_arrays import as_json, checksum, declared, encoded
from leastwork.support.arguments import path_of
from leastwork.support.files import TEMPORARY, read_bytes, sweep, sync_files, sync_folder, write_bytes, write_text
from leastwork.support.locks import Lock, lock

__all__ = ["EnsembleStore", "StoredEnsemble", "add_log_tilt", "open_ensemble", "save_ensemble"]

_GROUP = as_json({"zarr_format": 2})
_MOMENTS = ["batch", "moment", "step"]


@dataclass(frozen=True)
class EnsembleStore:
    """A store under construction, which no other process can write meanwhile; leaving its context lets go of it."""

    path: Path
    n: int
    batch_size: int
    ledger: Ledger
    settings: str
    held: Lock
    is_finished: bool = False

    @classmethod
    def create(
        cls, out: str | Path, n: int, batch_size: int, fingerprint: dict[str, object], ledger: Ledger, resume: bool
    ) -> "EnsembleStore":
        """Begin a store, go on with an interrupted one, or let a smaller one grow; a finished one stays as it is.

        Raises:
            ConfigError: the store exists, cannot be written, was begun with other settings, or is being written.
        """
        path, described = path_of("out", out), json.dumps(fingerprint)
        if path.exists() and not resume:
            raise ConfigError(_exists(path))
        held = _held(path)
        try:
            store = cls(path, n, batch_size, ledger, described, held, _is_finished(path, described))
            store._begin(resume)
        except OSError as error:
            held.release()
            raise ConfigError(_unwritable(path, error)) from error
        except BaseException:
            held.release()
            raise
        return store

    def __enter__(self) -> "EnsembleStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.held.release()

    @property
    def partial(self) -> Path:
        """Where the store grows."""
        return _partial(self.path)

    @property
    def marks(self) -> Path:
        """One file for each finished batch, holding its step moments and its checksums."""
        return self.partial / "finished"

    def has(self, start: int) -> bool:
        """Whether the batch that begins at ``start`` is finished; one that was damaged since is drawn again."""
        mark = self.marks / f"{start}.npy"
        if self.is_finished or not mark.exists():
            return self.is_finished
        bad = self._damaged(mark)
        if bad is not None:
            warnings.warn(
                f"{bad} is not what was written: the batch of samples that begins at {start} is drawn again",
                LeastworkWarning,
                stacklevel=4,
            )
        return bad is None

    def seconds(self, start: int) -> float:
        """How long the finished batch that begins at ``start`` took, as far as that is known."""
        return 0.0 if self.is_finished else read_mark(self.marks / f"{start}.npy").seconds

    def write(self, start: int, result: BatchResult, seconds: float = 0.0) -> None:
        """Store one batch, then its mark, which knows how long it took."""
        per_sample = {name: getattr(result, name, None) for name in PER_SAMPLE}
        arrays = _named(result.x) | {name: value for name, value in per_sample.items() if value is not None}
        with _saying(self.path):
            written = _write_if_other(self.partial, ".zgroup", _GROUP)
            for name, value in arrays.items():
                rows = min(self.batch_size, self.n)
                written |= _write_rows(self.partial, name, value, self.n, rows, start // self.batch_size)
            moments = result.step_moments.cpu().numpy()
            write_mark(self.marks / f"{start}.npy", Mark(moments, written, seconds))

    def finish(self, evaluations: int, seconds: float) -> StoredEnsemble:
        """Close the store and give it its name."""
        with _saying(self.path):
            if not self.is_finished:
                marks = {start: read_mark(self.marks / f"{start}.npy") for start in self._starts()}
                moments = np.asarray(sum(mark.moments for mark in marks.values())) / self.n
                files = {name: known for mark in marks.values() for name, known in mark.files.items()}
                each = np.stack([marks[start].moments for start in sorted(marks)])
                files |= _write_array(self.partial, "batch_moments", each, len(each), len(each), 0, _MOMENTS)
                _close(self.partial, self.ledger, moments, self.n, evaluations, seconds, files, self.settings)
                take_name(self.partial, self.path)
                sync_folder(self.path.parent)
            _clear(self.path)
        return StoredEnsemble(self.path)

    def _starts(self) -> list[int]:
        """Of all batches, in the order of their marks' names, in which moments are summed."""
        return sorted(range(0, self.n, self.batch_size), key=lambda start: f"{start}.npy")

    def _begin(self, resume: bool) -> None:
        """See that this store may be written, and that it is the one that was begun."""
        if self.is_finished:
            return
        begun = self.partial / "settings.json"
        if self.partial.exists():
            if not resume:
                raise ConfigError(f"{self.partial} is an interrupted run: pass resume=True to go on, or delete it")
            _refuse_links(self.partial)
            is_empty = not begun.exists() and not any(self.marks.glob("*.npy"))
            if not is_empty and (not begun.exists() or read_bytes(begun).decode(errors="replace") != self.settings):
                raise ConfigError(f"{self.partial} was begun with other settings: use those, or delete it")
            sweep(self.partial)
        if not begun.exists():
            write_text(begun, self.settings)
        self.marks.mkdir(exist_ok=True)
        if self.path.exists() and not any(self.marks.iterdir()):
            take_over(contents(self.path), self.partial)

    def _damaged(self, mark: Path) -> Path | None:
        """The first file of a batch that is not as its mark says, or None."""
        try:
            files = read_mark(mark).files
        except (ConfigError, ValueError, KeyError, TypeError, AttributeError, EOFError):
            return mark
        for name, known in files.items():
            try:
                if checksum(read_bytes(self.partial / name)) != known:
                    return self.partial / name
            except FileNotFoundError:
                return self.partial / name
        return None


def save_ensemble(ensemble: Ensemble, out: str | Path, batch_size: int = 4096) -> StoredEnsemble:
    """Write an ensemble that is in memory, log-tilt included, replacing nothing."""
    path = path_of("out", out)
    if path.exists():
        raise ConfigError(_exists(path))
    held = _held(path)
    try:
        _save(ensemble, path, batch_size)
    finally:
        held.release()
    return StoredEnsemble(path)


def add_log_tilt(path: str | Path, tilt: Tensor) -> None:
    """Let stored samples know their target, in place of what they knew before.

    Args:
        path: a finished store.
        tilt: r(x) of all samples, (n,).

    Raises:
        ConfigError: the store is damaged, or is being written by another process.
    """
    store = path_of("path", path)
    if store.is_symlink():
        raise ConfigError(f"{store} is a link, and nothing is written through it: pass the folder itself")
    held = _held(store)
    try:
        with _saying(store):
            _add_log_tilt(store, tilt)
            _clear(store)
    finally:
        held.release()


def _add_log_tilt(path: Path, tilt: Tensor) -> None:
    """``.zmetadata`` comes last; while an older tilt is replaced, it names none."""
    found = contents(path)
    n, rows = found.leaves[0].shape[0], found.leaves[0].rows
    if tuple(tilt.shape) != (n,):
        raise ConfigError(f"log_tilt of shape {tuple(tilt.shape)} for {n} samples in {path}: give one for each")
    rest = {name: about for name, about in found.metadata.items() if not name.startswith("log_tilt/")}
    known: dict[str, str] | None = None
    if found.checksums is not None:
        known = {name: one for name, one in found.checksums.items() if not name.startswith("log_tilt/")}
    if "log_tilt" in found.arrays:
        write_bytes(path / ".zmetadata", consolidated(rest, known, found.settings))
        shutil.rmtree(path / "log_tilt")
    written: dict[str, str] = {}
    for k, start in enumerate(range(0, n, rows)):
        written |= _write_rows(path, "log_tilt", tilt[start : start + rows], n, rows, k)
    whole = rest | _metadata(path, written)
    sync_files(path / name for name in written)
    write_bytes(path / ".zmetadata", consolidated(whole, None if known is None else known | written, found.settings))


def _save(ensemble: Ensemble, path: Path, batch_size: int) -> None:
    partial = _partial(path)
    if any(partial.glob("finished/*.npy")):
        raise ConfigError(f"{partial} is an interrupted run: choose another folder for the ensemble, or delete it")
    ledger, n = ensemble.ledger, len(ensemble)
    per_sample = {"work": ledger.work, "log_weight": ledger.log_weight, "action": ledger.action}
    per_sample["log_tilt"] = ensemble.log_tilt
    rows = min(batch_size, n)
    with _saying(path):
        if partial.exists():
            _refuse_links(partial)
            shutil.rmtree(partial)
        written = _write_if_other(partial, ".zgroup", _GROUP)
        for name, value in (_named(ensemble.x) | {k: v for k, v in per_sample.items() if v is not None}).items():
            for k, start in enumerate(range(0, n, rows)):
                written |= _write_rows(partial, name, value[start : start + rows], n, rows, k)
        moments = np.zeros((2, len(ledger.times) - 1))
        if ledger.step_work is not None:
            mean, stderr = ledger.step_work.value.numpy(), ledger.step_work.stderr.numpy()
            moments = np.stack([mean, stderr**2 * max(n - 1, 1) + mean**2])
        _close(partial, ledger, moments, n, ensemble.network_evaluations, ensemble.seconds, written, None)
        os.replace(partial, path)
        sync_folder(path.parent)


def _close(
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
        files |= _write_array(path, name, np.asarray(data), len(data), len(data), 0, [dimension])
    attributes = {
        "network_evaluations": evaluations,
        "seconds": seconds,
        "why_no_weights": ledger.why_no_weights,
        "group": ledger.group,
    }
    if ledger.chain:
        attributes["chain"] = ledger.chain
    files |= _write_if_other(path, ".zattrs", as_json(attributes))
    ordered = dict(sorted(files.items()))
    sync_files(path / name for name in ordered)
    write_bytes(path / ".zmetadata", consolidated(_metadata(path, ordered), ordered, settings))


def _metadata(path: Path, files: Mapping[str, str]) -> dict[str, Any]:
    """The contents of those files that are metadata."""
    names = [name for name in files if name.rpartition("/")[2].startswith(".")]
    return {name: json.loads(read_bytes(path / name)) for name in names}


def _write_rows(path: Path, name: str, value: Tensor, n: int, rows: int, k: int) -> dict[str, str]:
    """Write the k-th chunk of an array of samples."""
    data = value.detach().cpu().numpy()
    return _write_array(path, name, data, n, rows, k, ["sample", *(f"{name}_dim_{i}" for i in range(data.ndim - 1))])


def _write_array(
    path: Path, name: str, data: np.ndarray, n: int, rows: int, k: int, dimensions: list[str]
) -> dict[str, str]:
    """Write the k-th chunk of an array, and its metadata where those are not there; the checksums of these files.

    They are not yet forced to disk.
    """
    about = declared((n, *data.shape[1:]), max(rows, 1), data.dtype)
    written = _write_if_other(path, f"{name}/.zattrs", as_json({"_ARRAY_DIMENSIONS": dimensions}))
    written |= _write_if_other(path, f"{name}/.zarray", as_json(about))
    if data.size:
        chunk = f"{name}/{k}" + ".0" * (data.ndim - 1)
        packed = encoded(data, max(rows, 1))
        write_bytes(path / chunk, packed, force=False)
        written[chunk] = checksum(packed)
    return written


def _write_if_other(path: Path, name: str, data: bytes) -> dict[str, str]:
    """Write a small file unless it is there already; its checksum by its name."""
    file = path / name
    if file.is_symlink() or not file.is_file() or file.read_bytes() != data:
        write_bytes(file, data, force=False)
    return {name: checksum(data)}


def _clear(path: Path) -> None:
    """Remove what a finished store needs no longer; the settings come last, so that a call that resumes can go on."""
    marks = path / "finished"
    if marks.is_dir() and not marks.is_symlink():
        shutil.rmtree(marks)
    sweep(path)
    (path / "settings.json").unlink(missing_ok=True)


def _held(path: Path) -> Lock:
    """The lock of a store that is to be written; a killed process leaves its file, which :func:`sweep` removes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return lock(path.with_name(f"{TEMPORARY}{path.name}.lock"), str(path))
    except OSError as error:
        raise ConfigError(_unwritable(path, error)) from error


def _is_finished(path: Path, settings: str) -> bool:
    """Whether the store is there with all samples; one that has fewer of the same kind can grow.

    Raises:
        ConfigError: the store holds other samples, or more of them.
    """
    if not path.exists():
        return False
    found = contents(path)
    if found.settings == settings:
        return True
    if not with_other_number(found, settings):
        raise ConfigError(_exists(path))
    return False


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _refuse_links(partial: Path) -> None:
    """A store is a tree of plain folders, so that nothing is written elsewhere."""
    for place in (partial, *partial.iterdir()):
        if place.is_symlink():
            raise ConfigError(f"{place} is a link, and nothing is written through it: delete it")


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path} cannot be written ({error.strerror}): choose another folder"


def _exists(path: Path) -> str:
    return f"{path} exists: choose another folder for the ensemble, or delete it"


def _named(x: State) -> dict[str, Tensor]:
    return {"x": x} if isinstance(x, Tensor) else {f"x{i}": leaf for i, leaf in enumerate(leaves(x))}


@contextmanager
def _saying(path: Path) -> Iterator[None]:
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

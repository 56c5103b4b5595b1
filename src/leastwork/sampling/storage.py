"""Ensembles on disk: a Zarr store that xarray opens, written batch by batch.

Chunks coincide with batches. A batch counts once its mark is written, after its data; the store keeps the name
``NAME.partial`` until all batches are there. So a killed run loses the batch at work and nothing else.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import State, leaves
from leastwork.sampling.ensemble import Ensemble, Ledger
from leastwork.sampling.stepping import BatchResult
from leastwork.statistics.estimate import Estimate
from leastwork.support.files import write_text

__all__ = ["EnsembleStore", "StoredEnsemble", "open_ensemble", "save_ensemble"]

_PER_SAMPLE = ("work", "log_weight", "action", "log_tilt")


@dataclass(frozen=True)
class EnsembleStore:
    """A store under construction."""

    path: Path
    n: int
    batch_size: int
    ledger: Ledger

    @classmethod
    def create(
        cls, out: str | Path, n: int, batch_size: int, fingerprint: dict[str, object], ledger: Ledger, resume: bool
    ) -> "EnsembleStore":
        """Begin a store, or go on with an interrupted one.

        Raises:
            ConfigError: the store exists, cannot be written, or was begun with other settings.
        """
        path = Path(out)
        store = cls(path, n, batch_size, ledger)
        if path.exists():
            raise ConfigError(f"{path} exists: choose another folder for the ensemble, or delete it")
        described = json.dumps(fingerprint)
        if store.partial.exists():
            begun = store.partial / "settings.json"
            if not resume:
                raise ConfigError(f"{store.partial} is an interrupted run: pass resume=True to go on, or delete it")
            if not begun.exists() or begun.read_text() != described:
                raise ConfigError(f"{store.partial} was begun with other settings: use those, or delete it")
            return store
        try:
            store.marks.mkdir(parents=True)
            write_text(store.partial / "settings.json", described)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written ({error.strerror}): choose another folder") from error
        return store

    @property
    def partial(self) -> Path:
        """Where the store grows."""
        return self.path.with_name(self.path.name + ".partial")

    @property
    def marks(self) -> Path:
        """One file for each finished batch, holding its step moments."""
        return self.partial / "finished"

    def has(self, start: int) -> bool:
        """Whether the batch that begins at ``start`` is finished."""
        return (self.marks / f"{start}.npy").exists()

    def write(self, start: int, result: BatchResult) -> None:
        """Store one batch, then its mark."""
        group = zarr.open_group(str(self.partial), mode="a", zarr_format=2)
        per_sample = {name: getattr(result, name, None) for name in _PER_SAMPLE}
        arrays = _named(result.x) | {name: value for name, value in per_sample.items() if value is not None}
        for name, value in arrays.items():
            data = value.detach().cpu().numpy()
            _array(group, name, data, self.n, self.batch_size)[start : start + len(data)] = data
        moments = self.marks / f"{start}.tmp"
        with moments.open("wb") as file:
            np.save(file, result.step_moments.cpu().numpy())
        os.replace(moments, self.marks / f"{start}.npy")

    def finish(self, evaluations: int, seconds: float) -> "StoredEnsemble":
        """Close the store and give it its name."""
        moments = sum(np.load(mark) for mark in sorted(self.marks.iterdir()))
        _close(self.partial, self.ledger, np.asarray(moments) / self.n, self.n, evaluations, seconds)
        shutil.rmtree(self.marks)
        (self.partial / "settings.json").unlink()
        zarr.consolidate_metadata(str(self.partial), zarr_format=2)
        os.replace(self.partial, self.path)
        return StoredEnsemble(self.path)


def _named(x: State) -> dict[str, Tensor]:
    return {"x": x} if isinstance(x, Tensor) else {f"x{i}": leaf for i, leaf in enumerate(leaves(x))}


def _array(group: zarr.Group, name: str, like: np.ndarray, n: int, chunk: int) -> Any:
    if name in group:
        return group[name]
    event = like.shape[1:]
    array = group.create_array(
        name, shape=(n, *event), chunks=(min(chunk, n), *(max(1, size) for size in event)), dtype=like.dtype
    )
    array.attrs["_ARRAY_DIMENSIONS"] = ["sample", *(f"{name}_dim_{i}" for i in range(len(event)))]
    return array


def _close(path: Path, ledger: Ledger, moments: np.ndarray, n: int, evaluations: int, seconds: float) -> None:
    group = zarr.open_group(str(path), mode="a", zarr_format=2)
    columns = {"times": (ledger.times.numpy(), "edge")}
    if "work" in group:
        mean, square = moments
        stderr = np.sqrt(np.maximum(square - mean**2, 0) / max(n - 1, 1))
        columns |= {"step_work": (mean, "step"), "step_work_stderr": (stderr, "step")}
    for name, (data, dimension) in columns.items():
        array = group.create_array(name, data=np.asarray(data), overwrite=True)
        array.attrs["_ARRAY_DIMENSIONS"] = [dimension]
    group.attrs.update(
        {
            "network_evaluations": evaluations,
            "seconds": seconds,
            "why_no_weights": ledger.why_no_weights,
            "group": ledger.group,
        }
    )


def save_ensemble(ensemble: Ensemble, out: str | Path, batch_size: int = 4096) -> "StoredEnsemble":
    """Write an ensemble that is in memory, log-tilt included, replacing nothing."""
    path = Path(out)
    if path.exists():
        raise ConfigError(f"{path} exists: choose another folder for the ensemble, or delete it")
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    group = zarr.open_group(str(partial), mode="w", zarr_format=2)
    ledger = ensemble.ledger
    per_sample = {"work": ledger.work, "log_weight": ledger.log_weight, "action": ledger.action}
    per_sample["log_tilt"] = ensemble.log_tilt
    for name, value in (_named(ensemble.x) | {k: v for k, v in per_sample.items() if v is not None}).items():
        data = value.detach().cpu().numpy()
        _array(group, name, data, len(ensemble), batch_size)[:] = data
    moments = np.zeros((2, len(ledger.times) - 1))
    if ledger.step_work is not None:
        n = len(ensemble)
        mean, stderr = ledger.step_work.value.numpy(), ledger.step_work.stderr.numpy()
        moments = np.stack([mean, stderr**2 * max(n - 1, 1) + mean**2])
    _close(partial, ledger, moments, len(ensemble), ensemble.network_evaluations, ensemble.seconds)
    zarr.consolidate_metadata(str(partial), zarr_format=2)
    os.replace(partial, path)
    return StoredEnsemble(path)


@dataclass(frozen=True)
class StoredEnsemble:
    """A finished store; ``load()`` brings it into memory, ``chunks()`` passes through it."""

    path: Path

    def load(self) -> Ensemble:
        """The whole ensemble."""
        return open_ensemble(self.path)

    def __len__(self) -> int:
        return _open(self.path)[_leaf_names(_open(self.path))[0]].shape[0]  # type: ignore[union-attr]

    def chunks(self, size: int = 65536) -> Iterator[State]:
        """Samples, ``size`` at a time, data units."""
        group = _open(self.path)
        for start in range(0, len(self), size):
            yield _state(group, slice(start, start + size))


def _open(path: Path) -> zarr.Group:
    message = f"{path} is not an ensemble written by leastwork: pass the folder ensemble.zarr"
    try:
        group = zarr.open_group(str(path), mode="r", zarr_format=2)
    except (FileNotFoundError, NotADirectoryError, KeyError, ValueError) as error:
        raise ConfigError(message) from error
    if "network_evaluations" not in group.attrs:  # written last
        raise ConfigError(message)
    return group


def _leaf_names(group: zarr.Group) -> list[str]:
    if "x" in group:
        return ["x"]
    return sorted((name for name in group.array_keys() if name[0] == "x"), key=lambda name: int(name[1:]))


def _tensor(array: Any, where: slice = slice(None)) -> Tensor:
    return torch.from_numpy(np.asarray(array[where]).copy())


def _state(group: zarr.Group, where: slice = slice(None)) -> State:
    parts = tuple(_tensor(group[name], where) for name in _leaf_names(group))
    return parts[0] if "x" in group else parts


def open_ensemble(path: str | Path) -> Ensemble:
    """Read an ensemble back.

    Raises:
        ConfigError: no finished ensemble lies there.
    """
    group = _open(Path(path))
    values = {name: _tensor(group[name]) if name in group else None for name in _PER_SAMPLE}
    step_work = None
    if "step_work" in group:
        step_work = Estimate(_tensor(group["step_work"]), _tensor(group["step_work_stderr"]))
    attrs: dict[str, Any] = dict(group.attrs)
    ledger = Ledger(
        times=_tensor(group["times"]),
        work=values["work"],
        log_weight=values["log_weight"],
        action=values["action"],
        step_work=step_work,
        why_no_weights=str(attrs["why_no_weights"]),
        group=int(attrs.get("group", 1)),
    )
    return Ensemble(
        _state(group), ledger, values["log_tilt"], int(attrs["network_evaluations"]), float(attrs["seconds"])
    )

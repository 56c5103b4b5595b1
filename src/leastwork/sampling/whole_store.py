"""Ensembles that are in memory, written at once, and the log-tilt of samples that are stored already."""

import os
import shutil
from pathlib import Path

import numpy as np
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.store_files import (
    GROUP,
    clear_store,
    close_store,
    hold_store,
    it_exists,
    metadata_in,
    named_leaves,
    partial_of,
    refuse_links,
    rows_of,
    saying,
    write_files,
    write_if_other,
)
from leastwork.sampling.stored import StoredEnsemble, consolidated, contents
from leastwork.support.arguments import path_of
from leastwork.support.files import sync_files, sync_folder, write_bytes

__all__ = ["add_log_tilt", "save_ensemble"]


def save_ensemble(ensemble: Ensemble, out: str | Path, batch_size: int = 4096) -> StoredEnsemble:
    """Write an ensemble that is in memory, log-tilt included, replacing nothing."""
    path = path_of("out", out)
    if path.exists():
        raise ConfigError(it_exists(path))
    held = hold_store(path)
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
    held = hold_store(store)
    try:
        with saying(store):
            _add_log_tilt(store, tilt)
            clear_store(store)
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
        written |= write_files(path, rows_of("log_tilt", tilt[start : start + rows], n, rows, k))
    whole = rest | metadata_in(path, written)
    sync_files(path / name for name in written)
    write_bytes(path / ".zmetadata", consolidated(whole, None if known is None else known | written, found.settings))


def _save(ensemble: Ensemble, path: Path, batch_size: int) -> None:
    partial = partial_of(path)
    if any(partial.glob("finished/*.npy")):
        raise ConfigError(f"{partial} is an interrupted run: choose another folder for the ensemble, or delete it")
    ledger, n = ensemble.ledger, len(ensemble)
    per_sample = {"work": ledger.work, "log_weight": ledger.log_weight, "action": ledger.action}
    per_sample["log_tilt"] = ensemble.log_tilt
    rows = min(batch_size, n)
    with saying(path):
        if partial.exists():
            refuse_links(partial)
            shutil.rmtree(partial)
        written = write_if_other(partial, ".zgroup", GROUP)
        for name, value in (named_leaves(ensemble.x) | {k: v for k, v in per_sample.items() if v is not None}).items():
            for k, start in enumerate(range(0, n, rows)):
                written |= write_files(partial, rows_of(name, value[start : start + rows], n, rows, k))
        moments = np.zeros((2, len(ledger.times) - 1))
        if ledger.step_work is not None:
            mean, stderr = ledger.step_work.value.numpy(), ledger.step_work.stderr.numpy()
            moments = np.stack([mean, stderr**2 * max(n - 1, 1) + mean**2])
        close_store(partial, ledger, moments, n, ensemble.network_evaluations, ensemble.seconds, written, None)
        os.replace(partial, path)
        sync_folder(path.parent)

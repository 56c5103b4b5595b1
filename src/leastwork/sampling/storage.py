"""Ensembles on disk: a Zarr store that xarray opens, written block by block, by one process or by several at a time.

    NAME.partial/settings.json          what is drawn; another drawing does not go on here
    NAME.partial/x/3.0, work/3, …       the chunks of a block, each written whole or not at all
    NAME.partial/finished/START.npy     its mark, written last: moments of its steps, and checksums of its files
    NAME.partial/finished/worker.json   what all who draw must have in common, where several may draw
    .writing-NAME.lock                  held by the process that writes, or shared by those that write

A block counts once its mark is there and its files are those of the checksums. So a killed run loses the block at work
and nothing else; after a loss of power, blocks whose data had not reached the disk are drawn again. When all blocks
are there, their files are forced to disk together, and only then the store takes its name; marks and settings go last.
A process that draws a share of the blocks writes them and their marks, and nothing that the others write.
"""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.geometry.state import State
from leastwork.sampling.ensemble import Ledger
from leastwork.sampling.growing import before_of, take_name, take_over, with_other_number
from leastwork.sampling.marks import Mark, read_mark, write_mark
from leastwork.sampling.shares import WHOLE, Share
from leastwork.sampling.stepping import BatchResult
from leastwork.sampling.store_files import (
    GROUP,
    array_files,
    clear_store,
    close_store,
    hold_store,
    it_exists,
    it_is_unwritable,
    named_leaves,
    partial_of,
    refuse_links,
    rows_of,
    saying,
    write_files,
    write_if_other,
)
from leastwork.sampling.stored import PER_SAMPLE, StoredEnsemble, contents, open_ensemble, stored_weights
from leastwork.sampling.weight_sums import log_power_sums
from leastwork.sampling.whole_store import add_log_tilt, save_ensemble
from leastwork.sampling.zarr_arrays import checksum
from leastwork.support.arguments import path_of
from leastwork.support.files import read_bytes, sweep, sync_folder, write_once
from leastwork.support.locks import Lock

__all__ = [
    "Destination",
    "EnsembleStore",
    "StoredEnsemble",
    "add_log_tilt",
    "open_ensemble",
    "save_ensemble",
    "stored_weights",
]

_MOMENTS = ["batch", "moment", "step"]


@dataclass(frozen=True)
class Destination:
    """Where samples are written, and what is known of them beside their drawing.

    Args:
        out: folder of the store.
        resume: whether to keep what is there already.
        share: the blocks that are drawn here.
        log_tilt: r(x), (B, *event) -> (B,), for the effective samples so far; None where no target is known.
        worker: what all processes that draw must have in common, by names in words.
    """

    out: str | Path
    resume: bool = True
    share: Share = WHOLE
    log_tilt: Callable[[State], Tensor] | None = None
    worker: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EnsembleStore:
    """A store under construction; leaving its context lets go of it."""

    path: Path
    n: int
    batch_size: int
    ledger: Ledger
    settings: str
    held: Lock
    to: Destination
    is_finished: bool = False

    @classmethod
    def create(
        cls, to: Destination, n: int, batch_size: int, fingerprint: dict[str, object], ledger: Ledger
    ) -> "EnsembleStore":
        """Begin a store, go on with an interrupted one, or let a smaller one grow; a finished one stays as it is.

        Raises:
            ConfigError: the store exists, cannot be written, was begun with other settings, or is being written by
                a process that does not share it.
        """
        path, described = path_of("out", to.out), json.dumps(fingerprint)
        if path.exists() and not to.resume:
            raise ConfigError(it_exists(path))
        held = hold_store(path, shared=not to.share.is_whole)
        try:
            store = cls(path, n, batch_size, ledger, described, held, to, _is_finished(path, described))
            store._begin()
        except OSError as error:
            held.release()
            raise ConfigError(it_is_unwritable(path, error)) from error
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
        return partial_of(self.path)

    @property
    def marks(self) -> Path:
        """One file for each finished block, holding its step moments and its checksums."""
        return self.partial / "finished"

    @property
    def starts(self) -> range:
        """First samples of all blocks."""
        return range(0, self.n, self.batch_size)

    def missing(self) -> list[int]:
        """First samples of the blocks, of all shares, that have no mark."""
        if self.is_finished:
            return []
        there = set(os.listdir(self.marks))  # after the own marks are written, so that a network's cache is fresh
        return [start for start in self.starts if f"{start}.npy" not in there]

    def has(self, start: int) -> bool:
        """Whether the block that begins at ``start`` is finished; one that was damaged since is drawn again."""
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
        """How long the finished block that begins at ``start`` took, as far as that is known."""
        return 0.0 if self.is_finished else read_mark(self.marks / f"{start}.npy").seconds

    def write(self, start: int, result: BatchResult, seconds: float = 0.0) -> None:
        """Store one block, then its mark, which knows how long it took.

        Raises:
            ConfigError: another process has written other numbers for the same samples meanwhile.
        """
        per_sample = {name: getattr(result, name, None) for name in PER_SAMPLE}
        arrays = named_leaves(result.x) | {name: value for name, value in per_sample.items() if value is not None}
        rows = min(self.batch_size, self.n)
        files = {".zgroup": GROUP}
        for name, value in arrays.items():
            files |= rows_of(name, value, self.n, rows, start // self.batch_size)
        moments = result.step_moments.cpu().numpy()
        weights: tuple[float, ...] = ()
        if self.to.log_tilt is not None and result.log_weight is not None:
            weights = log_power_sums(result.log_weight.cpu() + self.to.log_tilt(result.x).cpu())
        with saying(self.path):
            if not self.to.share.is_whole and self._is_there(start, files):
                return
            write_if_other(self.partial, ".zgroup", files.pop(".zgroup"))
            written = {".zgroup": checksum(GROUP), **write_files(self.partial, files)}
            write_mark(self.marks / f"{start}.npy", Mark(moments, written, seconds, weights))

    def finish(self, evaluations: int, seconds: float) -> StoredEnsemble:
        """Close the store and give it its name."""
        with saying(self.path):
            if not self.is_finished:
                marks = {start: read_mark(self.marks / f"{start}.npy") for start in self._in_order_of_names()}
                moments = np.asarray(sum(mark.moments for mark in marks.values())) / self.n
                files = {name: known for mark in marks.values() for name, known in mark.files.items()}
                each = np.stack([marks[start].moments for start in sorted(marks)])
                files |= write_files(
                    self.partial, array_files("batch_moments", each, len(each), len(each), 0, _MOMENTS)
                )
                close_store(self.partial, self.ledger, moments, self.n, evaluations, seconds, files, self.settings)
                take_name(self.partial, self.path)
                sync_folder(self.path.parent)
            shutil.rmtree(before_of(self.path), ignore_errors=True)
            clear_store(self.path)
        return StoredEnsemble(self.path)

    def _in_order_of_names(self) -> list[int]:
        """First samples of all blocks, in the order of their marks' names, in which moments are summed."""
        return sorted(self.starts, key=lambda start: f"{start}.npy")

    def _begin(self) -> None:
        """See that this store may be written, and that it is the one that was begun."""
        if self.is_finished:
            return
        begun = self.partial / "settings.json"
        if self.partial.exists():
            if not self.to.resume:
                raise ConfigError(f"{self.partial} is an interrupted run: pass resume=True to go on, or delete it")
            refuse_links(self.partial)
            if not begun.exists() and any(self.marks.glob("*.npy")):
                raise ConfigError(f"{self.partial} was begun with other settings: use those, or delete it")
            if self.to.share.is_whole:
                sweep(self.partial)
        found = write_once(begun, self.settings)
        if found != self.settings:
            raise ConfigError(_begun_otherwise(self.partial, found, self.settings))
        self.marks.mkdir(exist_ok=True)
        if self.to.worker:
            _check_worker(self.marks / "worker.json", self.to.worker, self.partial)
        if self.path.exists():
            own = self.to.share.of_blocks(self.starts)
            wanted = [start for start in own if not (self.marks / f"{start}.npy").exists()]
            take_over(contents(self.path), self.partial, wanted)

    def _is_there(self, start: int, files: Mapping[str, bytes]) -> bool:
        """Whether another process has written the same block, whole and with the same numbers."""
        mark = self.marks / f"{start}.npy"
        if not mark.exists() or self._damaged(mark) is not None:
            return False
        if dict(read_mark(mark).files) != {name: checksum(data) for name, data in files.items()}:
            raise ConfigError(
                f"{self.partial}: another process drew the samples from {start} on at the same time, and got other "
                "numbers: give each a share of its own, one kind of device and one number of threads"
            )
        return True

    def _damaged(self, mark: Path) -> Path | None:
        """The first file of a block that is not as its mark says, or None."""
        try:
            files = read_mark(mark).files
        except (ConfigError, ValueError, KeyError, TypeError, AttributeError, EOFError):
            return mark
        for name, known in files.items():
            try:
                if checksum(read_bytes(self.partial / name)) != known:
                    return self.partial / name
            except (ConfigError, FileNotFoundError):  # it may not be read, or is missing
                return self.partial / name
        return None


def _check_worker(file: Path, worker: Mapping[str, str], partial: Path) -> None:
    """See that this process has in common with those before what decides the numbers.

    Raises:
        ConfigError: something differs; says what.
    """
    found = write_once(file, json.dumps(worker))
    try:
        before = json.loads(found)
        other = next((name for name, value in worker.items() if before.get(name) != value), None)
    except (ValueError, AttributeError, RecursionError):
        raise ConfigError(f"{file} is damaged: delete {partial}, and draw the samples anew") from None
    if other is not None:
        raise ConfigError(
            f"{partial} was begun by a worker with another {other} ({str(before.get(other))[:60]!r}, here "
            f"{worker[other]!r}): draw with that of the others, or delete {partial} and begin again"
        )


def _begun_otherwise(partial: Path, found: str, settings: str) -> str:
    """The message about a store that is being filled with other samples; it says so where only their number differs."""
    what = ""
    try:
        there, asked = json.loads(found), json.loads(settings)
        if {**there, "n": 0} == {**asked, "n": 0}:
            what = f" (n={there['n']}, and n={asked['n']} is asked for)"
    except (ValueError, TypeError, RecursionError):
        pass
    return f"{partial} was begun with other settings{what}: use those, or delete it"


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
        raise ConfigError(it_exists(path))
    return False

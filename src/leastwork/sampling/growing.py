"""More samples for a finished store: its full batches are taken over, and a last one that is not full is drawn again.

The noise of a sample depends on the seed and the number of the sample alone, so that a store that grew holds the very
samples of one that was drawn at once.
"""

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.sampling.marks import Mark, write_mark
from leastwork.sampling.stored import PER_SAMPLE, Contents
from leastwork.sampling.weight_sums import log_power_sums
from leastwork.support.files import TEMPORARY, link_file

__all__ = ["before_of", "take_name", "take_over", "with_other_number"]


def with_other_number(found: Contents, settings: str) -> bool:
    """Whether a store was drawn with the same settings but for the number of samples, of which it has fewer.

    Args:
        found: the finished store.
        settings: settings of the drawing, as JSON.

    Raises:
        ConfigError: the store holds more samples than the settings ask for.
    """
    if found.settings is None or "batch_moments" not in found.arrays:
        return False
    there, asked = json.loads(found.settings), json.loads(settings)
    if {**there, "n": 0} != {**asked, "n": 0}:
        return False
    if there["n"] > asked["n"]:
        raise ConfigError(
            f"{found.path} holds {there['n']} samples, more than n={asked['n']}: read them by lw.open_ensemble, or "
            "choose another folder"
        )
    return True


def take_over(found: Contents, partial: Path, starts: Iterable[int]) -> None:
    """Put full blocks of a finished store, with their marks, into one that is begun; their marks keep their time.

    Args:
        found: the finished store.
        partial: the folder of the new store, in which ``finished/`` is there.
        starts: the first samples of the blocks that are wanted; those that the store does not have are left out.
    """
    rows, n = found.leaves[0].rows, found.leaves[0].shape[0]
    if found.settings is not None and rows < json.loads(found.settings)["batch_size"]:
        return  # one block of fewer samples than a batch, in a chunk of its own size
    moments = found.tensor(found.arrays["batch_moments"]).numpy()
    seconds = float(found.metadata[".zattrs"]["seconds"]) / len(moments)
    own = [found.arrays[name] for name in PER_SAMPLE if name in found.arrays and name != "log_tilt"]
    chunks = [array.chunk_names for array in (*found.leaves, *own)]
    weighted = [found.arrays[name] for name in ("log_weight", "log_tilt") if name in found.arrays]
    checksums = found.checksums or {}
    for start in starts:
        if start + rows > n:
            continue
        k, mark = start // rows, partial / "finished" / f"{start}.npy"
        files = {names[k]: checksums[names[k]] for names in chunks}
        for name in files:
            link_file(found.path / name, partial / name)
        weights: tuple[float, ...] = ()
        if len(weighted) == 2:
            with suppress(ConfigError):  # a chunk is damaged, and the block is drawn again
                first, second = (found.tensor(one, start, start + rows) for one in weighted)
                weights = log_power_sums(first + second)
        write_mark(mark, Mark(moments[k], files, seconds, weights))
        drawn = (found.path / next(iter(files))).stat().st_mtime
        os.utime(mark, (drawn, drawn))


def before_of(path: Path) -> Path:
    """Where a smaller store lies while a larger one takes its name; a kill in between leaves it there."""
    return path.with_name(f"{TEMPORARY}{path.name}.before")


def take_name(partial: Path, path: Path) -> None:
    """Give a store its name, in place of a smaller one that it took over."""
    before = before_of(path)
    if path.exists():
        os.replace(path, before)
    os.replace(partial, path)
    shutil.rmtree(before, ignore_errors=True)

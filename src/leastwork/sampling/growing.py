"""More samples for a finished store: its full batches are taken over, and a last one that is not full is drawn again.

The noise of a sample depends on the seed and the number of the sample alone, so that a store that grew holds the very
samples of one that was drawn at once.
"""

import json
import os
import shutil
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.sampling.marks import Mark, write_mark
from leastwork.sampling.stored import PER_SAMPLE, Contents
from leastwork.support.files import TEMPORARY

__all__ = ["take_name", "take_over", "with_other_number"]


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


def take_over(found: Contents, partial: Path) -> None:
    """Put the full batches of a finished store, with their marks, into one that is begun.

    Args:
        found: the finished store.
        partial: the folder of the new store, in which ``finished/`` is there.
    """
    rows, n = found.leaves[0].rows, found.leaves[0].shape[0]
    moments = found.tensor(found.arrays["batch_moments"]).numpy()
    seconds = float(found.metadata[".zattrs"]["seconds"]) / len(moments)
    own = [found.arrays[name] for name in PER_SAMPLE if name in found.arrays and name != "log_tilt"]
    chunks = [array.chunk_names for array in (*found.leaves, *own)]
    checksums = found.checksums or {}
    for k in range(n // rows):
        files = {names[k]: checksums[names[k]] for names in chunks}
        for name in files:
            _link(found.path / name, partial / name)
        write_mark(partial / "finished" / f"{k * rows}.npy", Mark(moments[k], files, seconds))


def take_name(partial: Path, path: Path) -> None:
    """Give a store its name, in place of a smaller one that it took over."""
    before = path.with_name(f"{TEMPORARY}{path.name}.before")
    if path.exists():
        os.replace(path, before)
    os.replace(partial, path)
    shutil.rmtree(before, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy where the file system has no such links; files are never changed."""
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)

"""Stores that are being filled, as their marks tell: how many samples are there, how fast they come.

rate = samples of the marks of the last while / that while        time left = samples missing / rate
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.sampling.marks import Mark, read_mark
from leastwork.sampling.store_files import partial_of
from leastwork.sampling.weight_sums import ess_of_sums
from leastwork.statistics.estimate import Estimate
from leastwork.support.files import read_bytes

__all__ = ["Begun", "begun_store", "ranges"]

_WHILE = 1800.0  # seconds before the newest mark that the rate is of
_BLOCKS = 10  # or as long as so many blocks take, where that is longer


@dataclass(frozen=True)
class Begun:
    """A store that is being filled.

    Args:
        n: number of samples that were asked for.
        batch_size: number of samples in a block.
        marks: of the finished blocks, by their first sample.
        written: time of each mark, s since 1970, by the clock of the file system.
        begun: time at which the store was begun.
    """

    n: int
    batch_size: int
    marks: Mapping[int, Mark]
    written: Mapping[int, float]
    begun: float

    @property
    def blocks(self) -> int:
        """Number of all blocks."""
        return -(-self.n // self.batch_size)

    @property
    def missing(self) -> list[int]:
        """First samples of the blocks that are missing."""
        return [start for start in range(0, self.n, self.batch_size) if start not in self.marks]

    @property
    def samples(self) -> int:
        """Number of samples that are there."""
        return self._samples_of(self.marks)

    @property
    def rate(self) -> float | None:
        """Samples per second of late, by all processes together; None until a block was drawn since the beginning."""
        late = {start: at for start, at in self.written.items() if at > self.begun}  # no block of a smaller store
        if not late:
            return None
        newest = max(late.values())
        spent = sum(self.marks[start].seconds for start in late) / len(late)
        since = max(self.begun, newest - max(_WHILE, _BLOCKS * spent))
        return self._samples_of(start for start, at in late.items() if at > since) / max(newest - since, 1e-3)

    @property
    def seconds_left(self) -> float | None:
        """How long it takes from now on, if it goes on as of late."""
        return None if self.rate is None else (self.n - self.samples) / self.rate

    @property
    def seconds_since_the_newest(self) -> float | None:
        """Age of the newest block, by the clock of this machine."""
        return max(time.time() - max(self.written.values()), 0.0) if self.written else None

    @property
    def ess(self) -> Estimate | None:
        """Kish's effective fraction, under the target, of the samples that are there; None where it is not known."""
        known = {start: mark.weights for start, mark in self.marks.items() if mark.weights}
        return ess_of_sums(list(known.values()), self._samples_of(known)) if known else None

    def _samples_of(self, starts: Iterable[int]) -> int:
        return sum(min(self.batch_size, self.n - start) for start in starts)


def begun_store(path: Path) -> Begun | None:
    """What is there of a store that is being filled, without a look into its chunks; None where none is.

    Args:
        path: the folder that the store will have once it is complete.
    """
    partial = partial_of(path)
    try:
        settings = json.loads(read_bytes(partial / "settings.json"))
        n, batch_size = int(settings["n"]), int(settings["batch_size"])
        begun = (partial / "settings.json").stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    marks: dict[int, Mark] = {}
    written: dict[int, float] = {}
    for start in range(0, n, batch_size):
        file = partial / "finished" / f"{start}.npy"
        with suppress(ConfigError, OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
            marks[start], written[start] = read_mark(file), file.stat().st_mtime
    return Begun(n, batch_size, marks, written, begun)


def ranges(starts: Sequence[int], size: int, n: int) -> list[tuple[int, int]]:
    """First and last samples of the runs of successive blocks.

    Args:
        starts: first samples of the blocks, in order.
        size: number of samples in a block.
        n: number of all samples.

    >>> ranges([0, 8, 24], 8, 30)
    [(0, 15), (24, 29)]
    """
    found: list[tuple[int, int]] = []
    for start in starts:
        last = min(start + size, n) - 1
        if found and found[-1][1] == start - 1:
            found[-1] = found[-1][0], last
        else:
            found.append((start, last))
    return found

"""Results of a function for rows of an array, batch by batch, on workers, and kept on disk by their content

    key = SHA-256(what the function is, shape and bytes of the batch)

A batch that was computed once is not computed again, in this process or in another, unless the function changes.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leastwork.errors import ConfigError
from leastwork.support.json_files import read_json, write_json

__all__ = ["InBatches"]


@dataclass(frozen=True)
class InBatches:
    """A function of rows (b, …) -> (b, K), called with a few rows at a time.

    Args:
        function: the function; it may run on several threads at a time, so one that starts a process uses as many.
        batch: largest number of rows in a call.
        workers: number of calls at a time.
        cache: a folder for results, or None to keep none.
        identity: what the function is, which is part of the key of a result.

    >>> InBatches(lambda rows: rows[:, :1] ** 2, batch=2)(np.array([[1.0], [2.0], [3.0]])).tolist()
    [[1.0], [4.0], [9.0]]
    """

    function: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    batch: int = 256
    workers: int = 1
    cache: Path | None = None
    identity: str = ""

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        pieces = [rows[i : i + self.batch] for i in range(0, len(rows), self.batch)]
        if self.workers == 1 or len(pieces) == 1:
            return np.concatenate([self._known(piece) for piece in pieces])
        with ThreadPoolExecutor(self.workers) as pool:
            return np.concatenate(list(pool.map(self._known, pieces)))

    def _known(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The result of one batch, from disk if it is there."""
        if self.cache is None:
            return self.function(rows)
        digest = hashlib.sha256(f"{self.identity}\n{rows.shape}\n".encode())
        digest.update(np.ascontiguousarray(rows).tobytes())
        path = self.cache / f"{digest.hexdigest()}.json"
        try:
            return np.asarray(read_json(path, "compute it again")["rows"], dtype=np.float64)
        except (FileNotFoundError, NotADirectoryError, ConfigError, KeyError, TypeError, ValueError):
            found = self.function(rows)  # it is not there, or it is damaged and written anew
        self.cache.mkdir(parents=True, exist_ok=True)
        write_json(path, {"rows": found.tolist()})
        return found

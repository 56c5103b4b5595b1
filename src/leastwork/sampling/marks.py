"""The mark of a finished block: sums over its samples, the checksums of its files, and how long it took."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leastwork.sampling.zarr_arrays import checksum
from leastwork.support.files import read_bytes, write_bytes

__all__ = ["Mark", "read_mark", "write_mark"]


@dataclass(frozen=True)
class Mark:
    """A finished block.

    Args:
        moments: sums of the work of each step and of its square over the block, float64 (2, S).
        files: the checksums of its files, by their names in the store.
        seconds: how long the block took, 0 in marks of older versions.
        weights: ln Σ w^k of its weights in the target, k = 1…4; empty where the target is not known.
    """

    moments: np.ndarray
    files: Mapping[str, str]
    seconds: float
    weights: Sequence[float] = ()


def write_mark(path: Path, mark: Mark) -> None:
    """Write a mark; it need not be forced to disk, since one that is lost costs a block."""
    moments = io.BytesIO()
    np.save(moments, mark.moments)
    spent: dict[str, object] = {"seconds": mark.seconds}
    spent |= {"weights": list(mark.weights)} if mark.weights else {}
    sums = checksum(moments.getvalue() + json.dumps(spent).encode())
    about = {"moments": sums, "files": dict(mark.files), **spent}
    write_bytes(path, moments.getvalue() + b"\n" + json.dumps(about).encode(), force=False)


def read_mark(path: Path) -> Mark:
    """Read a mark.

    Raises:
        ValueError: the mark is damaged; other errors of a damaged mark are those of its reader.
    """
    data = read_bytes(path)
    moments, _, about = data.rpartition(b"\n")
    described = json.loads(about)
    spent = {key: described[key] for key in ("seconds", "weights") if key in described}
    if checksum(moments + (json.dumps(spent).encode() if spent else b"")) != described["moments"]:
        raise ValueError("another checksum")
    numbers, weights = np.load(io.BytesIO(moments)), tuple(spent.get("weights", ()))
    return Mark(numbers, described["files"], float(spent.get("seconds", 0.0)), weights)

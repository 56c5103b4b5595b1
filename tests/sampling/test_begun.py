"""What the marks of a store that is being filled tell."""

import os
from pathlib import Path

import numpy as np
import pytest

from leastwork.sampling.begun import begun_store
from leastwork.sampling.marks import Mark, write_mark

ROWS, N = 10, 95


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Begun at 1000 s."""
    partial = tmp_path / "e.zarr.partial"
    (partial / "finished").mkdir(parents=True)
    (partial / "settings.json").write_text(f'{{"n": {N}, "batch_size": {ROWS}}}')
    os.utime(partial / "settings.json", (1000, 1000))
    return tmp_path / "e.zarr"


def mark(store: Path, start: int, at: float, seconds: float = 2.0) -> None:
    file = store.with_name("e.zarr.partial") / "finished" / f"{start}.npy"
    write_mark(file, Mark(np.zeros((2, 3)), {}, seconds, (0.0, 0.0, 0.0, 0.0)))
    os.utime(file, (at, at))


def test_the_rate_is_of_late_and_of_all_processes(store: Path) -> None:
    mark(store, 0, at=500)  # of a smaller store
    found = begun_store(store)
    assert found is not None
    assert (found.rate, found.seconds_left, found.samples) == (None, None, 10)
    for start, at in ((10, 1002), (20, 1002), (90, 1004)):
        mark(store, start, at)
    found = begun_store(store)
    assert found is not None
    assert (found.blocks, found.samples) == (10, 35)
    assert found.rate == pytest.approx(25 / 4)
    assert found.seconds_left == pytest.approx(60 / found.rate)
    assert found.missing == [30, 40, 50, 60, 70, 80]
    mark(store, 30, at=90_000)  # gone on with on the next day
    mark(store, 40, at=90_010)
    found = begun_store(store)
    assert found is not None
    assert found.rate == pytest.approx(20 / 1800)


def test_damaged_marks_do_not_count(store: Path) -> None:
    mark(store, 0, at=1002)
    mark(store, 10, at=1003)
    (store.with_name("e.zarr.partial") / "finished" / "10.npy").write_bytes(b"\x93NUMPY")
    found = begun_store(store)
    assert found is not None
    assert list(found.marks) == list(found.written) == [0]
    (store.with_name("e.zarr.partial") / "settings.json").write_text("[]")
    assert begun_store(store) is None

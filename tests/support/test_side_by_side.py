"""Work in processes of its own: what it tells arrives, and what stops one piece does not stop the others."""

import os
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch

from leastwork.errors import InfeasibleError, LeastworkError, LeastworkWarning
from leastwork.support.progress import Progress
from leastwork.support.side_by_side import side_by_side

pytestmark = pytest.mark.usefixtures("forked_quickly")


def write(folder: Path, name: str, progress: Progress) -> None:
    with progress(f"writing {name}", 2) as tick:
        tick()
        tick()
    (folder / name).write_text(str(torch.get_num_threads()))


def write_and_warn(folder: Path, name: str, progress: Progress) -> None:
    write(folder, name, progress)
    warnings.warn("thin ice", LeastworkWarning, stacklevel=1)


def write_slowly(folder: Path, name: str, progress: Progress) -> None:
    time.sleep(3)
    write(folder, name, progress)


def refuse(progress: Progress) -> None:
    raise InfeasibleError("no reweighting reaches them")


def fall_silent(progress: Progress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_the_pieces_tell_arrives(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    @contextmanager
    def progress(label: str, total: int) -> Iterator:
        told.append((label, total))
        yield lambda count=1: told.append((label, count))
        told.append((label, 0))

    pieces = {"a": partial(write, tmp_path, "a"), "b": partial(write_and_warn, tmp_path, "b")}
    with pytest.warns(LeastworkWarning, match="thin ice"):
        side_by_side(pieces, 1, progress)
    for name in "ab":
        assert (tmp_path / name).read_text() == "1"
        assert [count for label, count in told if label == f"writing {name}"] == [2, 1, 1, 0]


def test_the_others_go_on_where_one_stops(tmp_path: Path) -> None:
    pieces = {"a": refuse, "b": partial(write_slowly, tmp_path, "b")}
    with pytest.raises(InfeasibleError, match="no reweighting"), pytest.warns(LeastworkWarning, match="'b' goes on"):
        side_by_side(pieces, 1, _quiet)
    assert (tmp_path / "b").exists()


def test_a_killed_piece_is_named(tmp_path: Path) -> None:
    with pytest.raises(LeastworkError, match="'a': its process was killed"):
        side_by_side({"a": fall_silent}, 1, _quiet)


def test_ctrl_c_ends_the_pieces(tmp_path: Path) -> None:
    @contextmanager
    def interrupted(label: str, total: int) -> Iterator:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        side_by_side({"a": partial(write, tmp_path, "a")}, 1, interrupted)


@contextmanager
def _quiet(label: str, total: int) -> Iterator:
    yield lambda count=1: None

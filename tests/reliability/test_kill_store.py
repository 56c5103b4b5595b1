"""A store survives a kill, or a full disk, at each of its file operations in turn: it resumes to the same bytes.

The work is done in a forked process, which an audit hook ends, or gives an OSError, at the k-th operation on a file.
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import xarray

import leastwork as lw
from leastwork.sampling.storage import add_log_tilt, save_ensemble
from leastwork.support.files import sweep

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
KILLED, REFUSED, TRACEBACK, DONE = 9, 3, 4, 0
MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
TILT = torch.arange(64, dtype=torch.float64)


def draw(out: Path) -> None:
    lw.sample(MODEL, 64, steps=3, batch_size=32, out=out, resume=True)


def save(out: Path) -> None:
    if not out.exists():
        save_ensemble(lw.sample(MODEL, 64, steps=3), out, batch_size=32)
    sweep(out.parent)


def tilt_again(out: Path) -> None:
    """A store that knows a target learns another."""
    draw(out)
    add_log_tilt(out, TILT)


def before_the_tilt(out: Path) -> None:
    draw(out)
    add_log_tilt(out, -TILT)


def nothing(out: Path) -> None:
    """Nothing lies there before."""


WORK = {"draw": (draw, nothing), "save": (save, nothing), "tilt": (tilt_again, before_the_tilt)}


@pytest.fixture(autouse=True)
def _without_time(monkeypatch) -> None:
    """Seconds are the only numbers in a store that are not those of the seed."""
    monkeypatch.setattr("time.perf_counter", lambda: 0.0)


def in_a_fork(act: Callable[[], None], folder: Path, stop_at: int, how: str) -> tuple[int, int]:
    """How it ended, and the number of operations on files in the folder."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which a process that computes with one does not have
        process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        seen = [0]

        def hook(event: str, args: tuple) -> None:
            inside = bool(args) and isinstance(args[0], str | Path) and str(folder) in str(args[0])
            if event not in OPERATIONS or not (inside or event in ("os.remove", "os.rmdir")):
                return
            seen[0] += 1
            if seen[0] == stop_at:
                if how == "kill":
                    os._exit(KILLED)
                raise OSError(errno.ENOSPC, "No space left on device")

        fsync = os.fsync

        def force(opened: int) -> None:
            hook("open", (str(folder),))
            fsync(opened)

        os.fsync = force
        sys.addaudithook(hook)
        end = DONE
        try:
            act()
        except lw.LeastworkError:
            end = REFUSED
        except BaseException:
            end = TRACEBACK
            __import__("traceback").print_exc()
        os.write(write, str(seen[0]).encode())
        os._exit(end)
    os.close(write)
    _, status = os.waitpid(process, 0)
    count = os.read(read, 100)
    os.close(read)
    return os.waitstatus_to_exitcode(status), int(count or 0)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check(tmp_path: Path, work: str, how: str, stop_at: int, wanted: dict[str, bytes]) -> None:
    folder = tmp_path / f"{stop_at}"
    folder.mkdir()
    act, begin = WORK[work]
    out = folder / "e.zarr"
    begin(out)
    ended, _ = in_a_fork(lambda: act(out), folder, stop_at, how)
    assert ended in ({KILLED} if how == "kill" else {REFUSED, DONE}), stop_at
    act(out)
    assert bytes_of(folder) == wanted, stop_at
    with xarray.open_zarr(out, chunks=None) as data:
        torch.testing.assert_close(torch.from_numpy(data["x"].values), lw.open_ensemble(out).x, rtol=0, atol=0)


def whole(tmp_path: Path, work: str) -> tuple[dict[str, bytes], int]:
    """The bytes without any interruption, and the number of operations that lead to them."""
    folder = tmp_path / "whole"
    folder.mkdir()
    act, begin = WORK[work]
    begin(folder / "e.zarr")
    ended, operations = in_a_fork(lambda: act(folder / "e.zarr"), folder, 0, "kill")
    assert ended == DONE
    assert operations > 40
    return bytes_of(folder), operations


@pytest.mark.parametrize("how", ["kill", "full"])
@pytest.mark.parametrize("work", WORK)
def test_at_some_operations(tmp_path, work: str, how: str) -> None:
    wanted, operations = whole(tmp_path, work)
    for stop_at in {1, *range(7, operations, 61), operations}:
        check(tmp_path, work, how, stop_at, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "full"])
@pytest.mark.parametrize("work", WORK)
def test_at_every_operation(tmp_path, work: str, how: str) -> None:
    wanted, operations = whole(tmp_path, work)
    for stop_at in range(1, operations + 1):
        check(tmp_path, work, how, stop_at, wanted)

"""A store survives a kill, or a full disk, at each of its file operations in turn: it resumes to the same bytes."""

from pathlib import Path

import pytest
import torch
import xarray
from forked import DONE, KILLED, REFUSED, bytes_of, in_a_fork

import leastwork as lw
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import draw_stored
from leastwork.sampling.shares import Share
from leastwork.sampling.storage import Destination, add_log_tilt, save_ensemble
from leastwork.support.files import sweep

MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
TILT = torch.arange(64, dtype=torch.float64)


def draw(out: Path) -> None:
    lw.sample(MODEL, 64, steps=3, batch_size=32, out=out, resume=True)


def shares(out: Path) -> None:
    """A smaller store grows by shares of its blocks, and whoever comes last closes it."""
    for k in (2, 1):
        draw_stored(MODEL, 64, Choices(steps=3, batch_size=16), None, Destination(out, share=Share(k, 2)))
    lw.sample(MODEL, 64, steps=3, batch_size=16, out=out, resume=True)


def before_the_shares(out: Path) -> None:
    lw.sample(MODEL, 40, steps=3, batch_size=16, out=out, resume=True)


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


WORK = {
    "draw": (draw, nothing),
    "shares": (shares, before_the_shares),
    "save": (save, nothing),
    "tilt": (tilt_again, before_the_tilt),
}


@pytest.fixture(autouse=True)
def _without_time(monkeypatch) -> None:
    """Seconds are the only numbers in a store that are not those of the seed."""
    monkeypatch.setattr("time.perf_counter", lambda: 0.0)


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

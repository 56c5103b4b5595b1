"""A run of each kind survives a kill, or a full disk, at each of its file operations: it resumes to the same bytes."""

import os
import shutil
from pathlib import Path

import pytest
import torch
import xarray
from forked import DONE, KILLED, REFUSED, bytes_of, in_a_fork

import leastwork as lw

KINDS = ("observables", "path", "joint", "compare")


@pytest.fixture(autouse=True)
def _pieces_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits leave a checkpoint wherever they can."""
    monkeypatch.setattr("leastwork.support.checkpoints._SECONDS_BETWEEN", 0.0)


def check(runs, kind: str, how: str, stop_at: int, out: Path, wanted: dict[str, bytes]) -> None:
    """What is stopped there goes on to the same bytes, leaves nothing else, and every store opens."""
    shutil.rmtree(out, ignore_errors=True)
    ended, _ = in_a_fork(lambda: runs.carry_out(kind, out), out, stop_at, how)
    assert ended in ({KILLED} if how == "kill" else {REFUSED, DONE}), stop_at
    runs.carry_out(kind, out)
    found = bytes_of(out)
    assert {name for name in {*found, *wanted} if found.get(name) != wanted.get(name)} == set(), stop_at
    for store in out.rglob("*.zarr"):
        with xarray.open_zarr(store, chunks=None) as data:
            torch.testing.assert_close(torch.from_numpy(data["x"].values), lw.open_ensemble(store).x, rtol=0, atol=0)


def whole(runs, kind: str, out: Path) -> tuple[dict[str, bytes], int]:
    """The bytes without any interruption, and the number of operations that lead to them."""
    ended, operations = in_a_fork(lambda: runs.carry_out(kind, out), out, 0, "kill")
    assert ended == DONE
    found = bytes_of(out)
    assert not [name for name in found if ".lock" in name or "partial" in name or ".writing" in name]
    return found, operations


@pytest.mark.parametrize(("kind", "how"), [("observables", "kill"), ("path", "full"), ("compare", "kill")])
def test_at_some_operations(tmp_path: Path, runs, kind: str, how: str) -> None:
    out = tmp_path / "out"
    wanted, operations = whole(runs, kind, out)
    for share in (0.02, 0.35, 0.9):
        check(runs, kind, how, int(share * operations), out, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_at_many_operations(tmp_path: Path, runs, kind: str, how: str) -> None:
    """Every 29th of some thousand; LEASTWORK_STRIDE=1 takes each, and hours."""
    out = tmp_path / "out"
    wanted, operations = whole(runs, kind, out)
    for stop_at in [*range(1, operations, int(os.environ.get("LEASTWORK_STRIDE", "29"))), operations]:
        check(runs, kind, how, stop_at, out, wanted)

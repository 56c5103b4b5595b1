"""A run of each kind survives a kill, or a full disk, at each of its file operations: it resumes to the same bytes."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
import xarray
from forked import DONE, KILLED, bytes_of, forked, in_a_fork
from left import HOW, left_by, state_of

import leastwork as lw

KINDS = ("observables", "path", "joint", "compare")


class AtOnce:
    """In place of a pool of threads, so that operations have an order."""

    def __init__(self, _: int) -> None: ...

    def __enter__(self) -> "AtOnce":
        return self

    def __exit__(self, *_: object) -> None: ...

    map = staticmethod(map)


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits leave a checkpoint wherever they can, and no thread is started."""
    monkeypatch.setattr("leastwork.support.checkpoints._SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr("leastwork.support.files.ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr("os.fsync", lambda opened: None)  # a kill loses nothing that the system was given


def undisturbed(runs, kind: str, out: Path) -> dict[str, bytes]:
    """The bytes without any interruption; afterwards this process has whatever a run loads."""
    runs.carry_out(kind, out)
    found = bytes_of(out)
    assert not [name for name in found if ".lock" in name or "partial" in name or ".writing" in name]
    for store in out.rglob("*.zarr"):
        with xarray.open_zarr(store, chunks=None) as data:
            torch.testing.assert_close(torch.from_numpy(data["x"].values), lw.open_ensemble(store).x, rtol=0, atol=0)
    shutil.rmtree(out)
    return found


def goes_on(runs, kind: str, left: Path, wanted: dict[str, bytes]) -> Callable[[], None]:
    """What is left goes on to the same bytes, so that nothing else is left; and xarray opens whatever has its name."""

    def resumed() -> None:
        for store in left.rglob("*.zarr"):
            xarray.open_zarr(store, chunks=None).close()
        runs.carry_out(kind, left)
        found = bytes_of(left)
        assert {name for name in {*found, *wanted} if found.get(name) != wanted.get(name)} == set()

    return resumed


def check(tmp_path: Path, runs, kind: str, ways: Sequence[str], every: int) -> None:
    out, keep = tmp_path / "out", tmp_path / "left"
    wanted = undisturbed(runs, kind, out)
    known: set[str] = set()
    for how in ways:
        operations, lefts = left_by(lambda: runs.carry_out(kind, out), out, keep, how, every, known)
        known |= {left.state for left in lefts}
        assert bytes_of(out) == wanted
        shutil.rmtree(out)
        failed = []
        for left in lefts:
            if forked(goes_on(runs, kind, left.folder, wanted)) != DONE:
                failed.append(left)
            shutil.rmtree(left.folder)
        shutil.rmtree(keep)
        print(f"{kind}, {how}: each {every} of {operations} operations, {len(lefts)} new folders, {len(failed)} fail")
        assert not failed
    assert known


@pytest.mark.parametrize(
    ("kind", "how", "every"), [("observables", "kill", 311), ("path", "full", 311), ("compare", "full once", 13)]
)
def test_at_some_operations(tmp_path: Path, runs, kind: str, how: str, every: int) -> None:
    check(tmp_path, runs, kind, [how], every)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_at_every_operation(tmp_path: Path, runs, kind: str) -> None:
    """Some minutes each; LEASTWORK_STRIDE=10 takes every tenth operation."""
    check(tmp_path, runs, kind, HOW, int(os.environ.get("LEASTWORK_STRIDE", "1")))


def test_a_killed_process_leaves_what_was_copied(tmp_path: Path, runs) -> None:
    out = tmp_path / "out"
    undisturbed(runs, "observables", out)
    _, lefts = left_by(lambda: runs.carry_out("observables", out), out, tmp_path / "left", "kill", every=409)
    assert len(lefts) == 2
    for left in lefts:
        shutil.rmtree(out, ignore_errors=True)
        ended, _ = in_a_fork(lambda: runs.carry_out("observables", out), out, left.at, "kill")
        assert ended == KILLED
        assert state_of(out) == state_of(left.folder), left

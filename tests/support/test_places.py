"""Arguments that name a file or folder, and numbers too large for anybody: each refused in a sentence."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import leastwork as lw
from leastwork.observables import component
from leastwork.runs.page import write_report
from leastwork.sampling.storage import add_log_tilt, save_ensemble

MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
CALLS: dict[str, Callable[[Any], object]] = {
    "sample": lambda path: lw.sample(MODEL, 4, steps=2, out=path),
    "open_ensemble": lw.open_ensemble,
    "save_ensemble": lambda path: save_ensemble(lw.sample(MODEL, 4, steps=2), path),
    "add_log_tilt": lambda path: add_log_tilt(path, None),  # type: ignore[arg-type]
    "load_run": lw.load_run,
    "load_model": lw.load_model,
    "save_model": lambda path: lw.save_model(MODEL, path),
    "from_csv": lambda path: lw.Experiment.from_csv(path, component(0)),
    "write_report": write_report,
}


@pytest.mark.parametrize("path", [3, None, "a\0b", b"a"], ids=repr)
@pytest.mark.parametrize("call", CALLS)
def test_no_path(call: str, path: object) -> None:
    if call == "sample" and path is None:
        return
    words = "no model" if call == "load_model" else r"give a path, as text or as a pathlib\.Path"
    with pytest.raises(lw.LeastworkError, match=f"{words}|give a path"):
        CALLS[call](path)


def test_neither_a_file_nor_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(lw.LeastworkError, match="is a file: pass a folder"):
        lw.load_model(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["steps", "n", "batch_size"])
def test_more_than_anybody_draws(name: str) -> None:
    choices = {"n": 4, "steps": 2, name: 10**30}
    with pytest.raises(lw.LeastworkError, match="give a smaller number, at most 1000000"):
        lw.sample(MODEL, **choices)


@pytest.mark.parametrize("size", [-1, 2.5, True, 10**30])
def test_impossible_sizes_of_an_event(size: object) -> None:
    with pytest.raises(lw.LeastworkError, match=f"event_shape={size}"):
        lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(size,))  # type: ignore[arg-type]
    with pytest.raises(lw.LeastworkError, match=f"event_shape={size}"):
        lw.VelocityModel(lambda x, t: -x, ((2,), (3, size)))  # type: ignore[arg-type]

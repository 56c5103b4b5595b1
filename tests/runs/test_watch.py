"""A run that is watched: how far it is, the newest numbers of its fit, and an end when it is finished."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from leastwork.errors import ConfigError
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.watch import frame, watch
from leastwork.support.sinks import FIT_CSV


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, without_pages: Callable[[], AbstractContextManager[None]]
) -> Path:
    small = ["sampling.n=64", "sampling.steps=8", "method=scheduled", "fit.samples=200", "fit.fit_samples=50"]
    folder = tmp_path_factory.mktemp("watched") / "run"
    with without_pages():
        run(load_config("prinz", small), folder)
    return folder


def test_a_finished_run_is_shown_once(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watch(finished, 1.0)
    shown = capsys.readouterr().out
    assert "stage              finished" in shown
    assert "fitting the schedule/objective" in shown


def test_a_run_is_watched_until_it_is_finished(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = finished / "metrics.json"
    aside = metrics.rename(finished / "aside.json")
    assert frame(finished)[1] is False
    watch(finished, 2.5, lambda seconds: aside.rename(metrics) and None)
    assert "finished" in capsys.readouterr().out


def test_a_fit_that_has_said_nothing_is_watched_too(finished: Path, tmp_path: Path) -> None:
    (finished / FIT_CSV).rename(tmp_path / FIT_CSV)
    lines, _ = frame(finished)
    (tmp_path / FIT_CSV).rename(finished / FIT_CSV)
    assert not any("the fit" in line for line in lines)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no run, config\.yaml is missing"):
        frame(tmp_path)

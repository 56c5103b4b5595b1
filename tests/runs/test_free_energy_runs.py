"""Runs of a profile and of a difference, from their files to their reports."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.errors import ConfigError
from leastwork.free_energy.run import DifferenceRun, ProfileRun
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.terminal import print_summary
from leastwork.runs.top_up import more_samples

_NORMAL = """\
import leastwork as lw

model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
"""
_PROFILE = """\
model: {python: normal.py}
profile: {coordinate: {kind: component, name: x}, lower: -3.0, upper: 3.0, bins: 8, width: 1.0}
fit: {samples: 2000, window_samples: 200, window_noised: 4000, ceiling: 5.0}
sampling: {n: 400, steps: 20}
"""
_DIFFERENCE = """\
model: {python: normal.py}
difference: {a: {kind: interval, lower: 1.2}, b: {kind: interval, upper: 1.0}}
fit: {samples: 1500, state_samples: 300, state_noised: 4000, polish_rounds: 1}
sampling: {n: 400, steps: 20}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, few_levels: None) -> Iterator[Path]:
    """Both runs, finished, with guidances that were learned in few steps."""
    place = tmp_path_factory.mktemp("free energies")
    (place / "normal.py").write_text(_NORMAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leastwork.free_energy.guided._ITERATIONS", 40)
        patch.setattr("leastwork.free_energy.job._ITERATIONS", 120)
        for name, text in (("profile", _PROFILE), ("difference", _DIFFERENCE)):
            (place / f"{name}.yaml").write_text(text)
            run(load_config(place / f"{name}.yaml"), place / name)
        yield place


def test_a_profile_in_numbers(folder: Path) -> None:
    found = read_metrics(folder / "profile")["quality"]["profile"]
    assert len(found["values"]) == len(found["stderrs"]) == 8
    edges = torch.tensor(found["edges"][0], dtype=torch.float64)
    exact = -((torch.special.ndtr(edges[1:]) - torch.special.ndtr(edges[:-1])) / 0.75).log()
    error = (torch.tensor(found["values"]) - exact) / torch.tensor(found["stderrs"])
    assert float(error.abs().max()) < 5  # standard errors; false alarms 5·10⁻⁶


def test_a_difference_in_numbers(folder: Path) -> None:
    found = read_metrics(folder / "difference")["quality"]["difference"]
    exact = float(torch.special.ndtr(torch.tensor(-1.2)).log() - torch.special.ndtr(torch.tensor(1.0)).log())
    assert abs(found["value"] - exact) < 5 * found["stderr"]
    assert found["guided_to"] == ["A"]


@pytest.mark.parametrize("name", ["profile", "difference"])
def test_reports_and_tables(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    page = (folder / name / "report.html").read_text(encoding="utf-8")
    assert "Free-energy" in page
    assert "MBAR" in page
    for said in ("What was asked", "Is it met?", "What to believe", "overlap of the windows", "samples of the windows"):
        assert said in page
    assert ("convergence of MBAR" if name == "profile" else "agreement with counting") in page
    print_summary(load_config(folder / name / "config.yaml"), folder / name)
    assert "efficiency" in capsys.readouterr().out


def test_more_samples_join_the_others(folder: Path) -> None:
    loaded = lw.load_run(folder / "profile", trust_code=True)
    assert isinstance(loaded, ProfileRun)
    more = loaded.with_samples(loaded.sample(200, seed=7))
    assert len(more.parts) == len(loaded.collected.parts) + 1
    state = lw.load_run(folder / "difference", trust_code=True)
    assert isinstance(state, DifferenceRun)
    assert state.certificate.ess.value > 0.3


def test_a_resumed_run_gives_the_same(folder: Path) -> None:
    before = read_metrics(folder / "difference")
    (folder / "difference" / "metrics.json").unlink()
    run(load_config(folder / "difference.yaml"), folder / "difference", resume=True)
    again = read_metrics(folder / "difference")
    assert json.dumps(again["quality"]) == json.dumps(before["quality"])


def test_keys_of_both_kinds(folder: Path) -> None:
    (folder / "both.yaml").write_text(_PROFILE + "difference: {}\n")
    with pytest.raises(ConfigError, match=r"both 'difference' and 'profile'"):
        load_config(folder / "both.yaml")


def test_a_run_made_in_python_has_no_file_form(folder: Path) -> None:
    loaded = lw.load_run(folder / "profile", trust_code=True)
    with pytest.raises(ConfigError, match="write a run file with profile:"):
        loaded.save(folder / "again")


def test_a_finished_run_is_topped_up(folder: Path) -> None:
    before = read_metrics(folder / "difference")["quality"]["difference"]
    more_samples(folder / "difference", 1200)
    after = read_metrics(folder / "difference")["quality"]["difference"]
    assert after["stderr"] < before["stderr"]
    assert "Free-energy difference" in (folder / "difference" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "message"), [
    ("difference: {a: {kind: intervall}, b: {kind: ball}}", "'a' in 'difference' is of kind 'intervall': did you mean"),
    ("difference: {a: {kind: interval, uper: 1}, b: {kind: ball, centre: [0, 0], radius: 1}}",
     "unknown key 'uper' in 'a': did you mean 'upper'"),
    ("profile: {coordinate: {kind: component, indx: 0}, lower: 0, upper: 1}",
     "unknown key 'indx' in 'coordinate': did you mean 'index'"),
    ("difference: {a: {radius: 1}, b: {kind: ball, centre: [0, 0], radius: 1}}",
     "'a' in 'difference' needs a kind: known are ball, interval, python"),
])  # fmt: skip
def test_kinds_within_a_section_are_known_in_messages(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(f"model: muller-brown\n{text}\n")
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "run.yaml")

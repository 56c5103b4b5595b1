"""What a run says first: what is asked of which model, what comes out and where; then each phase, with its number."""

import re
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.networks.perceptron import Perceptron
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.opening import opened
from leastwork.support.progress import no_progress

SMALL = "method: reweight\nfit: {samples: 100}\nsampling: {n: 64, steps: 3}\n"
MORE = "  - {name: '[y]', value: 0.1, error: 0.1, held_out: true}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    model = lw.DiffusionModel(Perceptron(2, width=8, depth=1), lw.VPSchedule(), predicts="v", event_shape=(2,))
    lw.save_model(model, tmp_path / "net")
    text = "model: net\nobservables: [{kind: component, name: '[x]'}, {kind: component, index: 1, name: '[y]'}]\n"
    text += f"data:\n  - {{name: '[x]', value: 0.1, error: 0.1}}\n{MORE}"
    (tmp_path / "mine.yaml").write_text(text + SMALL)
    (tmp_path / "both.yaml").write_text("runs: {one: mine.yaml, two: mine.yaml}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mine.yaml"


def test_a_run_says_what_it_does_where_and_when_it_ends(file: Path) -> None:
    said: list[str] = []
    run(load_config(str(file), []), Path("r"), tell=said.append)
    first, where, long, *phases = said
    assert first == (
        "Samples of the model net are to be weighted as little as possible, so that the average of [x] agrees with "
        "measured data, while 1 datum is held out and judges the result; 64 samples are drawn and judged."
    )
    assert where == "Samples, numbers and a report to read, report.html, come into r."
    assert re.fullmatch(r"This will take about .* s on this machine, and the fit of mine, whose .*", long)
    begun = [line.split(";")[0] for line in phases]
    assert [one for i, one in enumerate(begun) if one not in begun[:i]] == [
        "fit (1 of 4)",
        "samples (2 of 4)",
        "checks (3 of 4)",
        "report (4 of 4)",
    ]
    told: list[str] = []
    run(load_config(str(file), []), Path("r"), resume=True, tell=told.append)
    assert told == [first, where]


def test_parts_are_told_below_each_other_and_silence_estimates_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    run(load_config("both.yaml", []), Path("b"), tell=said.append)
    assert said[0] == "2 parts:"
    assert [line[:7] for line in said[1:3]] == ["  one: ", "  two: "]
    assert any(line.startswith("two: samples (2 of 4); about ") for line in said)
    monkeypatch.setattr("leastwork.runs.opening.seconds_of", None)
    assert opened(Path("b"), {}, 1, None, no_progress) is no_progress

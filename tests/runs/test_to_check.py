"""``leastwork check-model`` takes a model in every form of ``model:``."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app
from leastwork.networks.perceptron import Perceptron
from leastwork.runs.to_check import model_to_check

REST = "observables: [{kind: component, name: x}]\ndata: [{name: x, value: 0.2, error: 0.02}]\n"
OWN = (
    "{adapter: network, python: net.py, options: {dimension: 2, width: 8, depth: 1}, weights: w.safetensors, "
    "event_shape: [2], predicts: v, schedule: vp, times: one}"
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Perceptron(2, width=8, depth=1)
    lw.save_model(lw.DiffusionModel(net, lw.VPSchedule(), predicts="v", event_shape=(2,)), tmp_path / "net")
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    (tmp_path / "net.py").write_text("from leastwork.networks.perceptron import Perceptron as Net\n")
    (tmp_path / "mine.py").write_text("import leastwork as lw\nmodel = lw.load_model('net')\ndata = [1]\n")
    (tmp_path / "own.yaml").write_text(f"model: {OWN}\n{REST}")
    (tmp_path / "mine.yaml").write_text(f"model: {{python: mine.py}}\n{REST}")
    (tmp_path / "both.yaml").write_text("runs: {a: own.yaml, b: mine.yaml}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("given", ["net", "./net", "mine.py", "{python: mine.py}", OWN, "own.yaml", "mine.yaml"])
def test_all_forms_are_the_same_model(given: str) -> None:
    found = model_to_check(given)
    x = torch.ones(1, 2)
    torch.testing.assert_close(found.model.estimate(x, 0.5), lw.load_model("net").estimate(x, 0.5))
    assert (found.data is None) != ("mine" in given)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("prinzz", "no model 'prinzz': did you mean 'prinz'"),
        ("nothing.py", "nothing.py: there is no such file"),
        ("{adapter: nothing}", "there is no adapter 'nothing'"),
        ("{a, b", "YAML"),
        ("both.yaml", "both.yaml names 2 models: check those of its parts"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(given: str, words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        model_to_check(given)


@pytest.mark.usefixtures("place")
def test_a_bundled_model_is_checked_from_the_command_line() -> None:
    printed = CliRunner().invoke(app, ["check-model", "prinz", "--samples", "32"])
    assert printed.exit_code == 0, printed.stderr
    assert "fault" in printed.stdout

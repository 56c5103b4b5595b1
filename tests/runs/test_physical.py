"""Samples that count: those that pass a function of the user's own; all are kept, and the share is reported."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app
from leastwork.report.blocks import Mark
from leastwork.runs.base.finished import read_metrics, write_metrics
from leastwork.runs.physical import Physical, load_physical, passing, physical_sections
from leastwork.runs.read import read_finished
from leastwork.runs.top_up import Wanted, more_samples
from leastwork.sampling.ensemble import log_weight_under
from leastwork.sampling.work import kish_ess
from leastwork.support.tensor_files import read_tensors

CHECKS = """
def right(x):
    return x[:, 0] > 0

def none(x):
    return x[:, 0] > 1e9

def numbers(x):
    return x[:, 0]

def one(x):
    return (x > 0).any()

def text(x):
    return "yes"

def broken(x):
    return x[:, 7] > 0
"""


@pytest.fixture(autouse=True, scope="module")
def _checks(begun: Path) -> None:
    (begun.parent / "checks.py").write_text(CHECKS)


@pytest.fixture
def folder(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_pages: None) -> Path:
    """Without metrics and figures, which these tests do not look at."""
    known = read_metrics(begun)
    monkeypatch.setattr("leastwork.runs.carry_out.measure_run", lambda folder, *_: write_metrics(folder, known))
    return Path(shutil.copytree(begun, tmp_path / "small"))


def check(begun: Path, function: str) -> Physical:
    return load_physical(f"{begun.parent / 'checks.py'}:{function}")


def test_only_samples_that_pass_count_and_all_are_kept(folder: Path, begun: Path) -> None:
    said: list[str] = []
    more_samples(folder, 60, physical=check(begun, "right"), tell=said.append)
    drawn = lw.open_ensemble(folder / "ensemble.zarr")
    passes = drawn.x[:, 0] > 0
    assert len(drawn) > int(passes.sum()) >= 60
    numbers = json.loads((folder / "physical.json").read_text())
    share = float(passes.double().mean())
    assert (numbers["samples"], numbers["passing"]) == (len(drawn), int(passes.sum()))
    assert numbers["share"]["value"] == pytest.approx(share)
    assert numbers["share"]["stderr"] == pytest.approx(math.sqrt(share * (1 - share) / (len(drawn) - 1)))
    assert torch.equal(read_tensors(folder / "physical.safetensors")["passes"], passes)
    assert said[-1].endswith(f" % of {len(drawn)} samples pass")
    (section,) = physical_sections(read_finished(folder))
    assert section.title == "Samples that pass"
    assert Mark("right of checks.py", "name") in section.paragraphs[0]
    more_samples(folder, 60, physical=check(begun, "right"))
    assert len(lw.open_ensemble(folder / "ensemble.zarr")) == len(drawn)  # since there are enough
    more_samples(folder, len(drawn) + 8)
    assert not list(folder.glob("physical.*"))
    assert physical_sections(read_finished(folder)) == []


def test_effective_samples_are_those_that_pass(folder: Path, begun: Path) -> None:
    right = check(begun, "right")
    more_samples(folder, until_ess=30.0, physical=right)
    drawn = lw.open_ensemble(folder / "ensemble.zarr")
    weights = log_weight_under("target", drawn)[passing(right, drawn)]
    assert kish_ess(weights).value * len(weights) >= 30
    assert Wanted(None, 30.0, right).number_for(drawn) == len(drawn)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("none", "none of 40 samples passes none of checks.py: see what it returns"),
        ("numbers", r"numbers of checks.py returned torch.float32 of shape \(40,\) for 40 samples: return booleans"),
        ("one", r"one of checks.py returned torch.bool of shape \(\) for 40 samples"),
        ("text", "text of checks.py returned str: return a tensor of booleans"),
        ("broken", "checks.py, line 18: IndexError"),
    ],
)
def test_a_function_that_cannot_be_used_is_named(function: str, words: str, folder: Path, begun: Path) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        more_samples(folder, 60, physical=check(begun, function))
    assert (folder / "metrics.json").exists()


def test_the_command_line(folder: Path, begun: Path) -> None:
    checks = begun.parent / "checks.py"
    for asked, words in (
        ("right", "'right' is not of the form FILE.py:function"),
        (f"{folder}/none.py:right", "none.py: there is no such file of a function that says which samples pass"),
        (f"{checks}:rigth", "has no function 'rigth': did you mean 'right'?"),
    ):
        result = CliRunner().invoke(app, ["sample", str(folder), "--n", "60", "--physical", asked])
        assert result.exit_code == 2
        assert words in result.stderr
    result = CliRunner().invoke(
        app, ["sample", str(folder), "--n", "60", "--physical", f"{checks}:right", "--shard", "1/2"]
    )
    assert "error: a shard is a share of a number that all shards know" in result.stderr
    result = CliRunner().invoke(app, ["sample", str(folder), "--n", "30", "--physical", f"{checks}:right", "--quiet"])
    assert (result.exit_code, result.stdout) == (0, f"{folder}/report.html\n")

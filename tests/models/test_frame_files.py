"""A model of frames on disk, under check-model, and named in a run file."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import leastwork as lw
from leastwork.checks.examine import check_model
from leastwork.cli import app
from leastwork.models.weights import is_pickle
from leastwork.networks.frame_scores import FramePerceptron
from leastwork.runs.path.config import GuidesConfig
from leastwork.runs.path.guide_points import read_points, write_points
from leastwork.support.tensor_files import write_tensors
from leastwork.systems.frame_mixture import FrameMixture, two_poses

CLI = CliRunner()
RUN = """\
name: two frames
model: {model}
observables:
  - {{kind: end_to_end, name: distance}}
  - {{kind: python, file: turns.py, function: facing}}
data:
  - {{name: distance, value: 2.4, error: 0.05}}
  - {{name: facing, value: 0.2, error: 0.02}}
method: {method}
sequence: GA
sampling: {{n: 1024, steps: 20}}
fit: {{{fit}}}
certificate_samples: 1024
"""
TURNS = """\
def facing(x):
    positions, rotations = x
    return (rotations[:, 0] * rotations[:, 1]).sum(dim=(1, 2))
"""


def normal(residues: int = 2) -> lw.FrameModel:
    """Standard normal positions under the VP schedule, whose score is −p at all times, and uniform rotations."""
    torch.manual_seed(0)
    net = FramePerceptron(residues, width=8, depth=1)
    with torch.no_grad():
        for part in (net.straight, net.perceptron.last):
            part.weight.zero_()
            part.bias.zero_()
        net.straight.weight[: 3 * residues, : 3 * residues] = -torch.eye(3 * residues)
    return lw.FrameModel(net.requires_grad_(False).eval(), lw.VPSchedule(), lw.AngleSchedule(), residues)


class Exact(torch.nn.Module):
    """The scores of a mixture of frames, and what one may do to them by mistake."""

    def __init__(self, mixture: FrameMixture, mistake: str = "") -> None:
        super().__init__()
        self.model, self.mistake = mixture.model(), mistake

    def forward(self, x: tuple[torch.Tensor, torch.Tensor], t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = self.model.interval
        at = low + high - float(t) if self.mistake == "time" else float(t)
        shift, turn = self.model.score(x, at)
        if self.mistake == "world":
            turn = (x[1] @ turn[..., None]).squeeze(-1)
        if self.mistake == "sign":
            turn = -turn
        if self.mistake == "nan":
            turn = turn * torch.nan
        return (shift, x[1]) if self.mistake == "shape" else (shift, turn)


POSES = two_poses(3)
DATA = POSES.sample(400, torch.Generator().manual_seed(1))


def model_with(mistake: str = "") -> lw.FrameModel:
    return replace(POSES.model(), net=Exact(POSES, mistake))


def test_frames_are_saved_and_loaded(tmp_path: Path) -> None:
    model = normal()
    lw.save_model(model, tmp_path / "frames")
    again = lw.load_model(tmp_path / "frames")
    assert isinstance(again, lw.FrameModel)
    for one, two in zip(lw.sample(model, 16, steps=5).x, lw.sample(again, 16, steps=5).x, strict=True):
        assert torch.equal(one, two)


def test_a_right_model_of_frames_has_no_fault() -> None:
    report = check_model(model_with(), DATA, samples=200)
    assert report.ok, str(report)
    assert report["score of positions"].status == report["score of rotations"].status == "ok"
    assert "not checked for frames" in report["round trip"].words
    assert report["angles"].status == "ok"


@pytest.mark.parametrize(
    ("mistake", "name", "words"),
    [
        ("world", "score of rotations", "in the world's frame: turn it by the transpose"),
        ("sign", "score of rotations", "other sign: return its negative"),
        ("time", "score of positions", "time runs from noise to data"),
        ("shape", "output", "must return one prediction ((3, 3), (3, 3))"),
        ("nan", "output", "not finite"),
    ],
)
def test_what_is_wrong_is_said(mistake: str, name: str, words: str) -> None:
    report = check_model(model_with(mistake), DATA, samples=200)
    assert report[name].status == "fault", str(report)
    assert words in report[name].words


def test_what_could_not_be_checked_is_said() -> None:
    report = check_model(normal(), samples=32)
    assert report.ok, str(report)
    assert report["prediction"].status == report["round trip"].status == "skipped"
    assert "give some" in report["prediction"].words


def test_symmetry_of_frames() -> None:
    torch.manual_seed(0)
    assert check_model(normal(), equivariant=True, samples=32)["equivariance"].status == "ok"
    assert check_model(normal(), equivariant="reflections", samples=32)["equivariance"].status == "fault"
    crooked = replace(normal(), net=FramePerceptron(2, width=8, depth=1))
    assert check_model(crooked, equivariant=True, samples=32)["equivariance"].status == "fault"


def test_data_and_angles_that_do_not_fit() -> None:
    report = check_model(model_with(), (DATA[0], 2 * DATA[1]), samples=64)
    assert "no rotations" in report["data"].words
    short = replace(model_with(), angles=lw.AngleSchedule(0.02, 0.5))
    assert check_model(short, samples=32)["angles"].status == "fault"


def test_check_model_reads_a_file_of_frames(tmp_path: Path) -> None:
    lw.save_model(normal(), tmp_path / "frames")
    file = tmp_path / "my_model.py"
    file.write_text(
        "import numpy as np\nimport leastwork as lw\n"
        f"model = lw.load_model({str(tmp_path / 'frames')!r})\n"
        "data = (np.random.default_rng(0).normal(size=(64, 2, 3)), np.tile(np.eye(3), (64, 2, 1, 1)))\n"
    )
    told = CLI.invoke(app, ["check-model", str(file), "--samples", "64"])
    assert "score of positions" in told.output, told.output
    assert "not checked for frames" in " ".join(told.output.split())


@pytest.mark.parametrize(
    ("method", "fit"),
    [
        ("reweight", "samples: 4096"),
        pytest.param("least-work", "budget: 500000, iterations: 800", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore::leastwork.LeastworkWarning")
def test_frames_are_guided_from_a_run_file(tmp_path: Path, method: str, fit: str) -> None:
    lw.save_model(normal(), tmp_path / "frames")
    (tmp_path / "turns.py").write_text(TURNS)
    (tmp_path / "run.yaml").write_text(RUN.format(model=tmp_path / "frames", method=method, fit=fit))
    told = CLI.invoke(app, ["run", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), "--quiet"])
    assert told.exit_code == 0, told.output
    out = tmp_path / "out"
    metrics = json.loads((out / "metrics.json").read_text())
    assert "facing" in (out / "report.html").read_text()
    assert any((out / "structures").iterdir())
    ensemble = lw.open_ensemble(out / "ensemble.zarr")
    assert [tuple(part.shape) for part in ensemble.x] == [(1024, 2, 3), (1024, 2, 3, 3)]
    for found, wanted in zip(metrics["observables"], (2.4, 0.2), strict=True):
        assert abs(found["reweighted"] - wanted) < 0.1
        if method == "least-work":
            assert abs(found["guided"] - wanted) < 0.5 * abs(found["model"] - wanted)  # a small budget, 20 steps
    again = CLI.invoke(app, ["report", str(out)])
    assert again.exit_code == 0, again.output


def test_guides_of_frames_are_files_of_tensors(tmp_path: Path) -> None:
    lw.save_model(normal(), tmp_path / "frames")
    (tmp_path / "points.csv").write_text("1,2,3\n")
    (tmp_path / "run.yaml").write_text(f"model: {tmp_path / 'frames'}\nguides: {{csv: points.csv}}\n")
    told = CLI.invoke(app, ["run", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), "--quiet"])
    assert told.exit_code != 0
    assert "several parts: give them as safetensors: FILE" in " ".join(told.output.split())
    config = GuidesConfig(safetensors=tmp_path / "guides.safetensors")
    drawn = lw.sample(normal(), 4, steps=4).x
    write_points(drawn, tmp_path / "guides.safetensors")
    back = read_points(config, normal().event_shape)
    assert all(torch.equal(a, b) for a, b in zip(back, drawn, strict=True))
    write_points(torch.zeros(4, 3), tmp_path / "guides.safetensors")
    with pytest.raises(lw.ConfigError, match=r"holds tensors \['points'\]: name them points\.0, points\.1"):
        read_points(config, normal().event_shape)


def test_a_header_that_begins_like_a_pickle_is_none(tmp_path: Path) -> None:
    model = lw.load_model("prinz")
    first = set()
    for i in range(300):  # headers of all lengths; the low byte of one is 0x80, with which pickles begin
        write_tensors(tmp_path / "a.safetensors", {"a" * (i + 1): torch.zeros(1)})
        head = (tmp_path / "a.safetensors").read_bytes()[:1]
        if head == b"\x80":
            first.add(i)
            assert not is_pickle(tmp_path / "a.safetensors")
    assert first
    (tmp_path / "b").write_bytes(pickle.dumps(model.event_shape))
    assert is_pickle(tmp_path / "b")

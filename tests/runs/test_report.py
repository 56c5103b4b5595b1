"""Reports: made from the folder alone, whatever the run was, and safe to open."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.errors import ConfigError
from leastwork.networks.perceptron import Perceptron
from leastwork.observable_guidance.least_action import learn_control
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.observables.metrics import reweighted_averages
from leastwork.runs.observables.numbers import observable_numbers
from leastwork.runs.observables.sentences import warnings
from leastwork.runs.page import write_report

REWEIGHTED = ["method=reweight", "fit.samples=400", "sampling.n=64", "sampling.steps=4"]
SMALL = [*REWEIGHTED, "method=scheduled", "fit.fit_samples=64"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a line whose truth is known."""
    out = tmp_path_factory.mktemp("prinz") / "out"
    run(load_config("prinz", SMALL), out)
    return out


@pytest.fixture
def plane(tmp_path: Path) -> Path:
    """A run file in two dimensions."""
    torch.manual_seed(0)
    model = lw.DiffusionModel(Perceptron(2, width=8, depth=1), lw.VPSchedule(), predicts="v", event_shape=(2,))
    lw.save_model(model, tmp_path / "net")
    text = "model: net\nobservables: [{kind: component, name: x, unit: nm}]\ndata: [{name: x, value: 0.1, error: 0}]\n"
    (tmp_path / "plane.yaml").write_text(text)
    return tmp_path / "plane.yaml"


def test_a_finished_run_resumed_makes_its_report_again(plane: Path, tmp_path: Path) -> None:
    config = load_config(plane, REWEIGHTED)
    report = run(config, tmp_path / "out")
    before, metrics = report.read_bytes(), (tmp_path / "out" / "metrics.json").stat().st_mtime_ns
    report.unlink()
    assert run(config, tmp_path / "out", resume=True).read_bytes() == before
    assert (tmp_path / "out" / "metrics.json").stat().st_mtime_ns == metrics


def test_a_report_shows_the_run(folder: Path, text_of: Callable[[Path], str]) -> None:
    text = text_of(folder / "report.html")
    assert "Distance from the truth" in text
    for words in ("Figure 1.", "Figure 3.", "Table 4.", "held out", "For a methods section", "efficiency"):
        assert words in text
    assert (folder / "report.html").read_text().count('class="drawing"') == 3


def test_a_report_is_made_from_the_folder_alone_and_always_the_same(folder: Path, tmp_path: Path) -> None:
    before = (folder / "report.html").read_bytes()
    moved = tmp_path / "moved"
    folder.rename(moved)
    try:
        (moved / "report.html").unlink()
        assert write_report(moved).read_bytes() == before
    finally:
        moved.rename(folder)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "$x$ & $", "\\frac{", "abc " * 50 + "d", "Ångström–λ", "[bold]"]
)
def test_names_are_shown_as_they_are(name: str, plane: Path, tmp_path: Path, text_of: Callable[[Path], str]) -> None:
    quoted = json.dumps(name)
    file = tmp_path / "named.yaml"
    text = plane.read_text().replace("name: x", f"name: {quoted}")
    file.write_text(text + f"name: {json.dumps('run of <b>')}\ndescription: {quoted}\n")
    page = text_of(run(load_config(file, REWEIGHTED), tmp_path / "out"))
    assert "<b>" not in page.split("<body>")[1].split("<h2>")[0]
    assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in page


@pytest.mark.parametrize(
    ("overrides", "present", "absent"),
    [
        (REWEIGHTED, "effective samples (reweighting)", "The certificate"),
        ([*SMALL, "sampling.process=ode"], "kinetic action", "The certificate"),
        ([*SMALL, "data.0={name: x, upper: -0.2}"], "≤ −0.2", "Distance from the truth"),
        ([*SMALL, "sampling.t_grid=[1.0, 0.5, 0.1, 0.01]"], "4 times given", "uniform"),
    ],
)
def test_every_kind_of_run_has_a_report(
    overrides: list[str], present: str, absent: str, plane: Path, tmp_path: Path, text_of: Callable[[Path], str]
) -> None:
    page = text_of(run(load_config(plane, overrides), tmp_path / "out"))
    assert present in page
    assert absent not in page


def test_a_folder_without_a_finished_run_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such folder"):
        write_report(tmp_path / "none")
    (tmp_path / "config.yaml").write_text((folder / "config.yaml").read_text())
    with pytest.raises(ConfigError, match=r"metrics\.json is missing: finish it with leastwork run … --resume"):
        write_report(tmp_path)


def test_warnings_say_what_to_do(folder: Path) -> None:
    config = load_config("prinz", ["method=scheduled"])
    metrics = read_metrics(folder)
    certificate = metrics["certificate"]
    certificate |= {"biased_high": False, "worst_path": 0.01, "on_target": {"value": True, "tolerance": 0.05}}
    certificate["ess"]["value"] = metrics["quality"]["reweighting_ess"] = 0.5
    assert warnings(config, observable_numbers(metrics), "")[0].startswith(
        "4 steps are too few, since they shift the average of "
    )
    metrics["discretisation"]["matters"] = False
    assert warnings(config, observable_numbers(metrics), "") == []
    certificate["worst_path"] = 0.6
    (astray,) = warnings(config, observable_numbers(metrics), "")
    assert astray.startswith("One of ")
    assert "makes 60 %" in astray
    certificate["worst_path"] = 0.01
    certificate["ess"]["value"] = 0.005
    certificate |= {"biased_high": True, "on_target": {"value": False, "tolerance": 0.05}}
    metrics["quality"]["reweighting_ess"] = 0.001
    found = warnings(config, observable_numbers(metrics), "")
    assert len(found) == 4
    for sentence, remedy in zip(
        found, ("fit.samples", "fit.gamma", "draw more samples", "sampling.steps"), strict=True
    ):
        assert remedy in sentence
    learned = warnings(
        load_config("prinz"), observable_numbers(metrics), ""
    )  # λ was found on the way, and there is no γ
    assert len(learned) == 3
    assert "fit.budget" in learned[0]
    assert len(warnings(config, observable_numbers({**metrics, "certificate": None}), "no weights here")) == 2


def test_a_flows_run_speaks_of_its_control(
    plane: Path, tmp_path: Path, text_of: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in {"rounds": 3, "iterations": 4, "batch": 256, "meeting_samples": 4096}.items():
        monkeypatch.setitem(learn_control.__kwdefaults__, name, few)
    quick = ["sampling.n=64", "sampling.steps=4", "fit.samples=500", "sampling.process=ode", "model=moons-cnf"]
    page = text_of(run(load_config(plane, [*quick, "method=least-work", "data.0.value=0.1"]), tmp_path / "out"))
    assert "control of least kinetic action" in page
    assert "the ODE of a flow has no path measure" in page
    assert "weighted guided paths" not in page
    assert "budget" not in page
    config = load_config(plane, ["method=least-work"])
    metrics = read_metrics(tmp_path / "out")
    metrics["quality"]["reweighting_ess"] = 0.001
    assert "use more fit.samples" in warnings(config, observable_numbers(metrics), "", control=True)[0]


@pytest.mark.slow
def test_a_learned_run_reports_its_stages_and_the_ceiling(tmp_path: Path, text_of: Callable[[Path], str]) -> None:
    small = ["fit.samples=4000", "fit.budget=1000000", "sampling.n=4000", "sampling.steps=50"]
    page = text_of(run(load_config("prinz", small), tmp_path / "out"))
    assert "Least work guidance" in page
    assert "Stages of the fit" in page
    assert "of the exact guidance of least work" in page
    metrics = read_metrics(tmp_path / "out")
    exact, found = metrics["quality"]["efficiency_of_exact"], metrics["certificate"]["efficiency"]
    assert 0.5 < found["value"] < exact["value"] + 5 * (exact["stderr"] + found["stderr"])


def test_errors_of_reweighted_averages_know_that_lambda_was_fitted() -> None:
    """Against the spread over independent repeats: x is pinned, x² partly follows it."""
    from leastwork.observable_guidance.files import FitNumbers

    random = torch.Generator().manual_seed(0)
    both = lw.Observable(lambda x: torch.stack([x[:, 0], x[:, 0] ** 2 + x[:, 0]], dim=1), names=("a", "b"))
    data = lw.Experiment(both, values=[0.5, 0.0], errors=0.0, held_out=[False, True])
    found = []
    for _ in range(200):
        observed = both(torch.randn(500, 1, generator=random, dtype=torch.float64))
        fitted = FitNumbers(lw.fit_lambdas(observed, data), observed)
        found.append(reweighted_averages(data, fitted))
    means, errors = (torch.stack([getattr(one, key) for one in found]) for key in ("value", "stderr"))
    assert means[:, 0].std() < 1e-9
    assert errors[:, 0].max() < 1e-9
    ratio = float(errors[:, 1].mean() / means[:, 1].std())
    assert abs(ratio - 1) < 5 / (2 * 200) ** 0.5  # z = 5 of a standard deviation over 200 repeats

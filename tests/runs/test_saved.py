"""Runs saved in Python: read back they go on as before, and what has no file form is asked for."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.kernels.flat import FeatureKernel
from leastwork.observable_guidance.run import ObservableRun
from leastwork.path_guidance.run import PathRun
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run as carry_out
from leastwork.runs.load import load_config
from leastwork.runs.page import write_report

POSITION = lw.Observable(lambda x: x, names=("x",), unit="nm")


pytestmark = pytest.mark.usefixtures("few_levels")


def data(value: float = 0.2) -> lw.Experiment:
    return lw.Experiment(POSITION, values=[value], errors=[0.05])


@pytest.fixture(scope="module")
def fitted() -> ObservableRun:
    model = lw.load_model("prinz")
    return lw.guide_observables(model, data(), budget=200_000, iterations=40, steps=20, certificate_samples=300, seed=3)


@pytest.fixture(scope="module")
def into_a_disc() -> PathRun:
    """Six guides near a corner of the plane, a standard normal, and a region that is a plain function."""
    model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
    points = torch.tensor([1.6, 1.6]) + 0.2 * torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    return lw.guide_path(
        model,
        points,
        "transported",
        region=upper_right,
        budget=120_000,
        samples=1000,
        steps=20,
        certificate_samples=300,
    )


def upper_right(x: Tensor) -> Tensor:
    return (x > 1).all(dim=1)


def test_a_saved_run_goes_on_as_before(fitted: ObservableRun, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    again = lw.load_run(tmp_path / "run", observable=POSITION)
    assert isinstance(again, ObservableRun)
    assert torch.equal(again.sample(50, seed=9).x, fitted.sample(50, seed=9).x)  # type: ignore[arg-type]  (tensors)
    assert torch.equal(again.maxent.lambdas, fitted.maxent.lambdas)
    assert torch.equal(again.model_samples.x, fitted.model_samples.x)  # type: ignore[arg-type]  (tensors)
    assert again.network_evaluations == fitted.network_evaluations
    assert fitted.fit is not None
    assert again.fit is not None
    assert again.fit.record() == fitted.fit.record()
    assert again.certificate.efficiency == fitted.certificate.efficiency  # drawn anew, from the same seed
    assert again.settings["budget"] == 200_000


def test_a_saved_run_draws_on_the_steps_that_its_fit_has_placed(tmp_path: Path) -> None:
    model = lw.load_model("prinz")
    fitted = lw.guide_observables(model, data(), budget=260_000, iterations=20, steps=20, samples=2000, seed=3)
    fitted.save(tmp_path / "run")
    again = lw.load_run(tmp_path / "run", observable=POSITION)
    assert isinstance(again, ObservableRun)
    assert fitted.network_evaluations <= 260_000
    assert fitted.times is not None
    assert again.times is not None
    assert torch.equal(again.times, fitted.times)
    assert torch.equal(again.sample(8, seed=9).ledger.times, fitted.times)
    assert len(again.sample(8, seed=9, steps=30).ledger.times) == 31
    plain = again.sample(8, seed=9, t_grid="signal").ledger.times
    assert not torch.equal(plain, fitted.times)


def test_a_report_holds_the_certificate_of_the_run(fitted: ObservableRun, tmp_path: Path) -> None:
    page = fitted.report(tmp_path / "run", model="prinz")
    assert page == tmp_path / "run" / "report.html"
    assert "Guiding run moved" in page.read_text()
    metrics = read_metrics(tmp_path / "run")
    assert metrics["certificate"]["efficiency"]["value"] == fitted.certificate.efficiency.value
    assert metrics["observables"][0]["unit"] == "nm"
    again = lw.load_run(tmp_path / "run", observable=POSITION)
    assert again.ensemble is not None
    assert again.certify().efficiency == fitted.certificate.efficiency
    assert not (tmp_path / "run" / "model").exists()  # it has a name


def test_a_report_does_not_depend_on_the_folder_it_lies_in(fitted: ObservableRun, tmp_path: Path) -> None:
    fitted.save(tmp_path / "here")
    fitted.save(tmp_path / "here")  # the same run again is no other run
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert str(tmp_path) not in (tmp_path / "there" / "config.yaml").read_text()
    assert lw.load_run(tmp_path / "there", observable=POSITION).sample(5, seed=4).x.isfinite().all()  # type: ignore[union-attr]


def test_what_has_no_file_form_is_asked_for(fitted: ObservableRun, into_a_disc: PathRun, tmp_path: Path) -> None:
    fitted.save(tmp_path / "a")
    with pytest.raises(lw.ConfigError, match=r"data for x, of an observable .* load_run\(folder, observable=…\)"):
        lw.load_run(tmp_path / "a")
    other = lw.Observable(lambda x: x, names=("y",))
    with pytest.raises(lw.ConfigError, match=r"holds data for \('x',\), not \('y',\): pass the observable"):
        lw.load_run(tmp_path / "a", observable=other)
    into_a_disc.save(tmp_path / "b")
    with pytest.raises(lw.ConfigError, match=r"a model that has no file form: pass it, load_run\(folder, model=…\)"):
        lw.load_run(tmp_path / "b")
    with pytest.raises(lw.ConfigError, match=r"the region was given in Python .* lw\.load_run\(folder, region=…\)"):
        lw.load_run(tmp_path / "b", model=into_a_disc.model)
    again = lw.load_run(tmp_path / "b", model=into_a_disc.model, region=upper_right)
    assert isinstance(again, PathRun)
    assert torch.equal(again.sample(20, seed=8).x, into_a_disc.sample(20, seed=8).x)  # type: ignore[arg-type]  (tensors)


def test_a_path_run_is_reported_with_its_region(into_a_disc: PathRun, tmp_path: Path) -> None:
    page = into_a_disc.report(tmp_path / "run").read_text()
    assert "upper_right is true" in page
    metrics = read_metrics(tmp_path / "run")
    assert metrics["free_energy"]["value"] == into_a_disc.free_energy.value
    again = lw.load_run(tmp_path / "run", model=into_a_disc.model, region=upper_right)
    assert isinstance(again, PathRun)
    assert again.free_energy == into_a_disc.free_energy


def test_another_model_is_refused(fitted: ObservableRun, tmp_path: Path) -> None:
    fitted.save(tmp_path / "run")
    model = lw.load_model("prinz")
    assert isinstance(model.net, nn.Module)
    with torch.no_grad():
        next(model.net.parameters()).add_(0.3)
    with pytest.raises(
        lw.ConfigError, match=r"the model's weights are not those that the guidance in .* was fitted to"
    ):
        lw.load_run(tmp_path / "run", model=model, observable=POSITION)
    lw.save_model(model, tmp_path / "changed")
    with pytest.raises(lw.ConfigError, match="the model's weights are not those"):
        fitted.save(tmp_path / "new", model=tmp_path / "changed")


def test_a_folder_of_something_else_is_left_alone(fitted: ObservableRun, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    with pytest.raises(lw.ConfigError, match="is not empty and holds something else than this run"):
        fitted.save(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(("make", "message"), [
    (lambda folder: None, "holds no run, there is no such folder"),
    (lambda folder: folder.touch(), "holds no run, it is a file"),
    (lambda folder: folder.mkdir(), "holds no run, config.yaml is missing"),
])  # fmt: skip
def test_a_folder_without_a_run(make, message: str, tmp_path: Path) -> None:
    make(tmp_path / "run")
    with pytest.raises(lw.ConfigError, match=message):
        lw.load_run(tmp_path / "run")


@pytest.mark.slow
def test_a_kernel_of_ones_own_is_asked_for(tmp_path: Path) -> None:
    model = lw.load_model("muller-brown")
    points = torch.tensor([-0.5, 1.4]) + 0.1 * torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    kernel = FeatureKernel(lambda x: x)
    run = lw.guide_path(model, points, kernel=kernel, budget=400_000, samples=2000, steps=25, certificate_samples=200)
    run.save(tmp_path / "run", model="muller-brown")
    with pytest.raises(lw.ConfigError, match=r"FeatureKernel, which has no file form: pass it, load_run"):
        lw.load_run(tmp_path / "run")
    again = lw.load_run(tmp_path / "run", kernel=kernel)
    assert again.certificate.work == run.certificate.work


def test_a_run_of_double_precision_comes_back_in_it(tmp_path: Path) -> None:
    run = lw.guide_observables(
        lw.load_model("prinz"), data(), "loss", samples=200, steps=20, dtype=torch.float64, certificate_samples=50
    )
    run.save(tmp_path / "run", model="prinz")
    again = lw.load_run(tmp_path / "run", observable=POSITION)
    assert again.sample(5, seed=2).x.dtype == torch.float64  # type: ignore[union-attr]
    assert torch.equal(again.sample(5, seed=2).x, run.sample(5, seed=2).x)  # type: ignore[arg-type]  (tensors)


@pytest.mark.usefixtures("blank_pages")
def test_the_folder_of_a_run_file_is_loaded_as_well(tmp_path: Path) -> None:
    config = load_config("prinz", ["sampling.n=64", "sampling.steps=10", "method=loss", "fit.samples=200"])
    carry_out(config, tmp_path / "out")
    run = lw.load_run(tmp_path / "out")
    metrics = read_metrics(tmp_path / "out")
    assert run.ensemble is not None
    assert len(run.ensemble) == 64
    assert run.certify().efficiency.value == pytest.approx(metrics["certificate"]["efficiency"]["value"], rel=1e-12)
    (tmp_path / "out" / "fit" / "fit.json").unlink()
    with pytest.raises(lw.ConfigError, match=r"holds no fit, fit/fit\.json is missing: finish it with"):
        lw.load_run(tmp_path / "out")


@pytest.mark.usefixtures("blank_pages")
@pytest.mark.parametrize("kind", ["observable", "region"])
def test_code_of_a_folder_is_run_only_if_asked_for(kind: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def inside(x):\n    return x[:, 0] > 0\n\n\ndef first(x):\n    return x[:, 0]\n")
    (tmp_path / "guides.csv").write_text("0.5,0.5\n0.9,1\n")
    text = {
        "region": "model: moons\nguides: {csv: guides.csv}\nregion: {kind: python, file: mine.py, function: inside}\n"
        "method: loss\nfit: {samples: 300}\nsampling: {n: 32, steps: 4}\n",
        "observable": "model: prinz\nobservables: [{kind: python, file: mine.py, function: first}]\nmethod: loss\n"
        "data: [{name: first, value: 0.0, error: 0.5}]\nfit: {samples: 64}\nsampling: {n: 32, steps: 4}\n",
    }[kind]
    (tmp_path / "r.yaml").write_text(text)
    out = tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lw.LeastworkWarning)
        carry_out(load_config(tmp_path / "r.yaml"), out)
    with pytest.raises(lw.ConfigError, match=r"would run .*inputs/mine\.py: look into .*trust_code=True"):
        lw.load_run(out)
    assert lw.load_run(out, trust_code=True).sample(4).x.isfinite().all()
    (out / "inputs/mine.py").write_text("raise RuntimeError('it ran')")
    write_report(out)
    with pytest.raises(lw.ConfigError, match=r"mine\.py is not as the run was made with"):
        lw.load_run(out, trust_code=True)


def test_errors_that_theta_multiplied_are_multiplied_once(tmp_path: Path) -> None:
    """θ is chosen in Python; what is saved and reported are the errors as stated."""
    model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
    both = lw.Observable(lambda x: x, names=("a", "b"))
    stated = lw.Experiment(both, values=[0.1, -0.1], errors=[0.5, 0.5])
    choices = {"samples": 500, "steps": 10, "certificate_samples": 100}
    run = lw.guide_observables(model, stated, "reweight", groups=["1", "2"], **choices)
    assert run.theta != 1
    run.report(tmp_path / "run")
    again = lw.load_run(tmp_path / "run", model=model, observable=both)
    assert isinstance(again, ObservableRun)
    assert again.theta == run.theta
    torch.testing.assert_close(again.data.covariance, run.data.covariance)
    rows = read_metrics(tmp_path / "run")["observables"]
    assert [row["error"] for row in rows] == pytest.approx([0.5, 0.5])

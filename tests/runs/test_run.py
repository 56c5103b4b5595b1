"""Runs end to end: what a folder holds, what is refused, and that an interrupted run ends as if it never was."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from warnings import catch_warnings, simplefilter

import pytest
import torch
import xarray

import leastwork as lw
from leastwork.errors import ConfigError, InfeasibleError, LeastworkError
from leastwork.networks.perceptron import Perceptron
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run
from leastwork.runs.folder import default_folder
from leastwork.runs.load import load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.sampling.storage import open_ensemble

TEXT = """\
model: net
observables:
  - {kind: python, file: mine.py, function: first, names: [x], unit: nm}
  - {kind: component, index: 1, name: y}
data:
  - {name: x, value: 0.1, error: 0.01}
  - {name: y, upper: 3.0, held_out: true}
method: scheduled
fit: {samples: 300, fit_samples: 64}
sampling: {n: 96, steps: 4, batch_size: 16}
"""

pytestmark = pytest.mark.usefixtures("blank_pages")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A run of a small random network in two dimensions."""
    torch.manual_seed(0)
    model = lw.DiffusionModel(Perceptron(2, width=8, depth=1), lw.VPSchedule(), predicts="v", event_shape=(2,))
    lw.save_model(model, tmp_path / "net")
    (tmp_path / "mine.py").write_text("def first(x):\n    return x[:, 0]\n")
    (tmp_path / "mine.yaml").write_text(TEXT)
    return tmp_path / "mine.yaml"


def config(file: Path, *overrides: str) -> RunConfig:
    return load_config(file, overrides)


def interrupted_after(label: str, ticks: int):
    """A progress that is Ctrl-C after some steps of the fit or of the guided sampling."""

    @contextmanager
    def progress(what: str, total: int) -> Iterator:
        left = ticks

        def tick(count: int = 1) -> None:
            nonlocal left
            left -= count
            if what == label and left < 0:
                raise KeyboardInterrupt

        yield tick

    return progress


def same_samples(a: Path, b: Path) -> bool:
    one, other = (open_ensemble(folder / "ensemble.zarr") for folder in (a, b))
    assert one.log_tilt is not None
    assert other.log_tilt is not None
    pairs = [(one.x, other.x), (one.work, other.work), (one.log_weight, other.log_weight)]
    return all(torch.equal(u, v) for u, v in [*pairs, (one.log_tilt, other.log_tilt)])  # type: ignore[arg-type]


def test_a_run_leaves_everything_in_its_folder(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(config(file), out) == out / "report.html"
    kept = {"config.yaml", "ensemble.zarr", "fit", "fit.csv", "guidance", "inputs", "metrics.json", "plots.safetensors"}
    assert {path.name for path in out.iterdir()} == kept | {"report.html"}
    assert not list(out.rglob("*.tmp"))
    stored = xarray.open_zarr(out / "ensemble.zarr", consolidated=True)
    assert stored.x.dims[0] == stored.work.dims[0] == stored.log_tilt.dims[0] == "sample"
    loaded = lw.open_ensemble(out / "ensemble.zarr")
    assert loaded.mean(lambda x: x[:, 0], under="target").stderr > 0


def test_metrics_have_the_promised_form(file: Path, tmp_path: Path) -> None:
    run(config(file), tmp_path / "out")
    metrics = read_metrics(tmp_path / "out")
    keys = [
        "seed",
        "versions",
        "seconds",
        "network_evaluations",
        "discretisation",
        "observables",
        "certificate",
        "free_energy",
        "quality",
    ]
    assert list(metrics) == keys
    x, y = metrics["observables"]
    promised = {"name", "unit", "target", "error", "model", "guided", "stderr", "held_out"}
    assert promised <= set(x)
    assert (x["name"], x["unit"], x["target"], x["error"], x["held_out"]) == ("x", "nm", 0.1, 0.01, False)
    assert (y["target"], y["upper"], y["held_out"], y["lambda"]) == (None, 3.0, True, 0.0)
    certificate = metrics["certificate"]
    for key in ("work", "bound", "dissipation", "efficiency", "ess"):
        assert set(certificate[key]) == {"value", "stderr"}
    assert [miss["name"] for miss in certificate["miss"]] == ["x", "y"]
    assert set(certificate["on_target"]) == {"value", "tolerance"}
    work, bound, wasted = (certificate[key]["value"] for key in ("work", "bound", "dissipation"))
    assert work == pytest.approx(bound + wasted)
    assert metrics["free_energy"] is None


def test_metrics_agree_with_the_stored_ensemble(file: Path, tmp_path: Path) -> None:
    run(config(file), tmp_path / "out")
    metrics = read_metrics(tmp_path / "out")
    stored = lw.open_ensemble(tmp_path / "out" / "ensemble.zarr")
    mean = stored.mean(lambda x: x[:, 0])
    assert metrics["observables"][0]["guided"] == pytest.approx(float(mean.value), rel=1e-6)
    assert metrics["certificate"]["work"]["value"] == pytest.approx(float(stored.work.mean()))


@pytest.mark.parametrize("choice", ["sampling.process=ode", "sampling.solver=heun"])
def test_without_path_weights_there_is_no_certificate(choice: str, file: Path, tmp_path: Path) -> None:
    more = ["method=reweight"] if "heun" in choice else []  # Heun's step has no cost that a schedule could be fitted to
    run(config(file, choice, *more), tmp_path / "out")
    assert read_metrics(tmp_path / "out")["certificate"] is None


def test_reweighting_has_no_guided_averages(file: Path, tmp_path: Path) -> None:
    run(config(file, "method=reweight"), tmp_path / "out")
    metrics = read_metrics(tmp_path / "out")
    assert metrics["certificate"] is None
    assert [row["guided"] for row in metrics["observables"]] == [None, None]
    assert 0 < metrics["quality"]["reweighting_ess"] <= 1
    assert not (tmp_path / "out" / "guidance").exists()


def test_a_certificate_may_have_samples_of_its_own(file: Path, tmp_path: Path) -> None:
    run(config(file, "certificate_samples=40"), tmp_path / "out")
    assert read_metrics(tmp_path / "out")["certificate"]["samples"] == 40


def test_a_run_can_be_repeated_from_its_folder_alone(file: Path, tmp_path: Path) -> None:
    run(config(file), tmp_path / "a")
    (tmp_path / "mine.py").unlink()
    run(load_config(tmp_path / "a" / "config.yaml"), tmp_path / "b")
    assert same_samples(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(("label", "ticks"), [("samples: sampling", 10), ("fit: fitting the schedule", 3)])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(label: str, ticks: int, file: Path, tmp_path: Path) -> None:
    run(config(file), tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(config(file), out, progress=interrupted_after(label, ticks))
    assert not (out / "metrics.json").exists()
    fitted = (out / "fit" / "fit.json").stat().st_mtime_ns if label.startswith("samples") else None
    run(config(file), out, resume=True)
    assert same_samples(out, tmp_path / "whole")
    if fitted:
        assert (out / "fit" / "fit.json").stat().st_mtime_ns == fitted
    drop = ("seconds",)
    one, other = (read_metrics(folder) for folder in (out, tmp_path / "whole"))
    assert {k: v for k, v in one.items() if k not in drop} == {k: v for k, v in other.items() if k not in drop}


def test_a_killed_process_is_resumed_bit_for_bit(file: Path, tmp_path: Path) -> None:
    more = ["sampling.n=640"]
    run(config(file, *more), tmp_path / "whole")
    out = tmp_path / "out"
    with catch_warnings():
        simplefilter("ignore")  # of threads, none of which is torch's
        process = os.fork()
    if process == 0:
        with suppress(BaseException):
            run(config(file, *more), out)
        os._exit(0)
    marks = out / "ensemble.zarr.partial" / "finished"
    limit = time.monotonic() + 60
    while not (marks.exists() and len(list(marks.glob("*.npy"))) >= 3):
        assert os.waitpid(process, os.WNOHANG) == (0, 0)
        assert time.monotonic() < limit
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert not (out / "ensemble.zarr").exists()
    run(config(file, *more), out, resume=True)
    assert same_samples(out, tmp_path / "whole")


def test_resume_of_nothing_begins(file: Path, tmp_path: Path) -> None:
    assert run(config(file), tmp_path / "new" / "out", resume=True).exists()


def test_a_failure_midway_says_how_to_go_on(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments, **choices):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("leastwork.runs.drawing.draw_stored", full)
        with pytest.raises(LeastworkError, match=r"No space left.*is in .*out, --resume continues there"):
            run(config(file), tmp_path / "out")
    assert run(config(file), tmp_path / "out", resume=True).exists()


def test_folders_that_cannot_be_used(file: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="is not empty: choose another folder"):
        run(config(file), tmp_path / "full")
    with pytest.raises(ConfigError, match=r"holds no run to resume, config\.yaml is missing"):
        run(config(file), tmp_path / "full", resume=True)
    with pytest.raises(ConfigError, match="is a file"):
        run(config(file), file)
    with pytest.raises(ConfigError, match=r"cannot be written \(Not a directory\)"):
        run(config(file), file / "out")


def test_a_sequence_of_another_length_is_refused_before_a_folder_is_made(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sequence: 3 residues do not fit states of shape \(2,\)"):
        run(config(file, "sequence=AYE"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_settings_do_not_continue_a_run(file: Path, tmp_path: Path) -> None:
    run(config(file), tmp_path / "out")
    with pytest.raises(ConfigError, match="is not empty: continue it with --resume"):
        run(config(file), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"begun with other settings \('seed: 1' is new\)"):
        run(config(file, "seed=1"), tmp_path / "out", resume=True)
    (tmp_path / "mine.py").write_text("def first(x):\n    return x[:, 1]\n")
    with pytest.raises(ConfigError, match=r"mine\.py is not what"):
        run(config(file), tmp_path / "out", resume=True)


def test_an_unreachable_value_leaves_no_folder_in_the_way(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match="'x'"):
        run(config(file, "data.0.value=1000", "data.0.error=0"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=prins", "no model 'prins': did you mean 'prinz'"),
        ("system=prinz", r"system prinz has events \(1,\), but model .* \(2,\): leave out system"),
        ("data.0.name=xx", "data: there is no observable 'xx': did you mean 'x'"),
        ("data.1.name=x", "data: two entries for 'x'"),
        ("data=[{name: x, value: 0, error: 0}]", "data: there is none for observable 'y'"),
        ("data.0.error=~", "data: 'x' has no error: write 0 if it is exact"),
        ("data.0.lower=0", "'x' has both a value and a bound"),
        ("data.0.held_out=true", "are held out"),
        ("data={csv: none.csv}", "there is no such file of data"),
        ("observables.1.index=2", "the event has 2 coordinates, so index 2 does not exist"),
        ("observables.0.names=[x, z]", "returns 1 column for 2 names|1 column for 2 names"),
        ("observables.0.file=none.py", "there is no such file of observables"),
        ("observables.0.function=furst", "has no function 'furst': did you mean 'first'"),
        ("sampling.t_grid=[0.1, 1]", "t_grid must hold at least two times that decrease"),
    ],
)
def test_inputs_that_cannot_be_used(override: str, message: str, file: Path, tmp_path: Path) -> None:
    with pytest.raises(LeastworkError, match=message):
        run(config(file, override), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def first(x):\n    return x[:, 9]\n", r"mine\.py, line 2: IndexError"),
        ("def first(x)\n", r"mine\.py, line 1: SyntaxError"),
        ("import nowhere_to_be_found\n", r"mine\.py, line 1: ModuleNotFoundError"),
        ("def first(x):\n    return x[:, 0] / 0 * 0\n", "observable 'x' is NaN or infinite"),
    ],
)
def test_errors_of_a_users_function_name_their_place(code: str, message: str, file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(LeastworkError, match=message):
        run(config(file), tmp_path / "out")


def test_the_default_folder_can_be_found_again(file: Path) -> None:
    assert default_folder(config(file, "seed=3")) == Path("runs/mine-seed3")


def test_data_may_come_from_a_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("name,value,error,upper,held_out\nx,0.1,0.01,,\ny,,,3.0,true\n")
    run(config(file), tmp_path / "rows")
    run(config(file, "data={csv: data.csv}"), tmp_path / "csv")
    assert same_samples(tmp_path / "rows", tmp_path / "csv")
    assert (tmp_path / "csv" / "inputs" / "data.csv").exists()

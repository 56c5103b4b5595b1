"""Runs of Path Guidance end to end: what a folder holds, how it resumes, and what its numbers mean."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import leastwork as lw
from leastwork.errors import ConfigError, LeastworkError
from leastwork.kernels.region import Slab
from leastwork.runs import page as report
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.inputs import build_path_inputs
from leastwork.runs.path.job import PathJob
from leastwork.runs.path.quality import FACTORS, path_quality

GUIDED = 6 * 8  # batches times steps; the model's own samples take more of both

pytestmark = pytest.mark.usefixtures("blank_pages")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, path_case: Callable[..., Path]) -> Path:
    """A run file that no test changes."""
    return path_case(tmp_path_factory.mktemp("path"))


@pytest.fixture(scope="module")
def finished(
    file: Path, tmp_path_factory: pytest.TempPathFactory, without_pages: Callable[[], AbstractContextManager[None]]
) -> Path:
    """Its run, finished."""
    out = tmp_path_factory.mktemp("finished") / "out"
    with without_pages():
        run(load_config(file), out)
    return out


def metrics_of(folder: Path) -> dict[str, Any]:
    return read_metrics(folder)


def same_numbers(a: Path, b: Path) -> bool:
    one, other = ({k: v for k, v in metrics_of(folder).items() if k != "seconds"} for folder in (a, b))
    return one == other


def test_a_run_leaves_everything_in_its_folder(finished: Path) -> None:
    kept = {"config.yaml", "ensemble.zarr", "fit", "fit.csv", "guidance", "inputs", "metrics.json", "plots.safetensors"}
    assert {path.name for path in finished.iterdir()} == kept | {"report.html"}
    assert {path.name for path in (finished / "fit").iterdir()} == {"fit.json", "model.zarr"}
    assert not list(finished.rglob("*.tmp"))
    lw.load_guidance(finished / "guidance")


def test_metrics_have_the_promised_form(finished: Path) -> None:
    metrics = metrics_of(finished)
    first = ["seed", "versions", "seconds", "network_evaluations"]
    assert list(metrics) == [*first, "discretisation", "observables", "certificate", "free_energy", "quality"]
    assert metrics["observables"] == []
    certificate, energy, quality = (metrics[key] for key in ("certificate", "free_energy", "quality"))
    for key in ("work", "bound", "dissipation", "efficiency", "ess"):
        assert set(certificate[key]) == {"value", "stderr"}
    assert certificate["miss"] is certificate["on_target"] is None
    assert certificate["work"]["value"] == pytest.approx(
        certificate["bound"]["value"] + certificate["dissipation"]["value"]
    )
    assert (energy["unit"], energy["region"], energy["exact"]) == ("kT", "A = {x: 1.4 ≤ x_1}", None)
    assert energy["probability"]["value"] == pytest.approx(np.exp(-energy["value"]))
    assert quality["work"] == certificate["work"]
    assert quality["free_energy"]["value"] == energy["value"]
    assert [row["factor"] for row in quality["bandwidth_sensitivity"]] == list(FACTORS)
    assert {row["reference"] for row in quality["wasserstein"]} == {"model"}
    for row in quality["wasserstein"]:
        assert row["stderr"] > 0
        assert row["noise"] > 0
    assert quality["nearest_guide"]["ratio"]["stderr"] > 0
    assert quality["discrepancy_to_guides"]["stderr"] > 0


def test_metrics_agree_with_the_stored_ensemble(finished: Path) -> None:
    metrics, stored = metrics_of(finished), lw.open_ensemble(finished / "ensemble.zarr")
    inside = (stored.x[:, 0] >= 1.4).double()  # type: ignore[call-overload]
    assert metrics["quality"]["success"]["value"] == pytest.approx(float(inside.mean()))
    p = float((stored.log_weight.exp() * inside).mean())
    assert metrics["free_energy"]["probability"]["value"] == pytest.approx(p)
    fit = json.loads((finished / "fit" / "fit.json").read_text())
    assert torch.equal(stored.log_tilt, fit["log_odds"] * inside)  # type: ignore[arg-type]


def test_the_free_energy_is_that_of_the_models_own_samples(file: Path, tmp_path: Path) -> None:
    """Both are unbiased estimates of p(A); z = 5."""
    run(load_config(file, ["sampling.n=4000", "fit.samples=4000", "sampling.batch_size=4096"]), tmp_path / "out")
    metrics = metrics_of(tmp_path / "out")
    one, other = metrics["free_energy"]["probability"], metrics["quality"]["model_share"]
    assert abs(one["value"] - other["value"]) < 5 * np.hypot(one["stderr"], other["stderr"])


def test_a_run_is_resumed_with_the_guidance_it_had(file: Path, finished: Path, tmp_path: Path) -> None:
    @contextmanager
    def interrupted(what: str, total: int) -> Iterator:
        left = 10

        def tick(count: int = 1) -> None:
            nonlocal left
            left -= count
            if left < 0 and (what, total) == ("samples: sampling", GUIDED):
                raise KeyboardInterrupt

        yield tick

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(load_config(file), out, progress=interrupted)
    assert not (out / "metrics.json").exists()
    fitted = (out / "fit" / "fit.json").stat().st_mtime_ns
    run(load_config(file), out, resume=True)
    assert (out / "fit" / "fit.json").stat().st_mtime_ns == fitted
    assert same_numbers(out, finished)


def test_a_run_can_be_repeated_from_its_folder_alone(tmp_path: Path, path_case: Callable[..., Path]) -> None:
    """With a test of membership and guides in files of their own, which are copied."""
    file = path_case(tmp_path)
    rows = np.loadtxt(tmp_path / "guides.csv", delimiter=",", skiprows=1)
    np.save(tmp_path / "guides.npy", rows)
    (tmp_path / "r.py").write_text("def inside(x):\n    return x[:, 0] >= 1.4\n")
    overrides = ["guides={npy: guides.npy}", "region={kind: python, file: r.py, function: inside}"]
    run(load_config(file, overrides), tmp_path / "a")
    for name in ("guides.npy", "guides.csv", "r.py"):
        (tmp_path / name).unlink()
    run(load_config(tmp_path / "a" / "config.yaml"), tmp_path / "b")
    assert same_numbers(tmp_path / "a", tmp_path / "b")
    assert metrics_of(tmp_path / "b")["free_energy"]["region"] == "A = {x: inside in r.py is true}"


def test_a_certificate_may_have_samples_of_its_own(file: Path, tmp_path: Path) -> None:
    run(load_config(file, ["certificate_samples=40"]), tmp_path / "out")
    metrics = metrics_of(tmp_path / "out")
    assert metrics["certificate"]["samples"] == 40
    assert metrics["free_energy"]["value"] is not None


@pytest.mark.parametrize("method", ["loss", "transported"])
def test_without_a_test_of_membership_the_guides_define_the_region(method: str, file: Path, tmp_path: Path) -> None:
    run(load_config(file, ["region=~", f"method={method}", "bandwidth=0.6"]), tmp_path / "out")
    quality = metrics_of(tmp_path / "out")["quality"]
    assert quality["bandwidth"] == 0.6
    assert "5 % quantile of the 8 guides'" in quality["region"]
    own = quality["bandwidth_sensitivity"][FACTORS.index(1.0)]
    assert own["share"] == quality["success"]
    assert own["free_energy"] == quality["free_energy"]


def test_a_region_that_no_sample_hits_has_no_free_energy(file: Path, finished: Path) -> None:
    config = load_config(file)
    assert isinstance(config, PathConfig)
    known = PathJob(config, build_path_inputs(config)).load(finished)
    assert known is not None
    far = replace(known, region=Slab(0, 1e6, 2e6))
    found = path_quality(far, lw.open_ensemble(finished / "ensemble.zarr"), None)
    assert found.metrics["success"] == {"value": 0.0, "stderr": 0.0}
    assert found.metrics["nearest_guide"] is None
    assert set(found.distances) == {"guide to guide"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=moon", "no model 'moon': did you mean 'moons'"),
        ("model=prinz", "2 numbers, but a state has 1"),
        ("model=moons-cnf", "Path Guidance needs an SDE"),
        ("guides={csv: none.csv}", "there is no such file of guides"),
        ("region.lower=1000", "region holds none of the guides"),
        ("region.lower=-1000", "so there is nothing to do"),
        ("sampling.process=ode", "needs path weights: guide with process='sde'"),
        ("sampling.solver=heun", "needs path weights"),
        ("sampling.kappa=0.5", "needs path weights"),
    ],
)
def test_inputs_that_cannot_be_used(override: str, message: str, file: Path, tmp_path: Path) -> None:
    with pytest.raises(LeastworkError, match=message):
        run(load_config(file, [override]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_system_is_a_plane(tmp_path: Path, path_case: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"system moons has events \(2,\), but model .* \(3,\): leave out system"):
        run(load_config(path_case(tmp_path, 3), ["system=moons"]), tmp_path / "out")


def test_other_settings_and_damage_do_not_continue_a_run(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(load_config(file), out)
    with pytest.raises(ConfigError, match=r"begun with other settings \('success: 0.5' is new\)"):
        run(load_config(file, ["success=0.5"]), out, resume=True)
    (out / "metrics.json").unlink()
    (out / "fit" / "fit.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"fit is damaged .*: delete the folder fit to fit anew"):
        run(load_config(file), out, resume=True)


@pytest.mark.slow
def test_the_saddle_of_muller_brown(tmp_path: Path) -> None:
    """The bundled run: nearly all samples at the saddle, most of the work unavoidable; −ln p(A) is the model's own.

    Its own samples in the region, some twenty, give the same p(A); z = 5. The true density differs from the model's by
    as much as the model learned, a tenth of k_B T or so.
    """
    run(load_config("muller-brown"), tmp_path / "out")
    metrics = metrics_of(tmp_path / "out")
    quality, energy = metrics["quality"], metrics["free_energy"]
    assert quality["success"]["value"] > 0.95
    assert metrics["certificate"]["efficiency"]["value"] > 0.8
    one, other = energy["probability"], quality["model_share"]
    assert abs(one["value"] - other["value"]) < 5 * np.hypot(one["stderr"], other["stderr"])
    assert abs(energy["value"] - energy["exact"]["value"]) < 0.3
    assert quality["diversity"]["reference"] == "truth"
    assert quality["diversity"]["value"] > 0.5
    assert quality["nearest_guide"]["guided"]["value"] > 0.5 * quality["nearest_guide"]["guides"]["value"]


def test_a_least_work_run_is_read_back_with_its_guidance_and_reported(
    file: Path, tmp_path: Path, brief: Callable[[float], None]
) -> None:
    brief(0.1)
    settings = ["method=least-work", "fit.budget=200000", "sampling.steps=20", "sampling.batch_size=256"]
    run(load_config(file, settings), tmp_path / "out")
    config = load_config(tmp_path / "out" / "config.yaml")
    assert isinstance(config, PathConfig)
    again = lw.load_run(tmp_path / "out")
    stored = lw.open_ensemble(tmp_path / "out" / "ensemble.zarr")
    drawn = again.sample(len(stored), seed=config.seed + 1).x
    assert drawn.shape == stored.x.shape  # type: ignore[union-attr]
    page = report.write_report(tmp_path / "out").read_text()
    assert "Noising and denoising found" in page
    assert "Rounds of guided paths" in page
    assert "V was learned as the log-ratio of noised samples" in page

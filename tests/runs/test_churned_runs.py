"""Runs drawn by a chain with churn: their files, saved and loaded runs, more samples, and whose work it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run as carry_out
from leastwork.runs.load import load_config
from leastwork.runs.page import write_report
from leastwork.runs.terminal import print_summary
from leastwork.runs.top_up import more_samples
from leastwork.sampling.solvers import Churn

CHURN = Churn(gamma=0.3, gamma_min=0.02)
WORDS = "churn, γ = 0.3, noise scale 1.003, no noise below a level of 0.02"
SETTINGS = ("sampling.solver=churn", "sampling.churn={gamma: 0.3, gamma_min: 0.02}", "sampling.steps=6")
SMALL = (*SETTINGS, "fit.samples=300", "fit.fit_samples=64", "sampling.batch_size=16", "method=scheduled")


def carried_out(out: Path, n: int, *more: str) -> Path:
    carry_out(load_config("prinz", [*SMALL, f"sampling.n={n}", *more]), out)
    return out


def same(one: lw.Ensemble, other: lw.Ensemble) -> bool:
    """Whether samples, work and weights are the same bit for bit, and of the same chain."""
    assert one.ledger.chain == other.ledger.chain == WORDS
    pairs = [(one.x, other.x), (one.work, other.work), (one.log_weight, other.log_weight)]
    return all(torch.equal(a, b) for a, b in pairs)  # pyright: ignore[reportArgumentType]  (states of flat models)


def test_a_saved_run_draws_the_same_samples_with_the_same_weights(tmp_path: Path) -> None:
    position = lw.Observable(lambda x: x, names=("x",))
    run = lw.guide_observables(
        lw.load_model("prinz"), lw.Experiment(position, [0.2], [0.05]), "loss", solver=CHURN, samples=200, steps=8,
        certificate_samples=50,
    )  # fmt: skip
    assert run.certificate.chain == WORDS
    run.save(tmp_path / "run", model="prinz")
    again = lw.load_run(tmp_path / "run", observable=position)
    assert again.choices.solver == CHURN
    assert again.ensemble is not None
    assert same(again.ensemble, run.certificate_ensemble)
    assert same(again.sample(30, seed=5), run.sample(30, seed=5))
    assert again.certify() == run.certificate
    usual = run.sample(30, seed=5, solver="multistep")
    assert usual.ledger.chain == ""


def test_a_run_file_names_the_chain_wherever_its_work_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text_of: Callable[[Path], str]
) -> None:
    folder = carried_out(tmp_path / "a", 40)
    print_summary(load_config(folder / "config.yaml"), folder)
    assert WORDS in capsys.readouterr().out
    page = text_of(write_report(folder))
    assert f"by the chain with {WORDS} with 6 first-order steps" in page
    assert "Work, weights and free energies are those of this chain" in page
    found = read_metrics(folder)["discretisation"]
    assert (found["steps"], found["paths"], found["log_z"], found["loss"]) == (6, 0, None, None)
    run = lw.load_run(folder)
    assert run.ensemble is not None
    assert run.certify().chain == WORDS
    assert same(lw.sample(run.model, 40, run.guidance, seed=_seed(folder), **run.choices.given), run.ensemble)


def _seed(folder: Path) -> int:
    from leastwork.support.random import derive_seed

    return derive_seed(load_config(folder / "config.yaml").parts[""].seed, "ensemble")


@pytest.mark.usefixtures("blank_pages")
def test_more_samples_are_those_of_a_run_that_asked_at_once(tmp_path: Path) -> None:
    wanted, found = carried_out(tmp_path / "at once", 60), carried_out(tmp_path / "grown", 40)
    told: list[str] = []
    more_samples(found, 60, tell=told.append)
    assert told == [f"drawn by a chain with {WORDS}: work and weights are those of this chain"]
    assert same(*(lw.open_ensemble(folder / "ensemble.zarr") for folder in (wanted, found)))


@pytest.mark.usefixtures("blank_pages")
def test_a_region_is_fitted_by_the_sde_and_drawn_with_churn(path_case: Callable[..., Path], tmp_path: Path) -> None:
    settings = ["sampling.t_grid=karras", *SETTINGS]
    carry_out(load_config(path_case(tmp_path), settings), tmp_path / "out")
    run = lw.load_run(tmp_path / "out")
    assert run.model_samples.ledger.chain == ""
    assert run.ensemble is not None
    assert run.ensemble.ledger.chain == run.certify().chain == WORDS


def test_random_rotations_are_kept_apart_in_a_store(tmp_path: Path) -> None:
    model = lw.DiffusionModel(
        lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(4, 3), subspace=lw.ZeroCentre()
    )

    def draw(churn: Churn, **more: Any) -> Any:
        return lw.sample(model, 20, solver=churn, steps=5, batch_size=8, **more)

    stored = draw(Churn(motions=True), out=tmp_path / "store").load()
    assert torch.equal(stored.x, draw(Churn(motions=True)).x)
    assert stored.ledger.chain.endswith("random rotations")
    with pytest.raises(lw.ConfigError, match="store exists"):
        draw(Churn(), out=tmp_path / "store", resume=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["sampling.solver=churn", "sampling.churn.step_scale=1.5"], r"with step_scale=1\.5 the .*: use step_scale=1"),
        (["sampling.churn.gamma=0.5"], "is for solver: churn, and the solver is multistep: leave one of"),
        (["sampling.solver=churn", "sampling.churn.gamma=-1"], "'gamma' in 'churn' is -1: give γ, by which noise"),
        (["sampling.solver=churn", "sampling.churn.gama=1"], "unknown key 'gama' in 'churn'"),
    ],
)
def test_what_a_file_may_not_say(settings: list[str], words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words) as caught:
        load_config("prinz", settings)
    assert "\n" not in str(caught.value)


def test_a_run_without_weights_is_not_saved(tmp_path: Path) -> None:
    position = lw.Observable(lambda x: x, names=("x",))
    run = lw.guide_observables(
        lw.load_model("prinz"), lw.Experiment(position, [0.2], [0.05]), "loss", solver=Churn(step_scale=1.5),
        samples=50, steps=4,
    )  # fmt: skip
    with pytest.raises(lw.ConfigError, match=r"the run has no file form: .* use step_scale=1"):
        run.save(tmp_path / "run", model="prinz")

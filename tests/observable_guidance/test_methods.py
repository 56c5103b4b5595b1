"""Methods are objects: their settings, their names, and a method of one's own from the call to the report."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
import torch

import leastwork as lw
from leastwork.data.maxent import fit_lambdas
from leastwork.errors import ConfigError, LeastworkError
from leastwork.fit.methods import Told
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.networks.perceptron import Perceptron
from leastwork.observable_guidance.compare import compare
from leastwork.observable_guidance.methods import (
    METHODS,
    LeastWork,
    ObservableMethod,
    Outcome,
    Problem,
    Reweight,
    Scheduled,
    register_method,
)
from leastwork.observable_guidance.run import Method
from leastwork.runs.carry_out import run as carry_out
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.systems.gaussian import Gaussian

MODEL = Gaussian(0.5, 0.3, 1).model(lw.VPSchedule())
DATA = lw.Experiment(lw.Observable(lambda x: x, names=("x",)), values=[0.6])
QUICK = {"samples": 600, "steps": 8, "certificate_samples": 100}
FILE = """\
model: net
observables: [{kind: component, name: x}]
data: [{name: x, value: 0.2, error: 0.02}]
fit: {samples: 300}
sampling: {n: 96, solver: euler, steps: 4, batch_size: 16}
"""


@dataclass(frozen=True)
class Mine(ObservableMethod):
    """A constant strength that nobody fits."""

    strength: float = 1.0

    def fit(self, problem: Problem) -> Outcome:
        maxent = fit_lambdas(problem.observed, problem.data)
        guidance = ScheduledGuidance(problem.data.observable, maxent.lambdas, self.strength, 0.0)
        return Outcome(maxent, guidance, None, problem.own.network_evaluations)

    def sentence(self, told: Told) -> str:
        return f"The score was shifted by a constant strength of {self.strength:g}."

    def table(self, told: Told) -> list[tuple[str, str]]:
        return [("constant strength", f"{self.strength:g}")]


@pytest.fixture
def _mine() -> Iterator[None]:
    register_method("mine", Mine)
    yield
    METHODS.discard("mine")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    lw.save_model(lw.DiffusionModel(Perceptron(1, 8), lw.VPSchedule(), "v", (1,)), tmp_path / "net")
    (tmp_path / "mine.yaml").write_text(FILE)
    return tmp_path / "mine.yaml"


def test_the_names_in_a_call_are_those_of_the_registry() -> None:
    assert set(get_args(Method)) == set(METHODS.names())


def test_an_object_and_its_name_give_the_same_guidance() -> None:
    named = lw.guide_observables(MODEL, DATA, "scheduled", fit_samples=64, gamma=0.1, **QUICK)
    given = lw.guide_observables(MODEL, DATA, Scheduled(fit_samples=64, gamma=0.1), **QUICK)
    assert given.method == "scheduled"
    assert given.guidance.strength == named.guidance.strength
    assert given.network_evaluations == named.network_evaluations


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("least-work", {"gamma": 0.1}, "gamma= is a setting of 'scheduled', and method='least-work' has none"),
        ("scheduled", {"iterations": 9}, "iterations= is a setting of 'least-work', and method='scheduled' has none"),
        ("reweight", {"jacobian": True}, "take method='scheduled'"),
        (Scheduled(), {"gamma": 0.1}, r"pass it to Scheduled\(…\)"),
        ("magic", {}, r"method='magic' is not a method: choose one of .*'scheduled'"),
        (3, {}, "method=3 is not a method"),
    ],
)
def test_a_setting_of_another_method_is_refused(method, settings, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        lw.guide_observables(MODEL, DATA, method, **settings, **QUICK)


def test_a_flow_has_no_number_of_iterations() -> None:
    flow = lw.VelocityModel(lambda x, t: 0.3 * x, (1,))
    with pytest.raises(LeastworkError, match="iterations=5 is for a model with a score"):
        lw.guide_observables(flow, DATA, LeastWork(iterations=5), process="ode", **QUICK)


@pytest.mark.usefixtures("_mine")
def test_a_method_of_ones_own_works_in_calls_and_comparisons() -> None:
    run = lw.guide_observables(MODEL, DATA, "mine", **QUICK)
    assert run.method == "mine"
    assert run.guidance.strength == 1.0
    assert lw.guide_observables(MODEL, DATA, Mine(strength=0.5), **QUICK).guidance.strength == 0.5
    rows = list(compare(MODEL, DATA, ("reweight", "mine"), n=1024, samples=600, steps=8, fit={"strength": 0.7}))
    assert [(row.method, row.reason) for row in rows] == [("reweight", ""), ("mine", "")]
    assert rows[0].work is None
    assert rows[1].work is not None


@pytest.mark.usefixtures("_mine")
def test_a_method_of_ones_own_works_in_run_files(file: Path) -> None:
    settings = ["method=mine", "fit.strength=0.25"]
    config = load_config(file, settings)
    assert isinstance(config, RunConfig)
    assert config.chosen == Mine(strength=0.25)
    page = carry_out(config, file.parent / "out").read_text(encoding="utf-8")
    for words in ("Mine guidance", "a constant strength of 0.25", "constant strength"):
        assert words in page
    again = load_config(file.parent / "out" / "config.yaml")
    assert isinstance(again, RunConfig)
    assert again.chosen == Mine(strength=0.25)
    with pytest.raises(ConfigError, match="unknown key 'gamma' in 'fit': known are samples, strength"):
        load_config(file, ["method=mine", "fit.gamma=0.1"])
    with pytest.raises(ConfigError, match=r"'method' is 'magic'.*'mine'"):
        load_config(file, ["method=magic"])


def test_settings_that_are_wrong_for_a_registry_are_told() -> None:
    with pytest.raises(LeastworkError, match="the method name 'loss' is taken"):
        register_method("loss", Mine)
    with pytest.raises(LeastworkError, match="is no method: derive a frozen dataclass"):
        register_method("mine", int)  # type: ignore[type-var]  (what is tested)


def test_a_run_file_is_held_to_its_method(file: Path) -> None:
    for settings, words in (
        (["method=least-work", "fit.gamma=0.5"], "'gamma' in 'fit' is a setting of scheduled, and method: least-work"),
        (["method=scheduled", "fit.iterations=9"], "'iterations' in 'fit' is a setting of least-work"),
    ):
        with pytest.raises(ConfigError, match=words):
            carry_out(load_config(file, settings), file.parent / "out")
    assert not (file.parent / "out").exists()


def test_a_run_file_that_lists_every_default_is_one_of_any_method(file: Path) -> None:
    config = load_config(file, ["method=reweight"])
    assert isinstance(config, RunConfig)
    text = dump_config(config)
    assert "gamma: 0.001" in text  # as folders have always held it
    config.check_method()
    assert config.chosen == Reweight()


def test_a_change_of_method_leaves_the_files_settings_of_the_other_behind(file: Path) -> None:
    file.write_text(FILE.replace("fit: {samples: 300}", "method: scheduled\nfit: {samples: 300, gamma: 0.5}"))
    config = load_config(file, ["method=least-work", "fit.iterations=9"])
    assert isinstance(config, RunConfig)
    config.check_method()
    assert config.fit.samples == 300
    assert config.chosen == LeastWork(iterations=9)

"""Methods of Path Guidance are objects: their settings, their names, and a method of one's own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.errors import ConfigError, LeastworkError
from leastwork.fit.methods import Told
from leastwork.networks.perceptron import Perceptron
from leastwork.path_guidance.methods import (
    PATH_METHODS,
    LeastWork,
    Loss,
    PathGuidanceMethod,
    PathOutcome,
    PathProblem,
    Transported,
    register_method,
)
from leastwork.path_guidance.run import PathMethod
from leastwork.runs.carry_out import run as carry_out
from leastwork.runs.load import load_config
from leastwork.runs.path.config import PathConfig
from leastwork.systems.gaussian import Gaussian

MODEL = Gaussian(0.0, 1.0, 1).model(lw.VPSchedule())
POINTS = torch.tensor([[0.9], [1.0], [1.2], [1.4]])
QUICK = {"samples": 600, "steps": 8, "solver": "euler", "certificate_samples": 100}
FILE = """\
model: net
guides: {csv: guides.csv}
region: {kind: interval, index: 0, lower: 0.5}
fit: {samples: 300}
sampling: {n: 96, solver: euler, t_grid: log-snr, steps: 8, batch_size: 16}
"""


def above(x: Tensor) -> Tensor:
    return x[:, 0] > 0.8


@dataclass(frozen=True)
class Mine(PathGuidanceMethod):
    """The published search at a price of its own."""

    price: float = 0.1

    def fit(self, problem: PathProblem) -> PathOutcome:
        return Loss(gamma=self.price).fit(problem)

    def sentence(self, told: Told) -> str:
        return f"The search paid {self.price:g} for a nat."


@pytest.fixture
def _mine() -> Iterator[None]:
    register_method("mine", Mine)
    yield
    PATH_METHODS.discard("mine")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    lw.save_model(lw.DiffusionModel(Perceptron(1, 8), lw.VPSchedule(), "v", (1,)), tmp_path / "net")
    np.savetxt(tmp_path / "guides.csv", POINTS.numpy(), delimiter=",")
    (tmp_path / "mine.yaml").write_text(FILE)
    return tmp_path / "mine.yaml"


def test_the_names_in_a_call_are_those_of_the_registry() -> None:
    assert set(get_args(PathMethod)) == set(PATH_METHODS.names())


def test_an_object_and_its_name_give_the_same_guidance() -> None:
    named = lw.guide_path(MODEL, POINTS, "loss", region=above, gamma=0.1, **QUICK)
    given = lw.guide_path(MODEL, POINTS, Loss(gamma=0.1), region=above, **QUICK)
    assert given.method == "loss"
    assert given.log_odds == named.log_odds
    assert given.network_evaluations == named.network_evaluations


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("least-work", {"gamma": 0.1}, "gamma= is a setting of 'transported' and 'loss', and method='least-work' has"),
        ("loss", {"success": 0.5}, "success= is a setting of 'least-work', and method='loss' has none"),
        (Transported(), {"gamma": 0.1}, r"pass it to Transported\(…\)"),
    ],
)
def test_a_setting_of_another_method_is_refused(method, settings, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        lw.guide_path(MODEL, POINTS, method, region=above, **settings, **QUICK)


def test_a_share_of_one_is_refused() -> None:
    with pytest.raises(LeastworkError, match="a share between 0 and 1"):
        LeastWork(success=1.0)


@pytest.mark.usefixtures("_mine")
def test_a_method_of_ones_own_works_in_calls_and_run_files(file: Path) -> None:
    run = lw.guide_path(MODEL, POINTS, "mine", region=above, **QUICK)
    assert run.method == "mine"
    config = load_config(file, ["method=mine", "fit.price=0.25"])
    assert isinstance(config, PathConfig)
    assert config.chosen == Mine(price=0.25)
    page = carry_out(config, file.parent / "out").read_text(encoding="utf-8")
    assert "The search paid 0.25 for a nat." in page
    again = load_config(file.parent / "out" / "config.yaml")
    assert isinstance(again, PathConfig)
    assert again.chosen == Mine(price=0.25)


def test_a_run_file_is_held_to_its_method(file: Path) -> None:
    with pytest.raises(ConfigError, match="'gamma' in 'fit' is a setting of transported and loss, and method: least"):
        carry_out(load_config(file, ["fit.gamma=0.5"]), file.parent / "out")
    config = load_config(file, ["success=0.7", "fit.budget=9"])
    assert isinstance(config, PathConfig)
    assert config.chosen == LeastWork(budget=9, success=0.7)

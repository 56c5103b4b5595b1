"""Reports of Path Guidance: made from the folder alone, for states of any dimension, and honest."""

from collections.abc import Callable
from copy import deepcopy
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from leastwork.errors import ConfigError
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.page import write_report
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.numbers import path_numbers
from leastwork.runs.path.sentences import free_energy, outcome, warnings, whose_region

Reader = Callable[[Path], str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, path_case: Callable[..., Path]) -> Path:
    """A finished run in a plane."""
    out = tmp_path_factory.mktemp("path") / "out"
    run(load_config(path_case(tmp_path_factory.mktemp("case"))), out)
    return out


@pytest.fixture
def metrics(folder: Path) -> dict[str, Any]:
    return read_metrics(folder)


@pytest.fixture
def config(folder: Path) -> PathConfig:
    found = load_config(folder / "config.yaml")
    assert isinstance(found, PathConfig)
    return found


def test_a_report_shows_the_run(folder: Path, metrics: dict[str, Any], text_of: Reader) -> None:
    text = unescape(text_of(folder / "report.html"))
    for words in ("A = {x: 1.4 ≤ x_1}.", "−ln p(A) = ", "under the model.", "the guides to each other", "Table 3."):
        assert words in text
    for words in (
        "the model's own, ",
        "Wasserstein distances",
        "parameters tried",
        "network evaluations",
        "Figure 4.",
    ):
        assert words in text
    assert "No test of membership" not in text
    assert f"{metrics['network_evaluations']:,}" in text
    assert (folder / "report.html").read_text().count('class="drawing"') == 4


def test_a_report_is_made_from_the_folder_alone_and_always_the_same(folder: Path, tmp_path: Path) -> None:
    before = (folder / "report.html").read_bytes()
    moved = tmp_path / "moved"
    folder.rename(moved)
    try:
        (moved / "report.html").unlink()
        assert write_report(moved).read_bytes() == before
    finally:
        moved.rename(folder)


def test_states_that_lie_in_no_plane_have_no_such_figure(
    tmp_path: Path, path_case: Callable[..., Path], text_of: Reader
) -> None:
    file = path_case(tmp_path, 3)
    overrides = ["region=~", "name=<b>&", "description=$x$ {{ 7 }}", "method=transported", "sampling.n=200"]
    report = run(load_config(file, overrides), tmp_path / "out")
    text = text_of(report)
    assert "outline of the region" not in text
    assert report.read_text().count('class="drawing"') == 3
    assert "No test of membership was given" in text
    assert "chosen by leave-one-out likelihood" in text
    assert "&lt;b&gt;&amp;" in text
    assert "<b>&" not in text
    assert "$x$ {{ 7 }}" in text


def test_a_folder_without_its_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    mark = folder / "fit" / "fit.json"
    mark.rename(tmp_path / "fit.json")
    try:
        with pytest.raises(ConfigError, match=r"holds no fit, fit/fit\.json is missing: run it again"):
            write_report(folder)
    finally:
        (tmp_path / "fit.json").rename(mark)


def good(metrics: dict[str, Any]) -> dict[str, Any]:
    better = deepcopy(metrics)
    better["discretisation"]["matters"] = False
    better["certificate"] |= {"biased_high": False, "ess": {"value": 0.5, "stderr": 0.01}}
    better["quality"]["success"] = {"value": 0.99, "stderr": 0.001}
    return better


def test_warnings_say_what_is_wrong_and_what_to_do(metrics: dict[str, Any], config: PathConfig) -> None:
    better = good(metrics)
    assert warnings(config, path_numbers(better)) == []
    better["quality"]["success"] = {"value": 0.9, "stderr": 0.01}
    better["certificate"] |= {"biased_high": True, "ess": {"value": 0.001, "stderr": 0.0001}}
    found = warnings(config, path_numbers(better))
    assert found[0] == (
        "90.0 ± 1.0 % of the guided samples are in the region where 99 % were asked for: use method: least-work."
    )
    assert "effective sample size" in found[1]
    assert "biased high: draw more samples" in found[2]
    assert "give more guides" in warnings(config.model_copy(update={"method": "least-work"}), path_numbers(better))[0]
    better["quality"]["success"] = {"value": 0.0, "stderr": 0.0}
    assert warnings(config, path_numbers(better)) == [
        "None of 96 guided samples is in the region: use method: least-work."
    ]


def test_the_free_energy_is_told_beside_what_is_known(metrics: dict[str, Any]) -> None:
    exact = {"value": 6.775289, "probability": 0.0011416, "source": "the density, by quadrature"}
    metrics["free_energy"] |= {"value": 6.691, "stderr": 0.021, "exact": exact}
    metrics["free_energy"]["probability"] = {"value": 0.00124, "stderr": 0.00003}
    first, second, third = free_energy(path_numbers(metrics))
    assert first == "−ln p(A) = 6.691 ± 0.021 k_BT, p(A) = 0.001240 ± 0.000030 under the model."
    assert second.startswith("Of 400 samples of the model itself ")
    assert "−ln p(A) = 6.775 k_BT, p(A) = 0.001142 in the density, by quadrature: a difference" in third
    metrics["free_energy"] |= {"value": None, "probability": None, "exact": None}
    assert (
        free_energy(path_numbers(metrics))[0] == "No guided sample is in the region, so its free energy is not known."
    )


def test_the_outcome_is_one_sentence(metrics: dict[str, Any], config: PathConfig) -> None:
    assert outcome(config, path_numbers(good(metrics))).startswith(
        "Guiding path put 99.00 ± 0.10 % of the samples into the region"
    )
    metrics["certificate"]["efficiency"] = {"value": None, "stderr": None}
    assert outcome(config, path_numbers(metrics)).endswith("to say how much of that was needed.")


def test_a_region_of_the_guides_own_says_so(config: PathConfig) -> None:
    assert whose_region(config) == ""
    assert "chosen by leave-one-out" in whose_region(config.model_copy(update={"region": None}))
    assert "bandwidth as given" in whose_region(config.model_copy(update={"region": None, "bandwidth": 0.1}))

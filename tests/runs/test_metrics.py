"""Metrics as frozen dataclasses: what is written is what is read back, and other versions are named."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.runs.base.finished import read_metrics, write_metrics
from leastwork.runs.base.numbers import CertificateNumbers, run_numbers
from leastwork.runs.base.typed import REST, as_plain_values, read_as
from leastwork.runs.carry_out import run
from leastwork.runs.load import load_config
from leastwork.runs.observables.numbers import observable_numbers
from leastwork.runs.page import write_report
from leastwork.runs.path.numbers import path_numbers

SMALL = ["fit.samples=300", "sampling.n=64", "sampling.steps=6"]


@pytest.fixture(scope="module")
def average(
    tmp_path_factory: pytest.TempPathFactory, without_pages: Callable[[], AbstractContextManager[None]]
) -> Path:
    out = tmp_path_factory.mktemp("average") / "out"
    with without_pages():
        run(load_config("prinz", [*SMALL, "method=scheduled", "fit.fit_samples=64"]), out)
    return out


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory, without_pages: Callable[[], AbstractContextManager[None]]) -> Path:
    wide = "region={kind: interval, lower: -0.5, upper: 0.5}"
    out = tmp_path_factory.mktemp("region") / "out"
    with without_pages():
        run(load_config("moons", [*SMALL, "method=loss", wide]), out)
    return out


def metrics_of(folder: Path) -> dict[str, Any]:
    return read_metrics(folder)


def test_what_is_written_is_what_is_read_back(average: Path, region: Path) -> None:
    for folder, numbers in ((average, observable_numbers), (region, path_numbers)):
        metrics = metrics_of(folder)
        found = as_plain_values(numbers(metrics))
        assert {key: found[key] for key in metrics} == metrics
        shared = as_plain_values(run_numbers(metrics))
        assert {key: metrics[key] for key in shared} == shared
    row = metrics_of(average)["observables"][0]
    assert list(row)[-2:] == ["lambda", "lambda_stderr"]
    assert observable_numbers(metrics_of(average)).observables[0].lambda_ == row["lambda"]
    assert list(metrics_of(average)["certificate"]) == list(CertificateNumbers.__dataclass_fields__)


def test_a_run_of_an_older_version_is_reported(average: Path, tmp_path: Path) -> None:
    metrics, file = metrics_of(average), average / "metrics.json"
    before = file.read_bytes()
    del metrics["discretisation"]["loss"], metrics["certificate"]["worst_path"]
    file.write_text(json.dumps(metrics))
    try:
        assert "part of it that finite steps waste" not in write_report(average).read_text(encoding="utf-8")
    finally:
        file.write_bytes(before)
    assert "part of it that finite steps waste" in write_report(average).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("miss", "stderr", "light"), [(0.01, 0.02, "good"), (0.07, 0.02, "doubtful"), (0.2, 0.02, "bad")]
)
def test_a_miss_that_may_be_chance_is_neither_met_nor_missed(
    average: Path, miss: float, stderr: float, light: str
) -> None:
    """Two standard errors decide whether it exceeds what is tolerated."""
    metrics, file = metrics_of(average), average / "metrics.json"
    before = file.read_bytes()
    metrics["certificate"]["miss"][0] |= {"value": miss, "stderr": stderr}
    metrics["certificate"]["on_target"]["value"] = light == "good"
    file.write_text(json.dumps(metrics))
    try:
        page = write_report(average).read_text(encoding="utf-8")
    finally:
        file.write_bytes(before)
    assert ("With these sampling errors, that may be chance." in page) == (light == "doubtful")
    assert ("that may be chance, and more samples decide" in page) == (light == "doubtful")
    assert ("fitted averages are off" in page) == (light != "good")


def test_a_key_that_is_missing_or_unknown_is_named_with_its_place(average: Path) -> None:
    metrics = metrics_of(average)
    del metrics["certificate"]["ess"]
    with pytest.raises(ConfigError, match=r"metrics\.json, certificate is of another version, 'ess' is missing: take"):
        observable_numbers(metrics)
    metrics = metrics_of(average)
    metrics["observables"][1]["colour"] = "red"
    with pytest.raises(ConfigError, match=r"observables, entry 2 is of another version, 'colour' is unknown: take"):
        observable_numbers(metrics)
    with pytest.raises(ConfigError, match=r"metrics\.json, certificate is of another version, it holds 3 and no keys"):
        observable_numbers({**metrics_of(average), "certificate": 3})


def test_what_a_case_adds_to_the_quality_is_kept(average: Path) -> None:
    metrics = metrics_of(average)
    metrics["quality"]["populations"] = [1, 2]
    found = observable_numbers(metrics)
    assert found.quality.besides == {"populations": [1, 2]}
    assert as_plain_values(found)["quality"] == metrics["quality"]


def test_keys_that_are_words_of_python_and_keys_of_nobody() -> None:
    @dataclass(frozen=True)
    class One:
        lambda_: float
        rest: dict[str, int] = field(default_factory=dict, metadata=REST)

    assert read_as(One, {"lambda": 2.0, "b": 1}, "a file") == One(2.0, {"b": 1})
    assert as_plain_values([One(2.0, {"b": 1})]) == [{"lambda": 2.0, "b": 1}]


def test_a_number_that_is_not_finite_is_null_and_named(tmp_path: Path) -> None:
    with pytest.warns(LeastworkWarning, match=r"quality\.rows\.1\.noise of .*metrics\.json came out as no finite"):
        write_metrics(tmp_path, {"seed": 1, "quality": {"rows": [{"noise": 1.0}, {"noise": float("nan")}]}})
    assert read_metrics(tmp_path)["quality"] == {"rows": [{"noise": 1.0}, {"noise": None}]}

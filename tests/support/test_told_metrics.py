"""Numbers of a fit while it runs: told to listeners, and written to places by name."""

import sys
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.fit.on_policy import Response, descend, polish
from leastwork.networks.value import ValueNetwork
from leastwork.support.metrics import listening, report_metrics
from leastwork.support.sinks import FIT_CSV, check_sinks, csv_rows, last_step, sink, sinks


def test_all_who_listen_are_told_and_nobody_afterwards() -> None:
    outer: list[tuple[int, Mapping[str, float]]] = []
    inner: list[tuple[int, Mapping[str, float]]] = []
    report_metrics("a", {"x": 1})
    with listening(lambda step, values: outer.append((step, values))):
        report_metrics("a", {"x": 2})
        with listening(lambda step, values: inner.append((step, values)), step=7), listening(None):
            report_metrics("b", {"y": 3})
    report_metrics("a", {"x": 4})
    assert outer == [(1, {"a/x": 2.0}), (2, {"b/y": 3.0})]
    assert inner == [(8, {"b/y": 3.0})]


def test_a_file_goes_on_where_it_was_and_a_cut_line_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "deep" / FIT_CSV
    for step in (1, 2):
        with sink("csv", file.parent) as told:
            told(step, {"V, or loss": 0.5 * step, "ess": float("nan")})
    with file.open("a") as cut:
        cut.write("3,0.1,V")
    rows = csv_rows(file)
    assert [(row["step"], row["name"], row["value"]) for row in rows] == [
        ("1", "V, or loss", "0.5"), ("1", "ess", "nan"), ("2", "V, or loss", "1"), ("2", "ess", "nan"),
    ]  # fmt: skip
    assert last_step(file) == 2
    assert last_step(tmp_path / "none.csv") == 0


def test_what_cannot_be_written_to_is_named_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(lw.ConfigError, match=r"'tensorbord' is no place for metrics: did you mean 'tensorboard'\?"):
        check_sinks(("csv", "tensorbord"))
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(lw.LeastworkError, match=r"wandb is not installed.*leastwork\[logging\]"):
        check_sinks(("wandb",))


def test_trackers_get_every_value_at_its_step_and_stay_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for the packages, whose real ones are tried where they are installed."""
    told: list[Any] = []

    @contextmanager
    def run(**settings: Any) -> Any:
        told.append(settings["mode"])
        yield SimpleNamespace(log=lambda values, step: told.append(("wandb", values, step)))

    class Client:
        def __init__(self, uri: str) -> None:
            told.append(uri.startswith("file://"))

        def get_experiment_by_name(self, name: str) -> Any:
            return None

        def create_experiment(self, name: str) -> str:
            return name

        def create_run(self, experiment: str, run_name: str) -> Any:
            return SimpleNamespace(info=SimpleNamespace(run_id="r"))

        def log_metric(self, run: str, name: str, value: float, step: int) -> None:
            told.append(("mlflow", name, value, step))

        def set_terminated(self, run: str, status: str) -> None:
            told.append(status)

    for name, parts in {"wandb": {"Settings": dict, "init": run}, "mlflow": {"MlflowClient": Client}}.items():
        module = ModuleType(name)
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, name, module)
    with sinks(("wandb", "mlflow"), tmp_path) as on_metrics:
        on_metrics(3, {"learning V/loss": 0.5})
    expected = ["offline", True, ("wandb", {"learning V/loss": 0.5}, 3), ("mlflow", "learning V/loss", 0.5, 3)]
    assert told == [*expected, "FINISHED"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
@pytest.mark.filterwarnings("default")
def test_real_trackers_write_into_the_folder(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    with sink(name, tmp_path) as on_metrics:
        on_metrics(1, {"learning V/loss": 0.5})
    assert any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_fit_tells_its_listener_and_refuses_what_cannot_be_called(model: lw.DiffusionModel) -> None:
    told: list[tuple[int, Mapping[str, float]]] = []
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names="x"), values=[0.1], errors=[0.01])
    choices: dict[str, Any] = {"method": "scheduled", "samples": 100, "fit_samples": 32, "steps": 4}
    lw.guide_observables(model, data, on_metrics=lambda step, values: told.append((step, values)), **choices)
    assert [step for step, _ in told] == list(range(1, len(told) + 1))
    assert all("fitting the schedule/objective" in values for _, values in told)
    with pytest.raises(lw.LeastworkError, match="on_metrics"):
        lw.guide_observables(model, data, on_metrics=3, **choices)


def test_a_polish_and_a_descent_tell_variance_effective_samples_misses_and_work() -> None:
    told: dict[str, float] = {}
    random = torch.Generator().manual_seed(0)
    network, n = ValueNetwork(1, width=4, depth=1), 200
    x, jacobian = torch.randn(n, 1, generator=random), torch.randn(n, 36, generator=random)
    response = Response(x, 0.1 * x[:, 0].double(), torch.full((n,), 0.3).double(), jacobian, 0)
    with listening(lambda step, values: told.update(values)):
        polish(network, response, torch.zeros(n), x.double(), torch.tensor([0.1]), torch.tensor([1.0]))
        descend(network, response, torch.zeros(n), 1.0)
    for stage in ("polish", "descent"):
        assert abs(told[f"{stage}/variance of ln w"] - 0.01) < 0.01
        assert 0.9 < told[f"{stage}/ess"] <= 1
        assert abs(told[f"{stage}/work"] - 0.3) < 1e-6
    # the weights e^{0.1 x} move the mean by 0.1
    assert abs(told["polish/largest miss"] - 0.1) < 5 * 0.1 * (2 / n) ** 0.5
    assert told["descent/dissipation"] < 0.02

"""Run files with data on functions of averages: unknown scales, ratios, tensors and distributions."""

import json
from pathlib import Path
from typing import Any

import pytest

import leastwork as lw
from leastwork.errors import ConfigError, LeastworkError
from leastwork.observable_guidance.run import ObservableRun
from leastwork.runs.carry_out import run
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.inputs import build_inputs
from leastwork.runs.page import write_report

TEXT = """\
model: prinz
observables:
  - {kind: python, file: own.py, function: powers, names: [q1, q2, q3, q4]}
  - {kind: attenuation, of: {kind: python, file: own.py, function: rate}, relaxation: 20, time: 0.01, names: [A28]}
  - {kind: function, of: {kind: component}, file: own.py, function: bent, names: [b1, b2, b3], unknowns: {tau: 1}}
  - {kind: component, name: x}
data:
  - {csv: saxs.csv, scale: saxs, offset: saxs}
  - {name: A28, value: 0.25, error: 0.05}
  - {name: b1, value: 0.43, error: 0.05}
  - {name: b2, value: 0.26, error: 0.05}
  - {name: b3, value: 0.1, error: 0.05}
  - {distribution: x, edges: [-3, 0, 3], counts: [11, 9]}
method: reweight
fit: {samples: 2000}
sampling: {n: 128, steps: 20}
"""
OWN = """\
import torch


def powers(x):
    return torch.cat([x, x**2, torch.cos(x), torch.sin(2 * x)], dim=1)


def rate(x):
    return 40 + 10 * x


def bent(m, eta):
    return (m + 1) * torch.exp(-eta * torch.tensor([0.5, 1.0, 2.0]))
"""
SAXS = "name,value,error\nq1,2.1,1\nq2,9.0,1\nq3,6.1,1\nq4,3.0,1\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "own.py").write_text(OWN)
    (folder / "saxs.csv").write_text(SAXS)
    (folder / "mine.yaml").write_text(TEXT)
    return folder


def config(folder: Path, *overrides: str) -> RunConfig:
    found = load_config(folder / "mine.yaml", overrides)
    assert isinstance(found, RunConfig)
    return found


@pytest.fixture(scope="module")
def done(folder: Path) -> Path:
    run(config(folder), folder / "done")
    return folder / "done"


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def test_unknowns_are_fitted_and_reported(done: Path) -> None:
    found = {one["name"]: one for one in metrics(done)["quality"]["unknowns"]}
    assert set(found) == {"scale of saxs", "offset of saxs", "tau"}
    assert all(one["stderr"] > 0 for one in found.values())
    assert found["scale of saxs"]["value"] > 0
    page = (done / "report.html").read_text()
    assert "Unknowns of the data" in page
    assert "offset of saxs" in page


def test_rows_are_in_units_of_the_data(done: Path) -> None:
    rows = {row["name"]: row for row in metrics(done)["observables"]}
    assert len(rows) == 4 + 1 + 3 + 2
    assert abs(rows["A28"]["reweighted"] - 0.25) < 0.1
    assert sum(rows[name]["reweighted"] for name in rows if "< x <" in name) == pytest.approx(1)


def test_the_run_is_read_back_and_its_report_made_again(done: Path, folder: Path, tmp_path: Path) -> None:
    again = lw.load_run(done, trust_code=True)
    assert isinstance(again, ObservableRun)
    unknowns = {one["name"]: one["value"] for one in metrics(done)["quality"]["unknowns"]}
    assert {name: one.value for name, one in again.unknowns.items()} == unknowns
    write_report(done)
    (tmp_path / "again.yaml").write_text(dump_config(config(folder)))
    assert load_config(tmp_path / "again.yaml").observables == config(folder).observables  # type: ignore[union-attr]


def test_guidance_meets_a_function(folder: Path) -> None:
    inputs = build_inputs(
        config(
            folder,
            "observables=[{kind: attenuation, of: {kind: python, file: own.py, function: rate}, relaxation: 20, "
            "time: 0.01, names: [A28]}]",
            "data=[{name: A28, value: 0.22, error: 0.001}]",
        )
    )
    found = lw.guide_observables(inputs.model, inputs.data, "loss", samples=1000, steps=20)
    assert found.data.names == ("A28",)
    drawn = found.sample(500, seed=1)
    guided = float(found.data.observable(drawn.x).mean())
    assert abs(guided - 0.22) < abs(float(found.observed.mean()) - 0.22)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.5.edges=[-3, 0]", "'edges' in entry 6 of 'data' is"),
        ("data.5.counts=[1, 2, 3]", "give one for each of 2 bins"),
        ("data.5.distribution=y", "data: there is no observable 'y'"),
        ("observables.1.relaxation=[20, 30]", "entry 2 of 'observables': 2 rates of relaxation for 1 column"),
        (
            "observables.1={kind: ratio, of: {kind: component}}",
            "ratios take an even number of columns",
        ),
        ("observables.1={kind: linear_model, of: {kind: component}, unknowns: [A]}", "1 value for 1 unknown agree"),
        ("observables.1={kind: uptake, of: {kind: component}, rates: [1, 2], times: [1]}", "2 rates for 1 column"),
        ("observables.1.of.kind=componant", "is of kind 'componant'"),
    ],
)
def test_what_is_refused(override: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build_inputs(config(folder, override))


def test_a_distribution_is_read_from_its_file(folder: Path) -> None:
    (folder / "bins.csv").write_text("# counted\nlower,upper,count\n-3,0,11\n0,3,9\n")
    found = build_inputs(config(folder, "data.5={distribution: x, file: bins.csv}")).data
    here = build_inputs(config(folder)).data
    assert found.names == here.names
    assert found.covariance.equal(here.covariance)


@pytest.mark.parametrize(("text", "message"), [
    ("", "the file is empty"),
    ("lower,upper,count\n0,1,3\n", "at least two bins, and there are 1"),
    ("lower,upper\n0,1\n1,2\n", "give lower, upper and count"),
    ("lower,upper,count,error\n0,1,3,1\n1,2,3,1\n", "give lower, upper and count"),
    ("lower,upper,population\n0,1,0.5\n1,2,0.5\n", "population and error"),
    ("lower,upper,count\n0,1,3\n1.5,2,4\n", r"line 3: the bin begins at 1\.5, and the last one ends at 1"),
    ("lower,upper,count\n1,2,3\n0,1,4\n", "line 3: the bin begins at 0"),
    ("lower,upper,count\n0,0,3\n0,1,4\n", "line 2: the bin from 0 to 0 is empty"),
    ("lower,upper,count\n0,1,-3\n1,2,4\n", "line 2: count is '-3': write a number, 0 or more"),
    ("lower,upper,count\n0,1,many\n1,2,4\n", "line 2: count is 'many'"),
    ("lower,upper,count\n0,1\n1,2,4\n", "line 2: 2 cells for 3 columns"),
    ("lower,upper,population,error\n0,1,0.2,0.1\n1,2,0.2,0.1\n", "must sum to 1"),
])  # fmt: skip
def test_files_of_distributions_that_are_refused(text: str, message: str, folder: Path) -> None:
    (folder / "bad.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        build_inputs(config(folder, "data.5={distribution: x, file: bad.csv}"))


@pytest.mark.parametrize("member", ["{distribution: x}", "{distribution: x, file: b.csv, counts: [1, 2]}"])
def test_bins_stand_in_one_place(member: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match="either as file, or as edges"):
        build_inputs(config(folder, f"data.5={member}"))


def test_bins_that_do_not_cover_the_samples(folder: Path, tmp_path: Path) -> None:
    narrow = config(folder, "data.5.edges=[-0.2, 0, 0.2]")
    with pytest.raises(LeastworkError, match=r"of the model's samples lie beyond the bins of 'x', -0\.2 to 0\.2"):
        run(narrow, tmp_path / "narrow")


def test_a_python_run_is_saved_and_loaded(tmp_path: Path) -> None:
    shifted = lw.Observable(lambda x: x + 2, names=("a",))
    data = lw.Indirect(shifted, lambda m, eta: 1 / m, ("one over a",), values=[0.48], errors=[0.01])
    found = lw.guide_observables(lw.load_model("prinz"), data, "reweight", samples=500, steps=10)
    weight = found.maxent.log_tilt_of(found.observed).softmax(dim=0)
    average = weight @ shifted(found.model_samples.x)[:, 0].to(weight)
    assert found.maxent.predicted.item() == pytest.approx(1 / average.item(), rel=1e-6)
    found.save(tmp_path / "saved")
    again = lw.load_run(tmp_path / "saved", observable=data)
    assert isinstance(again, ObservableRun)
    assert again.data.values.tolist() == [0.48]

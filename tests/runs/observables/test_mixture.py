"""Data of several techniques in one run file: couplings beside single data, tables and populations."""

import json
import sys
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.errors import ConfigError
from leastwork.networks.equivariant import EquivariantPerceptron
from leastwork.runs.carry_out import run
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.inputs import build_inputs
from leastwork.schedules.files import describe_schedule

TEXT = """\
model: net
observables:
  - {kind: radius_of_gyration, name: R_g}
  - {kind: distances, pairs: [[0, 3], [0, 4]], names: [d1, d2]}
  - {kind: population, of: {kind: distances, pairs: [[0, 9]]}, lower: 2.5, width: 0.2, name: far}
  - {kind: distances, pairs: [[0, 9]], names: [ends]}
data:
  - {name: R_g, value: 1.6, error: 0.1}
  - {csv: distances.csv}
  - {couplings: mine.csv, backbone: {residues: 3, end: true}, theta: 4}
  - {name: far, value: 0.4, error: 0.2, held_out: true}
method: reweight
fit: {samples: 800}
sampling: {n: 96, steps: 4, batch_size: 32}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small random network with data of four kinds."""
    folder = tmp_path_factory.mktemp("mixture")
    torch.manual_seed(0)
    schedule = lw.VPSchedule()
    net = EquivariantPerceptron(10, describe_schedule(schedule), width=8, depth=1)
    lw.save_model(lw.DiffusionModel(net, schedule, "v", (10, 3), subspace=lw.ZeroCentre()), folder / "net")
    (folder / "mine.csv").write_text(
        "kind,residue,value,error\n3JHNHA,2,6.0,0.1\n3JHNHA,3,6.2,0.1\n3JHNCB,2,1.9,0.1\n3JHNCB,3,1.8,0.1\n"
    )
    (folder / "distances.csv").write_text("name,value,error,upper\nd1,,0.1,2.2\nd2,2.2,0.1,\n")
    (folder / "mine.yaml").write_text(TEXT)
    return folder


def config(folder: Path, *overrides: str) -> RunConfig:
    found = load_config(folder / "mine.yaml", overrides)
    assert isinstance(found, RunConfig)
    return found


def test_each_datum_keeps_its_own_error_and_flag(folder: Path, tmp_path: Path) -> None:
    inputs = build_inputs(config(folder))
    data = inputs.data
    assert data.names[:4] == ("R_g", "d1", "d2", "far")
    assert data.held_out.tolist() == [False, False, False, True] + [False] * 4
    assert data.covariance.diagonal()[:4].sqrt().tolist() == pytest.approx([0.1, 0.1, 0.1, 0.2])
    assert data.covariance[:4, 4:].count_nonzero() == 0
    stated = inputs.kinds
    assert stated is not None
    assert stated.types == ("R_g", "distances", "distances", "far", *["3J(HN,HA)"] * 2, *["3J(HN,CB)"] * 2)
    assert torch.allclose(data.covariance[4:, 4:], 4 * stated.experiment.covariance[4:, 4:])
    assert inputs.reported is not None
    assert inputs.reported.names == ("ends",)
    (tmp_path / "again.yaml").write_text(dump_config(config(folder)))
    assert load_config(tmp_path / "again.yaml") == config(folder).model_copy(update={"name": "mine"})


def test_a_run_of_all_of_them_reports_each_kind(folder: Path) -> None:
    run(config(folder), folder / "done")
    quality = json.loads((folder / "done" / "metrics.json").read_text())["quality"]
    kinds = {row["type"]: row["data"] for row in quality["chi_squared"]}
    single = {"R_g": 1, "distances": 2, "far": 1, "3J(HN,HA)": 2, "3J(HN,CB)": 2}
    assert kinds == {**single, "all fitted": 7, "all held out": 1, "all": 8}
    assert quality["trust"]["theta"] == 4
    assert "ends" in (folder / "done" / "report.html").read_text()


def test_theta_of_a_mixture_is_chosen_over_all_kinds(folder: Path) -> None:
    inputs = build_inputs(config(folder, "data.2.theta=auto"))
    assert inputs.kinds is not None
    assert set(inputs.kinds.groups) == {"R_g", "distances", "far", "3J(HN,HA)", "3J(HN,CB)"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.0.name=d1", "data: two entries for 'd1': keep one of them"),
        ("data.0={name: R_g, upper: 2}", "data: theta: auto multiplies the errors of all data, and 'R_g' has none"),
        ("data.1={csv: none.csv}", "none.csv: there is no such file of data"),
        ("data.1={name: d1, upper: 3}", "data: there is none for observable 'd2': add an entry"),
    ],
)
def test_what_is_refused(override: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build_inputs(config(folder, "data.2.theta=auto", override))


def test_files_of_couplings_agree_on_theta(folder: Path) -> None:
    with pytest.raises(ConfigError, match="'data' has theta auto and 4: give all files of couplings the same"):
        config(folder, "data.0={couplings: other.csv}", "data.2.theta=4")


def test_a_whole_file_is_held_out(folder: Path) -> None:
    held_out = build_inputs(config(folder, "data.1.held_out=true", "data.2.held_out=true")).data.held_out
    assert held_out.tolist() == [False] + [True] * 7


PROGRAM = """\
x = [float(line[30:38]) for line in open("structures.pdb") if line[:4] == "ATOM" and line[12:16] == " N1 "]
assert len(x) == sum(line[:5] == "MODEL" for line in open("structures.pdb"))
open("values.csv", "w").write("first\\n" + "\\n".join(map(str, x)) + "\\n")
"""


def test_a_program_is_an_observable(folder: Path) -> None:
    atoms = "".join(f"ATOM  {i:5d}  N{i % 10}  GLY A{i:4d}      0.000   0.000   0.000\n" for i in range(1, 11))
    (folder / "atoms.pdb").write_text(atoms)
    (folder / "predict.py").write_text(PROGRAM)
    overrides = (
        f"observables=[{{kind: command, command: [{sys.executable}, predict.py], files: [predict.py], names: [first], "
        "atoms: atoms.pdb, length: A, batch: 500}]",
        "data=[{name: first, value: 0.1, error: 0.1}]",
    )
    run(config(folder, *overrides), folder / "commanded")
    row = json.loads((folder / "commanded" / "metrics.json").read_text())["observables"][0]
    assert abs(row["reweighted"] - row["optimum"]) < 1e-6
    with pytest.raises(ConfigError, match=r"names code, and reading it would run .*predict\.py"):
        lw.load_run(folder / "commanded")
    assert lw.load_run(folder / "commanded", trust_code=True).seed == 0
    with pytest.raises(ConfigError, match=r"none\.py: there is no such file"):
        build_inputs(config(folder, *overrides, "observables.0.files=[none.py]"))

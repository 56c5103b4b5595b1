"""SAXS, NOE, FRET, PRE and dipolar couplings in run files, from the file to the numbers of a finished run."""

import json
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.errors import ConfigError
from leastwork.networks.equivariant import EquivariantPerceptron
from leastwork.observables import Backbone, beta_distances, deer, evaluate, fret, residual_couplings, saxs
from leastwork.runs.carry_out import run
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.inputs import Inputs, build_inputs
from leastwork.schedules.files import describe_schedule

REST = "method: reweight\nfit: {samples: 600}\nsampling: {n: 64, steps: 4, batch_size: 32}\n"
FEW = REST.replace("600", "200")
SIZE = "observables: [{kind: radius_of_gyration, name: R_g}]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random network of nine atoms, a curve that its samples agree with, and bounds."""
    folder = tmp_path_factory.mktemp("techniques")
    torch.manual_seed(0)
    schedule = lw.VPSchedule()
    net = EquivariantPerceptron(9, describe_schedule(schedule), width=8, depth=1)
    model = lw.DiffusionModel(net, schedule, "v", (9, 3), subspace=lw.ZeroCentre(), scale=0.3)
    lw.save_model(model, folder / "net")
    q = [0.01 * k for k in range(1, 21)]
    own = evaluate(saxs(q, "GAGAGAGAG"), lw.sample(model, 200, steps=4, seed=3).x).mean(dim=0)
    rows = [f"{10 * p:g} {float(i) * 1e-3:.8g} {float(i) * 2e-5:.8g}" for p, i in zip(q, own, strict=True)]
    (folder / "curve.dat").write_text("a curve in 1/nm\n" + "\n".join(rows) + "\n")
    (folder / "noe.csv").write_text("i,j,upper,unseen,error\n0,4,0.6,,0.1\n1,7 8,,0.02,\n")
    return folder


def inputs(folder: Path, text: str) -> Inputs:
    (folder / "mine.yaml").write_text(f"model: net\n{text}{REST}")
    config = load_config(folder / "mine.yaml")
    assert isinstance(config, RunConfig)
    (folder / "again.yaml").write_text(dump_config(config))
    return build_inputs(config)


@pytest.mark.usefixtures("blank_pages")
def test_a_curve_and_bounds_run_and_find_the_scale(folder: Path, tmp_path: Path) -> None:
    (folder / "both.yaml").write_text(
        "model: net\ndata:\n  - {saxs: curve.dat, sequence: GAGAGAGAG, q_unit: 1/nm, points: 10}\n"
        f"  - {{noe: noe.csv, power: 3, held_out: true}}\n{REST}"
    )
    run(load_config(folder / "both.yaml"), tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    names = [row["name"] for row in metrics["observables"]]
    assert len(names) == 12
    assert names[-2:] == ["d(0,4)^-3", "d(1,7+8)^-3"]
    assert [row["held_out"] for row in metrics["observables"]] == [False] * 10 + [True] * 2
    (scale,) = [row for row in metrics["quality"]["unknowns"] if row["name"] == "scale of saxs"]
    assert scale["value"] == pytest.approx(1e-3, rel=0.2)


def test_each_technique_is_left_out_and_shown(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leastwork.runs.observables.left_out._REPEATS", 3)
    (folder / "each.yaml").write_text(
        f"model: net\nleave_each_out: true\n{SIZE}data:\n  - {{name: R_g, value: 0.5, error: 0.2}}\n"
        f"  - {{saxs: curve.dat, sequence: GAGAGAGAG, q_unit: 1/nm, points: 5}}\n{FEW}"
    )
    run(load_config(folder / "each.yaml"), tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["quality"]["left_out"]
    assert [(row["technique"], row["data"]) for row in rows] == [("R_g", 1), ("saxs", 5)]
    assert all(row[key]["stderr"] >= 0 for row in rows for key in ("before", "after", "change"))
    assert "Each technique left out" in (tmp_path / "out" / "report.html").read_text()
    (folder / "each.yaml").write_text("model: net\nleave_each_out: true\ndata: {noe: noe.csv, power: 3}\n" + REST)
    with pytest.raises(ConfigError, match="'leave_each_out': all of the fitted data are of one group, noe"):
        build_inputs(load_config(folder / "each.yaml"))  # pyright: ignore[reportArgumentType]


def test_credible_intervals_are_drawn_and_shown(folder: Path, tmp_path: Path) -> None:
    (folder / "drawn.yaml").write_text(
        f"model: net\nposterior: true\n{SIZE}data:\n  - {{name: R_g, value: 0.5, error: 0.2}}\n"
        f"  - {{saxs: curve.dat, sequence: GAGAGAGAG, q_unit: 1/nm, points: 3}}\n{FEW}"
    )
    run(load_config(folder / "drawn.yaml"), tmp_path / "out")
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["quality"]["posterior"]
    assert [row["name"] for row in found["thetas"]] == ["R_g", "saxs"]
    assert [len(found[key]) for key in ("lambdas", "averages", "reported")] == [4, 4, 0]
    assert all(row["lower"] <= row["median"] <= row["upper"] for row in [*found["averages"], *found["thetas"]])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "credible intervals" in page
    assert ("Do not believe the credible intervals" in page) == bool(found["doubts"])
    (folder / "drawn.yaml").write_text(
        f"model: net\nposterior: true\n{SIZE}data: [{{name: R_g, value: 0.5, error: 0}}]\n"
    )
    with pytest.raises(ConfigError, match="'posterior': 'R_g' has no error, so it has no posterior: give it one"):
        build_inputs(load_config(folder / "drawn.yaml"))  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("blank_pages")
def test_a_curve_that_is_held_out_has_a_scale_of_its_own(folder: Path, tmp_path: Path) -> None:
    (folder / "held.yaml").write_text(
        f"model: net\n{SIZE}data:\n  - {{name: R_g, value: 0.5, error: 0.2}}\n"
        f"  - {{saxs: curve.dat, sequence: GAGAGAGAG, q_unit: 1/nm, points: 5, held_out: true}}\n{FEW}"
    )
    run(load_config(folder / "held.yaml"), tmp_path / "out")
    (scale,) = json.loads((tmp_path / "out" / "metrics.json").read_text())["quality"]["unknowns"]
    assert scale["value"] == pytest.approx(1e-3, rel=0.2)
    assert scale["stderr"] > 0


def test_settings_that_do_not_fit_end_in_a_sentence(folder: Path) -> None:
    with pytest.raises(ConfigError, match="3 residues for a structure of 9 atoms"):
        inputs(folder, "data: {saxs: curve.dat, sequence: GAG, q_unit: 1/nm}\n")
    with pytest.raises(ConfigError, match=r"'q_unit' in 'data' is 1/m: give 1/Å or 1/nm|q_unit"):
        inputs(folder, "data: {saxs: curve.dat, sequence: GAG, q_unit: 1/m}\n")
    with pytest.raises(ConfigError, match="there is no such file of a SAXS curve"):
        inputs(folder, "data: {saxs: none.dat, sequence: GAGAGAGAG}\n")


def test_kinds_are_those_of_python(folder: Path) -> None:
    x = torch.randn(4, 9, 3, generator=torch.Generator().manual_seed(0))
    text = (
        "observables:\n"
        "  - {kind: saxs, q: [0.05, 0.1], sequence: GAGAGAGAG, hydration: 0}\n"
        "  - {kind: fret, residues: [[1, 3]], radius: 1.5, spread: 0.1, backbone: {residues: 3}, sequence: AGA}\n"
        "  - {kind: fret, pairs: [[0, 8]], radius: 1.5}\n"
        "  - {kind: rdc, bonds: {N-H: [2, 3]}, tensor: [0.001, 0, 0, 0, 0], backbone: {residues: 3}}\n"
        "  - {kind: pre, pairs: [[0, 8]], correlation_time: 4}\n"
        "  - {kind: deer, pairs: [[0, 8]], times: [0.001], unit: Å}\n"
        "data:\n" + "".join(
            f"  - {{name: {name!r}, value: {value}, error: 10}}\n"
            for name, value in [("I(0.05)", 1e5), ("I(0.1)", 1e5), ("E Cβ 1 – Cβ 3", 0.5), ("E d(0,8)", 0.5),
                                ("D(N-H) 2", 1), ("D(N-H) 3", 1), ("Γ2 d(0,8)", 1), ("K(0.001)", 1)]
        )
    )  # fmt: skip
    data = inputs(folder, text).data
    assert isinstance(data, lw.Experiment)
    found, chain = data.observable(x), Backbone.chain(3)
    torch.testing.assert_close(found[:, :2], saxs([0.05, 0.1], "GAGAGAGAG", hydration=0)(x))
    torch.testing.assert_close(found[:, 2:3], fret(beta_distances(chain, [(1, 3)]), 1.5, 0.1)(x))
    nanometres = 0.1 * (x[:, :1] - x[:, 8:9]).norm(dim=2)
    near = lw.Observable(lambda _: nanometres, ("d",), "nm")
    torch.testing.assert_close(found[:, 7:8], deer(near, [0.001])(x))
    bonds = [("N-H", 2), ("N-H", 3)]
    torch.testing.assert_close(found[:, 4:6], residual_couplings(chain, bonds, [0.001, 0, 0, 0, 0])(x))


def test_ratios_and_unknown_tensors_are_functions_of_averages(folder: Path) -> None:
    bonds = "bonds: {N-H: [2, 3], CA-C: [1, 2, 3], C-N: [1, 2]}"
    names = ["D(N-H) 2", "D(N-H) 3", "D(CA-C) 1", "D(CA-C) 2", "D(CA-C) 3", "D(C-N) 1", "D(C-N) 2"]
    text = (
        "observables:\n"
        f"  - {{kind: rdc, {bonds}, backbone: {{residues: 3}}}}\n"
        "  - {kind: pre, pairs: [[0, 8]], correlation_time: 4, relaxation: 20, time: 0.01}\n"
        "data:\n"
        + "".join(f"  - {{name: {name!r}, value: 1, error: 1}}\n" for name in names)
        + "  - {name: 'I/I0 d(0,8)', value: 0.5, error: 0.1}\n"
    )
    data = inputs(folder, text).data
    assert isinstance(data, lw.Indirect)
    assert data.names == (*names, "I/I0 d(0,8)")
    assert list(data.parameters) == ["S_xx", "S_yy", "S_xy", "S_xz", "S_yz"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("{kind: fret, radius: 5}", "give either pairs of atoms, or residues"),
        ("{kind: fret, radius: 5, residues: [[1, 3]]}", "give the backbone, as in"),
        (
            "{kind: fret, radius: 5, residues: [[1, 2]], backbone: {residues: 3}, sequence: AGA}",
            "residue 2 is glycine, which has no Cβ",
        ),
        ("{kind: fret, radius: 5, residues: [[1, 9]], backbone: {residues: 3}}", "there is no residue 9"),
        ("{kind: rdc, bonds: {N-H: [2, 3]}, backbone: {residues: 3}}", "2 couplings agree with any structure"),
        ("{kind: pre, pairs: [[0, 8]], correlation_time: 4, time: 0.01}", "take both relaxation and time"),
        ("{kind: deer, pairs: [[0, 8], [1, 8]], times: [0.1]}", "there are 2 distances: give one"),
        ("{kind: saxs, q: [0.6], sequence: GAGAGAGAG}", "residues as beads hold from 0 to 0.5"),
    ],
)
def test_kinds_that_cannot_be_end_in_a_sentence(folder: Path, kind: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        inputs(folder, f"observables: [{kind}]\ndata: [{{name: x, value: 1, error: 1}}]\n")

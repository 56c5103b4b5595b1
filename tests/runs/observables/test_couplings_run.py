"""Runs with measured couplings: what is refused, how θ is chosen, and what the report says, from the folder alone."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import leastwork as lw
from leastwork.cases import ala5
from leastwork.data.trust import with_theta
from leastwork.errors import ConfigError, LeastworkError
from leastwork.networks.equivariant import EquivariantPerceptron
from leastwork.observable_guidance.files import read_numbers
from leastwork.observables.karplus import KARPLUS
from leastwork.runs.base.finished import read_metrics
from leastwork.runs.carry_out import compare_run, run
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings.config import BackboneConfig, KarplusName
from leastwork.runs.observables.inputs import build_inputs
from leastwork.runs.observables.numbers import observable_numbers
from leastwork.runs.observables.sentences import outcome
from leastwork.runs.observables.summary import summary
from leastwork.runs.page import write_report
from leastwork.schedules.files import describe_schedule

CSV = """\
# unit: Hz
kind,residue,value,error,held_out
3JHNHA,2,6.0,0.1,no
3JHNHA,3,6.2,0.1,no
3JHNCB,2,1.9,0.1,no
3JHNCB,3,1.8,0.1,no
1JNCA,2,10.9,0.1,no
3JHNC,2,1.1,0.1,yes
3JHNC,3,1.2,0.1,yes
"""

TEXT = """\
model: net
data: {couplings: mine.csv, backbone: {residues: 3, end: true}}
method: reweight
fit: {samples: 800}
sampling: {n: 96, steps: 4, batch_size: 32}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a small random network, whose structures of ten atoms are little more than noise."""
    folder = tmp_path_factory.mktemp("couplings")
    _save_random_model(folder / "net", atoms=10)
    (folder / "mine.csv").write_text(CSV)
    (folder / "mine.yaml").write_text(TEXT)
    return folder


def _save_random_model(folder: Path, atoms: int) -> None:
    torch.manual_seed(0)
    schedule = lw.VPSchedule()
    net = EquivariantPerceptron(atoms, describe_schedule(schedule), width=8, depth=1)
    lw.save_model(lw.DiffusionModel(net, schedule, "v", (atoms, 3), subspace=lw.ZeroCentre()), folder)


@pytest.fixture(scope="module")
def done(folder: Path) -> Path:
    """A finished run by guidance, with an observable that has no data."""
    observables = "observables=[{kind: distances, pairs: [[0, 9]], names: [ends]}]"
    run(config(folder, "method=loss", observables), folder / "done")
    return folder / "done"


def config(folder: Path, *overrides: str) -> RunConfig:
    found = load_config(folder / "mine.yaml", overrides)
    assert isinstance(found, RunConfig)
    return found


def metrics(folder: Path) -> dict[str, Any]:
    return read_metrics(folder)


def test_the_named_sets_are_those_of_the_library() -> None:
    assert get_args(KarplusName) == tuple(KARPLUS)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.karplus=bax",
            "'karplus' in 'data' is 'bax': give a set of Karplus relations, one of 'vogeli2007', 'vog",
        ),
        ("data.theta=0", "'theta' in 'data' is 0: give auto, or a number above 0"),
        ("data.theta=best", "'theta' in 'data' is 'best': give auto, or a number above 0"),
        ("data.shared=1.5", "'shared' in 'data' is 1.5: give the share of the variance"),
        ("data.fit=[3JHNHX]", "entry 1 of 'fit' in 'data' is '3JHNHX': give a list of the types .* 3J.HN,HA., 3J"),
        ("data.fit=[]", r"'fit' in 'data' is \[\]: give a list of the types of coupling"),
        ("data.leave_out=atoms", "'leave_out' in 'data' is 'atoms': give what cross-validation leaves out"),
        ("data.karpluss=hu1997", "unknown key 'karpluss' in 'data': did you mean 'karplus'?"),
        ("data.backbone={residues: 3, n: [0]}", "'backbone' in 'data' is .*: give residues: NUMBER of a chain"),
        ("data.backbone={residues: 3, end: 9}", "'backbone' in 'data' is .*: give residues: NUMBER of a chain"),
        ("data.backbone={n: [0], ca: [1]}", "'backbone' in 'data' is .*: give residues: NUMBER of a chain"),
        ("data={csv: mine.csv}", "'observables' is missing: give a list of at least one observable"),
        ("observables=[]", r"'observables' is \[\]: give a list of at least one observable"),
    ],
)
def test_a_run_file_is_told_its_faults(override: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=f"^mine.yaml: {message}") as caught:
        config(folder, override)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.couplings=none.csv", "none.csv: there is no such file of couplings"),
        (
            "data.fit=[3JHNHA, 3JHNCA]",
            r"'fit' in 'data': mine.csv has no couplings 3J\(HN,CA\): it has 3J\(HN,HA\), 3J",
        ),
        ("data.backbone=null", "'backbone' is missing in 'data': say which atoms are N, CA and C, as in"),
        ("data.backbone={residues: 4}", "'backbone' in 'data' is a chain of 12 atoms, and the model's states have 10"),
        (
            "data.backbone={n: [0, 3], ca: [1, 4], c: [2, 5]}",
            "mine.csv, line 4: there is no residue 3: the chain has residues 1 to 2",
        ),
        ("data.backbone={n: [0], ca: [0], c: [2]}", "'backbone' in 'data': .*0"),
        (
            "data.backbone={n: [0, 3, 6], ca: [1, 4, 7], c: [2, 5, 10]}",
            "'backbone' in 'data' has an atom 10, counted from 0, and the model's states have 10 atoms",
        ),
        ("model=prinz", r"data: couplings are of structures \(A, 3\), and the model's states are \(1,\)"),
        (
            "data.fit=[1JNCA]",
            r"data: theta: auto takes fitted couplings of two types or two residues, and there are but 1 coupling of "
            "residue 2: fit more, or give theta a number",
        ),
        ("system=ala5", r"system ala5 has events \(16, 3\), but model .* \(10, 3\): leave out system"),
    ],
)
def test_inputs_are_told_their_faults(override: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build_inputs(config(folder, override))


def test_data_with_one_and_the_same_error_are_refused(folder: Path) -> None:
    (folder / "same.csv").write_text("kind,residue,value,error\n3JHNHA,2,6,0\n3JHNHA,3,6,0\n1JNCA,2,11,0.1\n")
    with pytest.raises(
        ConfigError, match=r"shared: 1 some of the couplings have one and the same error.*smaller share"
    ):
        build_inputs(config(folder, "data.couplings=same.csv", "data.shared=1", "data.theta=2"))


def test_fit_says_what_is_held_out_and_the_file_where_it_does_not(folder: Path) -> None:
    by_file = build_inputs(config(folder))
    assert by_file.data.held_out.tolist() == [False] * 5 + [True] * 2
    by_run = build_inputs(config(folder, "data.fit=[3JHNHA, 3JHNC]"))
    assert by_run.data.held_out.tolist() == [False] * 2 + [True] * 3 + [False] * 2
    assert by_run.kinds is not None
    assert (by_run.kinds.left_out, by_run.kinds.groups[:3]) == (
        "types",
        ("3J(HN,HA)", "3J(HN,HA)", "3J(HN,CB)"),
    )


@pytest.mark.parametrize("name", ["mine.str", "mine.txt"])
def test_an_nmr_star_file_is_known_by_its_suffix_or_its_first_line(folder: Path, name: str) -> None:
    pytest.importorskip("pynmrstar")
    tags = ("ID", "Code", "Comp_index_ID_1", "Atom_ID_1", "Comp_index_ID_2", "Atom_ID_2", "Val", "Val_err")
    rows = ("1 3JHNHA 2 H 2 HA 6.0 .", "2 1JNCA 2 N 2 CA 10.9 .")
    text = "data_t\nsave_c\n_Coupling_constant_list.Sf_category coupling_constants\nloop_\n"
    text += "\n".join([*(f"_Coupling_constant.{tag}" for tag in tags), *rows, "stop_", "save_"])
    (folder / name).write_text(text)
    found = build_inputs(config(folder, f"data.couplings={name}", "data.measurement_error=0.2")).data
    assert found.names == ("3J(HN,HA) 2", "1J(N,CA) 2")
    assert found.covariance[0, 0] == pytest.approx(0.42**2 + 0.2**2)


def test_residues_are_left_out_where_one_type_is_fitted_or_where_asked(folder: Path) -> None:
    for override in ("data.fit=[3JHNHA]", "data.leave_out=residues"):
        found = build_inputs(config(folder, override)).kinds
        assert found is not None
        assert (found.left_out, found.groups[:2]) == ("residues", ("residue 2", "residue 3"))


def test_forms_of_a_backbone() -> None:
    chain = BackboneConfig(residues=5, end=True)
    lists = BackboneConfig(n=(0, 3, 6, 9, 12), ca=(1, 4, 7, 10, 13), c=(2, 5, 8, 11, 14), end=15)
    assert chain.backbone() == lists.backbone() == ala5.BACKBONE
    assert BackboneConfig(residues=2, first=7).backbone().last == 8


def test_settings_round_trip(folder: Path, tmp_path: Path) -> None:
    found = config(folder, "data.fit=[¹J(N,Cα), 3J(HN,HA), '3J(HN,CB)']", "data.theta=3")
    (tmp_path / "again.yaml").write_text(dump_config(found))
    assert load_config(tmp_path / "again.yaml") == found
    assert found.data.fit == ("1J(N,CA)", "3J(HN,HA)", "3J(HN,CB)")  # type: ignore[union-attr]


def test_metrics_hold_the_curve_and_agreement_by_type(done: Path) -> None:
    known = metrics(done)["quality"]
    curve = known["trust"]
    assert curve["left_out"] == "types"
    assert curve["groups"] == ["3J(HN,HA)", "3J(HN,CB)", "1J(N,CA)"]
    assert curve["theta"] == curve["thetas"][curve["chosen"]]
    assert len(curve["held_out"]) == len(curve["kl"]) == len(curve["thetas"])
    rows = {row["type"]: row for row in known["chi_squared"]}
    assert list(rows) == ["3J(HN,HA)", "3J(HN,CB)", "1J(N,CA)", "3J(HN,C')", "all fitted", "all held out", "all"]
    assert [rows[name]["held_out"] for name in ("3J(HN,HA)", "3J(HN,C')", "all")] == [False, True, None]
    for row in rows.values():
        assert all(row[kind]["value"] > 0 and row[kind]["stderr"] > 0 for kind in ("model", "reweighted", "guided"))
        assert row["change"]["value"] == pytest.approx(row["guided"]["value"] - row["model"]["value"])
    assert rows["1J(N,CA)"]["change"]["stderr"] is None  # a single datum
    assert rows["all fitted"]["model"]["value"] == pytest.approx(curve["model"])
    chosen = curve["fitted"][curve["chosen"]]
    assert rows["all fitted"]["reweighted"]["value"] == pytest.approx(chosen, rel=1e-6)
    assert known["reweighting"]["effective"] == pytest.approx(800 * known["reweighting_ess"])
    assert known["guided_against_reweighted"]["name"] in [row["name"] for row in metrics(done)["observables"]]
    (ends,) = known["reported"]
    assert (ends["name"], ends["unit"]) == ("ends", "nm")
    assert all(ends[kind]["stderr"] > 0 for kind in ("model", "reweighted", "guided"))


def test_errors_are_shown_as_stated_and_fitted_with_theta(done: Path, folder: Path) -> None:
    data, fitted = build_inputs(config(folder)).data, read_numbers(done)
    assert fitted is not None
    row = metrics(done)["observables"][0]
    assert row["error"] == pytest.approx(float(data.covariance[0, 0].sqrt()))
    target = data.values + fitted.theta * data.covariance @ fitted.maxent.lambdas
    assert torch.allclose(fitted.maxent.target[data.fitted], target[data.fitted])


def test_the_folder_makes_the_report_again(done: Path, tmp_path: Path, text_of: Callable[[Path], str]) -> None:
    first = text_of(done / "report.html")
    for words in ("Trust in the data", "leaving out one type of coupling at a time", "Agreement by type of coupling",
                  "Without data", "χ² per datum went of fitted couplings", "standard errors of both together",
                  "Vögeli, Ying, Grishaev &amp; Bax"):  # fmt: skip
        assert words in first
    shutil.copytree(done, tmp_path / "moved")
    assert text_of(write_report(tmp_path / "moved")) == first


@pytest.mark.usefixtures("blank_pages")
def test_a_resumed_run_is_the_same(done: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    observables = "observables=[{kind: distances, pairs: [[0, 9]], names: [ends]}]"
    again = config(folder, "method=loss", observables)
    shutil.copytree(done, tmp_path / "resumed")
    for name in ("metrics.json", "plots.safetensors"):
        (tmp_path / "resumed" / name).unlink()
    monkeypatch.setattr(
        "leastwork.runs.observables.job.guide_observables", lambda *rest, **more: pytest.fail("fitted again")
    )
    run(again, tmp_path / "resumed", resume=True)
    assert metrics(tmp_path / "resumed") == metrics(done)


@pytest.mark.usefixtures("blank_pages")
def test_the_same_seed_gives_the_same_curve(folder: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        run(config(folder), tmp_path / name)
        found.append(metrics(tmp_path / name)["quality"])
    assert found[0] == found[1]
    assert found[0]["guided_against_reweighted"] is None  # nothing was guided
    assert json.loads((tmp_path / "one" / "fit" / "trust.json").read_text())["thetas"] == found[0]["trust"]["thetas"]


def test_a_given_theta_is_taken_as_it_is(folder: Path, tmp_path: Path, text_of: Callable[[Path], str]) -> None:
    report = run(config(folder, "data.theta=2.5"), tmp_path / "given")
    assert metrics(tmp_path / "given")["quality"]["trust"] == {"theta": 2.5, "left_out": None}
    assert not (tmp_path / "given" / "fit" / "trust.json").exists()
    assert "multiplied by θ = 2.5, as the run says" in text_of(report)


def test_two_groups_are_warned_of(folder: Path, tmp_path: Path, text_of: Callable[[Path], str]) -> None:
    report = run(config(folder, "data.fit=[3JHNHA, 1JNCA]"), tmp_path / "two")
    assert "rests on cross-validation over two groups of data, 3J(HN,HA) and 1J(N,CA)" in text_of(report)


def test_a_damaged_curve_is_told(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "damaged")
    (tmp_path / "damaged" / "fit" / "trust.json").write_text("{")
    with pytest.raises(ConfigError, match=r"fit.trust\.json is damaged .*: delete the folder fit to fit anew"):
        read_numbers(tmp_path / "damaged")


def test_compare_takes_one_theta(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'theta' in 'data' is auto, and compare takes one for all methods"):
        compare_run(config(folder), tmp_path / "compared")


def test_the_pentapeptide_reports_its_populations(tmp_path: Path, text_of: Callable[[Path], str]) -> None:
    _save_random_model(tmp_path / "net", atoms=16)
    found = load_config("ala5", [f"model={tmp_path / 'net'}", "method=reweight", "fit={samples: 600}",
                                 "sampling={n: 64, steps: 4}"])  # fmt: skip
    assert isinstance(found, RunConfig)
    page = text_of(run(found, tmp_path / "out"))
    rows = metrics(tmp_path / "out")["quality"]["populations"]
    assert len(rows) == 5 * 5
    for residue in (2, 3, 4, 5, None):
        shares = [row["model"]["value"] for row in rows if row["residue"] == residue]
        assert sum(shares) == pytest.approx(1)
        assert sum(row["reweighted"]["value"] for row in rows if row["residue"] == residue) == pytest.approx(1)
    means = [row["model"]["value"] for row in rows if row["basin"] == "PPII"]
    assert means[-1] == pytest.approx(sum(means[:-1]) / 4)
    assert all(word in page for word in ("Populations", "PPII", "α_L"))


def test_guide_observables_chooses_theta_on_the_model_samples_it_has(folder: Path) -> None:
    data = build_inputs(config(folder)).kinds
    assert data is not None
    model = lw.load_model(folder / "net")
    choices: dict[str, Any] = {"method": "reweight", "samples": 800, "steps": 4}
    chosen = lw.guide_observables(model, data.experiment, groups=data.groups, **choices)
    assert chosen.trust is not None
    assert torch.allclose(chosen.data.covariance, chosen.trust.theta * data.experiment.covariance)
    given = lw.guide_observables(model, with_theta(data.experiment, chosen.trust.theta), **choices)
    assert torch.equal(given.lambdas.value, chosen.lambdas.value)
    assert given.network_evaluations == chosen.network_evaluations  # θ took no samples of its own
    with pytest.raises(LeastworkError, match="2 groups for 7 data"):
        lw.guide_observables(model, data.experiment, groups=["a", "b"], **choices)


def test_the_page_on_couplings_runs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = Path(__file__).parents[3] / "docs"
    page = (docs / "couplings.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(code, "couplings.md", "exec"), names)
    assert names["curve"].held_out.value[names["curve"].chosen] < 1 < names["curve"].model
    (tmp_path / "my-model").symlink_to(folder / "net")
    for text in (page, (docs / "runs.md").read_text(encoding="utf-8")):
        (found,) = re.findall(r"```yaml\n([^`]*couplings: measured[^`]*)```", text)
        (tmp_path / "mine.yaml").write_text(found)
        config = load_config(
            tmp_path / "mine.yaml", ["data.backbone.residues=3", "data.couplings=" + str(folder / "mine.csv")]
        )
        assert isinstance(config, RunConfig)
        assert build_inputs(config).kinds is not None


def test_data_that_correct_nothing_are_said_so_first(done: Path, tmp_path: Path) -> None:
    written = metrics(done)
    curve = written["quality"]["trust"]
    curve["chosen"] = len(curve["thetas"]) - 1
    found = observable_numbers(written)
    name = load_config(done / "config.yaml")
    assert isinstance(name, RunConfig)
    assert outcome(name, found).startswith("The data correct nothing: cross-validation ends at the largest θ, ")
    told = len(summary(name, found))
    curve["chosen"] = 0
    assert told == len(summary(name, observable_numbers(written))) + 1

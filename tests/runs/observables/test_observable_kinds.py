"""Kinds of observables in a run file: each is what the library calls so, names and files included."""

from pathlib import Path

import numpy as np
import pytest
import torch

import leastwork as lw
from leastwork import observables as lib
from leastwork.cases.chignolin.folding import NATIVE
from leastwork.errors import ConfigError
from leastwork.observables.contacts import pairs_in_contact
from leastwork.runs.folder import copy_inputs
from leastwork.runs.load import dump_config, load_config
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.inputs import build_inputs

X = NATIVE + 0.05 * torch.randn(6, 10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
PAIRS, LENGTHS = pairs_in_contact(NATIVE)
QUADRUPLES = [(0, 1, 2, 3), (9, 5, 4, 0)]


@pytest.fixture(autouse=True)
def _a_model_of_ten_atoms(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lw.DiffusionModel(lambda x, t: x, lw.VPSchedule(), predicts="noise", event_shape=(10, 3))
    monkeypatch.setattr("leastwork.runs.observables.inputs.load_model", lambda name: model)


def config(folder: Path, observable: str, *names: str) -> RunConfig:
    """A run of one observable, with a datum for each of its columns."""
    np.savetxt(folder / "native.csv", NATIVE.numpy(), delimiter=",")
    data = "".join(f"  - {{name: '{name}', value: 0, error: 0}}\n" for name in names)
    (folder / "mine.yaml").write_text(f"model: chain\nobservables:\n  - {observable}\ndata:\n{data or '  []'}\n")
    found = load_config(folder / "mine.yaml")
    assert isinstance(found, RunConfig)
    return found


KINDS = [
    ("{kind: distances, pairs: [[0, 9], [2, 5]]}", lib.distances([(0, 9), (2, 5)])),
    ("{kind: distances, pairs: [[0, 9], [2, 5]], names: [a, b], unit: Å}", ("a", "b"), lib.distances([(0, 9), (2, 5)])),
    ("{kind: end_to_end}", lib.end_to_end()),
    ("{kind: end_to_end, name: length}", ("length",), lib.end_to_end()),
    ("{kind: radius_of_gyration}", lib.radius_of_gyration()),
    (
        "{kind: radius_of_gyration, masses: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], name: size}",
        ("size",),
        lib.radius_of_gyration(range(1, 11)),
    ),
    ("{kind: torsions, quadruples: [[0, 1, 2, 3], [9, 5, 4, 0]]}", lib.cosines_and_sines(QUADRUPLES)),
    (
        "{kind: torsions, quadruples: [[0, 1, 2, 3], [9, 5, 4, 0]], names: [one, two]}",
        ("cos one", "cos two", "sin one", "sin two"),
        lib.cosines_and_sines(QUADRUPLES),
    ),
    ("{kind: native_contacts, structure: native.csv}", lib.native_fraction(PAIRS, LENGTHS)),
    (
        "{kind: native_contacts, structure: native.csv, steepness: 20, reach: 1.2, name: folded}",
        ("folded",),
        lib.native_fraction(PAIRS, LENGTHS, 20, 1.2),
    ),
    (
        "{kind: native_contacts, structure: native.csv, quantity: contacts, cutoff: 0.7, apart: 5}",
        lib.contacts(*pairs_in_contact(NATIVE, 0.7, 5)),
    ),
    ("{kind: rmsd, structure: native.csv}", lib.rmsd(NATIVE)),
    ("{kind: rmsd, structure: native.csv, name: away}", ("away",), lib.rmsd(NATIVE)),
]


@pytest.mark.parametrize("case", KINDS, ids=[case[0] for case in KINDS])
def test_a_kind_is_what_the_library_calls_so(case, tmp_path: Path) -> None:
    text, *named, expected = case
    names = named[0] if named else expected.names
    run = config(tmp_path, text, *names)
    found = build_inputs(run).data.observable
    assert found.names == names
    assert found.units == (("Å", "Å") if "Å" in text else expected.units)
    torch.testing.assert_close(found(X), expected(X), rtol=1e-12, atol=0)
    assert float(expected(X).std(dim=0).min()) > 0


def test_a_run_folder_holds_the_structures_that_it_needs(tmp_path: Path) -> None:
    text = "{kind: native_contacts, structure: native.csv}\n  - {kind: rmsd, structure: native.csv}"
    run = config(tmp_path, text, "Q", "RMSD")
    before = build_inputs(run).data.observable(X)
    out = tmp_path / "out"
    moved = copy_inputs(run, out)
    assert [item.structure for item in moved.observables] == [Path("inputs/native.csv")] * 2  # type: ignore[union-attr]
    (out / "config.yaml").write_text(dump_config(moved), encoding="utf-8")
    (tmp_path / "native.csv").unlink()
    again = load_config(out / "config.yaml")
    assert isinstance(again, RunConfig)
    assert torch.equal(build_inputs(again).data.observable(X), before)


@pytest.mark.parametrize("case", KINDS, ids=[case[0] for case in KINDS])
def test_a_dumped_run_is_read_back(case, tmp_path: Path) -> None:
    run = config(tmp_path, case[0])
    (tmp_path / "again.yaml").write_text(dump_config(run), encoding="utf-8")
    assert load_config(tmp_path / "again.yaml") == run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: distances}", "'pairs' is missing in entry 1 of 'observables': give a list of pairs"),
        ("{kind: distances, pairs: []}", r"'pairs' in entry 1 of 'observables' is \[\]: give a list of pairs"),
        (
            "{kind: distances, pairs: [[0, 1], [2, a]]}",
            r"entry 2 of 'pairs' in entry 1 of 'observables' is \[2, 'a'\]: give a list of pairs \[i, j\] of atoms",
        ),
        ("{kind: distances, pairs: [[0, -1]]}", r"entry 1 of 'pairs' in entry 1 of 'observables' is \[0, -1\]"),
        (
            "{kind: torsions, quadruples: [[0, 1, 2]]}",
            r"entry 1 of 'quadruples' in .* is \[0, 1, 2\]: give a list",
        ),
        ("{kind: radius_of_gyration, masses: [x]}", "entry 1 of 'masses' in entry 1 of 'observables' is 'x'"),
        ("{kind: rmsd}", "'structure' is missing in entry 1 of 'observables': give a structure's file, PDB or CSV"),
        ("{kind: native_contacts, structure: a, cutoff: 0}", "'cutoff' in entry 1 of 'observables' is 0: give the len"),
        (
            "{kind: native_contacts, structure: a, quantity: q}",
            "'quantity' in .* is 'q': give .* one of 'Q', 'con",
        ),
        ("{kind: rsmd, structure: a}", "entry 1 of 'observables' is of kind 'rsmd': did you mean 'rmsd'"),
        ("{kind: distances, pair: [[0, 1]]}", "unknown key 'pair' in entry 1 of 'observables': did you mean 'pairs'"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{kind: distances, pairs: [[3, 3]]}", r"entry 1 of 'observables': \(3, 3\) are not 2 different atoms"),
        ("{kind: distances, pairs: [[0, 10]]}", "entry 1 of 'observables': a structure of 10 atoms has no atom 10"),
        (
            "{kind: distances, pairs: [[0, 1], [0, 2]], names: [a]}",
            "entry 1 of 'observables': fn returns 2 columns for 1 name: give one name per column",
        ),
        (
            "{kind: torsions, quadruples: [[0, 1, 2, 3]], names: [a, b]}",
            "entry 1 of 'observables': 2 names for 1 quadruple",
        ),
        (
            "{kind: component}\n  - {kind: radius_of_gyration, masses: [1, 1]}",
            "entry 2 of 'observables': 2 masses for 10 atoms: give one for each",
        ),
        (
            "{kind: native_contacts, structure: native.csv, cutoff: 0.3}",
            "entry 1 of 'observables': no atoms 4 places or more along the chain are nearer than 0.3, the nearest are",
        ),
        (
            "{kind: native_contacts, structure: native.csv, quantity: contacts, name: a}",
            "entry 1 of 'observables': contacts are named by their atoms: leave out name, or take quantity Q",
        ),
        ("{kind: native_contacts, structure: none.csv}", r"none\.csv: there is no such file of structures"),
        ("{kind: rmsd, structure: none.pdb}", r"none\.pdb: there is no such file of structures"),
    ],
)
def test_what_fits_no_state_is_said_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    run = config(tmp_path, text)
    with pytest.raises(ConfigError, match=message):
        build_inputs(run)


def test_structures_are_no_states_of_a_plane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = lw.DiffusionModel(lambda x, t: x, lw.VPSchedule(), predicts="noise", event_shape=(2,))
    monkeypatch.setattr("leastwork.runs.observables.inputs.load_model", lambda name: model)
    for text, message in (
        ("{kind: end_to_end}", r"entry 1 of 'observables': a state of shape \(2,\) is no structure"),
        ("{kind: rmsd, structure: native.csv}", r"observables: a state of shape \(2,\) is no structure, \(A, 3\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_inputs(config(tmp_path, text))

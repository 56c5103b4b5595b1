"""Structures in the files of the field: what is read and written, by mdtraj's own word, and what is refused."""

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from leastwork.cases.chignolin.folding import NATIVE, SEQUENCE
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.alignment import aligned_squared_distances, centred
from leastwork.runs.base.structures import read_structure, read_structures, write_structures
from leastwork.runs.folder import copy_inputs
from leastwork.runs.load import load_config
from leastwork.runs.path.config import GuidesConfig, PathConfig
from leastwork.runs.path.guide_points import read_points

FULL_PDB = """\
CRYST1   19.090   37.880   43.980  90.00  90.00  90.00 P 21 21 21
ATOM      1  N   TYR A   1      23.896  21.600  10.800  1.00  0.00           N
ATOM      2  CA ATYR A   1      24.935  20.652  10.774  0.60  0.00           C
ATOM      3  CA BTYR A   1      25.935  20.652  10.774  0.40  0.00           C
ATOM      4  CA  TYR A   2      21.801  19.381   9.017  1.00  0.00           C
ATOM      5  CA  ASP A   5      11.801  19.381   9.017  1.00  0.00           C
TER       6      ASP A   5
ATOM      7  CA  GLY B   6      91.801  19.381   9.017  1.00  0.00           C
HETATM    8 CA    CA A 101      30.000  20.000  10.000  1.00  0.00          CA
HETATM    9  O   HOH A 102      30.000  25.000  10.000  1.00  0.00           O
END
"""


@pytest.fixture
def md():
    return pytest.importorskip("mdtraj")


@pytest.fixture
def without_mdtraj(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr("leastwork.support.extras.import_module", missing)


def cloud(n: int = 7, noise: float = 0.02) -> Tensor:
    """Variants of the native structure that lie anywhere, turned anyhow."""
    random = torch.Generator().manual_seed(0)
    q = torch.linalg.qr(torch.randn(n, 3, 3, generator=random, dtype=torch.float64)).Q
    q = q * torch.linalg.det(q)[:, None, None]
    x = NATIVE + noise * torch.randn(n, 10, 3, generator=random, dtype=torch.float64)
    return x @ q + torch.randn(n, 1, 3, generator=random, dtype=torch.float64)


@pytest.fixture
def save(md, tmp_path: Path) -> Callable[..., Path]:
    """Writes structures by mdtraj, whatever their unit; returns the file. A topology ``top.pdb`` lies beside it."""
    write_structures(tmp_path, "top", NATIVE[None], SEQUENCE)

    def write(name: str, x: Tensor) -> Path:
        topology = md.load_topology(str(tmp_path / "top.pdb"))
        frames = md.Trajectory(x.numpy(), topology)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames.save(str(tmp_path / name))
        return tmp_path / name

    return write


def test_what_is_written_is_read_back(md, tmp_path: Path) -> None:
    x = cloud()
    assert write_structures(tmp_path / "made", "guided", x, SEQUENCE) is None
    folder = tmp_path / "made"
    assert sorted(path.name for path in folder.iterdir()) == ["guided.pdb", "guided.xtc"]
    first = read_structures(folder / "guided.pdb", 10)
    every = read_structures(folder / "guided.xtc", 10, folder / "guided.pdb")
    assert (first.dtype, first.shape, every.shape) == (torch.float64, (1, 10, 3), (7, 10, 3))
    torch.testing.assert_close(first, centred(x[:1]), rtol=0, atol=6e-5)  # a PDB has thousandths of an Å
    torch.testing.assert_close(every[:1], first, rtol=0, atol=6e-4)  # an XTC of a nm
    off = aligned_squared_distances(every, x).diagonal()
    assert float((off / 10).sqrt().max()) < 1e-3


def test_written_structures_lie_on_top_of_each_other(md, tmp_path: Path) -> None:
    x = cloud()
    write_structures(tmp_path, "guided", x, SEQUENCE)
    every = read_structures(tmp_path / "guided.xtc", 10, tmp_path / "guided.pdb")
    apart = (every - every[0]).square().sum(dim=(1, 2))
    least = aligned_squared_distances(x, x[:1])[:, 0]
    torch.testing.assert_close(apart, least, rtol=0, atol=1e-3)
    assert float((centred(x) - centred(x)[0]).square().sum(dim=(1, 2))[1:].min()) > 10 * float(least.max())


def test_mdtraj_sees_a_molecule_in_a_written_pdb(md, tmp_path: Path) -> None:
    write_structures(tmp_path, "guided", cloud(), SEQUENCE)
    seen = md.load(str(tmp_path / "guided.xtc"), top=str(tmp_path / "guided.pdb"))
    assert [residue.name for residue in seen.topology.residues] == list(SEQUENCE)
    assert {(atom.name, atom.element.symbol) for atom in seen.topology.atoms} == {("CA", "C")}
    assert [chain.chain_id for chain in seen.topology.chains] == ["A"]
    assert seen.topology.n_bonds == 9
    assert seen.unitcell_lengths is None


def test_a_written_pdb_has_the_columns_of_the_format(tmp_path: Path) -> None:
    write_structures(tmp_path, "one", 1.5 * NATIVE[None] - 0.5, SEQUENCE)
    lines = (tmp_path / "one.pdb").read_text().splitlines()
    records = [line[:6].strip() for line in lines]
    assert records == ["ATOM"] * 10 + ["TER"] + ["CONECT"] * 9 + ["END"]
    assert {len(line) for line in lines} == {80}
    expected = 10 * centred(1.5 * NATIVE[None])[0]
    for i, line in enumerate(lines[:10]):
        assert (int(line[6:11]), line[12:16], line[17:20], line[21]) == (i + 1, " CA ", SEQUENCE[i], "A")
        assert (int(line[22:26]), line[76:78]) == (i + 1, " C")
        found = [float(line[k : k + 8]) for k in (30, 38, 46)]
        assert found == pytest.approx(expected[i].tolist(), abs=6e-4)


def test_without_mdtraj_a_pdb_of_models_stands_in(without_mdtraj: None, tmp_path: Path) -> None:
    sentence = write_structures(tmp_path, "guided", cloud(130), SEQUENCE)
    assert sentence is not None
    assert "guided.pdb holds the first 100 of 130 structures and there is no guided.xtc" in sentence
    assert "pip install 'leastwork[protein]'" in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["guided.pdb"]
    lines = (tmp_path / "guided.pdb").read_text().splitlines()
    assert [line.split() for line in lines if line.startswith("MODEL")] == [["MODEL", str(i)] for i in range(1, 101)]
    assert [line[:6] for line in lines].count("ENDMDL") == 100
    assert lines[-1].split() == ["END"]


def test_models_are_read_as_frames(md, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = cloud(5)
    with monkeypatch.context() as patch:
        patch.setattr("leastwork.runs.base.structures.needs", _refuse)
        write_structures(tmp_path, "guided", x, SEQUENCE)
    found = read_structures(tmp_path / "guided.pdb", 10)
    assert found.shape == (5, 10, 3)
    assert float(aligned_squared_distances(found, x).diagonal().max()) < 1e-6


def _refuse(package: str, extra: str):
    raise LeastworkError(f"{package} is not installed")


@pytest.mark.parametrize("name", ["a.xtc", "a.trr", "a.dcd", "a.nc"])
def test_trajectories_are_read_with_a_topology(save, name: str, tmp_path: Path) -> None:
    x = cloud(2300 if name == "a.xtc" else 5)  # more than are in memory at a time
    found = read_structures(save(name, x), 10, tmp_path / "top.pdb")
    torch.testing.assert_close(found, x, rtol=0, atol=6e-4)


@pytest.mark.parametrize("name", ["a.pdb", "a.pdb.gz", "a.gro", "a.cif"])
def test_files_that_name_their_atoms_need_none(save, name: str) -> None:
    x = cloud(3)
    torch.testing.assert_close(read_structures(save(name, x)), x, rtol=0, atol=1e-3)


def test_only_alpha_carbons_are_taken(md, tmp_path: Path) -> None:
    """Not other atoms, not calcium, one of two conformations, and no bond across a gap or from chain to chain."""
    (tmp_path / "full.pdb").write_text(FULL_PDB)
    found = read_structures(tmp_path / "full.pdb")
    expected = [[2.4935, 2.0652, 1.0774], [2.1801, 1.9381, 0.9017], [1.1801, 1.9381, 0.9017], [9.1801, 1.9381, 0.9017]]
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [
        ("a.xtc", 10.0, r"neighbouring Cα atoms are 3\.8.? nm apart, ten times too far: its lengths are Å where the f"),
        ("a.pdb", 0.1, r"neighbouring Cα atoms are 0\.038.? nm apart, ten times too near: its lengths are nm where"),
        ("a.xtc", 4.0, r"in frame 0, counted from 0, the neighbouring Cα atoms 0 and 1 are 1\.\d+ nm apart: make mol"),
    ],
)
def test_lengths_in_another_unit(save, name: str, scale: float, message: str, tmp_path: Path) -> None:
    file = save(name, scale * cloud(3))
    with pytest.raises(ConfigError, match=message):
        read_structures(file, 10, tmp_path / "top.pdb" if name == "a.xtc" else None)


def test_molecules_broken_by_a_box_and_frames_that_are_missing(save, tmp_path: Path) -> None:
    broken, missing, hole = cloud(4), cloud(4), cloud(4)
    broken[2, 6:] += torch.tensor([5.0, 0.0, 0.0])
    missing[3] = 0.0
    hole[1, 4, 2] = torch.nan
    for x, message in (
        (broken, r"in frame 2, counted from 0, the neighbouring Cα atoms 5 and 6 are \S+ nm apart: make molecules who"),
        (missing, "in frame 3, counted from 0, the neighbouring Cα atoms 0 and 1 are 0 nm apart"),
        (hole, "frame 1, counted from 0, is NaN or infinite: mend it or leave it out"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_structures(save("a.dcd", x), 10, tmp_path / "top.pdb")


def test_atoms_that_are_not_the_models(save, tmp_path: Path) -> None:
    file = save("a.xtc", cloud())
    with pytest.raises(ConfigError, match=r"top\.pdb has 10 Cα atoms, but a state of the model has 12: give the same"):
        read_structures(file, 12, tmp_path / "top.pdb")
    with pytest.raises(ConfigError, match=r"top\.pdb has 10 Cα atoms, but a state of the model has 9"):
        read_structures(tmp_path / "top.pdb", 9)
    write_structures(tmp_path, "short", NATIVE[None, :9], SEQUENCE[:9])
    for name in ("a.xtc", "a.dcd"):
        file = save(name, cloud())
        with pytest.raises(ConfigError, match=r"has 10 atoms and its topology \S+short\.pdb 9: give one of the same"):
            read_structures(file, 9, tmp_path / "short.pdb")
    text = (tmp_path / "top.pdb").read_text()
    (tmp_path / "other.pdb").write_text(text.replace(" CA ", " CB "))
    with pytest.raises(ConfigError, match=r"other\.pdb has no Cα among its 10 atoms: they must be there and be named"):
        read_structures(tmp_path / "other.pdb", 10)


@pytest.mark.parametrize("name", ["a.xtc", "a.trr", "a.dcd", "a.nc"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.47, 0.998])
def test_trajectories_that_are_cut_off(save, name: str, share: float, tmp_path: Path) -> None:
    file = save(name, cloud(50))
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ConfigError, match=r"cannot be read.*cut off|is cut off, it holds \d+ of 50 frames") as caught:
        read_structures(file, 10, tmp_path / "top.pdb")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"hello\nworld\n", bytes(range(256)), b"ATOM      1  CA  TYR A   1      "])
@pytest.mark.parametrize("name", ["a.pdb", "a.pdb.gz", "a.gro", "a.cif", "a.xtc", "a.trr", "a.dcd", "a.nc"])
def test_files_that_hold_something_else(save, name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    topology = None if name.startswith(("a.pdb", "a.gro", "a.cif")) else tmp_path / "top.pdb"
    with pytest.raises(ConfigError, match=r"cannot be read|has no Cα|holds no frames") as caught:
        read_structures(tmp_path / name, 10, topology)
    assert "\n" not in str(caught.value)
    assert "NoneType" not in str(caught.value)


def test_a_topology_that_is_none(save, tmp_path: Path) -> None:
    file = save("a.xtc", cloud())
    with pytest.raises(ConfigError, match=r"a\.xtc does not name its atoms: give a topology, such as a PDB of the sam"):
        read_structures(file, 10)
    with pytest.raises(ConfigError, match=r"a\.xtc cannot be read \(The topology is loaded by filename extension"):
        read_structures(file, 10, file)
    with pytest.raises(ConfigError, match=r"none\.pdb: there is no such file of topology"):
        read_structures(file, 10, tmp_path / "none.pdb")
    with pytest.raises(ConfigError, match=r"top\.pdb names its atoms itself: leave out the topology"):
        read_structures(tmp_path / "top.pdb", 10, tmp_path / "top.pdb")


def test_files_that_are_not_there_or_of_no_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pdb: there is no such file of structures, give its path relative to"):
        read_structures(tmp_path / "none.pdb")
    (tmp_path / "a.npy").touch()
    with pytest.raises(ConfigError, match=r"a\.npy is of no kind read here: give PDB, mmCIF or GRO, or XTC"):
        read_structures(tmp_path / "a.npy")


def test_reading_needs_mdtraj(without_mdtraj: None, tmp_path: Path) -> None:
    (tmp_path / "a.pdb").write_text(FULL_PDB)
    with pytest.raises(LeastworkError, match=r"mdtraj is not installed, .*pip install 'leastwork\[protein\]'"):
        read_structures(tmp_path / "a.pdb")


@pytest.mark.parametrize(
    ("x", "sequence", "message"),
    [
        (NATIVE, SEQUENCE, r"guided of shape \(10, 3\) are no structures to write: pass \(n, A, 3\)"),
        (NATIVE[None][:0], SEQUENCE, r"guided of shape \(0, 10, 3\) are no structures to write"),
        (NATIVE[None], SEQUENCE[:9], "9 residues for 10 atoms of guided: give one for each"),
        (NATIVE[None], ("TYRO", *SEQUENCE[1:]), "'TYRO' is no residue of a PDB: give codes of up to three letters"),
        (NATIVE[None], ("", *SEQUENCE[1:]), "'' is no residue of a PDB"),
        (NATIVE[None] / 0, SEQUENCE, "structure 0 of guided is NaN or infinite: it cannot be written"),
        (1e4 * NATIVE[None], SEQUENCE, r"a PDB has no columns for so large a structure: is it in nm\?"),
    ],
)
def test_what_cannot_be_written(x: Tensor, sequence, message: str, tmp_path: Path) -> None:
    with pytest.raises(LeastworkError, match=message):
        write_structures(tmp_path, "guided", x, sequence)
    assert list(tmp_path.iterdir()) == []


def test_guides_are_frames_of_a_trajectory(save, tmp_path: Path) -> None:
    x = cloud()
    file = save("a.xtc", x)
    found = read_points(GuidesConfig(structures=file, topology=tmp_path / "top.pdb"), (10, 3))
    torch.testing.assert_close(found, x, rtol=0, atol=6e-4)
    with pytest.raises(ConfigError, match=r"top\.pdb holds 1 guides: give two at least"):
        read_points(GuidesConfig(structures=tmp_path / "top.pdb"), (10, 3))
    with pytest.raises(ConfigError, match=r"guides: a state of shape \(30,\) is no structure, \(A, 3\)"):
        read_points(GuidesConfig(structures=file, topology=tmp_path / "top.pdb"), (30,))


def test_a_run_takes_its_trajectory_and_topology_with_it(save, tmp_path: Path) -> None:
    save("a.xtc", cloud())
    (tmp_path / "mine.yaml").write_text("model: net\nguides: {structures: a.xtc, topology: top.pdb}\n")
    config = load_config(tmp_path / "mine.yaml")
    assert isinstance(config, PathConfig)
    assert (config.guides.structures, config.guides.topology) == (tmp_path / "a.xtc", tmp_path / "top.pdb")
    moved = copy_inputs(config, tmp_path / "out")
    assert isinstance(moved, PathConfig)
    assert (moved.guides.structures, moved.guides.topology) == (Path("inputs/a.xtc"), Path("inputs/top.pdb"))
    assert (tmp_path / "out" / "inputs" / "a.xtc").read_bytes() == (tmp_path / "a.xtc").read_bytes()


@pytest.mark.parametrize(
    "guides",
    ["{structures: a.xtc, csv: a.csv}", "{topology: a.pdb}", "{csv: a.csv, topology: a.pdb}", "{topology: a, npy: b}"],
)
def test_guides_are_in_one_file(guides: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"model: net\nguides: {guides}\n")
    with pytest.raises(ConfigError, match=r"give csv: FILE with one structure a row, or npy: FILE .* or struct"):
        load_config(tmp_path / "mine.yaml")


def test_a_structure_to_compare_with(save, tmp_path: Path) -> None:
    torch.testing.assert_close(
        read_structure(tmp_path / "top.pdb", (10, 3)), centred(NATIVE[None])[0], rtol=0, atol=1e-4
    )
    np.savetxt(tmp_path / "native.csv", NATIVE.numpy(), delimiter=",", header="x,y,z", comments="")
    torch.testing.assert_close(read_structure(tmp_path / "native.csv", (10, 3)), NATIVE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n4,5\n", r"native\.csv, line 2: 2 numbers, but an atom has 3: give one atom a row"),
        ("1,2,3\n4,5,6\n", r"native\.csv has 2 atoms, but a state of the model has 3: give one a row"),
        ("1,2,3\n4,5,6\n7,8,nan\n", r"native\.csv: the structure is NaN or infinite somewhere: mend it"),
    ],
)
def test_a_csv_that_is_no_structure(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "native.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_structure(tmp_path / "native.csv", (3, 3))


def test_a_structure_that_cannot_be_compared_with(save, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.csv: there is no such file of structures"):
        read_structure(tmp_path / "none.csv", (10, 3))
    with pytest.raises(ConfigError, match=r"observables: a state of shape \(2,\) is no structure"):
        read_structure(tmp_path / "top.pdb", (2,))
    with pytest.raises(ConfigError, match=r"observables: a state of shape \(\(10, 3\), \(10, 3, 3\)\) is no structure"):
        read_structure(tmp_path / "top.pdb", ((10, 3), (10, 3, 3)))
    with pytest.raises(ConfigError, match=r"a\.pdb holds 4 structures: keep the one that is to be compared with"):
        read_structure(save("a.pdb", cloud(4)), (10, 3))

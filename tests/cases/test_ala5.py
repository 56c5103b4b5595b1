"""The alanine pentapeptide: its measured couplings, its backbone, the basins of φ and ψ, and the frames that ship."""

import pytest
import torch
from torch import Tensor

from leastwork.cases import ala5
from leastwork.errors import LeastworkError
from leastwork.observables import evaluate, torsions

MEASURED = {  # Graf et al. 2007, of residues 2 to 5
    "3J(HN,HA)": (5.59, 5.74, 5.98, 6.54),
    "3J(HN,CB)": (2.30, 2.24, 2.14, 1.96),
    "3J(HA,C')": (1.85, 1.86, 1.89, 2.19),
    "3J(HN,C')": (1.13, None, 1.15, 1.16),
    "3J(HN,CA)": (0.67, 0.68, 0.69, 0.73),
    "1J(N,CA)": (11.36, 11.26, 11.25, 11.49),
    "2J(N,CA)": (9.20, 8.55, 8.40, 8.27),
}
SHIPPED = (ala5.DATA / "frames.safetensors").is_file()


def structures(n: int = 200, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 16, 3, generator=random, dtype=torch.float64)


def test_the_measured_couplings_are_those_of_the_paper() -> None:
    rows = {(row.kind, row.residue): row for row in ala5.couplings().rows}
    expected = {
        (kind, residue): value
        for kind, values in MEASURED.items()
        for residue, value in zip(range(2, 6), values, strict=True)
        if value is not None
    }
    assert {key: row.value for key, row in rows.items()} == expected
    assert len(rows) == 27
    assert {row.error for row in rows.values()} == {0.05}


def test_only_two_kinds_are_fitted() -> None:
    fitted = {(row.kind, row.residue) for row in ala5.couplings().rows if not row.held_out}
    assert fitted == {(kind, residue) for kind in ("3J(HN,HA)", "1J(N,CA)") for residue in range(2, 6)}


@pytest.mark.parametrize("karplus", ["vogeli2007", "schmidt1999", "hu1997"])
def test_the_backbone_has_all_that_was_measured(karplus: str) -> None:
    data = ala5.couplings().experiment(ala5.BACKBONE, karplus=karplus)
    assert len(data.fitted) == 8
    assert data.observable(structures(3)).shape == (3, 27)
    assert float(torch.linalg.eigvalsh(data.covariance)[0]) > 0.05**2 - 1e-12


def test_the_backbone_ends_with_the_terminal_oxygen() -> None:
    assert (ala5.BACKBONE.first, ala5.BACKBONE.last) == (1, len(ala5.SEQUENCE))
    assert ala5.BACKBONE.phi(2) == (2, 3, 4, 5)
    assert ala5.BACKBONE.psi(5) == (12, 13, 14, 15)


def test_every_residue_is_in_one_basin() -> None:
    shares = ala5.populations()(structures()).unflatten(1, (4, 5))
    assert torch.equal(shares.sum(dim=2), torch.ones(200, 4, dtype=torch.float64))
    assert (shares.mean(dim=0) > 0).all()
    assert ala5.populations()(structures(2).float()).dtype == torch.float32


@pytest.mark.parametrize(
    ("phi", "psi", "basin"),
    [
        (-75, 145, "PPII"),
        (-75, -150, "PPII"),
        (-60, -45, "alpha_R"),
        (-140, -30, "alpha_R"),
        (-130, 150, "beta"),
        (-170, 170, "beta"),
        (170, 160, "beta"),
        (57, 47, "alpha_L"),
        (60, -150, "other"),
        (170, 0, "other"),
        (-90, 50, "PPII"),
        (-91, 50, "beta"),
        (-90, 49, "alpha_R"),
        (-60, -120, "alpha_R"),
        (-60, -121, "PPII"),
        (0, 0, "alpha_L"),
        (-1, 0, "alpha_R"),
    ],
)
def test_angles_and_their_basins(phi: int, psi: int, basin: str) -> None:
    angles = torch.tensor(float(phi)), torch.tensor(float(psi))
    inside = [name for name, contains in ala5.BASINS.items() if bool(contains(*angles))]
    assert inside == ([] if basin == "other" else [basin])


def test_populations_are_of_the_angles_of_their_residue() -> None:
    x = structures()
    values = evaluate(ala5.populations(), x)
    for residue in range(2, 6):
        phi, psi = (
            torsions([atoms])(x)[:, 0].rad2deg() for atoms in (ala5.BACKBONE.phi(residue), ala5.BACKBONE.psi(residue))
        )
        helix = (phi < 0) & (psi >= -120) & (psi < 50)
        assert torch.equal(values[:, ala5.populations().names.index(f"alpha_R {residue}")], helix.double())


@pytest.mark.skipif(not SHIPPED, reason="the simulation has not been shipped")
def test_the_frames_that_ship_are_peptides() -> None:
    both = ala5.ensembles()
    for x in (both.biased, both.other):
        assert x.shape[1:] == (16, 3)
        assert x.dtype == torch.float32
        bonds = (x[:, 1:] - x[:, :-1]).norm(dim=2)
        assert float(bonds.min()) > 0.11
        assert float(bonds.max()) < 0.18
        phi = torsions([ala5.BACKBONE.phi(i) for i in range(2, 6)])(x)
        assert float((phi < 0).float().mean()) > 0.8  # L-amino acids


@pytest.mark.skipif(not SHIPPED, reason="the simulation has not been shipped")
def test_the_worse_force_field_is_the_one_to_correct() -> None:
    both = ala5.ensembles()
    data = ala5.couplings().experiment(ala5.BACKBONE)
    sigma = data.covariance.diagonal().sqrt()
    chi = [
        float((((evaluate(data.observable, x).mean(dim=0) - data.values) / sigma) ** 2).mean())
        for x in (both.biased, both.other)
    ]
    assert chi[0] > chi[1]


def test_frames_that_are_not_there(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leastwork.cases.ala5.peptide.DATA", tmp_path)
    with pytest.raises(
        LeastworkError, match=r"frames.safetensors: there is no such file: make it with scripts/simulat"
    ):
        ala5.ensembles.__wrapped__()

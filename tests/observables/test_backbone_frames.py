"""Backbone atoms of frames and frames of atoms: places, torsions, gradients, units and messages."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.errors import LeastworkError
from leastwork.geometry.frames import moved, moved_rigidly
from leastwork.geometry.rotations import exp, uniform
from leastwork.observables import Backbone, distances, scalar_couplings, torsions
from leastwork.observables.frames import (
    IDEAL_BACKBONE,
    backbone_atoms,
    check_nanometres,
    frames_of,
    on_alpha_carbons,
    on_frames,
)

SEQUENCE = "".join(IDEAL_BACKBONE)
CHAIN = Backbone.chain(20)


def some_frames(n: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    shift, turn = (torch.randn(n, 20, 3, generator=random, dtype=torch.float64) for _ in range(2))
    return 0.3 * shift, uniform(turn)


def built(phi: list[float], psi: list[float]) -> Tensor:
    """N Cα C′ of a chain with these torsions and ω = 180°, by the bonds and angles of Engh & Huber (1991), nm."""
    lengths, angles = (0.1329, 0.1458, 0.1525), (116.2, 121.7, 111.2)  # C–N, N–CA, CA–C, and angles at C, N, CA
    atoms = [torch.zeros(3), torch.tensor([0.1458, 0.0, 0.0])]
    bend = math.radians(111.2)
    atoms.append(atoms[1] + 0.1525 * torch.tensor([-math.cos(bend), math.sin(bend), 0.0]))
    atoms = [a.double() for a in atoms]
    for i in range(1, len(phi)):
        for k, turn in enumerate((psi[i - 1], math.pi, phi[i])):
            a, b, c = atoms[-3:]
            bc = (c - b) / (c - b).norm()
            normal = torch.linalg.cross(b - a, bc)
            normal = normal / normal.norm()
            bend = math.radians(angles[k])
            along, across = -math.cos(bend), math.sin(bend)
            place = along * bc + across * (math.cos(turn) * torch.linalg.cross(normal, bc) + math.sin(turn) * normal)
            atoms.append(c + lengths[k] * place)
    return torch.stack(atoms)


def test_bonds_and_angles_are_those_of_proteins() -> None:
    n, ca, c = backbone_atoms(some_frames(), SEQUENCE).unflatten(1, (20, 3)).unbind(2)
    assert ((n - ca).norm(dim=2) - 0.146).abs().max() < 0.001
    assert ((c - ca).norm(dim=2) - 0.1525).abs().max() < 0.001
    cosine = ((n - ca) * (c - ca)).sum(dim=2) / (n - ca).norm(dim=2) / (c - ca).norm(dim=2)
    assert (cosine.acos().rad2deg() - 111.2).abs().max() < 2.1  # 113.2 in glycine
    assert torch.equal(ca, some_frames()[0])


def test_frames_of_atoms_and_back() -> None:
    x = some_frames()
    position, rotation = frames_of(backbone_atoms(x, SEQUENCE) + 0.0)
    torch.testing.assert_close(position, x[0])
    torch.testing.assert_close(rotation, x[1])


def test_atoms_move_with_the_structure() -> None:
    x = some_frames()
    turn = exp(torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64))
    shift = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    there = backbone_atoms(moved_rigidly(x, turn, shift), SEQUENCE)
    torch.testing.assert_close(there, backbone_atoms(x, SEQUENCE) @ turn.T + shift)


def test_torsions_of_a_chain_survive_its_ideal_residues() -> None:
    """φ and ψ of a chain built from them, through frames: the angle at Cα is 111.2° here, 109.8° in ideal valine."""
    phi, psi = ([math.radians(a) for a in angles] for angles in ((0, -60, -120, 55, -75), (150, -45, 130, 40, 140)))
    atoms = built(phi, psi)[None]
    chain = Backbone.chain(5)
    quadruples = [chain.phi(i) for i in range(2, 6)] + [chain.psi(i) for i in range(1, 5)]
    wanted = torch.tensor(phi[1:] + psi[:-1], dtype=torch.float64)
    assert (torsions(quadruples)(atoms)[0] - wanted).abs().max() < 1e-6
    for sequence, degrees in (("AKALK", 0.5), ("AVGLK", 4.0)):
        found = on_frames(torsions(quadruples), sequence)(frames_of(atoms))[0]
        assert (found - wanted).abs().max().rad2deg() < degrees


def test_gradients_of_couplings_are_those_of_positions_and_turns() -> None:
    couplings = on_frames(scalar_couplings(CHAIN, [("3J(HN,HA)", i) for i in (2, 9, 20)]), SEQUENCE)
    x = some_frames(3)
    random = torch.Generator().manual_seed(1)
    shift, turn = (torch.randn(3, 20, 3, generator=random, dtype=torch.float64) for _ in range(2))

    def along(s: float | Tensor) -> Tensor:
        return couplings(moved(x, (s * shift, s * turn))).sum()

    s = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(along(s), s)
    assert abs(float(slope) - float(along(1e-5) - along(-1e-5)) / 2e-5) < 1e-4 * max(1.0, abs(float(slope)))


def test_experiments_and_alpha_carbons() -> None:
    data = Experiment(scalar_couplings(CHAIN, [("3J(HN,HA)", 3), ("3J(HN,HA)", 4)]), [5.0, 7.0], [0.3, 0.4])
    moved_data = on_frames(data, SEQUENCE)
    x = some_frames()
    assert moved_data.names == data.names
    assert torch.equal(moved_data.covariance, data.covariance)
    torch.testing.assert_close(moved_data.observable(x), data.observable(backbone_atoms(x, SEQUENCE)))
    ends = distances([(0, 19)])
    torch.testing.assert_close(on_alpha_carbons(ends)(x), ends(x[0]))
    assert on_alpha_carbons(ends) == on_alpha_carbons(replace(ends))


def test_without_a_sequence_residues_are_those_of_alanine() -> None:
    x = some_frames()
    torch.testing.assert_close(backbone_atoms(x), backbone_atoms(x, "A" * 20))
    assert (backbone_atoms(x) - backbone_atoms(x, SEQUENCE)).norm(dim=2).max() < 0.006


def test_angstroms_are_named() -> None:
    atoms = built([0.0, -1.0, -2.0], [2.0, 2.0, 2.0])[None]
    frames_of(atoms)
    with pytest.raises(LeastworkError, match=r"neighbouring Cα atoms are 3\.8\d* nm apart, ten times too far: .* in Å"):
        frames_of(10 * atoms)
    check_nanometres(100 * atoms[:, 1::3])  # of an untrained network: neither


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: backbone_atoms(x[0]), r"state of shape \(4, 20, 3\) has no frames"),
        (lambda x: backbone_atoms(x, "AG"), "a sequence of 2 residues for 20 frames"),
        (lambda x: backbone_atoms(x, "A" * 19 + "X"), "'X' in the sequence is no residue"),
        (lambda x: frames_of(x[0]), "are no backbones: give N, Cα and C′"),
        (lambda x: frames_of(torch.arange(27.0).reshape(1, 9, 3)), "lie on a line"),
    ],
)
def test_what_cannot_be_used(call, words: str) -> None:
    with pytest.raises(LeastworkError, match=words):
        call(some_frames())

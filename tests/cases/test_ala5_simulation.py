"""The pentapeptide of the simulation: its charge, its termini, its handedness and its frames."""

import itertools

import numpy as np
import pytest
import torch

from leastwork.cases.ala5 import simulation as ala5
from leastwork.errors import ConfigError
from leastwork.observables import torsions

openmm = pytest.importorskip("openmm")

N, CA, C = (torch.arange(ala5.RESIDUES) * 3 + k for k in range(3))


@pytest.fixture(params=list(ala5.FORCE_FIELDS))
def simulation(request: pytest.FixtureRequest) -> ala5.Simulation:
    return ala5.Simulation(request.param, seed=3)


def charges(system: "openmm.System", kind: type) -> np.ndarray:
    (force,) = (each for each in system.getForces() if isinstance(each, kind))
    first = [force.getParticleParameters(i)[0] for i in range(system.getNumParticles())]
    return np.array([each.value_in_unit(openmm.unit.elementary_charge) for each in first])


def chiralities(x: np.ndarray) -> np.ndarray:
    """(N − Cα) × (C − Cα) · (Cβ − Cα) of each residue: positive in L."""
    at = {name: x[[ala5.atom(i, name) for i in range(ala5.RESIDUES)]] for name in ("N", "CA", "C", "CB")}
    return (np.cross(at["N"] - at["CA"], at["C"] - at["CA"]) * (at["CB"] - at["CA"])).sum(axis=1)


def test_the_molecule_has_charge_one_and_its_last_residue_none(simulation: ala5.Simulation) -> None:
    first, last = (ala5.atom(i, "N") for i in (1, ala5.RESIDUES - 1))
    for kind in (openmm.NonbondedForce, openmm.GBSAOBCForce):
        charge = charges(simulation.system, kind)
        assert charge.sum() == pytest.approx(1, abs=1e-5)
        assert charge[:first].sum() == pytest.approx(1, abs=1e-5)
        assert charge[last:].sum() == pytest.approx(0, abs=1e-5)


def test_the_carboxyl_group_is_the_one_of_the_force_field_and_has_a_hydrogen() -> None:
    system = ala5.Simulation("ff99sb", seed=3).system
    last = ala5.RESIDUES - 1
    group = [ala5.atom(last, name) for name in ("C", "O", "OXT", "HXT")]
    np.testing.assert_allclose(charges(system, openmm.NonbondedForce)[group], [0.6801, -0.5838, -0.6511, 0.4641])
    rigid = {frozenset(system.getConstraintParameters(k)[:2]) for k in range(system.getNumConstraints())}
    assert frozenset(group[2:]) in rigid
    assert system.getNumConstraints() == 28  # 15 methyl, 5 Hα, 4 amide, 3 of NH3+, 1 of COOH


@pytest.mark.parametrize("start", ala5.STARTS)
def test_built_molecule_has_the_torsions_asked_for_and_only_l_residues(start: tuple[float, float]) -> None:
    x = ala5.built(*start)
    assert x.shape == (ala5.ATOMS, 3) == (54, 3)
    assert chiralities(x).min() > 0.002
    frame = torch.from_numpy(x[list(ala5.BACKBONE)])[None]
    phi = torsions([(i - 1, i, i + 1, i + 2) for i in range(3, 15, 3)])(frame)
    psi = torsions([(i, i + 1, i + 2, i + 3) for i in range(0, 15, 3)])(frame)
    torch.testing.assert_close(phi.rad2deg(), torch.full_like(phi, start[0]))
    torch.testing.assert_close(psi.rad2deg(), torch.full_like(psi, start[1]))
    apart = np.linalg.norm(x[:, None] - x[None], axis=-1) + np.eye(len(x))
    assert apart.min() > 0.09


def test_frames_are_the_backbone_of_a_peptide_with_trans_bonds(simulation: ala5.Simulation) -> None:
    simulation.step(500)
    x = simulation.trajectory(40, 20)
    assert (x.shape, x.dtype) == ((40, 16, 3), torch.float32)
    torch.testing.assert_close(x.mean(dim=1), torch.zeros(40, 3), atol=1e-6, rtol=0)

    def mean_length(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((x[:, a] - x[:, b]).norm(dim=-1).mean())

    assert mean_length(N, CA) == pytest.approx(0.1475, abs=0.003)
    assert mean_length(CA, C) == pytest.approx(0.1548, abs=0.003)
    assert mean_length(C[:-1], N[1:]) == pytest.approx(0.1342, abs=0.003)
    assert mean_length(C[-1:], C[-1:] + 1) == pytest.approx(0.1358, abs=0.004)
    assert mean_length(CA[:-1], CA[1:]) == pytest.approx(0.385, abs=0.01)
    omega = torsions([(i + 1, i + 2, i + 3, i + 4) for i in range(0, 12, 3)])(x)
    assert float(omega.cos().max()) < -0.5
    assert chiralities(simulation.positions).min() > 0.001
    assert simulation.kinetic_temperature == pytest.approx(300, abs=150)


def test_same_seed_same_frames_and_a_run_goes_on_from_where_it_stopped() -> None:
    def run(seed: int) -> tuple[torch.Tensor, ala5.Simulation]:
        simulation = ala5.Simulation("ff99sb", seed)
        return simulation.trajectory(3, 10), simulation

    (x, _), (y, _), (z, last) = (run(seed) for seed in (1, 1, 2))
    torch.testing.assert_close(x, y, atol=0, rtol=0)
    assert float((x - z).abs().max()) > 1e-3
    further = ala5.Simulation("ff99sb", seed=9, start=last.phase)
    np.testing.assert_allclose(further.positions, last.positions, atol=1e-12)
    assert further.energy == pytest.approx(last.energy)


def test_lowered_barriers_lower_the_energy_by_what_the_frames_are_kept_for() -> None:
    for phi, psi in ((-75.0, 145.0), (-60.0, 90.0), (-5.0, 60.0)):
        start = ala5.Phase(torch.from_numpy(ala5.built(phi, psi)), torch.zeros(ala5.ATOMS, 3))
        plain, lowered = (ala5.Simulation("ff99sb", 1, start, lowered=each) for each in (False, True))
        frame = torch.from_numpy(ala5.built(phi, psi)[list(ala5.BACKBONE)])[None]
        energy = ala5.lowering(frame).item() * ala5.BOLTZMANN * ala5.TEMPERATURE
        assert plain.energy - lowered.energy == pytest.approx(energy, rel=1e-6)
        bumps = [
            6 * np.exp(10 * (np.cos(np.radians(phi)) - 1)),
            2 * np.exp(6 * (np.cos(np.radians(psi - 88)) - 1)),
        ]
        assert ala5.lowering(frame).item() == pytest.approx(4 * bumps[0] + 3 * bumps[1], rel=1e-6)


def test_frames_are_kept_as_often_as_they_should_be() -> None:
    frame = torch.from_numpy(ala5.built(-120.0, 125.0)[list(ala5.BACKBONE)])[None]
    expected = (-ala5.lowering(frame)).exp().item()
    assert 0.05 < expected < 0.5
    fraction = len(ala5.kept(frame.expand(20_000, -1, -1), seed=1)) / 20_000
    assert fraction == pytest.approx(expected, abs=4 * (expected / 20_000) ** 0.5)


def test_an_unknown_force_field_is_refused() -> None:
    with pytest.raises(ConfigError, match="no force field 'ff14': there are ff99sb, ff03"):
        ala5.Simulation("ff14", seed=1)


def test_atoms_of_a_frame_are_in_chain_order() -> None:
    names = [*itertools.product(range(ala5.RESIDUES), ("N", "CA", "C")), (ala5.RESIDUES - 1, "OXT")]
    assert tuple(ala5.atom(i, name) for i, name in names) == ala5.BACKBONE

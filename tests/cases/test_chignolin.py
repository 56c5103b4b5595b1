"""The Cα model of chignolin: its measured stability, its energy by hand, and what the simulations left behind."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from leastwork.cases import chignolin
from leastwork.cases.chignolin.markov_committor import chain_features
from leastwork.errors import LeastworkError
from leastwork.observables import end_to_end, radius_of_gyration, torsions

BETA = 1 / (chignolin.BOLTZMANN * chignolin.TEMPERATURE)


def test_stability_is_the_measured_one() -> None:
    """Honda et al. 2008: half is folded at T_m; ΔG(300.15 K) = 47.7 (1 − 300.15/342.8) kJ/mol."""
    assert chignolin.folded_fraction(342.8) == pytest.approx(0.5)
    odds = chignolin.folded_fraction(300.15) / (1 - chignolin.folded_fraction(300.15))
    assert chignolin.BOLTZMANN * 300.15 * math.log(odds) == pytest.approx(47.7 * (1 - 300.15 / 342.8))


@pytest.mark.parametrize("temperature", [200.0, 400.0, math.nan])
def test_a_temperature_without_a_measurement_is_refused(temperature: float) -> None:
    with pytest.raises(LeastworkError, match=r"no measured stability .* K: give 273.15 to 373.15 K"):
        chignolin.folded_fraction(temperature)


def test_native_structure_is_folded_and_its_mirror_image_is_not_native() -> None:
    x = chignolin.NATIVE[None]
    mirror = x * torch.tensor([1.0, 1.0, -1.0], dtype=x.dtype)
    assert bool(chignolin.is_folded(x)[0])
    torch.testing.assert_close(chignolin.native()(mirror), chignolin.native()(x))
    assert float(chignolin.nativeness(mirror)[0]) < 0.2 * float(chignolin.nativeness(x)[0])


def energy(x: Tensor, field: chignolin.ForceField) -> Tensor:
    """U of one structure as the module's docstring has it, kJ/mol, float64."""
    native, n = chignolin.NATIVE, len(chignolin.NATIVE)

    def bonds(y: Tensor) -> Tensor:
        return (y[1:] - y[:-1]).norm(dim=1)

    def angles(y: Tensor) -> Tensor:
        a, b = y[:-2] - y[1:-1], y[2:] - y[1:-1]
        return torch.acos((a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1)))

    chain = torsions([(i, i + 1, i + 2, i + 3) for i in range(n - 3)])
    turned = (chain(x[None]) - chain(native[None]))[0]
    apart = torch.stack([(x[i] - x[j]).norm() for i in range(n) for j in range(i + 3, n)])
    return (
        0.5 * field.bond * (bonds(x) - bonds(native)).square().sum()
        + 0.5 * field.angle * (angles(x) - angles(native)).square().sum()
        + (field.torsion[0] * (1 - turned.cos()) + field.torsion[1] * (1 - (3 * turned).cos())).sum()
        + (field.repulsion * (field.radius / apart) ** 12).sum()
        - field.contacts * chignolin.nativeness(x[None])[0]
    )


def structure(seed: int) -> Tensor:
    noise = torch.randn(chignolin.NATIVE.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return chignolin.NATIVE + 0.03 * noise


def test_simulation_has_the_energy_and_the_forces_of_the_formula() -> None:
    pytest.importorskip("openmm")
    from leastwork.cases.chignolin.simulation import Simulation

    simulation = Simulation(chignolin.BIASED, seed=1)
    for seed in range(3):
        x = structure(seed).requires_grad_()
        simulation.place(x.detach())
        expected = energy(x, chignolin.BIASED)
        (gradient,) = torch.autograd.grad(expected, x)
        assert simulation.energy == pytest.approx(float(expected.detach()), rel=1e-6)
        np.testing.assert_allclose(simulation.forces, -gradient.numpy(), rtol=1e-4, atol=1e-3)


def test_simulation_repeats_itself() -> None:
    pytest.importorskip("openmm")
    from leastwork.cases.chignolin.simulation import Simulation

    one, two, other = (Simulation(chignolin.BIASED, seed).trajectory(3, 50) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.mean(dim=1).abs().max() < 1e-6


def test_without_openmm_only_the_simulation_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from leastwork.cases.chignolin.simulation import Simulation

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("leastwork.support.extras.import_module", missing)
    with pytest.raises(LeastworkError, match=r"openmm is not installed.*pip install 'leastwork\[protein\]'"):
        Simulation(chignolin.BIASED, seed=1)
    assert len(chignolin.ensembles().biased) == 20_000


@pytest.mark.parametrize("name", ["biased", "reference"])
def test_shipped_frames_are_a_fair_share_of_the_trajectory(name: str) -> None:
    """Thinned frames have the averages of the whole; z = 5, with the standard errors of the blocks."""
    found = chignolin.ensembles()
    x: Tensor = getattr(found, name)
    record = found.record[name]
    assert x.shape == (20_000, 10, 3)
    assert x.mean(dim=1).abs().max() < 1e-4
    for key, fn in (
        ("folded", chignolin.folded()),
        ("radius_of_gyration_nm", radius_of_gyration()),
        ("end_to_end_nm", end_to_end()),
    ):
        assert abs(float(fn(x).double().mean()) - record[key]["mean"]) < 5 * record[key]["stderr"]


def test_force_fields_are_calibrated_and_have_two_states() -> None:
    """Folded as often as measured, z = 5; hundreds of transitions over a barrier of 2 k_BT or more from either side."""
    record = chignolin.ensembles().record
    reference, biased = record["reference"], record["biased"]
    measured = chignolin.folded_fraction(chignolin.TEMPERATURE)
    assert abs(reference["folded"]["mean"] - measured) < 5 * reference["folded"]["stderr"]
    assert 0.10 <= biased["folded"]["mean"] <= 0.20
    for one in (reference, biased):
        assert one["transitions"] >= 500
        assert min(one["barriers"]["from_folded"], one["barriers"]["from_unfolded"]) >= 2
    assert record["contacts_kJ_mol"] == {"biased": chignolin.BIASED.contacts, "reference": chignolin.REFERENCE.contacts}


def test_biased_frames_reweighted_by_the_energy_are_the_reference() -> None:
    """The force fields differ in E alone: w = exp(β ΔE (QT)^p) takes one to the other, z = 5."""
    found = chignolin.ensembles()
    x, more = found.biased, chignolin.REFERENCE.contacts - chignolin.BIASED.contacts
    weight = torch.softmax(BETA * more * chignolin.nativeness(x).double(), dim=0)
    folded = float(weight @ chignolin.folded()(x)[:, 0].double())
    record = found.record
    p = record["biased"]["folded"]
    stretch = record["reference"]["folded"]["mean"] * (1 - record["reference"]["folded"]["mean"])
    error = stretch * p["stderr"] / (p["mean"] * (1 - p["mean"]))  # of a population, through its log-odds
    assert abs(folded - record["reference"]["folded"]["mean"]) < 5 * math.hypot(
        error, record["reference"]["folded"]["stderr"]
    )


def test_committor_goes_from_unfolded_to_folded() -> None:
    x = chignolin.ensembles().biased
    q, Q = chignolin.committor()(x), chignolin.native()(x)[:, 0]
    assert float(chignolin.committor()(chignolin.NATIVE[None].float())) == pytest.approx(0.999, abs=1e-4)  # its bound
    assert float(q[Q < 0.15].mean()) < 0.02
    assert float(q[Q > 0.9].mean()) > 0.9
    inside = chignolin.transition_region()(x)
    record = chignolin.ensembles().record["biased"]["transition_region"]
    assert abs(float(inside.double().mean()) - record["mean"]) < 5 * record["stderr"] * math.sqrt(2)


def test_features_do_not_mind_where_a_structure_lies_but_know_its_mirror_image() -> None:
    x = structure(0)[None]
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)
    torch.testing.assert_close(chain_features(x @ turn + 1), chain_features(x))
    assert (chain_features(-x) - chain_features(x)).abs().max() > 0.1

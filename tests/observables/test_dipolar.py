"""Residual dipolar couplings: moments, the sign and size of D, fitted tensors, and what is refused."""

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.data.functions import LinearModel
from leastwork.errors import LeastworkError
from leastwork.observables import (
    Backbone,
    bond_tensors,
    evaluate,
    residual_couplings,
)
from leastwork.observables.dipolar import BONDS

CHAIN = Backbone.chain(6)
ALL = [(bond, i) for bond in ("N-H", "CA-HA", "CA-C", "C-N") for i in range(2, 6)]
NAMES = [bond for bond, _ in ALL]
TENSOR = torch.tensor([3e-4, -5e-4, 2e-4, 1e-4, -4e-4], dtype=torch.float64)


def backbones(n: int = 4, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    step = torch.randn(18, 3, generator=random, dtype=torch.float64)
    chain = (0.15 * step / step.norm(dim=1, keepdim=True)).cumsum(dim=0)
    return chain + 0.01 * torch.randn(n, 18, 3, generator=random, dtype=torch.float64)


def turned(x: Tensor, seed: int) -> Tensor:
    """Each structure by a rotation of its own."""
    q = torch.linalg.qr(torch.randn(len(x), 3, 3, generator=torch.Generator().manual_seed(seed)).double())[0]
    return x @ (q * torch.linalg.det(q)[:, None, None]).mT + 1.0


def test_the_largest_couplings() -> None:
    """N–H of 1.04 Å has 21.6 kHz, and its sign is that of −γ_N; the others follow by γ and r⁻³."""
    assert BONDS["N-H"] == pytest.approx(21_660, rel=2e-3)
    assert BONDS["CA-HA"] < 0
    of_carbon = 6.728284 / 26.752219
    assert BONDS["CA-C"] == pytest.approx(-21_660 * of_carbon * 6.728284 / 2.712618 * (1.04 / 1.526) ** 3, rel=3e-3)
    assert BONDS["C-N"] == pytest.approx(21_660 * of_carbon * (1.04 / 1.329) ** 3, rel=3e-3)


def test_a_bond_along_an_axis() -> None:
    x = torch.tensor([[[0.0, 0.1, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.2]]])
    found = bond_tensors(Backbone.chain(1), [("CA-C", 1)])(x)
    torch.testing.assert_close(found, torch.tensor([[-1.0, -1.0, 0.0, 0.0, 0.0]]) * BONDS["CA-C"])
    axial = residual_couplings(Backbone.chain(1), [("CA-C", 1)], [-5e-4, -5e-4, 0, 0, 0])(x)
    assert float(axial) == pytest.approx(BONDS["CA-C"] * 1e-3)


def test_couplings_are_linear_in_the_averages() -> None:
    x = backbones()
    direct = residual_couplings(CHAIN, ALL, TENSOR.tolist())(x)
    average = bond_tensors(CHAIN, ALL)(x).mean(dim=0)
    torch.testing.assert_close(LinearModel()(average, TENSOR), direct.mean(dim=0), rtol=1e-10, atol=1e-10)


def test_structures_are_laid_on_the_reference() -> None:
    x = backbones()
    fixed = residual_couplings(CHAIN, ALL, TENSOR.tolist(), reference=x[0])
    torch.testing.assert_close(fixed(turned(x, 1)), fixed(x), rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(fixed(x)[0], residual_couplings(CHAIN, ALL, TENSOR.tolist())(x)[0], rtol=1e-8, atol=1e-9)


def test_derivatives_go_through_the_turn() -> None:
    x = backbones(1)
    observable = residual_couplings(CHAIN, ALL[:3], TENSOR.tolist(), reference=x[0])
    assert torch.autograd.gradcheck(observable, turned(backbones(1, 5), 2).requires_grad_(), atol=1e-5)


def test_an_unknown_tensor_is_found_again() -> None:
    """The model's own averages are met by the tensor that made the data, with λ = 0."""
    x = backbones(60)
    moments = bond_tensors(CHAIN, ALL)
    observed = evaluate(moments, x)
    values = LinearModel()(observed.mean(dim=0), TENSOR)
    unknowns = dict.fromkeys(("xx", "yy", "xy", "xz", "yz"), 0.0)
    data = lw.Indirect(moments, LinearModel(), tuple(map(str, ALL)), values, 0.5, parameters=unknowns)
    fit = lw.fit_indirect(observed, data)
    found = [fit.parameters[name].value for name in unknowns]
    assert found == pytest.approx(TENSOR.tolist(), rel=1e-6)
    assert float(fit.maxent.lambdas.abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("bonds", "message"),
    [
        ([], "there are no bonds"),
        ([("C-H", 2)], "no bond 'C-H': known are N-H"),
        ([("N-H", 9)], "no residue 9: the chain has residues 1 to 6"),
        ([("N-H", 1)], "the first, has no direction"),
        ([("C-N", 6)], "the last, has no N"),
        ([("N-H", 2), ("N-H", 2)], "stands twice"),
    ],
)
def test_bonds_that_cannot_be_are_refused(bonds: list, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        bond_tensors(CHAIN, bonds)


def test_a_tensor_is_five_numbers() -> None:
    with pytest.raises(LeastworkError, match="S_xx, S_yy"):
        residual_couplings(CHAIN, ALL, [1e-3, 0, 0])

"""Labels: Cβ, efficiencies with and without spread, relaxation, and what is refused; all against closed forms."""

import math
import pickle

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables import (
    Backbone,
    beta_distances,
    distances,
    fret,
    fret_error,
    pre_rates,
)
from leastwork.observables.built_atoms import alpha_hydrogen, amide_hydrogen, beta_carbon

FIVE = Backbone.chain(5, first=3)


def at(length: float) -> Tensor:
    return torch.tensor([[[0.0, 0.0, 0.0], [length, 0.0, 0.0]]], dtype=torch.float64)


def backbones(n: int = 3, residues: int = 5) -> Tensor:
    """Random backbones with bonds of 0.15 nm."""
    step = torch.randn(n, 3 * residues, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (0.15 * step / step.norm(dim=2, keepdim=True)).cumsum(dim=1)


def angle(a: Tensor, b: Tensor) -> Tensor:
    return torch.rad2deg(torch.acos((a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))))


def test_built_atoms_make_a_tetrahedron_and_a_plane() -> None:
    half = math.radians(109.4712) / 2
    n = 0.146 * torch.tensor([math.sin(half), 0.0, math.cos(half)], dtype=torch.float64)
    ca, c = torch.zeros(3, dtype=torch.float64), 0.153 * torch.tensor([-math.sin(half), 0.0, math.cos(half)]).double()
    beta, alpha = beta_carbon(n, ca, c), alpha_hydrogen(n, ca, c)
    assert float(beta.norm()) == pytest.approx(0.153)
    assert float(alpha.norm()) == pytest.approx(0.109)
    for one, other in ((beta, n), (beta, c), (alpha, n), (alpha, c), (alpha, beta)):
        assert float(angle(one, other)) == pytest.approx(109.4712, abs=1e-3)
    # the linear formula for L residues that networks for structures use, in the edges N–Cα and Cα–C′
    linear = torch.linalg.cross(ca - n, c - ca) * -5.8273431 + 0.56802827 * (ca - n) - 0.54067466 * (c - ca) + ca
    assert float((beta - linear).norm()) < 0.01
    h = amide_hydrogen(torch.tensor([1.0, 0.0, 0.0]), torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]))
    torch.testing.assert_close(h, -0.101 / math.sqrt(2) * torch.tensor([1.0, 1.0, 0.0]))


def test_distances_of_beta_carbons() -> None:
    x = backbones()
    n, ca, c = (x[:, k::3] for k in range(3))
    beta = beta_carbon(n, ca, c)
    expected = torch.stack([(beta[:, 0] - beta[:, 4]).norm(dim=1), (beta[:, 1] - beta[:, 2]).norm(dim=1)], dim=1)
    observable = beta_distances(FIVE, [(3, 7), (4, 5)], sequence="AAAAA")
    torch.testing.assert_close(observable(x), expected)
    torch.testing.assert_close(beta_distances(FIVE, [(3, 7), (4, 5)], unit="Å")(10 * x), expected)
    assert torch.autograd.gradcheck(observable, backbones(1).requires_grad_())


@pytest.mark.parametrize("length", [1.0, 5.0, 9.0])
def test_labels_that_sit_still(length: float) -> None:
    assert float(fret(distances([(0, 1)]), 5.4)(at(length))) == pytest.approx(1 / (1 + (length / 5.4) ** 6), rel=1e-12)


@pytest.mark.parametrize("length", [2.0, 5.0, 8.0])
def test_a_spread_is_averaged_over(length: float) -> None:
    """Against 200,000 displacements of both labels, five standard errors; the false-alarm rate is 6e-7."""
    random = torch.Generator().manual_seed(1)
    moved = at(length) + 0.4 * torch.randn(200_000, 2, 3, generator=random, dtype=torch.float64)
    many = fret(distances([(0, 1)]), 5.4)(moved)[:, 0]
    found = float(fret(distances([(0, 1)]), 5.4, spread=0.4)(at(length)))
    assert abs(found - float(many.mean())) < 5 * float(many.std()) / 200_000**0.5
    assert float(fret(distances([(0, 1)]), 5.4, spread=1e-4)(at(length))) == pytest.approx(
        float(fret(distances([(0, 1)]), 5.4)(at(length))), rel=1e-6
    )


def test_the_error_of_the_radius_is_that_of_finite_differences() -> None:
    low, high = (float(fret(distances([(0, 1)]), 5.4 * factor)(at(5.0))) for factor in (1 - 1e-5, 1 + 1e-5))
    middle = fret(distances([(0, 1)]), 5.4)(at(5.0))
    assert float(fret_error(middle, 0.07)) == pytest.approx(0.07 * (high - low) / 2e-5, rel=1e-6)


def test_relaxation_is_that_of_solomon_and_bloembergen() -> None:
    tau, omega = 4e-9, 2 * math.pi * 6e8
    constants = 0.75 * (2.6752218744e8 * 2.00231930 * 9.2740100783e-24 * 1e-7) ** 2 / 15 * 1e54
    expected = constants / 1.5**6 * (4 * tau + 3 * tau / (1 + (omega * tau) ** 2))
    rate = pre_rates(distances([(0, 1)]), 4.0, 600.0)(at(1.5))
    assert float(rate) == pytest.approx(expected, rel=1e-3)


def test_they_are_differentiable_and_pickle() -> None:
    for observable in (fret(distances([(0, 1)]), 5.4, 0.3), pre_rates(distances([(0, 1)]), 4.0, 600.0)):
        assert torch.autograd.gradcheck(observable, at(4.0).requires_grad_())
        assert pickle.loads(pickle.dumps(observable)) == observable


@pytest.mark.parametrize(
    ("pairs", "sequence", "message"),
    [
        ([], None, "there are no pairs"),
        ([(3, 3)], None, "paired with itself"),
        ([(2, 5)], None, "there is no residue 2: the chain has residues 3 to 7"),
        ([(3, 7)], "AAAAG", "residue 7 is glycine, which has no Cβ for a label: put the label at its Cα"),
        ([(3, 7)], "AAA", "a sequence of 3 residues for 5"),
    ],
)
def test_labels_that_cannot_be_are_refused(pairs: list, sequence: str | None, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        beta_distances(FIVE, pairs, sequence)


def test_numbers_that_cannot_be_are_refused() -> None:
    length = distances([(0, 1)])
    for call in (
        lambda: fret(length, 0.0),
        lambda: fret(length, 5.0, -1.0),
        lambda: pre_rates(length, 0.0, 600.0),
        lambda: pre_rates(length, 4.0, math.inf),
        lambda: beta_distances(FIVE, [(3, 4)], unit="pm"),
    ):
        with pytest.raises(LeastworkError):
            call()

"""Distances, the end-to-end distance and the radius of gyration against their formulas, and what is refused."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables import Observable, distances, end_to_end, radius_of_gyration
from leastwork.observables.distances import atoms_of

PAIRS = [(0, 5), (6, 2), (3, 4)]
MASSES = [1.0, 12.0, 16.0, 0.0, 14.0, 12.5, 1.0]
ALL = [
    distances(PAIRS),
    end_to_end(),
    radius_of_gyration(),
    radius_of_gyration(MASSES),
]


def structures(n: int = 5, atoms: int = 7, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    shift = torch.randn(n, 1, 3, generator=random, dtype=torch.float64)
    return torch.randn(n, atoms, 3, generator=random, dtype=torch.float64) + 3 * shift


def moved(x: Tensor, seed: int = 1) -> Tensor:
    """Turned by a proper rotation of its own, and shifted."""
    random = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(len(x), 3, 3, generator=random, dtype=torch.float64)).Q
    q = q * torch.linalg.det(q)[:, None, None]
    return x @ q + torch.randn(len(x), 1, 3, generator=random, dtype=torch.float64)


def test_distances_are_those_of_numpy() -> None:
    x = structures()
    by_hand = [[np.sqrt(sum((s[i, k] - s[j, k]) ** 2 for k in range(3))) for i, j in PAIRS] for s in x.numpy()]
    found = distances(PAIRS)(x)
    torch.testing.assert_close(found, torch.tensor(by_hand, dtype=torch.float64), rtol=1e-14, atol=0)
    assert distances(PAIRS).names == ("d(0,5)", "d(6,2)", "d(3,4)")
    assert distances(PAIRS, unit="Å").units == ("Å", "Å", "Å")
    ends = np.linalg.norm(x[:, 6].numpy() - x[:, 0].numpy(), axis=1)
    assert end_to_end()(x)[:, 0].numpy() == pytest.approx(ends, rel=1e-14)


def test_the_radius_of_gyration_is_half_the_mean_squared_distance_of_all_pairs() -> None:
    """R_g² = Σ_ij m_i m_j |x_i − x_j|²/2(Σ m)²: no centre of mass in it."""
    x = structures()
    for masses in (None, MASSES):
        m = torch.tensor([1.0] * 7 if masses is None else masses, dtype=torch.float64)
        squared = (x[:, :, None] - x[:, None]).square().sum(dim=3)
        expected = ((m[:, None] * m * squared).sum(dim=(1, 2)) / 2).sqrt() / m.sum()
        found = radius_of_gyration(masses)(x)[:, 0]
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
        torch.testing.assert_close(radius_of_gyration(masses)(x.float())[:, 0], expected.float(), rtol=1e-5, atol=0)


def test_the_radius_of_gyration_is_that_of_mdtraj() -> None:
    md = pytest.importorskip("mdtraj")
    x = structures()
    topology = md.Topology()
    chain = topology.add_chain()
    for i in range(7):
        topology.add_atom("CA", md.element.carbon, topology.add_residue("GLY", chain, i + 1))
    frames = md.Trajectory(x.numpy(), topology)
    expected = torch.from_numpy(md.compute_rg(frames))  # its form with masses is about the centroid of all alike
    torch.testing.assert_close(radius_of_gyration()(x)[:, 0], expected.double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("observable", ALL)
def test_derivatives_are_those_of_finite_differences(observable: Observable) -> None:
    x = structures(3).requires_grad_()
    assert torch.autograd.gradcheck(observable, x)
    assert torch.autograd.gradgradcheck(observable, x)


@pytest.mark.parametrize("observable", ALL)
def test_motion_and_mirror_change_nothing(observable: Observable) -> None:
    x = structures()
    for other in (moved(x), -x):
        torch.testing.assert_close(observable(other), observable(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize("observable", ALL)
def test_precision_is_kept_and_values_pickle(observable: Observable) -> None:
    x = structures()
    assert observable(x).dtype == torch.float64
    assert observable(x.float()).dtype == torch.float32
    assert pickle.loads(pickle.dumps(observable)) == observable
    assert copy.deepcopy(observable) == observable


@pytest.mark.parametrize("observable", ALL)
def test_a_length_of_zero_has_a_finite_gradient(observable: Observable) -> None:
    x = torch.zeros(2, 7, 3, requires_grad=True)
    values = observable(x)
    values.sum().backward()
    assert torch.equal(values, torch.zeros_like(values))
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "there are no pairs of atoms: give at least one"),
        ([(1, 1)], r"\(1, 1\) are not 2 different atoms: give pairs of atom numbers, from 0"),
        ([(0, 1, 2)], r"\(0, 1, 2\) are not 2 different atoms"),
        ([(0, -1)], r"\(0, -1\) are not 2 different atoms: give pairs of atom numbers, from 0"),
        ([(0, 1), (2, 3), (0, 1)], r"\(0, 1\) stands 2 times among the pairs: keep one of them"),
        ([(0, 1.5)], "pairs must be lists of 2 atom numbers: whole ones, from 0"),
        ([0, 1], "pairs must be lists of 2 atom numbers"),
    ],
)
def test_pairs_that_are_none(pairs, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        distances(pairs)


def test_numbers_of_numpy_and_torch_are_atom_numbers() -> None:
    assert atoms_of(np.array([[0, 1]]), 2, "pairs") == ((0, 1),)  # type: ignore[arg-type]
    assert distances(torch.tensor([[4, 3]])).names == ("d(4,3)",)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (torch.zeros(2, 5, 3), "a structure of 5 atoms has no atom 6: they are counted from 0"),
        (torch.zeros(2, 7), r"a state of shape \(7,\) is no structure: this needs atoms in space, \(A, 3\)"),
        (torch.zeros(2, 7, 2), r"a state of shape \(7, 2\) is no structure"),
        ((torch.zeros(2, 7, 3), torch.zeros(2, 7, 3, 3)), "a state of several parts is no structure"),
    ],
)
def test_states_that_are_no_structures(state, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        distances(PAIRS)(state)


@pytest.mark.parametrize("masses", [[], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_masses_that_are_none(masses: list[float]) -> None:
    with pytest.raises(LeastworkError, match="masses must be numbers from 0 on, not all of them 0"):
        radius_of_gyration(masses)


def test_masses_are_one_for_each_atom() -> None:
    with pytest.raises(LeastworkError, match="7 masses for 5 atoms: give one for each"):
        radius_of_gyration(MASSES)(structures(atoms=5))

"""The deviation after alignment against numpy's singular value decomposition, mdtraj and finite differences."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from leastwork.cases.chignolin.folding import NATIVE
from leastwork.errors import LeastworkError
from leastwork.observables import rmsd


def kabsch(x: np.ndarray, y: np.ndarray) -> float:
    """One structure on another, the textbook way."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    left, _, right = np.linalg.svd(x.T @ y)
    turn = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    return float(np.sqrt(((x - y @ turn.T) ** 2).sum() / len(x)))


def around(noise: float, n: int = 6, seed: int = 0) -> Tensor:
    """Variants of the native structure, moved and turned."""
    random = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(n, 3, 3, generator=random, dtype=torch.float64)).Q
    q = q * torch.linalg.det(q)[:, None, None]
    x = NATIVE + noise * torch.randn(n, *NATIVE.shape, generator=random, dtype=torch.float64)
    return x @ q + torch.randn(n, 1, 3, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("noise", [1e-6, 0.01, 0.2, 2.0])
def test_deviations_are_those_of_kabsch(noise: float) -> None:
    x = around(noise)
    expected = torch.tensor([[kabsch(s, NATIVE.numpy())] for s in x.numpy()], dtype=torch.float64)
    torch.testing.assert_close(rmsd(NATIVE)(x), expected, rtol=1e-7, atol=0)
    single = rmsd(NATIVE)(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-6)


def test_deviations_are_those_of_mdtraj() -> None:
    md = pytest.importorskip("mdtraj")
    x = around(0.2, 20)
    topology = md.Topology()
    chain = topology.add_chain()
    for i in range(len(NATIVE)):
        topology.add_atom("CA", md.element.carbon, topology.add_residue("GLY", chain, i + 1))
    expected = md.rmsd(md.Trajectory(x.numpy(), topology), md.Trajectory(NATIVE.numpy(), topology))
    torch.testing.assert_close(rmsd(NATIVE)(x)[:, 0].float(), torch.from_numpy(expected), rtol=0, atol=1e-4)


def test_motion_changes_nothing_and_a_mirror_image_is_far() -> None:
    x = around(0.1)
    turned = x.roll(1, dims=2) + 3.0  # a proper rotation
    torch.testing.assert_close(rmsd(NATIVE)(turned), rmsd(NATIVE)(x), rtol=1e-12, atol=0)
    torch.testing.assert_close(rmsd(NATIVE @ torch.eye(3).double().roll(1, 0))(x), rmsd(NATIVE)(x), rtol=1e-12, atol=0)
    assert float(rmsd(NATIVE)(-NATIVE[None])) > 0.1


@pytest.mark.parametrize("noise", [0.01, 0.2, 2.0])
def test_derivatives_are_those_of_finite_differences(noise: float) -> None:
    """The second ones, too: a schedule is fitted by differentiating the guidance."""
    x = around(noise, 3).requires_grad_()
    assert torch.autograd.gradcheck(rmsd(NATIVE), x)
    assert torch.autograd.gradgradcheck(rmsd(NATIVE), x)


def test_the_gradient_has_no_net_force_and_no_torque_and_is_of_size_one() -> None:
    """|∇RMSD| = 1/√A, as of every distance in units of √A."""
    x = around(0.2).requires_grad_()
    (slope,) = torch.autograd.grad(rmsd(NATIVE)(x).sum(), x)
    sizes = torch.linalg.vector_norm(slope, dim=(1, 2))
    torch.testing.assert_close(sizes, torch.full_like(sizes, len(NATIVE) ** -0.5), rtol=1e-9, atol=0)
    assert float(slope.sum(dim=1).abs().max()) < 1e-12
    assert float(torch.linalg.cross(x.detach(), slope).sum(dim=1).abs().max()) < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_the_reference_itself_the_gradient_stays_bounded(dtype: torch.dtype) -> None:
    """The deviation has a kink there."""
    x = around(0.0).to(dtype).requires_grad_()
    values = rmsd(NATIVE)(x)
    (slope,) = torch.autograd.grad(values.sum(), x)
    assert float(values.detach().max()) < (1e-6 if dtype == torch.float32 else 1e-14)
    assert bool(slope.isfinite().all())
    assert float(torch.linalg.vector_norm(slope, dim=(1, 2)).max()) < 1.01 * len(NATIVE) ** -0.5


def test_where_no_rotation_is_the_best_the_deviation_is_still_right() -> None:
    """Points on a line, all at one place, and a tetrahedron that is its own mirror image but for two corners."""
    line = torch.linspace(0, 1, 4, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, 2.0]).double()
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    x = torch.stack([line, torch.zeros_like(line), -corners]).requires_grad_()
    values = rmsd(corners)(x)
    expected = [[kabsch(s, corners.numpy())] for s in x.detach().numpy()]
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=0)
    (slope,) = torch.autograd.grad(values.sum(), x)
    assert bool(slope.isfinite().all())
    assert float(torch.linalg.vector_norm(slope, dim=(1, 2)).max()) < 1.01 / 2


def test_many_samples_are_aligned_in_blocks() -> None:
    x = around(0.2, 1100)
    torch.testing.assert_close(rmsd(NATIVE)(x)[1050:], rmsd(NATIVE)(x[1050:]), rtol=1e-12, atol=0)


def test_a_reference_pickles_and_copies() -> None:
    x = around(0.2)
    observable = rmsd(NATIVE, unit="Å")
    assert (observable.names, observable.units) == (("RMSD",), ("Å",))
    for other in (pickle.loads(pickle.dumps(observable)), copy.deepcopy(observable)):
        assert torch.equal(other(x), observable(x))


def test_structures_that_cannot_be_compared() -> None:
    with pytest.raises(LeastworkError, match=r"a reference of shape \(2, 3\) has no deviation: pass \(A, 3\), A >= 3"):
        rmsd(NATIVE[:2])
    with pytest.raises(LeastworkError, match=r"a reference of shape \(1, 10, 3\) has no deviation"):
        rmsd(NATIVE[None])
    with pytest.raises(LeastworkError, match="the reference structure is NaN or infinite somewhere: mend it"):
        rmsd(NATIVE / 0)
    with pytest.raises(LeastworkError, match="a structure of 9 atoms has no RMSD from one of 10"):
        rmsd(NATIVE)(torch.zeros(2, 9, 3))
    with pytest.raises(LeastworkError, match=r"a state of shape \(30,\) is no structure"):
        rmsd(NATIVE)(torch.zeros(2, 30))

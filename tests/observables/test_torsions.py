"""Torsions against mdtraj and against rotations about an axis, their handedness, and smoothness across ±π."""

import math
import pickle

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables import Observable, cosines_and_sines, pseudo_torsions, torsions

QUADRUPLES = [(0, 1, 2, 3), (5, 2, 0, 4)]
ALL = [torsions(QUADRUPLES), cosines_and_sines(QUADRUPLES), pseudo_torsions(6)]


def structures(n: int = 5, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, 3, generator=random, dtype=torch.float64) + 2.0


def twisted(angle: Tensor) -> Tensor:
    """Four atoms with a torsion of so much, (n, 4, 3): seen along the axis, the last turns clockwise from the first."""
    n, zero = len(angle), torch.zeros_like(angle)
    first = torch.tensor([1.0, 0.0, -0.3], dtype=torch.float64).expand(n, 3)
    axis = torch.tensor([0.0, 0.0, 1.3], dtype=torch.float64).expand(n, 3)
    last = torch.stack([angle.cos(), angle.sin(), zero + 1.9], dim=1)  # seen from −z, where +y is clockwise of +x
    return torch.stack([first, torch.zeros(n, 3, dtype=torch.float64), axis, last], dim=1)


def test_a_torsion_is_the_angle_of_a_turn_about_the_axis() -> None:
    angle = torch.linspace(-3.1, 3.1, 41, dtype=torch.float64)
    x = twisted(angle)
    torch.testing.assert_close(torsions([(0, 1, 2, 3)])(x)[:, 0], angle, rtol=0, atol=1e-14)
    both = torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(cosines_and_sines([(0, 1, 2, 3)])(x), both, rtol=0, atol=1e-14)


def test_torsions_are_those_of_mdtraj() -> None:
    md = pytest.importorskip("mdtraj")
    x = structures(50)
    topology = md.Topology()
    chain = topology.add_chain()
    for i in range(6):
        topology.add_atom("CA", md.element.carbon, topology.add_residue("GLY", chain, i + 1))
    frames = md.Trajectory(x.numpy(), topology)
    expected = torch.from_numpy(md.compute_dihedrals(frames, QUADRUPLES))
    torch.testing.assert_close(torsions(QUADRUPLES)(x).float(), expected, rtol=0, atol=1e-4)
    single = torsions(QUADRUPLES)(x.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("observable", ALL)
def test_derivatives_are_those_of_finite_differences(observable: Observable) -> None:
    x = structures(3).requires_grad_()
    assert torch.autograd.gradcheck(observable, x)
    assert torch.autograd.gradgradcheck(observable, x)


def test_cosines_and_sines_are_smooth_where_the_angle_jumps() -> None:
    x = twisted(torch.tensor([math.pi - 1e-9, math.pi, -math.pi + 1e-9], dtype=torch.float64)).requires_grad_()
    values = cosines_and_sines([(0, 1, 2, 3)])(x)
    (slope,) = torch.autograd.grad(values.sum(), x)
    for other in (values.detach(), slope):
        torch.testing.assert_close(other[0], other[2], rtol=0, atol=1e-8)
    assert torch.autograd.gradcheck(cosines_and_sines([(0, 1, 2, 3)]), x)


def test_motion_changes_nothing_and_a_mirror_the_sign() -> None:
    x = structures()
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    q = q * torch.linalg.det(q)
    for observable in ALL:
        torch.testing.assert_close(observable(x @ q + 7.0), observable(x), rtol=0, atol=1e-12)
        assert pickle.loads(pickle.dumps(observable)) == observable
    torch.testing.assert_close(ALL[0](-x), -ALL[0](x), rtol=0, atol=1e-14)
    flipped = torch.tensor([1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(ALL[1](-x), flipped * ALL[1](x), rtol=0, atol=1e-14)


def test_names_and_units() -> None:
    assert ALL[0].names == ("φ(0,1,2,3)", "φ(5,2,0,4)")
    assert ALL[0].units == ("rad", "rad")
    assert ALL[1].names == ("cos φ(0,1,2,3)", "cos φ(5,2,0,4)", "sin φ(0,1,2,3)", "sin φ(5,2,0,4)")
    assert ALL[1].units == ("",) * 4
    assert ALL[2].names == ("φ(0,1,2,3)", "φ(1,2,3,4)", "φ(2,3,4,5)")


@pytest.mark.parametrize(
    ("quadruples", "message"),
    [
        ([], "there are no quadruples of atoms"),
        ([(0, 1, 2)], r"\(0, 1, 2\) are not 4 different atoms: give quadruples of atom numbers, from 0"),
        ([(0, 1, 2, 1)], r"\(0, 1, 2, 1\) are not 4 different atoms"),
        ([(0, 1, 2, 3), (0, 1, 2, 3)], r"\(0, 1, 2, 3\) stands 2 times among the quadruples"),
    ],
)
def test_quadruples_that_are_none(quadruples, message: str) -> None:
    for make in (torsions, cosines_and_sines):
        with pytest.raises(LeastworkError, match=message):
            make(quadruples)


def test_chains_that_are_too_short() -> None:
    with pytest.raises(LeastworkError, match="a chain of 3 atoms has no torsion: it takes four"):
        pseudo_torsions(3)
    with pytest.raises(LeastworkError, match="a structure of 6 atoms has no atom 6"):
        pseudo_torsions(7)(structures())

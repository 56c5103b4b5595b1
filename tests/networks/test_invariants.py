"""Invariants of structures: their Jacobian, what leaves them alone, and what a mirror does."""

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.rotations import random_rotations
from leastwork.networks.invariants import Invariants

ALPHA, SIGMA = torch.tensor([[0.8]], dtype=torch.float64), torch.tensor([[0.6]], dtype=torch.float64)


def structures(n: int = 5, points: int = 6) -> Tensor:
    return torch.randn(n, points, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def jacobian(invariants: Invariants, x: Tensor) -> Tensor:
    """(B, F, 3N), by autograd."""
    full = torch.autograd.functional.jacobian(lambda y: invariants(y, ALPHA, SIGMA).values.sum(dim=0), x)
    assert isinstance(full, Tensor)
    return full.transpose(0, 1)


def test_pull_and_push_are_the_jacobian() -> None:
    x, invariants = structures().flatten(1), Invariants(6).double()
    seen, J = invariants(x, ALPHA, SIGMA), jacobian(invariants, x)
    random = torch.Generator().manual_seed(1)
    c = torch.randn(5, invariants.count, generator=random, dtype=torch.float64)
    u = torch.randn(5, 18, generator=random, dtype=torch.float64)
    torch.testing.assert_close(invariants.pull(seen, c), torch.einsum("bfd,bf->bd", J, c))
    torch.testing.assert_close(invariants.push(seen, u), torch.einsum("bfd,bd->bf", J, u))


def test_rotation_and_shift_leave_them_alone_and_a_mirror_turns_the_triple_products() -> None:
    x, invariants = structures(), Invariants(6).double()
    turn = random_rotations(5, torch.Generator().manual_seed(2))
    moved = x @ turn + 3.0
    still = invariants(x.flatten(1), ALPHA, SIGMA).values
    torch.testing.assert_close(invariants(moved.flatten(1), ALPHA, SIGMA).values, still)
    mirrored = invariants((x * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)).flatten(1), ALPHA, SIGMA).values
    torch.testing.assert_close(mirrored[:, : -invariants.triples], still[:, : -invariants.triples])
    torch.testing.assert_close(mirrored[:, -invariants.triples :], -still[:, -invariants.triples :])


def test_they_determine_a_structure_up_to_rotation_and_shift() -> None:
    """J has rank 3N − 6: what is left are three shifts and three rotations."""
    J = jacobian(Invariants(6).double(), structures().flatten(1))
    assert torch.linalg.matrix_rank(J).tolist() == [12] * 5


def test_values_are_of_one_scale_at_every_noise_level() -> None:
    random = torch.Generator().manual_seed(3)
    chain = torch.randn(4000, 8, 3, generator=random).cumsum(dim=1)
    x0 = (chain - chain.mean(dim=1, keepdim=True)).flatten(1) / 2
    invariants = Invariants(8).standardise(x0)
    for angle in (0.02, 0.3, 0.8, 1.5):
        alpha, sigma = torch.tensor([[angle]]).cos(), torch.tensor([[angle]]).sin()
        noise = torch.randn(x0.shape, generator=random)
        values = invariants(alpha * x0 + sigma * noise, alpha, sigma).values[:, : invariants.pairs]
        assert values.mean(dim=0).abs().max() < 0.2
        assert 0.6 < values.std(dim=0).min() < values.std(dim=0).max() < 1.4


def test_points_that_meet_have_a_gradient() -> None:
    invariants = Invariants(4)
    x = torch.zeros(1, 12)
    seen = invariants(x, torch.ones(1, 1), torch.tensor([[0.5]]))
    assert bool(invariants.pull(seen, torch.ones(1, invariants.count)).isfinite().all())


def test_three_points_have_no_handedness() -> None:
    with pytest.raises(LeastworkError, match="four or more"):
        Invariants(3)

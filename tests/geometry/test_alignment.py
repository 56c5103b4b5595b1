"""Closed-form alignment against the singular value decomposition, one pair at a time."""

import pytest
import torch
from torch import Tensor

from leastwork.geometry.alignment import align, aligned_squared_distances, blocks, centred


def structures(n: int, atoms: int, seed: int, noise: float | None = None) -> Tensor:
    """Random structures, or variants of one, off the origin."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(n, atoms, 3, generator=random, dtype=torch.float64)
    if noise is not None:
        own = torch.Generator().manual_seed(atoms)
        x = torch.randn(1, atoms, 3, generator=own, dtype=torch.float64) + noise * x
    return x + torch.randn(n, 1, 3, generator=random, dtype=torch.float64)


def rotations(n: int, seed: int = 0) -> Tensor:
    """Proper rotations (n, 3, 3)."""
    q = torch.linalg.qr(torch.randn(n, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q
    return q * torch.linalg.det(q)[:, None, None]


def kabsch(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """d² (N, M) and R (N, M, 3, 3) that takes y onto x."""
    x, y = centred(x), centred(y)
    left, _, right = torch.linalg.svd(torch.einsum("nai,maj->nmij", x, y))
    hand = torch.linalg.det(left @ right).sign()
    left = torch.cat([left[..., :2], left[..., 2:] * hand[..., None, None]], dim=-1)
    turned = torch.einsum("nmij,maj->nmai", left @ right, y)
    return (x[:, None] - turned).square().sum(dim=(2, 3)), left @ right


def aligned(x: Tensor, y: Tensor, pairs: int | None = None) -> tuple[Tensor, Tensor]:
    """d² and R of all pairs, gathered from the tiles."""
    squared, turns = x.new_empty(len(x), len(y)), x.new_empty(len(x), len(y), 3, 3)
    for some, tiles in align(x, y, pairs):
        for tile in tiles:
            squared[some, tile.guides] = tile.squared.T
            turns[some, tile.guides] = tile.rotations.permute(3, 1, 2, 0)
    return squared, turns


@pytest.mark.parametrize("atoms", [4, 10, 56])
@pytest.mark.parametrize("noise", [None, 1.0, 0.3, 0.01])
def test_distances_and_rotations_are_those_of_kabsch(atoms: int, noise: float | None) -> None:
    x, y = structures(40, atoms, 1, noise), structures(60, atoms, 2, noise)
    squared, turns = kabsch(x, y)
    found, turned = aligned(x, y)
    torch.testing.assert_close(found, squared, rtol=1e-9, atol=0)
    torch.testing.assert_close(turned, turns, rtol=0, atol=1e-7)
    torch.testing.assert_close(aligned_squared_distances(x, y), found, rtol=1e-12, atol=0)


def test_single_precision_input_keeps_five_digits() -> None:
    x, y = structures(40, 10, 1, 0.3), structures(60, 10, 2, 0.3)
    found = aligned_squared_distances(x.float(), y.float())
    torch.testing.assert_close(found, kabsch(x, y)[0], rtol=1e-5, atol=0)


def test_shifts_and_rotations_do_not_matter() -> None:
    x, y = structures(20, 10, 1), structures(30, 10, 2)
    moved = y @ rotations(30) + 100.0
    torch.testing.assert_close(aligned_squared_distances(x, moved), aligned_squared_distances(x, y), rtol=1e-10, atol=0)
    own = aligned_squared_distances(y, moved).diagonal()
    assert float(own.max()) < 1e-9 * float(centred(y).square().sum(dim=(1, 2)).mean())


def test_mirror_image_stays_far_and_rotations_are_proper() -> None:
    x = structures(30, 10, 1)
    squared, turns = aligned(x, -x)
    assert float((squared.diagonal() / centred(x).square().sum(dim=(1, 2))).min()) > 0.05
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(30, 30, dtype=torch.float64))
    one = torch.eye(3, dtype=torch.float64).expand_as(turns)
    torch.testing.assert_close(turns @ turns.mT, one, rtol=0, atol=1e-6)


def line(n: int) -> Tensor:
    return torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None] * rotations(n)[:, None, 0]


def flat(n: int) -> Tensor:
    x = structures(n, 6, 3)
    x[..., 2] = 0.0
    return x @ rotations(n)


def symmetric(n: int) -> Tensor:
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    return torch.stack([corners, -corners] * (n // 2)) @ rotations(n)


@pytest.mark.parametrize("make", [line, flat, symmetric, lambda n: torch.zeros(n, 5, 3, dtype=torch.float64)])
def test_degenerate_pairs_get_a_best_rotation(make) -> None:
    """Points on a line, in a plane, at one point, and a tetrahedron against its mirror image."""
    x = make(8)
    squared, turns = aligned(x, x)
    torch.testing.assert_close(squared, kabsch(x, x)[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(8, 8, dtype=torch.float64))
    reached = (centred(x)[:, None] - torch.einsum("nmij,maj->nmai", turns, centred(x))).square().sum(dim=(2, 3))
    torch.testing.assert_close(reached, squared, rtol=1e-9, atol=1e-12)


def test_units_of_length_do_not_matter() -> None:
    x, y = structures(10, 10, 1), structures(10, 10, 2)
    for unit in (1e-20, 1e20):
        found = aligned_squared_distances(unit * x, unit * y) / unit**2
        torch.testing.assert_close(found, aligned_squared_distances(x, y), rtol=1e-10, atol=0)


def test_tile_size_does_not_matter() -> None:
    x, y = structures(13, 10, 1), structures(23, 10, 2)
    squared, turns = aligned(x, y)
    for pairs in (1, 7, 100, 1000):
        found, turned = aligned(x, y, pairs)
        torch.testing.assert_close(found, squared, rtol=1e-12, atol=0)
        torch.testing.assert_close(turned, turns, rtol=0, atol=1e-8)
        torch.testing.assert_close(aligned_squared_distances(x, y, pairs), squared, rtol=1e-12, atol=0)


def test_combination_turns_every_guide_onto_its_sample() -> None:
    x, y = structures(5, 7, 1), structures(11, 7, 2)
    weights = torch.rand(11, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    total = sum(tile.combine(weights[tile.guides]) for _, tiles in align(x, y, 20) for tile in tiles)
    expected = torch.einsum("mn,nmij,maj->nai", weights, kabsch(x, y)[1], centred(y))
    torch.testing.assert_close(total, expected)


def test_sample_that_is_not_finite_spoils_only_itself() -> None:
    x, y = structures(3, 7, 1), structures(4, 7, 2)
    x[1, 0, 0] = torch.nan
    squared, _ = aligned(x, y)
    assert squared.isnan().all(dim=1).tolist() == [False, True, False]


def test_blocks_cover() -> None:
    for n in (0, 1, 7, 64):
        for size in (1, 3, 64):
            assert [i for block in blocks(n, size) for i in range(n)[block]] == list(range(n))

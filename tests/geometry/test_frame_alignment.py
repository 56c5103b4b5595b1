"""One alignment of positions and orientations against the singular value decomposition, one pair at a time."""

import pytest
import torch
from torch import Tensor

from leastwork.geometry.alignment import aligned_squared_distances, centred
from leastwork.geometry.frame_alignment import Frames, as_vectors, from_vectors, optimal_rotations, squared_distances

LENGTH, WEIGHT = 0.4, 2.5


def rotations(*shape: int, seed: int = 0, most: float = 4.0) -> Tensor:
    """Proper rotations (*shape, 3, 3): vectors of normal angles, of that size."""
    w = most * torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.matrix_exp(hat(w))


def hat(w: Tensor) -> Tensor:
    """ω̂ with ω̂ v = ω × v."""
    return torch.linalg.cross(w[..., None, :], torch.eye(3, dtype=w.dtype).expand(*w.shape, 3), dim=-1).mT


def frames(n: int, residues: int, seed: int, noise: float | None = None) -> Frames:
    """Random frames, or variants of one structure, off the origin."""
    random = torch.Generator().manual_seed(seed)
    positions = torch.randn(n, residues, 3, generator=random, dtype=torch.float64)
    turns = rotations(n, residues, seed=seed)
    if noise is not None:
        base = torch.randn(1, residues, 3, generator=torch.Generator().manual_seed(residues), dtype=torch.float64)
        positions = base + noise * positions
        turns = rotations(1, residues, seed=residues) @ rotations(n, residues, seed=seed, most=noise)
    return positions + torch.randn(n, 1, 3, generator=random, dtype=torch.float64), turns


def moved(x: Frames, turns: Tensor, shift: float = 0.0) -> Frames:
    """Positions and orientations together; turns: (n, 3, 3)."""
    return x[0] @ turns.mT + shift, turns[:, None] @ x[1]


def decomposed(x: Frames, y: Frames, length: float, weight: float) -> tuple[Tensor, Tensor]:
    """d² (N, M), summed as it is defined, and Q (N, M, 3, 3) that takes y onto x."""
    (p, R), (q, S) = (centred(x[0]), x[1]), (centred(y[0]), y[1])
    C = torch.einsum("nai,maj->nmij", p, q) / length**2 + 0.5 * weight * torch.einsum("naik,majk->nmij", R, S)
    left, _, right = torch.linalg.svd(C)
    hand = torch.linalg.det(left @ right).sign()
    Q = torch.cat([left[..., :2], left[..., 2:] * hand[..., None, None]], dim=-1) @ right
    apart = p[:, None] - torch.einsum("nmij,maj->nmai", Q, q)
    twisted = R[:, None] - torch.einsum("nmij,majk->nmaik", Q, S)
    return apart.square().sum(dim=(2, 3)) / length**2 + 0.5 * weight * twisted.square().sum(dim=(2, 3, 4)), Q


@pytest.mark.parametrize("residues", [2, 10, 56])
@pytest.mark.parametrize("noise", [None, 0.3, 0.01])
def test_distances_and_rotations_are_those_of_the_decomposition(residues: int, noise: float | None) -> None:
    x, y = frames(8, residues, 1, noise), frames(12, residues, 2, noise)
    squared, turns = decomposed(x, y, LENGTH, WEIGHT)
    torch.testing.assert_close(squared_distances(x, y, LENGTH, WEIGHT), squared, rtol=1e-9, atol=0)
    torch.testing.assert_close(optimal_rotations(x, y, LENGTH, WEIGHT), turns, rtol=0, atol=1e-7)
    torch.testing.assert_close(squared_distances(x, y, LENGTH, WEIGHT, pairs=50), squared, rtol=1e-9, atol=0)
    torch.testing.assert_close(optimal_rotations(x, y, LENGTH, WEIGHT, pairs=50), turns, rtol=0, atol=1e-7)


def test_no_other_motion_brings_frames_closer() -> None:
    x, y = frames(1, 7, 1), frames(1, 7, 2)
    least = float(squared_distances(x, y, LENGTH, WEIGHT))
    best = optimal_rotations(x, y, LENGTH, WEIGHT)[0, 0]
    for size in (1e-3, 0.1, 4.0):
        p, R = moved((centred(y[0]), y[1]), rotations(200, seed=3, most=size) @ best)
        own = centred(x[0]) + (0.0 if size > 1 else size) * torch.ones(3, dtype=torch.float64)
        squared = (own - p).square().sum(dim=(1, 2)) / LENGTH**2 + 0.5 * WEIGHT * (x[1] - R).square().sum(dim=(1, 2, 3))
        assert float(squared.min()) > least


def test_vectors_keep_inner_products_and_have_their_centroid_at_the_origin() -> None:
    x, y = frames(3, 5, 1), frames(3, 5, 2)
    v, u = as_vectors(x, LENGTH, WEIGHT), as_vectors(y, LENGTH, WEIGHT)
    assert float(v.mean(dim=1).abs().max()) < 1e-14
    expected = centred(x[0]).mT @ centred(y[0]) / LENGTH**2 + 0.5 * WEIGHT * (x[1] @ y[1].mT).sum(dim=1)
    torch.testing.assert_close(v.mT @ u, expected)


def test_tangents_are_the_chain_rule() -> None:
    p, R = frames(4, 5, 1)
    weights = centred(torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    p, w = p.requires_grad_(), torch.zeros(4, 5, 3, dtype=torch.float64, requires_grad=True)
    f = (weights * as_vectors((p, R @ torch.linalg.matrix_exp(hat(w))), LENGTH, WEIGHT)).sum()
    expected = torch.autograd.grad(f, (p, w))
    torch.testing.assert_close(from_vectors(weights, R, LENGTH, WEIGHT), expected, rtol=1e-12, atol=1e-12)


def test_rigid_motions_do_not_matter_and_turned_bodies_do() -> None:
    x, y = frames(5, 10, 1), frames(8, 10, 2)
    squared = squared_distances(x, y, LENGTH, WEIGHT)
    again = squared_distances(moved(x, rotations(5, seed=7), 30.0), moved(y, rotations(8), -8.0), LENGTH, WEIGHT)
    torch.testing.assert_close(again, squared, rtol=1e-10, atol=0)
    body = rotations(1, 1, seed=9)[0]  # another choice of axes in every body
    torch.testing.assert_close(squared_distances((x[0], x[1] @ body), (y[0], y[1] @ body), LENGTH, WEIGHT), squared)
    turned = squared_distances(x, (x[0], x[1] @ body), LENGTH, WEIGHT).diagonal()
    assert float(turned.min()) > 0.1


def test_a_small_angle_counts_as_itself() -> None:
    """Two frames far apart, which hold the common turn, and a third one twisted by 0.01."""
    p = torch.tensor([[[-1e4, 0, 0], [1e4, 0, 0], [0, 1e4, 0]]], dtype=torch.float64)
    R = rotations(1, 3)
    twist = torch.zeros(1, 3, 3, dtype=torch.float64)
    twist[0, 2] = torch.tensor([0.006, 0.0, 0.008])
    squared = squared_distances((p, R), (p, R @ torch.linalg.matrix_exp(hat(twist))), 1.0, WEIGHT)
    assert float(squared) == pytest.approx(WEIGHT * 1e-4, rel=1e-3)


def test_without_weight_of_orientations_frames_are_points() -> None:
    x, y = frames(5, 10, 1), frames(8, 10, 2)
    torch.testing.assert_close(squared_distances(x, y, 1.0, 1e-12), aligned_squared_distances(x[0], y[0]))


def test_single_precision_and_what_is_not_finite() -> None:
    x, y = frames(4, 10, 1, 0.3), frames(6, 10, 2, 0.3)
    squared = squared_distances(x, y)
    single = squared_distances((x[0].float(), x[1].float()), (y[0].float(), y[1].float()))
    assert single.dtype == torch.float64
    torch.testing.assert_close(single, squared, rtol=1e-5, atol=0)
    x[1][1, 0, 0, 0] = torch.nan
    assert squared_distances(x, y).isnan().all(dim=1).tolist() == [False, True, False, False]

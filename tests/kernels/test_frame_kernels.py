"""Kernels of frames against autograd, finite differences and the symmetries that they must have."""

import math

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.alignment import centred
from leastwork.geometry.frame_alignment import Frames, squared_distances
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.base import Kernel
from leastwork.kernels.density import kernel_density
from leastwork.kernels.frames import FrameKernel

KERNEL = FrameKernel(length=0.4, orientation_weight=2.5)


def hat(w: Tensor) -> Tensor:
    """ω̂ with ω̂ v = ω × v."""
    return torch.linalg.cross(w[..., None, :], torch.eye(3, dtype=w.dtype).expand(*w.shape, 3), dim=-1).mT


def turn(*shape: int, seed: int, size: float = 4.0) -> Tensor:
    w = size * torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.matrix_exp(hat(w))


def frames(n: int, seed: int, residues: int = 5, noise: float = 0.3) -> Frames:
    random = torch.Generator().manual_seed(seed)
    base = torch.randn(1, residues, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    positions = base + noise * torch.randn(n, residues, 3, generator=random, dtype=torch.float64)
    return positions, turn(1, residues, seed=0) @ turn(n, residues, seed=seed, size=noise)


def moved(x: Frames, turns: Tensor, shift: float = 0.0) -> Frames:
    return x[0] @ turns.mT + shift, turns[:, None] @ x[1]


def reference(x: Frames, y: Frames, bandwidth: float) -> Tensor:
    """ln k by singular values, with a graph."""
    (p, R), (q, S) = (centred(x[0]), x[1]), (centred(y[0]), y[1])
    C = torch.einsum("nai,maj->nmij", p, q) / 0.4**2 + 0.5 * 2.5 * torch.einsum("naik,majk->nmij", R, S)
    s = torch.linalg.svdvals(C)
    lambda_ = s[..., 0] + s[..., 1] + torch.linalg.det(C).sign() * s[..., 2]
    own, other = (z.square().sum(dim=(1, 2)) / 0.4**2 + 3 * 2.5 / 2 * z.shape[1] for z in (p, q))
    squared = own[:, None] + other - 2 * lambda_
    return (-squared / (2 * bandwidth**2)).logsumexp(dim=1) - math.log(len(q))


@pytest.mark.parametrize("bandwidth", [0.05, 0.8, 8.0])
def test_score_is_that_of_the_decomposition(bandwidth: float) -> None:
    x, y = frames(9, 1), frames(30, 2)
    p, w = x[0].clone().requires_grad_(), torch.zeros(9, 5, 3, dtype=torch.float64, requires_grad=True)
    expected = reference((p, x[1] @ torch.linalg.matrix_exp(hat(w))), y, bandwidth)
    gradient = torch.autograd.grad(expected.sum(), (p, w))
    log_k, score = KERNEL.log_kernel_and_score(x, KERNEL.embed(y), bandwidth)
    torch.testing.assert_close(log_k, expected.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(KERNEL.log_kernel(x, KERNEL.embed(y), bandwidth), log_k)
    for part, true in zip(score, gradient, strict=True):
        torch.testing.assert_close(part, true, rtol=1e-8, atol=1e-8 * float(true.abs().max()))
    single = KERNEL.log_kernel_and_score((x[0].float(), x[1].float()), KERNEL.embed(y), bandwidth)[1]
    for part, rounded in zip(score, single, strict=True):
        assert rounded.dtype == torch.float32
        torch.testing.assert_close(rounded.double(), part, rtol=1e-4, atol=1e-5 * float(part.abs().max()))


def test_score_is_what_small_steps_change() -> None:
    """Along p + εu and R exp(ε ŵ), central differences of 10⁻⁵ in float64."""
    x, guides = frames(4, 1), KERNEL.embed(frames(12, 2))
    _, (force, torque) = KERNEL.log_kernel_and_score(x, guides, 0.8)
    random = torch.Generator().manual_seed(3)
    for _ in range(6):
        u, w = (torch.randn(4, 5, 3, generator=random, dtype=torch.float64) for _ in range(2))

        def along(step: float, u: Tensor = u, w: Tensor = w) -> Tensor:
            return KERNEL.log_kernel((x[0] + step * u, x[1] @ torch.linalg.matrix_exp(step * hat(w))), guides, 0.8)

        slope = (along(1e-5) - along(-1e-5)) / 2e-5
        torch.testing.assert_close((u * force + w * torque).sum(dim=(1, 2)), slope, rtol=1e-6, atol=1e-6)


def test_score_has_no_net_force_and_no_net_torque() -> None:
    x = frames(9, 1)
    _, (force, torque) = KERNEL.log_kernel_and_score(moved(x, turn(9, seed=4), 5.0), KERNEL.embed(frames(30, 2)), 0.8)
    p, R = moved(x, turn(9, seed=4), 5.0)
    assert float(force.sum(dim=1).abs().max()) < 1e-12 * float(force.abs().max())
    of_forces = torch.linalg.cross(p, force).sum(dim=1)
    of_bodies = (R @ torque[..., None]).sum(dim=1)[..., 0]
    assert float(of_bodies.abs().max()) > 1e-2  # they balance, neither vanishes
    torch.testing.assert_close(of_forces, -of_bodies, rtol=0, atol=1e-9 * float(force.abs().max()))


def test_forces_turn_with_the_sample_and_torques_stay_in_their_bodies() -> None:
    x, y = frames(9, 1), frames(30, 2)
    log_k, (force, torque) = KERNEL.log_kernel_and_score(x, KERNEL.embed(y), 0.8)
    Q = turn(9, seed=6)
    again, (turned, same) = KERNEL.log_kernel_and_score(
        moved(x, Q, -8.0), KERNEL.embed(moved(y, turn(30, seed=5), 3.0)), 0.8
    )
    torch.testing.assert_close(again, log_k)
    torch.testing.assert_close(turned, force @ Q.mT, rtol=0, atol=1e-9 * float(force.abs().max()))
    torch.testing.assert_close(same, torque, rtol=0, atol=1e-9 * float(torque.abs().max()))


def test_every_residue_follows_the_same_guide() -> None:
    """A sample that is one guide in its first residues and another in its last is pulled by both alike, or by one."""
    y = frames(2, 2, residues=6)
    x = tuple(torch.cat([leaf[:1, :2], leaf[1:, 2:]], dim=1) for leaf in y)
    assert len(x) == 2
    guides = KERNEL.embed(y)
    _, score = KERNEL.log_kernel_and_score(x, guides, 0.01)
    nearest = int(KERNEL.squared_distances(x, guides).argmin())
    _, alone = KERNEL.log_kernel_and_score(x, guides[nearest : nearest + 1], 0.01)
    torch.testing.assert_close(score, alone)
    own = float(KERNEL.squared_distances(x, guides).min().sqrt()) / 0.01**2
    first = torch.cat([part[:, :2].flatten() for part in score])
    assert float(first.norm()) > 0.1 * own  # per residue these would find a guide of their own, at no distance


def test_far_from_every_guide_the_nearest_one_pulls() -> None:
    x, y, bandwidth = frames(5, 1), frames(8, 2), 1e-3
    guides = KERNEL.embed(y)
    squared = KERNEL.squared_distances(x, guides)
    assert float((-squared / (2 * bandwidth**2)).exp().max()) == 0
    log_k, score = KERNEL.log_kernel_and_score(x, guides, bandwidth)
    for i, m in enumerate(squared.argmin(dim=1).tolist()):
        one = (x[0][i : i + 1], x[1][i : i + 1])
        alone, pull = KERNEL.log_kernel_and_score(one, guides[m : m + 1], bandwidth)
        torch.testing.assert_close((score[0][i], score[1][i]), (pull[0][0], pull[1][0]))
        assert float(log_k[i]) == pytest.approx(float(alone) - math.log(8))


def test_bandwidths_mean_what_they_mean_for_points() -> None:
    x, y = frames(5, 1), frames(8, 2)
    points, kernel = AlignedKernel(), FrameKernel(1.0, 1e-12)
    expected, pull = points.log_kernel_and_score(x[0], points.embed(y[0]), 0.5)
    log_k, (force, torque) = kernel.log_kernel_and_score(x, kernel.embed(y), 0.5)
    torch.testing.assert_close(log_k, expected)
    torch.testing.assert_close(force, pull)
    assert float(torque.abs().max()) < 1e-10


def test_tiles_do_not_matter() -> None:
    x, guides = frames(7, 1), KERNEL.embed(frames(11, 2))
    log_k, score = KERNEL.log_kernel_and_score(x, guides, 0.8)
    for pairs in (1, 5, 30):
        again, same = FrameKernel(0.4, 2.5, pairs).log_kernel_and_score(x, guides, 0.8)
        torch.testing.assert_close(again, log_k, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(same, score, rtol=1e-9, atol=1e-9)


def test_kernel_density_of_frames() -> None:
    assert isinstance(KERNEL, Kernel)
    x, y = frames(6, 1), frames(40, 2)
    density = kernel_density(y, KERNEL)
    spread = squared_distances(y, y, 0.4, 2.5).fill_diagonal_(math.inf).amin(dim=1).mean().sqrt()
    assert 0.5 < density.bandwidth * math.sqrt(KERNEL.dimension(y)) / float(spread) < 2
    assert KERNEL.dimension(y) == 24
    assert density.log_kernel_and_score(x)[0].shape == (6,)
    p, R = moved(y, turn(40, seed=3))
    with pytest.raises(LeastworkError, match="points 0 and 40 are the same"):
        kernel_density((torch.cat([y[0], p[:1]]), torch.cat([y[1], R[:1]])), KERNEL)
    kernel_density((torch.cat([y[0], p[:1]]), torch.cat([y[1], R[:1].flip(1)])), KERNEL)  # bodies turned alone


def test_what_is_not_a_state_of_frames_is_refused() -> None:
    p, R = frames(3, 1)
    for wrong in (p, (p, R[..., 0]), (p[:, :1], R[:, :1]), (p, R, p), (p[:, :4], R)):
        with pytest.raises(LeastworkError, match="are not rigid frames"):
            KERNEL.embed(wrong)
        with pytest.raises(LeastworkError, match="are not rigid frames"):
            KERNEL.log_kernel_and_score(wrong, KERNEL.embed((p, R)), 1.0)
    R[1, 2] *= -1
    with pytest.raises(LeastworkError, match="frame 2 of state 1 is not a rotation"):
        KERNEL.embed((p, R))
    R[1, 2] *= -0.99
    with pytest.raises(LeastworkError, match="frame 2 of state 1 is not a rotation"):
        KERNEL.embed((p, R))
    for keywords in ({"length": 0.0}, {"orientation_weight": math.inf}):
        with pytest.raises(LeastworkError, match="must be a finite number > 0"):
            FrameKernel(**keywords)

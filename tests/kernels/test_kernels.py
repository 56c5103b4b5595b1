"""Kernels against autograd and against their definition, near the guides and far from them."""

import math

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.alignment import centred
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.base import Kernel
from leastwork.kernels.flat import EuclideanKernel, FeatureKernel


def structures(n: int, seed: int, atoms: int = 6, noise: float = 0.3) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    base = torch.randn(1, atoms, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return base + noise * torch.randn(n, atoms, 3, generator=random, dtype=torch.float64)


def turn(n: int, seed: int = 5) -> Tensor:
    q = torch.linalg.qr(torch.randn(n, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q
    return q * torch.linalg.det(q)[:, None, None]


def reference(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """ln k after alignment, by singular values, with a graph."""
    x, y = centred(x), centred(y)
    S = torch.einsum("nai,maj->nmij", x, y)
    s = torch.linalg.svdvals(S)
    lambda_ = s[..., 0] + s[..., 1] + torch.linalg.det(S).sign() * s[..., 2]
    squared = x.square().sum(dim=(1, 2))[:, None] + y.square().sum(dim=(1, 2)) - 2 * lambda_
    return (-squared / (2 * bandwidth**2)).logsumexp(dim=1) - math.log(len(y))


def features(x: Tensor) -> Tensor:
    return torch.stack([(x[:, 0] - x[:, 3]).norm(dim=1), (x[:, 1] - x[:, 4]).norm(dim=1)], dim=1)


@pytest.mark.parametrize("bandwidth", [0.05, 0.5, 5.0])
def test_aligned_score_is_that_of_the_decomposition(bandwidth: float) -> None:
    x, y = structures(9, 1).requires_grad_(), structures(30, 2)
    expected = reference(x, y, bandwidth)
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    kernel = AlignedKernel()
    log_k, score = kernel.log_kernel_and_score(x.detach(), kernel.embed(y), bandwidth)
    torch.testing.assert_close(log_k, expected.detach(), rtol=1e-10, atol=1e-10)
    assert isinstance(score, Tensor)
    torch.testing.assert_close(score, gradient, rtol=1e-8, atol=1e-8 * float(gradient.abs().max()))
    single = kernel.log_kernel_and_score(x.detach().float(), kernel.embed(y), bandwidth)[1]
    assert isinstance(single, Tensor)
    torch.testing.assert_close(single.double(), score, rtol=1e-4, atol=1e-5 * float(score.abs().max()))


@pytest.mark.parametrize("kernel", [EuclideanKernel(), EuclideanKernel(ZeroCentre()), FeatureKernel(features)])
def test_flat_scores_are_gradients(kernel: Kernel) -> None:
    y = structures(12, 2)
    x = structures(4, 1)

    def log_k(x: Tensor) -> Tensor:
        def see(z: Tensor) -> Tensor:
            if isinstance(kernel, FeatureKernel):
                return features(z)
            return (z if kernel == EuclideanKernel() else z - z.mean(dim=1, keepdim=True)).flatten(1)

        squared = (see(x)[:, None] - see(y)[None]).square().sum(dim=2)
        return (-squared / (2 * 0.4**2)).logsumexp(dim=1) - math.log(12)

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_k(leaf).sum(), leaf)
    found, score = kernel.log_kernel_and_score(x, kernel.embed(y), 0.4)
    torch.testing.assert_close(found, log_k(x))
    torch.testing.assert_close(score, gradient)
    torch.testing.assert_close(kernel.log_kernel(x, kernel.embed(y), 0.4), found)


def test_aligned_score_has_no_force_no_torque_and_turns_with_the_sample() -> None:
    kernel, x, guides = AlignedKernel(), structures(9, 1), structures(30, 2)
    log_k, score = kernel.log_kernel_and_score(x, kernel.embed(guides), 0.3)
    assert isinstance(score, Tensor)
    size = float(score.abs().max())
    torch.testing.assert_close(score.sum(dim=1), torch.zeros(9, 3, dtype=torch.float64), rtol=0, atol=1e-12 * size)
    torque = torch.linalg.cross(centred(x), score).sum(dim=1)
    torch.testing.assert_close(torque, torch.zeros(9, 3, dtype=torch.float64), rtol=0, atol=1e-9 * size)
    moved_guides = guides @ turn(30) + 3.0
    R = turn(9, seed=6)
    again, turned = kernel.log_kernel_and_score(x @ R - 8.0, kernel.embed(moved_guides), 0.3)
    torch.testing.assert_close(again, log_k)
    torch.testing.assert_close(turned, score @ R, rtol=0, atol=1e-9 * size)


@pytest.mark.parametrize("kernel", [EuclideanKernel(), AlignedKernel(), AlignedKernel(pairs=3)])
def test_far_from_every_guide_the_nearest_one_pulls(kernel: Kernel) -> None:
    """A bandwidth at which every kernel but a logarithm's is zero."""
    x, y, bandwidth = structures(5, 1), structures(8, 2), 1e-3
    guides = kernel.embed(y)
    squared = kernel.squared_distances(x, guides)
    assert float((-squared / (2 * bandwidth**2)).exp().max()) == 0
    log_k, score = kernel.log_kernel_and_score(x, guides, bandwidth)
    nearest = squared.argmin(dim=1)
    for i, m in enumerate(nearest.tolist()):
        alone = kernel.log_kernel_and_score(x[i : i + 1], guides[m : m + 1], bandwidth)
        assert isinstance(score, Tensor)
        assert isinstance(alone[1], Tensor)
        torch.testing.assert_close(score[i], alone[1][0])
        assert float(log_k[i]) == pytest.approx(float(alone[0]) - math.log(8))
        assert float(alone[1].norm()) == pytest.approx(float(squared[i, m].sqrt()) / bandwidth**2)


def test_features_far_away_pull_to_the_nearest() -> None:
    kernel = FeatureKernel(lambda x: 2.0 * x)
    _, score = kernel.log_kernel_and_score(torch.tensor([[50.0]]), kernel.embed(torch.tensor([[0.0], [1.0]])), 0.1)
    torch.testing.assert_close(score, torch.tensor([[2 * (2.0 - 100.0) / 0.01]]))


def test_large_offsets_cancel_nothing() -> None:
    kernel, x, y = EuclideanKernel(), structures(5, 1), structures(8, 2)
    log_k, score = kernel.log_kernel_and_score(x, kernel.embed(y), 0.3)
    again, same = kernel.log_kernel_and_score(x + 1e6, kernel.embed(y + 1e6), 0.3)
    torch.testing.assert_close(again, log_k, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(same, score, rtol=1e-6, atol=1e-6)


def test_tiles_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = structures(23, 1), structures(31, 2)
    whole = AlignedKernel().log_kernel_and_score(x, centred(y), 0.3)
    for pairs in (1, 10, 100):
        parts = AlignedKernel(pairs).log_kernel_and_score(x, centred(y), 0.3)
        torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-10)
    flat = EuclideanKernel().log_kernel_and_score(x, y.flatten(1), 0.3)
    aligned = AlignedKernel().log_kernel(x, centred(y), 0.3)
    monkeypatch.setattr("leastwork.kernels.flat._PAIRS", 40)
    torch.testing.assert_close(EuclideanKernel().log_kernel_and_score(x, y.flatten(1), 0.3), flat)
    torch.testing.assert_close(AlignedKernel().log_kernel(x, centred(y), 0.3), aligned)


def test_states_of_several_tensors_keep_their_structure() -> None:
    random = torch.Generator().manual_seed(0)
    x, y = ((torch.randn(n, 2, 3, generator=random), torch.randn(n, 4, generator=random)) for n in (3, 5))
    for kernel in (EuclideanKernel(), FeatureKernel(lambda z: z[1])):
        _, score = kernel.log_kernel_and_score(x, kernel.embed(y), 0.3)
        assert isinstance(score, tuple)
        assert [part.shape for part in score] == [part.shape for part in x]
        assert [part.dtype for part in score] == [torch.float32, torch.float32]
    assert float(score[0].abs().max()) == 0  # of features that do not see it


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(LeastworkError, match="cannot be aligned"):
        AlignedKernel().embed(torch.zeros(3, 4))
    with pytest.raises(LeastworkError, match="return a tensor"):
        FeatureKernel(lambda x: x.sum(dim=1)).embed(torch.zeros(3, 4))
    broken = FeatureKernel(lambda x: x.detach())
    with pytest.raises(LeastworkError, match="do not depend on x"):
        broken.log_kernel_and_score(torch.zeros(3, 4), torch.zeros(2, 4, dtype=torch.float64), 1.0)

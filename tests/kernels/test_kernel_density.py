"""The bandwidth is a maximum of its likelihood, the leave-one-out density is its definition, and regions follow."""

import math

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.base import Kernel
from leastwork.kernels.density import kernel_density
from leastwork.kernels.flat import EuclideanKernel, FeatureKernel
from leastwork.kernels.frames import FrameKernel
from leastwork.kernels.region import Ball, Region


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("kernel", "points", "dimension"),
    [
        (EuclideanKernel(), normal(50, 2), 2),
        (AlignedKernel(), normal(1, 8, 3) + 0.2 * normal(30, 8, 3, seed=1), 18),
        (FeatureKernel(lambda x: x[:, :, 0]), normal(30, 4, 3), 4),
        (EuclideanKernel(), normal(2, 3), 3),
    ],
)
def test_bandwidth_is_stationary(kernel: Kernel, points: Tensor, dimension: int) -> None:
    """b² = ⟨d²⟩/D at the maximum."""
    density = kernel_density(points, kernel)
    squared = kernel.squared_distances(points, density.guides).fill_diagonal_(math.inf)
    weights = (-squared / (2 * density.bandwidth**2)).softmax(dim=1)
    mean = float((weights * squared.where(squared.isfinite(), 0.0)).sum(dim=1).mean())
    assert kernel.dimension(points) == dimension
    assert density.bandwidth**2 == pytest.approx(mean / dimension, rel=1e-4)


def test_bandwidth_has_the_unit_of_the_points() -> None:
    points = normal(20, 8, 3)
    for kernel in (EuclideanKernel(), AlignedKernel()):
        ratio = kernel_density(10 * points, kernel).bandwidth / kernel_density(points, kernel).bandwidth
        assert ratio == pytest.approx(10, rel=1e-5)


def test_leave_one_out_is_the_density_of_the_others() -> None:
    points = normal(9, 5, 3)
    for kernel in (EuclideanKernel(), AlignedKernel(), FeatureKernel(lambda x: x[:, :, 0])):
        density = kernel_density(points, kernel, bandwidth=0.8)
        for i, value in enumerate(density.leave_one_out().tolist()):
            others = kernel_density(torch.cat([points[:i], points[i + 1 :]]), kernel, bandwidth=0.8)
            assert float(others.log_kernel(points[i : i + 1])) == pytest.approx(value, abs=1e-9)


def test_region_holds_all_but_the_outermost_guides() -> None:
    points = normal(40, 2)
    density = kernel_density(points)
    region = Region(density)
    assert int((density.leave_one_out() < region.level).sum()) == 2
    assert int(region(points).sum()) >= 38  # with their own kernel they are further in
    assert not region(torch.full((1, 2), 9.0)).any()
    assert "5 % quantile of the 40 guides' leave-one-out ln k" in region.definition
    assert f"bandwidth {density.bandwidth:.4g}" in region.definition


def test_region_does_not_mind_where_a_molecule_is() -> None:
    points = normal(1, 8, 3) + 0.2 * normal(30, 8, 3, seed=1)
    region = Region(kernel_density(points, AlignedKernel()))
    turned = points.flip(2) * torch.tensor([1.0, 1.0, -1.0]) + 5.0  # a quarter turn and a half turn
    assert region(turned).all()
    assert not region(-points).any()


@pytest.mark.parametrize(
    ("points", "choices", "message"),
    [
        (normal(0, 2), {}, "no guiding points"),
        (normal(1, 2), {}, "one guiding point has no spread"),
        (normal(3, 2), {"bandwidth": 0.0}, "must be a finite number > 0"),
        (normal(4, 2)[[0, 1, 2, 1]], {}, "guiding points 1 and 3 are the same"),
        (normal(4, 2)[[0, 0, 0, 1]], {"bandwidth": 1.0}, "0 and 1 are the same .* 2 more"),
        (torch.ones(2, 2), {}, "guiding points 0 and 1 are the same"),
        (torch.tensor([[0.0], [math.nan]]), {}, "guiding point 1 is NaN"),
    ],
)
def test_points_that_make_no_density_are_refused(points: Tensor, choices: dict[str, float], message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        kernel_density(points, **choices)


def test_a_turned_copy_is_a_duplicate_only_after_alignment() -> None:
    points = normal(3, 8, 3).float()
    turned = points[:1].flip(2) * torch.tensor([1.0, 1.0, -1.0]) + 5.0
    both = torch.cat([points, turned])
    assert kernel_density(both).bandwidth > 0
    with pytest.raises(LeastworkError, match="guiding points 0 and 3 are the same for this kernel"):
        kernel_density(both, AlignedKernel())


def test_one_guide_with_a_bandwidth_has_a_kernel_but_no_region() -> None:
    density = kernel_density(normal(1, 2), bandwidth=0.5)
    assert density.log_kernel(density.points).tolist() == [0.0]
    with pytest.raises(LeastworkError, match="no others"):
        density.leave_one_out()
    with pytest.raises(LeastworkError, match="does not define the width"):
        Region(density)
    with pytest.raises(LeastworkError, match="quantile"):
        Region(kernel_density(normal(4, 2)), quantile=1.0)


@pytest.mark.parametrize("kernel", [EuclideanKernel(), AlignedKernel(), FeatureKernel(lambda x: x[:, :, 0])])
def test_the_distance_from_the_guides_has_its_gradient_and_the_border_of_the_region(kernel: Kernel) -> None:
    points = normal(1, 5, 3) + 0.3 * normal(20, 5, 3, seed=1)
    region = Region(kernel_density(points, kernel))
    distance, lower, upper = region.interval
    x = (points[:6] + 0.5 * normal(6, 5, 3, seed=2)).requires_grad_()
    assert distance.differentiable
    assert lower == -math.inf
    torch.autograd.gradcheck(distance, (x,), rtol=1e-4)
    far = points.repeat(20, 1, 1) + 0.3 * normal(400, 5, 3, seed=3)
    inside = region(far)
    assert 0 < int(inside.sum()) < len(far)
    assert torch.equal(distance(far)[:, 0] <= upper, inside)


def test_far_from_all_others_the_distance_is_that_from_one_guide() -> None:
    """But for the share 1/M of one guide in k, b² 2 ln M in the square."""
    density = kernel_density(torch.tensor([[0.0, 0.0], [50.0, 0.0]], dtype=torch.float64), bandwidth=0.5)
    found = density.distance(torch.tensor([[3.0, 4.0]], dtype=torch.float64))
    assert float(found) == pytest.approx(math.sqrt(25 + 2 * 0.25 * math.log(2)))


def test_features_beyond_torch_and_frames_have_no_gradient() -> None:
    points = normal(9, 5, 3)
    outside = FeatureKernel(lambda x: torch.from_numpy(x.detach().numpy()[:, :, 0]))
    assert not Region(kernel_density(points, outside)).interval[0].differentiable
    frames = (points, torch.eye(3, dtype=torch.float64).expand(9, 5, 3, 3))
    assert not Region(kernel_density(frames, FrameKernel())).interval[0].differentiable


def test_a_ball_is_an_interval_of_the_distance_from_its_centre() -> None:
    ball = Ball((0.5, -0.5), 0.8)
    distance, lower, upper = ball.interval
    x = normal(200, 2)
    assert lower == -math.inf
    assert torch.equal(distance(x)[:, 0] <= upper, ball(x))
    at = torch.tensor([[0.5, -0.5], [0.5, 0.5]], requires_grad=True)
    (slope,) = torch.autograd.grad(distance(at).sum(), at)
    assert slope.tolist() == [[0.0, 0.0], [0.0, 1.0]]  # zero, and not NaN, at the centre

"""The kernel density of guiding points and its bandwidth: b maximises Σ_i ln Σ_{j≠i} b^{−D} exp(−d²(x_i, x_j)/2b²).

This is the likelihood of each guide under the others (Duin, IEEE Trans. Comput. C-25, 1175, 1976). D is the number of
degrees of freedom on which the distance depends: coordinates, 3A − 6 for A aligned atoms, or features. The normaliser
b^{−D} matters only here and is left out elsewhere.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, all_finite, leaves
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.angles import AngleKernel
from leastwork.kernels.base import Kernel
from leastwork.kernels.flat import EuclideanKernel
from leastwork.kernels.frames import FrameKernel
from leastwork.models.base import Scored, is_periodic
from leastwork.models.symmetry import has_no_orientation

__all__ = ["KernelDensity", "kernel_density", "usual_kernel"]

_GRID = 48  # bandwidths that are tried before the best of them is refined


@dataclass(frozen=True, eq=False)
class KernelDensity:
    """A kernel with its guides and bandwidth; made by :func:`kernel_density`, which checks them.

    Args:
        kernel: the kernel, which defines the distance d.
        points: guides, (M, *event), data units.
        bandwidth: b, in the unit of d.
    """

    kernel: Kernel
    points: State
    bandwidth: float

    @cached_property
    def guides(self) -> Tensor:
        """The guides in the form that the kernel compares."""
        return self.kernel.embed(self.points)

    def __len__(self) -> int:
        return len(leaves(self.points)[0])

    def log_kernel(self, x: State) -> Tensor:
        """ln k(x), (B,), float64; x: (B, *event), data units."""
        return self.kernel.log_kernel(x, self.guides, self.bandwidth)

    def log_kernel_and_score(self, x: State) -> tuple[Tensor, State]:
        """ln k(x), (B,), and ∇ ln k in the structure of x, in inverse data units."""
        return self.kernel.log_kernel_and_score(x, self.guides, self.bandwidth)

    @cached_property
    def is_smooth(self) -> bool:
        """Whether ln k has a gradient: frames have none with respect to a matrix, features only by torch operations."""
        if not isinstance(self.points, Tensor):
            return False
        try:
            self.log_kernel_and_score(self.points[:1])
        except LeastworkError:
            return False
        return True

    def distance(self, x: State) -> Tensor:
        """b √(−2 ln k(x)), (B,), float64, with a gradient; near a guide that is far from others the distance from it.

        Args:
            x: samples, (B, *event), data units.
        """
        log_k: Any = _LogKernel.apply(x, self)
        return self.bandwidth * (-2 * log_k).clamp(min=torch.finfo(torch.float64).tiny).sqrt()

    def leave_one_out(self) -> Tensor:
        """ln k of every guide under the other M − 1, (M,), float64.

        Raises:
            LeastworkError: there is only one guide.
        """
        if len(self) < 2:
            raise LeastworkError("one guide has no others to compare with: pass two or more, or a region of your own")
        return _log_mean(_without_own(self.kernel.squared_distances(self.points, self.guides)), self.bandwidth)


class _LogKernel(torch.autograd.Function):
    """ln k with its gradient from the score, which kernels give without a graph."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, density: KernelDensity) -> Tensor:
        if not ctx.needs_input_grad[0]:
            return density.log_kernel(x)
        log_k, score = density.log_kernel_and_score(x)
        ctx.save_for_backward(score)
        return log_k

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (score,) = ctx.saved_tensors
        return slopes[0].to(score).reshape(-1, *[1] * (score.ndim - 1)) * score, None


def kernel_density(points: State, kernel: Kernel | None = None, bandwidth: float | None = None) -> KernelDensity:
    """Check guiding points, and make their kernel density.

    Args:
        points: guides, (M, *event), data units.
        kernel: EuclideanKernel (by default), AlignedKernel or FeatureKernel.
        bandwidth: b > 0 in the unit of the distance; by default the one with the largest likelihood of each guide under
            the others, which takes memory for M² distances. Successive steps of one trajectory are closer to each
            other than to the rest of the region, which makes the bandwidth too small: thin them out.

    Raises:
        LeastworkError: there are no guides, or only one and no bandwidth; a guide is given twice or not finite; or the
            bandwidth is not positive.

    >>> points = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    >>> 0.2 < kernel_density(points).bandwidth < 0.8
    True
    """
    kernel = EuclideanKernel() if kernel is None else kernel
    count = len(leaves(points)[0]) if len(points) else 0
    if count == 0:
        raise LeastworkError("there are no guiding points: pass points of shape (M, *event), M >= 1")
    if bandwidth is not None and not 0 < bandwidth < math.inf:
        raise LeastworkError(f"bandwidth={bandwidth} must be a finite number > 0, in the unit of the distance")
    if count == 1 and bandwidth is None:
        raise LeastworkError("one guiding point has no spread to choose a bandwidth by: pass more, or bandwidth=...")
    finite = all_finite(points)
    if not bool(finite.all()):
        raise LeastworkError(f"guiding point {int((~finite).nonzero()[0])} is NaN or infinite: mend it or leave it out")
    guides = kernel.embed(points)
    if count > 1:
        squared = _without_own(kernel.squared_distances(points, guides))
        _refuse_duplicates(squared, guides)
        bandwidth = _likeliest_bandwidth(squared, kernel.dimension(points)) if bandwidth is None else bandwidth
    assert bandwidth is not None
    return KernelDensity(kernel, points, float(bandwidth))


def _refuse_duplicates(squared: Tensor, guides: Tensor) -> None:
    """Raise an error if two guides are closer than the rounding of float32 coordinates, 10⁻⁶ of a guide's size."""
    about = guides - guides.mean(dim=1, keepdim=True) if guides.ndim == 3 else guides - guides.mean(dim=0)
    size = about.square().flatten(1).sum(dim=1).mean()
    twice = torch.nonzero(squared.triu() <= 1e-12 * size + torch.finfo(torch.float64).tiny)
    twice = twice[twice[:, 0] < twice[:, 1]]
    if len(twice):
        i, j = twice[0].tolist()
        more = f" (and {len(twice) - 1} more such pairs)" if len(twice) > 1 else ""
        raise LeastworkError(f"guiding points {i} and {j} are the same for this kernel{more}: leave one of them out")


def _likeliest_bandwidth(squared: Tensor, dimension: int) -> float:
    """The b of largest leave-one-out likelihood; squared: d², (M, M), infinite on the diagonal.

    At the maximum b² = ⟨d²⟩/D, with ⟨·⟩ the mean over guides of the weighted squared distances to the others. So b lies
    between the values for the nearest and for the farthest guides.
    """
    far = squared.where(squared.isfinite(), 0.0).amax(dim=1)
    low, high = (0.5 * math.log(float(end.mean()) / dimension) for end in (squared.amin(dim=1), far))

    def loss(log_b: float) -> float:
        return dimension * log_b - float(_log_mean(squared, math.exp(log_b)).mean())

    grid = torch.linspace(low, high, _GRID, dtype=torch.float64).tolist()  # there may be several maxima
    best = min(range(_GRID), key=lambda i: loss(grid[i]))
    left, right = grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)]
    if right - left < 1e-9:  # two guides, or all equally far apart
        return math.exp(grid[best])
    from scipy.optimize import minimize_scalar  # slow to import, and needed here alone

    found = minimize_scalar(loss, bounds=(left, right), method="bounded", options={"xatol": 1e-6})
    return math.exp(float(found.x))


def _without_own(squared: Tensor) -> Tensor:
    return squared.fill_diagonal_(math.inf)


def _log_mean(squared: Tensor, bandwidth: float) -> Tensor:
    """ln of the mean kernel of the other guides, (M,), from d², (M, M), infinite on the diagonal."""
    return (squared * (-0.5 / bandwidth**2)).logsumexp(dim=1) - math.log(len(squared) - 1)


def usual_kernel(model: Scored) -> Kernel:
    """Default kernel of a model: of angles, or after rigid-body alignment if the model has no preferred orientation."""
    if is_periodic(model):
        return AngleKernel()
    if not has_no_orientation(model):
        return EuclideanKernel()
    return FrameKernel() if model.has_rotations else AlignedKernel()

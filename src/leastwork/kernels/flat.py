"""Gaussian kernels to guiding points, ln k(x) = ln (1/M) Σ_m exp(−d²(x, x_m)/2b²), and their scores ∇ ln k.

    ∇ ln k = −(x − Σ_m w_m R_m x_m)/b²,    w = softmax(−d²/2b²)

d is the Euclidean distance (R = 1), the distance after rigid-body alignment (R_m takes x_m onto x, both about their
centroids, so that the score has no net force and no torque), or the distance of features (then the score is multiplied
by their Jacobian). Sums of exponentials are taken in log space and float64, so that far from all guides the score
points to the nearest one.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.alignment import blocks
from leastwork.geometry.euclidean import Subspace
from leastwork.geometry.state import State, flatten, leaves, smap, unflatten

__all__ = ["EuclideanKernel", "FeatureKernel", "row_blocks"]

_PAIRS = 2**18  # pairs of a sample and a guide in memory at a time if nothing is aligned: 2 MiB


@dataclass(frozen=True)
class EuclideanKernel:
    """d² = |x − x_m|².

    Args:
        subspace: the model's subspace, onto which states are projected before the distance is taken.

    >>> kernel, guides = EuclideanKernel(), torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    >>> log_k, score = kernel.log_kernel_and_score(torch.tensor([[9.0]]), guides, 0.1)
    >>> score.item()  # of a guide at a distance of 8, in spite of exp(-3200)
    -800.0
    """

    subspace: Subspace | None = None

    @property
    def distance(self) -> str:
        return "Euclidean distance"

    def embed(self, points: State) -> Tensor:
        return flatten(self._project(points)).to(torch.float64)

    def dimension(self, points: State) -> int:
        if self.subspace is None:
            return flatten(points).shape[1]
        shapes = smap(lambda leaf: tuple(leaf.shape[1:]), points)
        return self.subspace.dimension(shapes)

    def squared_distances(self, x: State, guides: Tensor) -> Tensor:
        return _squared_distances(self.embed(x), guides)

    @torch.no_grad()
    def log_kernel(self, x: State, guides: Tensor, bandwidth: float) -> Tensor:
        return _flat_kernel(self.embed(x), guides, bandwidth)[0]

    @torch.no_grad()
    def log_kernel_and_score(self, x: State, guides: Tensor, bandwidth: float) -> tuple[Tensor, State]:
        log_k, score = _flat_kernel(self.embed(x), guides, bandwidth)
        return log_k, _like(score, x)

    def _project(self, x: State) -> State:
        return x if self.subspace is None else self.subspace.project(x)


@dataclass(frozen=True)
class FeatureKernel:
    """d² = |φ(x) − φ(x_m)|², and the score by the chain rule.

    Args:
        features: φ, a differentiable function of states in data units, (B, *event) -> (B, F), such as an Observable.
            Scale its columns to similar size, since the bandwidth is the same for all.
    """

    features: Callable[[State], Tensor]

    @property
    def distance(self) -> str:
        return "distance of features"

    def embed(self, points: State) -> Tensor:
        with torch.no_grad():
            return self._features(points).to(torch.float64)

    def dimension(self, points: State) -> int:
        return self.embed(points).shape[1]

    def squared_distances(self, x: State, guides: Tensor) -> Tensor:
        return _squared_distances(self.embed(x), guides)

    def log_kernel(self, x: State, guides: Tensor, bandwidth: float) -> Tensor:
        return _flat_kernel(self.embed(x), guides, bandwidth)[0]

    def log_kernel_and_score(self, x: State, guides: Tensor, bandwidth: float) -> tuple[Tensor, State]:
        with torch.enable_grad():
            at = smap(lambda leaf: leaf.detach().requires_grad_(), x)
            values = self._features(at)
        if not values.requires_grad:
            raise LeastworkError("the features do not depend on x by torch operations: no .detach(), .item() or numpy")
        log_k, score = _flat_kernel(values.detach().to(torch.float64), guides, bandwidth)
        gradients = torch.autograd.grad(values, leaves(at), score.to(values.dtype), materialize_grads=True)
        return log_k, gradients if isinstance(x, tuple) else gradients[0]

    def _features(self, x: State) -> Tensor:
        values = self.features(x)
        n = len(leaves(x)[0])
        if not isinstance(values, Tensor) or values.ndim != 2 or values.shape[0] != n:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise LeastworkError(f"features of {n} states gave {got}: return a tensor (B, F), here ({n}, F)")
        return values


def _squared_distances(x: Tensor, guides: Tensor) -> Tensor:
    """|x − y|², (B, M), relative to the mean of the guides, so that little cancels."""
    centre = guides.mean(dim=0)
    x, guides = x - centre, guides - centre
    own, other = x.square().sum(dim=1, keepdim=True), guides.square().sum(dim=1)
    return torch.addmm(own + other, x, guides.T, alpha=-2.0).clamp_min_(0.0)


def _flat_kernel(x: Tensor, guides: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
    """ln k, (B,), and ∇ ln k, (B, D), of flat float64 states."""
    log_k, score = x.new_empty(len(x)), torch.empty_like(x)
    for some in row_blocks(x, guides):
        exponent = _squared_distances(x[some], guides).mul_(-0.5 / bandwidth**2)
        total = exponent.logsumexp(dim=1)
        log_k[some] = total
        score[some] = (exponent.sub_(total[:, None]).exp_() @ guides).sub_(x[some]).div_(bandwidth**2)
    return log_k - math.log(len(guides)), score


def row_blocks(x: Tensor, guides: Tensor) -> Iterator[slice]:
    return blocks(len(x), max(_PAIRS // len(guides), 1))


def _like(flat: Tensor, x: State) -> State:
    """Flat float64 values in the structure and precision of x."""
    return smap(lambda part, leaf: part.to(leaf.dtype), unflatten(flat, x), x)

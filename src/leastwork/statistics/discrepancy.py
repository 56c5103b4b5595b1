"""Discrepancies between two sets of samples: maximum mean discrepancy and Wasserstein distance.

    MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y)        k(x, y) = exp(−d²(x, y)/2b²)
    W₁ = ∫ |F_a(v) − F_b(v)| dv

MMD² is estimated by its U-statistic, which leaves out k(x_i, x_i) and is unbiased, so that it can be negative (Gretton
et al., J. Mach. Learn. Res. 13, 723, 2012). Its variance has a part of order 1/n, from the influence of single samples,
and a part of order 1/n², from pairs, which alone remains if the distributions agree (Hoeffding, Ann. Math. Stat. 19,
293, 1948). The empirical variance of the influence contains the second part twice. Here it is subtracted once, but the
variance is at least the second part, so that close to zero the error is a little too large rather than too small.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.alignment import blocks
from leastwork.geometry.state import State, all_finite, batch_size, take
from leastwork.kernels.base import Kernel
from leastwork.kernels.flat import EuclideanKernel
from leastwork.statistics.estimate import Estimate

__all__ = ["histogram_divergence", "maximum_mean_discrepancy", "wasserstein"]

_PAIRS = 2**20  # pairs of two samples in memory at a time: 8 MiB


def maximum_mean_discrepancy(
    x: State,
    y: State,
    bandwidth: float,
    kernel: Kernel | None = None,
    log_weight_x: Tensor | None = None,
    log_weight_y: Tensor | None = None,
) -> Estimate:
    """The squared MMD of two sets of independent samples, with standard error; of mean zero for equal distributions.

    All pairs are evaluated, in blocks: 10⁴ samples against 10⁴ take a few seconds.

    Args:
        x, y: two or more samples each, (n, *event) and (m, *event), data units.
        bandwidth: b, in the unit of the distance; the usual choice is the median distance of the reference.
        kernel: kernel that defines the distance; by default Euclidean.
        log_weight_x, log_weight_y: ln w, (n,) and (m,), up to a constant; by default equal weights. Weighted averages
            are self-normalised, with a bias of order 1/n.

    Raises:
        LeastworkError: there are fewer than two samples, the bandwidth is not positive, or the weights have another
            shape.
        NonFiniteError: a sample or a weight is NaN or infinite.

    >>> draw = torch.Generator().manual_seed(0)
    >>> x, y = torch.randn(500, 2, generator=draw), torch.randn(500, 2, generator=draw)
    >>> same, shifted = (maximum_mean_discrepancy(x, z, bandwidth=1.0) for z in (y, y + 1))
    >>> abs(same.value) < 3 * same.stderr, shifted.value > 10 * shifted.stderr
    (True, True)
    """
    if not 0 < bandwidth < math.inf:
        raise LeastworkError(f"bandwidth={bandwidth} must be a finite number > 0, in the unit of the distance")
    kernel = EuclideanKernel() if kernel is None else kernel
    w, v = (_weights(s, lw, name) for s, lw, name in ((x, log_weight_x, "x"), (y, log_weight_y, "y")))
    xx, yy, xy = (
        _pair_means(*pair, kernel, bandwidth, same)
        for pair, same in (((x, w, x, w), True), ((y, v, y, v), True), ((x, w, y, v), False))
    )
    value = xx.mean + yy.mean - 2 * xy.mean
    influence_x = len(w) * w * 2 * (xx.left - xy.left - xx.mean + xy.mean)
    influence_y = len(v) * v * 2 * (yy.left - xy.right - yy.mean + xy.mean)
    single = sum(Estimate.from_influence(0.0, part).stderr ** 2 for part in (influence_x, influence_y))
    pairs = 2 * xx.spread + 2 * yy.spread + 4 * xy.spread
    return Estimate(value, math.sqrt(max(single - pairs, pairs)))


@dataclass(frozen=True)
class _PairMeans:
    """Means of k over pairs: over all; over the partners of each sample on the left and on the right; and
    Σ w² v² (k − left − right + mean)², the squared part of k that is not due to single samples."""

    mean: float
    left: Tensor
    right: Tensor
    spread: float


def _pair_means(x: State, w: Tensor, y: State, v: Tensor, kernel: Kernel, bandwidth: float, same: bool) -> _PairMeans:
    """x: (n, *event); w: weights of sum one, (n,); y, v: the same for m; same: whether to leave out pairs i = j."""
    guides = kernel.embed(y)
    w, v = w.to(guides.device), v.to(guides.device)
    left, left_squares = torch.empty_like(w), torch.empty_like(w)
    right, right_squares = torch.zeros_like(v), torch.zeros_like(v)
    squares = 0.0
    for some in blocks(len(w), max(_PAIRS // len(v), 1)):
        with torch.no_grad():
            k = kernel.squared_distances(take(x, some), guides).mul_(-0.5 / bandwidth**2).exp_()
        if same:
            k[:, some].fill_diagonal_(0.0)
        left[some], left_squares[some] = k @ v, k @ v.square()
        right += w[some] @ k
        right_squares += w[some].square() @ k
        squares += float(w[some].square() @ k.square_() @ v.square())
    total = 1 - float(w.square().sum()) if same else 1.0
    mean = float(w @ left) / total
    if same:
        left, right = left / (1 - v), right / (1 - w)
    # Σ a_i b_j (k_ij − f_i − g_j)² over the pairs, with a = w² and b = v², multiplied out
    a, b, f, g = w.square(), v.square(), left - mean, right
    cross = float((a * f) @ left_squares + (b * g) @ right_squares)
    fitted = float((a * f.square()).sum() * b.sum() + (b * g.square()).sum() * a.sum() + 2 * (a @ f) * (b @ g))
    if same:
        fitted -= float((a * b * (f + g).square()).sum())
    return _PairMeans(mean, left, right, max(squares - 2 * cross + fitted, 0.0) / total**2)


def _weights(x: State, log_weight: Tensor | None, name: str) -> Tensor:
    """Weights of sum one, float64 (n,), after a check of the samples."""
    n = batch_size(x)
    weights = _normalised(log_weight, n, name)
    if n < 2 or float(weights.max()) == 1:
        raise LeastworkError(f"{name} has fewer than two samples of any weight: a discrepancy needs pairs")
    _refuse_non_finite(x, name)
    return weights


def _refuse_non_finite(x: State, name: str) -> None:
    finite = all_finite(x)
    if not bool(finite.all()):
        raise NonFiniteError(f"sample {int((~finite).nonzero()[0])} of {name} is NaN or infinite")


def _normalised(log_weight: Tensor | None, n: int, name: str) -> Tensor:
    if log_weight is None:
        return torch.full((n,), 1 / max(n, 1), dtype=torch.float64)
    if log_weight.shape != (n,):
        raise LeastworkError(
            f"log_weight_{name} has shape {tuple(log_weight.shape)} for {n} samples: pass one for each"
        )
    weights = log_weight.detach().to(torch.float64).softmax(dim=0)
    if not bool(weights.isfinite().all()):
        raise NonFiniteError(f"log_weight_{name} has a value that is NaN or +infinite, or none that is finite")
    return weights


def wasserstein(a: Tensor, b: Tensor, log_weight_a: Tensor | None = None, log_weight_b: Tensor | None = None) -> Tensor:
    """W₁ of each marginal: the mean distance by which values must be moved to turn one set of samples into the other.

    Two finite samples of one distribution have a distance of about n^{−1/2} of its width; compare with the distance
    between two halves of the reference.

    Args:
        a, b: samples, (n, K) and (m, K), or (n,) and (m,); the result has their unit.
        log_weight_a, log_weight_b: ln w, (n,) and (m,), up to a constant; by default equal weights.

    Returns:
        (K,), or a scalar tensor for one-dimensional samples, float64.

    Raises:
        LeastworkError: there are no samples, the shapes do not match, or the weights have another shape.
        NonFiniteError: a value or a weight is NaN or infinite.

    >>> wasserstein(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 2.0])).item()
    2.0
    """
    if a.ndim not in (1, 2) or a.shape[1:] != b.shape[1:] or not len(a) or not len(b):
        raise LeastworkError(
            f"samples of shape {tuple(a.shape)} and {tuple(b.shape)} cannot be compared: pass (n, K) and (m, K)"
        )
    _refuse_non_finite(a, "a")
    _refuse_non_finite(b, "b")
    w, v = (_normalised(lw, len(s), name) for s, lw, name in ((a, log_weight_a, "a"), (b, log_weight_b, "b")))
    values, order = torch.cat([a.detach(), b.detach()]).to(torch.float64).sort(dim=0)
    rise = torch.cat([w, -v]).to(values.device)[order]  # jump of F_a − F_b at each value
    return (rise.cumsum(dim=0)[:-1].abs() * values.diff(dim=0)).sum(dim=0)


def histogram_divergence(p: Tensor, q: Tensor) -> float:
    """Jensen–Shannon divergence of two histograms, nats, between 0 and ln 2.

    Args:
        p, q: shares of the same bins, of sum one, (bins,).

    >>> round(histogram_divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])), 4)  # ln 2
    0.6931
    """
    middle = 0.5 * (p + q)
    there = middle > 0  # bins that are empty in both do not contribute
    return 0.5 * float(sum(torch.xlogy(one[there], one[there] / middle[there]).sum() for one in (p, q)))

"""How far two sets of samples are from one distribution: maximum mean discrepancy and Wasserstein distance.

    MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y)        k(x, y) = exp(−d²(x, y)/2b²)
    W₁ = ∫ |F_a(v) − F_b(v)| dv

MMD² is estimated by its U-statistic, which leaves out k(x_i, x_i) and is unbiased, so that it can fall below zero
(Gretton et al., J. Mach. Learn. Res. 13, 723, 2012). Its variance has a part linear in 1/n, the influence of single
samples, and one in 1/n², that of pairs, which is all that is left where the distributions agree (Hoeffding, Ann. Math.
Stat. 19, 293, 1948). The empirical variance of the influence holds the second part twice. Here it is taken off once,
but the second part is never undercut, so that close to zero the error is a little too large rather than too small.
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

_PAIRS = 2**20  # of two samples, held at a time: 8 MiB


def maximum_mean_discrepancy(
    x: State,
    y: State,
    bandwidth: float,
    kernel: Kernel | None = None,
    log_weight_x: Tensor | None = None,
    log_weight_y: Tensor | None = None,
) -> Estimate:
    """The squared MMD of two sets of independent samples, with its standard error; zero for equal distributions.

    All pairs are taken, a block at a time: 10⁴ samples against 10⁴ take a few seconds.

    Args:
        x, y: samples, (n, *event) and (m, *event), two or more each, data units.
        bandwidth: b, the unit of the distance; the median distance of the reference is the usual choice.
        kernel: the distance; by default Euclidean.
        log_weight_x, log_weight_y: ln w, (n,) and (m,), up to a constant; by default samples count alike. Weighted
            averages are self-normalised, and unbiased up to 1/n.

    Raises:
        LeastworkError: fewer than two samples, a bandwidth that is not positive, or weights of another shape.
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
    """Of k over pairs: the mean; the mean over the other one, for each sample on the left and on the right; and
    Σ w² v² (k − left − right + mean)², the squared part of k that belongs to no single sample."""

    mean: float
    left: Tensor
    right: Tensor
    spread: float


def _pair_means(x: State, w: Tensor, y: State, v: Tensor, kernel: Kernel, bandwidth: float, same: bool) -> _PairMeans:
    """Args: x: (n, *event); w: weights that sum to one, (n,); y, v likewise; same: leave out pairs of equal index."""
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
    # Σ a_i b_j (k_ij − f_i − g_j)² over the pairs that are there, a = w², b = v², multiplied out
    a, b, f, g = w.square(), v.square(), left - mean, right
    cross = float((a * f) @ left_squares + (b * g) @ right_squares)
    fitted = float((a * f.square()).sum() * b.sum() + (b * g.square()).sum() * a.sum() + 2 * (a @ f) * (b @ g))
    if same:
        fitted -= float((a * b * (f + g).square()).sum())
    return _PairMeans(mean, left, right, max(squares - 2 * cross + fitted, 0.0) / total**2)


def _weights(x: State, log_weight: Tensor | None, name: str) -> Tensor:
    """Weights that sum to one, float64, (n,), of samples that can be used."""
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
    """W₁, the mean distance by which values have to be moved to make one set of samples of the other, marginal by
    marginal.

    Finite samples of one distribution are about n^{−1/2} of its width apart: the distance of two halves of the
    reference is the floor to compare with.

    Args:
        a, b: samples, (n, K) and (m, K), or (n,) and (m,); the unit of the result.
        log_weight_a, log_weight_b: ln w, (n,) and (m,), up to a constant; by default samples count alike.

    Returns:
        (K,), or a scalar tensor for one-dimensional samples, float64.

    Raises:
        LeastworkError: no samples, shapes that do not fit each other, or weights of another shape.
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
    rise = torch.cat([w, -v]).to(values.device)[order]  # of F_a − F_b at each value
    return (rise.cumsum(dim=0)[:-1].abs() * values.diff(dim=0)).sum(dim=0)


def histogram_divergence(p: Tensor, q: Tensor) -> float:
    """Jensen–Shannon divergence of two histograms, nats, between 0 and ln 2.

    Args:
        p, q: shares of the same bins, that sum to one, (bins,).

    >>> round(histogram_divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])), 4)  # ln 2
    0.6931
    """
    middle = 0.5 * (p + q)
    there = middle > 0  # a bin that is empty in both has no share in it
    return 0.5 * float(sum(torch.xlogy(one[there], one[there] / middle[there]).sum() for one in (p, q)))

"""The Debye sum I(q) = Σ_ij f_i(q) f_j(q) sin(q r_ij)/(q r_ij) of many structures, at a cost that hardly grows with q.

    sin(z s)/(z s) = Σ_m c_m(z) T_m(2s² − 1)        s = r_ij/R,  z = q R        (Chebyshev, even in s)
    f_i(q) = Σ_c w_ic φ_c(q)
    I(q)   = Σ_m c_m(qR) Σ_cd φ_c(q) φ_d(q) (wᵀ T_m w)_cd

R is at least the largest distance of the structure. T_m follows from two polynomials before it, so that no sine of a
pair is ever taken, and c_m falls off faster than exponentially beyond m = z/2 (Debye, Ann. Phys. 351, 809, 1915; for
the series, Mason & Handscomb, Chebyshev Polynomials, 2003).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["debye", "debye_of_groups", "squared_distances"]

_TERMS_BEYOND = 8.0  # terms beyond z/2, and
_TERMS_PER_ROOT = 3.0  # more of them for each unit of z^(1/3): the series ends below 1e-12 of its largest term
_SHARE_IN_SINGLE = 0.6  # of the terms beyond z/2 in single precision, where the series ends below 1e-8


def debye(x: Tensor, weights: Tensor, shapes: Tensor, q: Tensor) -> Tensor:
    """I(q) of the points of each sample, self terms included, (B, Q); differentiable in x and in the weights.

    Args:
        x: positions, (B, N, 3).
        weights: w, (N, C), or (B, N, C) where they depend on the sample.
        shapes: φ, (C, Q).
        q: momentum transfers in the inverse unit of x, (Q,), 0 or positive.

    >>> pair = torch.tensor([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]], dtype=torch.float64)
    >>> one = torch.ones(2, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    >>> float(debye(pair, *one, torch.tensor([0.5]))), 2 + 2 * math.sin(1.0)
    (3.68294196..., 3.68294196...)
    """
    return debye_of_groups(x, [(slice(None), weights, shapes)], q)


def debye_of_groups(x: Tensor, groups: Sequence[tuple[slice, Tensor, Tensor]], q: Tensor) -> Tensor:
    """The same for points of which each group has form factors of its own: no weight that is zero is multiplied.

    Args:
        x: positions, (B, N, 3).
        groups: the points of each group, their weights (n, C), or (B, n, C), and shapes (C, Q).
        q: momentum transfers, as in :func:`debye`.
    """
    distance2 = squared_distances(x)
    with torch.no_grad():
        reach2 = distance2.amax(dim=(1, 2)).clamp(min=1e-6)  # points in one place may have any reach
        z = reach2.to(torch.float64).sqrt()[:, None] * q.to(torch.float64)
        coefficients = _coefficients(z, _SHARE_IN_SINGLE if x.dtype == torch.float32 else 1.0).to(x)
    twice_u = distance2 * (4 / reach2[:, None, None]) - 2
    parts = []
    for i, (rows, first, of_first) in enumerate(groups):
        for j, (columns, second, of_second) in enumerate(groups[i:], i):
            block = twice_u[:, rows, columns].contiguous()
            pairs = torch.einsum("mbcd,cq,dq->bqm", _moments(block, first, second, len(coefficients[0, 0])),
                                 of_first, of_second)  # fmt: skip
            parts.append(pairs if i == j else 2 * pairs)
    return (coefficients * sum(parts[1:], parts[0])).sum(dim=2)


def _moments(twice_u: Tensor, first: Tensor, second: Tensor, count: int) -> Tensor:
    """wᵀ T_m w of two groups of points, (M, B, C, C)."""
    # ±T_m, with the sign + + − − in turn, since x ± y z is one operation, and in place where no derivative is taken
    before, polynomial, half = torch.ones_like(twice_u), twice_u / 2, []
    step = torch.addcmul if twice_u.requires_grad else Tensor.addcmul_
    for m in range(count):
        half.append(before @ second)
        before, polynomial = polynomial, step(before, twice_u, polynomial, value=(-1) ** (m + 1))
    sign = torch.tensor([(-1.0) ** (m // 2) for m in range(count)]).to(twice_u)
    return sign[:, None, None, None] * (first.mT @ torch.stack(half))


def squared_distances(x: Tensor) -> Tensor:
    """r_ij² of the points of each sample, (B, N, N), by |x|² + |y|² − 2 x·y about their centre."""
    centred = x - x.mean(dim=1, keepdim=True)
    square = centred.square().sum(dim=2)
    return square[:, :, None] + square[:, None] - 2 * centred @ centred.mT


def _coefficients(z: Tensor, share: float) -> Tensor:
    """c_m(z), (B, Q, M), by interpolation of sin(z s)/(z s) at the M zeros of T_M(2s² − 1)."""
    largest = float(z.max())
    count = math.ceil(largest / 2 + share * (_TERMS_BEYOND + _TERMS_PER_ROOT * largest ** (1 / 3)))
    angle = (torch.arange(count, dtype=torch.float64, device=z.device) + 0.5) * math.pi / count
    values = torch.sinc(z[:, :, None] * (angle / 2).cos() / math.pi)
    order = torch.arange(count, dtype=torch.float64, device=z.device)
    basis = (angle[:, None] * order).cos() * (2 / count)
    basis[:, 0] /= 2
    return values @ basis

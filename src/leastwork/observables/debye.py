"""The Debye sum I(q) = Σ_ij f_i(q) f_j(q) sin(q r_ij)/(q r_ij) of many structures, at a cost that hardly grows with q.

    sin(z s)/(z s) = Σ_m c_m(z) T_m(2s² − 1)        s = r_ij/R,  z = q R        (Chebyshev, even in s)
    f_i(q) = Σ_c w_ic φ_c(q)
    I(q)   = Σ_m c_m(qR) Σ_cd φ_c(q) φ_d(q) (wᵀ T_m w)_cd

R is at least the largest distance of the structure. T_m follows from two polynomials before it, so that no sine of a
pair is ever taken, and c_m falls off faster than exponentially beyond m = z/2 (Debye, Ann. Phys. 351, 809, 1915; for
the series, Mason & Handscomb, Chebyshev Polynomials, 2003).
"""

import math

import torch
from torch import Tensor

__all__ = ["debye", "squared_distances"]

_TERMS_BEYOND = 8.0  # terms beyond z/2, and
_TERMS_PER_ROOT = 3.0  # more of them for each unit of z^(1/3): the series ends below 1e-12 of its largest term


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
    distance2 = squared_distances(x)
    with torch.no_grad():
        reach2 = distance2.amax(dim=(1, 2)).clamp(min=1e-6)  # points in one place may have any reach
        coefficients = _coefficients(reach2.to(torch.float64).sqrt()[:, None] * q.to(torch.float64)).to(x)
    twice_u = distance2 * (4 / reach2[:, None, None]) - 2
    # ±T_m, with the sign + + − − in turn, since x ± y z is one operation
    before, polynomial, moments = torch.ones_like(twice_u), twice_u / 2, []
    for m in range(coefficients.shape[2]):
        moments.append((-1) ** (m // 2) * (weights.mT @ (before @ weights)))
        before, polynomial = polynomial, torch.addcmul(before, twice_u, polynomial, value=(-1) ** (m + 1))
    pairs = torch.einsum("mbcd,cq,dq->bqm", torch.stack(moments), shapes, shapes)
    return (coefficients * pairs).sum(dim=2)


def squared_distances(x: Tensor) -> Tensor:
    """r_ij² of the points of each sample, (B, N, N), by |x|² + |y|² − 2 x·y about their centre."""
    centred = x - x.mean(dim=1, keepdim=True)
    square = centred.square().sum(dim=2)
    return square[:, :, None] + square[:, None] - 2 * centred @ centred.mT


def _coefficients(z: Tensor) -> Tensor:
    """c_m(z), (B, Q, M), by interpolation of sin(z s)/(z s) at the M zeros of T_M(2s² − 1)."""
    largest = float(z.max())
    count = math.ceil(largest / 2 + _TERMS_BEYOND + _TERMS_PER_ROOT * largest ** (1 / 3))
    angle = (torch.arange(count, dtype=torch.float64, device=z.device) + 0.5) * math.pi / count
    values = torch.sinc(z[:, :, None] * (angle / 2).cos() / math.pi)
    order = torch.arange(count, dtype=torch.float64, device=z.device)
    basis = (angle[:, None] * order).cos() * (2 / count)
    basis[:, 0] /= 2
    return values @ basis

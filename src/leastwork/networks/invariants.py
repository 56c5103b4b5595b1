"""Invariants of points under rotations and shifts: distances and signed triple products, with their Jacobian J.

    d_ij = √(|r_ij|² + σ²)      u_ij = r_ij/d_ij      τ_ij = u_{i,i+1} · (u_{j,j+1} × u_{i+1,j})      r_ij = x_j − x_i

The triple product of the directions of two bonds and of the line between them changes sign in a mirror image, so that
distances and triple products together determine handedness, which distances alone do not (Thölke & De Fabritiis, ICLR
2022, among others, add such products). An equivariant score is Jᵀc with invariant c; it has no net force and no torque
for any c. All invariants are standardised at every noise level, distances by the mean and variance that the distances
of the data have after adding noise of size σ,

    (d − m)/s        m² = α² ⟨d⟩² + (16/π + 1)σ²        s² = α² Var d + (3/2)σ²

The σ² in d_ij removes the kink of the distance where two noisy points meet. Triple products of unit vectors are at most
one, and all gradients are bounded: far from the data the values grow no faster than the structure does. Contacts form
within a fraction of a distance's standard deviation; additional inputs tanh((d − m_k)/s_k), with m_k and s_k from
quantiles of the data, resolve them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError

__all__ = ["Invariants", "Seen"]


_QUANTILES = (0.12, 0.3, 0.6)  # quantiles m_k of each distance
_NEAR = 0.1  # share of the data on either side of a quantile that sets the scale s_k


@dataclass(frozen=True, eq=False)
class Seen:
    """Invariants of one batch, and the quantities for their Jacobian.

    Args:
        values: standardised invariants, (B, F): distances, the tanh of distances, triple products.
        lines: directions u_ij, (3, B, P).
        slopes: derivatives of the 1 + K values of a distance by the distance, times |∇d|/|u|, (B, 1 + K, P).
        inverse: 1/d_ij, (B, P).
        crosses: for each of the three factors of the triple products, the cross product of the other two, (3, B, T)
            each.
        reach: length by which a coefficient times its column of J has the size of the coefficient, (B, P + T) or
            (1, P + T): distances, then triple products.
    """

    values: Tensor
    lines: Tensor
    slopes: Tensor
    inverse: Tensor
    crosses: tuple[Tensor, Tensor, Tensor]
    reach: Tensor


class Invariants(nn.Module):
    """The view of invariants of a chain of points; states are flat, (B, 3N).

    Args:
        points: number N of points.

    Raises:
        LeastworkError: there are fewer than four points, which have no handedness.

    >>> invariants = Invariants(10)
    >>> invariants.pairs, invariants.triples, invariants.count
    (45, 28, 208)
    """

    centre: Tensor
    variance: Tensor
    incidence: Tensor
    legs: Tensor
    members: Tensor
    spread: Tensor

    def __init__(self, points: int) -> None:
        super().__init__()
        if points < 4:
            raise LeastworkError(f"{points} points have no handedness: use four or more")
        first, second = torch.triu_indices(points, points, offset=1)
        number = torch.full((points, points), -1)
        number[first, second] = torch.arange(len(first))
        incidence = torch.zeros(points, len(first))
        incidence[second, torch.arange(len(first))] = 1.0
        incidence[first, torch.arange(len(first))] = -1.0
        i, j = torch.triu_indices(points - 1, points - 1, offset=2)
        legs = torch.cat([number[i, i + 1], number[j, j + 1], number[i + 1, j]])
        self.points, self.pairs, self.triples = points, len(first), len(i)
        self.looks = 1 + len(_QUANTILES)
        self.register_buffer("centre", torch.ones(self.looks, self.pairs))
        self.register_buffer("variance", torch.ones(self.looks, self.pairs))
        self.register_buffer("incidence", incidence, persistent=False)
        self.register_buffer("legs", legs, persistent=False)
        self.register_buffer("members", torch.eye(len(first))[legs].unflatten(0, (3, -1)).sum(dim=0), persistent=False)
        self.register_buffer("spread", incidence[:, legs].contiguous(), persistent=False)

    @property
    def count(self) -> int:
        """Number F of values."""
        return self.looks * self.pairs + self.triples

    @property
    def size(self) -> Tensor:
        """Size of the data's mean structure, the root of the summed squares about its centroid: √(Σ⟨d⟩²/N)."""
        return (self.centre[0].square().sum() / self.points).sqrt()

    @torch.no_grad()
    def standardise(self, x: Tensor) -> "Invariants":
        """Take means, variances and quantiles of the distances from data, (n, 3N), network units."""
        some = x[:: max(len(x) // 20_000, 1)]
        distance = torch.cat([self._along(part, self.incidence).norm(dim=0) for part in some.split(8192)]).double()
        grid = torch.tensor([(p - _NEAR, p, p + _NEAR) for p in _QUANTILES]).to(distance)
        low, middle, high = distance.quantile(grid.flatten(), dim=0).unflatten(0, grid.shape).unbind(1)
        self.centre.copy_(torch.cat([distance.mean(dim=0)[None], middle]))
        self.variance.copy_(torch.cat([distance.var(dim=0)[None], (0.5 * (high - low)).square()]))
        return self

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Seen:
        """The invariants of x, (B, 3N); alpha and sigma have shape (1, 1), or (B, 1) for a time per sample."""
        noise, signal = sigma.square()[:, None], alpha.square()[:, None]
        middle = (signal * self.centre.square() + (16 / math.pi + 1) * noise).sqrt()
        width = (signal * self.variance + 1.5 * noise).sqrt()
        lines = self._along(x, self.incidence)
        distance = (lines.square().sum(dim=0) + noise[:, 0]).sqrt()
        looks = (distance[:, None] - middle) / width
        close = looks[:, 1:].tanh()
        slope = 1 / width
        slopes = torch.cat([slope[:, :1].expand(len(x), -1, -1), slope[:, 1:] * (1 - close.square())], dim=1)
        inverse = 1 / distance
        lines = lines * inverse
        a, b, c = lines.index_select(2, self.legs).chunk(3, dim=2)
        bc = _cross(b, c)
        triple = (a * bc).sum(dim=0)
        crosses = (bc, _cross(c, a), _cross(a, b))
        values = torch.cat([looks[:, 0], close.flatten(1), triple], dim=1)
        typical = [middle[:, 0].index_select(1, leg) for leg in self.legs.chunk(3)]
        reach = torch.cat([width[:, 0], (typical[0] * typical[1] * typical[2]) ** (1 / 3)], dim=1)
        return Seen(values, lines, slopes, inverse, crosses, reach)

    def turn(self, seen: Seen, c: Tensor) -> Tensor:
        """Σ c ∇value over the standardised distances and the triple products, (B, 3N); c: (B, P + T)."""
        of_pairs, of_triples = c.split([self.pairs, self.triples], dim=1)
        return self._force(seen, of_pairs * seen.slopes[:, 0], of_triples)

    def pull(self, seen: Seen, c: Tensor) -> Tensor:
        """Jᵀc of all values, (B, 3N); c: (B, F)."""
        of_pairs, of_triples = c.split([self.looks * self.pairs, self.triples], dim=1)
        return self._force(seen, (of_pairs.unflatten(1, (self.looks, -1)) * seen.slopes).sum(dim=1), of_triples)

    def push(self, seen: Seen, direction: Tensor) -> Tensor:
        """J u, (B, F), the derivative of the values along u: (B, 3N)."""
        move = (seen.lines * self._along(direction, self.incidence)).sum(dim=0)
        legs = self._along(direction, self.spread).chunk(3, dim=2)
        inverse = seen.inverse.index_select(1, self.legs).chunk(3, dim=1)
        turned = sum((leg * v).sum(dim=0) * d for leg, v, d in zip(legs, seen.crosses, inverse, strict=True))
        stretched = seen.values[:, -self.triples :] * ((move * seen.inverse) @ self.members.T)
        return torch.cat([(move[:, None] * seen.slopes).flatten(1), turned - stretched], dim=1)

    def _force(self, seen: Seen, of_lines: Tensor, of_triples: Tensor) -> Tensor:
        """Force on each point from coefficients of u_ij, (B, P), and of the gradients of triple products, (B, T)."""
        stretch = (of_triples * seen.values[:, -self.triples :]) @ self.members
        inverse = seen.inverse.index_select(1, self.legs).chunk(3, dim=1)
        around = torch.cat([of_triples * d * v for d, v in zip(inverse, seen.crosses, strict=True)], dim=2)
        force = ((of_lines - stretch * seen.inverse) * seen.lines) @ self.incidence.T + around @ self.spread.T
        return force.permute(1, 2, 0).flatten(1)

    def _along(self, x: Tensor, differences: Tensor) -> Tensor:
        """Differences of points (3, B, K), for flat states (B, 3N) and a matrix of differences (N, K)."""
        return x.unflatten(1, (self.points, 3)).permute(2, 0, 1) @ differences


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """a × b of (3, ...); torch's own function takes three times as long along an outer axis."""
    (a0, a1, a2), (b0, b1, b2) = a.unbind(0), b.unbind(0)
    return torch.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])

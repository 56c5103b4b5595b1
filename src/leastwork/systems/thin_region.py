"""Rare regions with known probabilities: the gap between two moons and the pass between two wells.

    gap:   A = {x: |x − c| ≤ w for a point c of the curve P(upper moon | x) = ½ with |c_1| ≤ reach}
    pass:  p = ½ N(−h e_1, s² I) + ½ N(h e_1, s² I)      A = {|x_1| < a}      p(A) = Φ((a − h)/s) − Φ((−a − h)/s)

The gap is curved, and its probability follows from quadrature. The probability of the pass is a difference of two error
functions and can have any value, and exact samples of p in A can be drawn.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.alignment import blocks
from leastwork.systems.mixtures import GaussianMixture
from leastwork.systems.moons import Moons
from leastwork.systems.plane import PlaneDensity

__all__ = ["Gap", "Slab", "TwoWell", "moons_gap", "two_well"]

_CURVE_POINTS = 201
_PAIRS = 2**20  # pairs of a sample and a point of the curve in memory at a time
_STD = 0.3  # width of the two wells
_HALF_WIDTH = 0.1  # half width of the pass


@dataclass(frozen=True, eq=False)
class Gap:
    """A band around a curve in the plane, made by :func:`moons_gap`.

    Args:
        curve: closely spaced points along the curve, float64 (P, 2).
        half_width: w, the largest distance to the curve.
        description: description of the region for a report.
    """

    curve: Tensor
    half_width: float
    description: str

    def __call__(self, x: Tensor) -> Tensor:
        """Membership: (B, 2) -> bool (B,)."""
        curve = self.curve.to(x.device)
        parts = blocks(len(x), _PAIRS // len(curve))
        near = [_squared_distance_to_segments(x[part].to(torch.float64), curve) for part in parts]
        return torch.cat(near) <= self.half_width**2 if near else torch.zeros(0, dtype=torch.bool, device=x.device)

    @cached_property
    def _length(self) -> Tensor:
        """Length of the curve up to each of its points, (P,)."""
        steps = torch.linalg.vector_norm(self.curve.diff(dim=0), dim=1)
        return torch.cat([steps.new_zeros(1), steps.cumsum(dim=0)])

    def guides(self, count: int = 15, seed: int = 0) -> Tensor:
        """Random points of the gap, one in each of ``count`` equal pieces of the curve, at most w/2 away from it.

        Args:
            count: number M of points.
            seed: seed of the positions.

        Returns:
            (M, 2), float64, from one end of the curve to the other.

        Raises:
            LeastworkError: count < 1.
        """
        if count < 1:
            raise LeastworkError(f"count={count} guides: ask for at least one")
        random = torch.Generator().manual_seed(seed)
        along, across = torch.rand(2, count, generator=random, dtype=torch.float64)
        at = (torch.arange(count) + along) / count * self._length[-1]
        i = torch.searchsorted(self._length, at).clamp(1, len(self.curve) - 1)
        start, step = self.curve[i - 1], self.curve[i] - self.curve[i - 1]
        share = (at - self._length[i - 1]) / (self._length[i] - self._length[i - 1])
        normal = torch.stack([-step[:, 1], step[:, 0]], dim=1) / torch.linalg.vector_norm(step, dim=1, keepdim=True)
        return start + share[:, None] * step + (across[:, None] - 0.5) * self.half_width * normal

    def probability(self, moons: Moons, points: int = 200) -> float:
        """p(A) of the exact density by quadrature on points² cells, to 0.2 %; that of a trained model differs."""
        left, bottom = (self.curve.amin(dim=0) - self.half_width).tolist()
        right, top = (self.curve.amax(dim=0) + self.half_width).tolist()
        around = PlaneDensity(moons.log_prob, (left, bottom), (right, top), points)
        return around.probability(self) * math.exp(around.log_normaliser)


def moons_gap(moons: Moons | None = None, reach: float = 0.35, half_width: float = 0.08) -> Gap:
    """The thin region between two moons, where the density is a fortieth to a six-thousandth of its largest value.

    Args:
        moons: the density of the moons; by default that of the bundled models "moons" and "moons-cnf".
        reach: largest |x_1| of the curve, at most 0.5, where the curve ends in the tip of a moon.
        half_width: half width w of the region, at most 0.2.

    Raises:
        LeastworkError: the reach is outside (0, 0.5], or the half width outside (0, 0.2].

    >>> gap = moons_gap()
    >>> guides = gap.guides()
    >>> guides.shape, bool(gap(guides).all()), round(gap.probability(Moons()), 4)
    (torch.Size([15, 2]), True, 0.0018)
    """
    if not 0 < reach <= 0.5 or not 0 < half_width <= 0.2:
        raise LeastworkError(
            f"reach={reach} and half_width={half_width} leave the gap: choose 0 < reach <= 0.5, 0 < half_width <= 0.2"
        )
    moons = Moons() if moons is None else moons
    x = torch.linspace(-reach, reach, _CURVE_POINTS, dtype=torch.float64)
    high, low = (1 - (x + 0.5).square()).sqrt() - 0.25, 0.25 - (1 - (x - 0.5).square()).sqrt()  # the moons' axes
    for _ in range(60):
        middle = 0.5 * (low + high)
        upper = moons.is_upper(torch.stack([x, middle], dim=1)) > 0.5
        low, high = torch.where(upper, low, middle), torch.where(upper, middle, high)
    description = (
        f"A = {{x: within {half_width:g} of a point c of the curve between the moons on which either is as likely, "
        f"|c_1| <= {reach:g}}}"
    )
    return Gap(torch.stack([x, 0.5 * (low + high)], dim=1), half_width, description)


def _squared_distance_to_segments(x: Tensor, curve: Tensor) -> Tensor:
    """Squared distance to the nearest segment of a polygonal line: (B, 2), (P, 2) -> (B,)."""
    start, step = curve[:-1], curve.diff(dim=0)
    offset = x[:, None] - start
    share = ((offset * step).sum(dim=2) / step.square().sum(dim=1)).clamp(0, 1)
    return (offset - share[..., None] * step).square().sum(dim=2).amin(dim=1)


@dataclass(frozen=True)
class Slab:
    """A region: all states whose first coordinate lies within ``half_width`` of zero.

    >>> Slab(0.1)(torch.tensor([[0.05, 7.0], [0.1, 0.0]])).tolist()
    [True, False]
    """

    half_width: float

    def __call__(self, x: Tensor) -> Tensor:
        """Membership: (B, d) -> bool (B,)."""
        return x[:, 0].abs() < self.half_width

    @property
    def description(self) -> str:
        """One sentence for a report."""
        return f"A = {{x: |x_1| < {self.half_width:g}}}"


class TwoWell(NamedTuple):
    """Two wells, the pass between them and its probability; made by :func:`two_well`."""

    mixture: GaussianMixture
    region: Slab
    probability: float

    def conditional_sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws of the mixture, given that they lie in the region, float64 (n, d).

        Each well contributes half. The first coordinate is a truncated normal number, drawn by inversion, and the
        others are normal.
        """
        h, s, a = float(self.mixture.means[1, 0]), float(self.mixture.stds[1]), self.region.half_width
        ends = torch.tensor([(-a - h) / s, (a - h) / s], dtype=torch.float64)  # for the right well, in its lower tail
        low, high = torch.special.ndtr(ends)
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        z = torch.special.ndtri(low + u * (high - low)).clamp(*ends.tolist())  # against rounding of ndtri
        left = torch.rand(n, generator=generator, dtype=torch.float64) < 0.5
        x = s * torch.randn(n, self.mixture.dim, generator=generator, dtype=torch.float64)
        x[:, 0] = torch.where(left, -1.0, 1.0) * (h + s * z)
        return x


def two_well(probability: float, dim: int = 10) -> TwoWell:
    """Two equal wells of width 0.3, at the distance at which the pass |x_1| < 0.1 has the wanted probability.

    Args:
        probability: p(A), at least 1e-12 and at most 0.1.
        dim: number d of coordinates.

    Raises:
        LeastworkError: the probability is out of these bounds, or dim < 1.

    >>> mixture, region, p = two_well(1e-3)
    >>> round(float(mixture.means[1, 0]), 3), region.description, p
    (1.019, 'A = {x: |x_1| < 0.1}', 0.001)
    """
    if not 1e-12 <= probability <= 0.1 or dim < 1:
        raise LeastworkError(f"two_well needs 1e-12 <= probability <= 0.1 and dim >= 1, not {probability} and {dim}")

    def excess(h: float) -> float:
        ends = (_HALF_WIDTH - h) / _STD, (-_HALF_WIDTH - h) / _STD
        return float(log_ndtr(ends[0]) + math.log1p(-float(ndtr(ends[1]) / ndtr(ends[0])))) - math.log(probability)

    h = float(brentq(excess, 0.2, 3.0, xtol=1e-15, rtol=1e-14))  # type: ignore[arg-type]
    means = torch.zeros(2, dim, dtype=torch.float64)
    means[:, 0] = torch.tensor([-h, h], dtype=torch.float64)
    return TwoWell(GaussianMixture([0.5, 0.5], means, _STD), Slab(_HALF_WIDTH), probability)

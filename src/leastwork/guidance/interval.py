"""Interval guidance into A = {x: l ≤ f(x) ≤ u} of a smooth coordinate f, which is taken as Gaussian given x_t:

    V(x, t) = ln [1 + (e^L − 1) π]        π = Φ((u − m)/s) − Φ((l − m)/s)        h = ∂V/∂m · Jᵀ∇f
    m = f(D(x, t))        s² = (σ²/α) ∇f · J ∇f        J = ∂D/∂x

Nothing is learned. By Tweedie's formula of second order the covariance of x_0 given x_t is (σ²/α) J, so that m and s
are mean and spread of f to first order (as in Boys et al., TMLR 2024, for linear measurements). If p is Gaussian and f
linear, π is exactly P(A | x_t) and h is Doob's transform of the tilt L 1_A. Otherwise h is accurate at low noise, where
the sharp border of A matters, which a network could hardly learn. Where π ≪ e^{−L}, a way into A would cost more than a
miss; there V is flat and h is zero.

s is held fixed in the gradient. If ∇f · J ∇f of a network is not positive, s would be zero or imaginary. So s is at
least 10⁻² σ/√(α² + σ²) |∇f|, a hundredth of the spread for normal data of unit variance.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, inner, leaves, smap
from leastwork.guidance.base import Composable, Find, Parts, register
from leastwork.guidance.pull_back import pull_back
from leastwork.models.predictions import Moments
from leastwork.models.units import NETWORK_UNITS, Affine, ToData, units_parts
from leastwork.observables import Observable
from leastwork.schedules.base import Schedule
from leastwork.schedules.files import describe_schedule, schedule_from

__all__ = ["IntervalGuidance", "log_share"]

_THIN = 1e-5  # width of an interval, in units of s, below which the density at its middle is used
_FAR = -5.0  # distance of m from the nearer end, in units of s, beyond which the asymptotic form is used
_LEAST_VARIANCE = 1e-4  # smallest s², in units of σ²/(α² + σ²) |∇f|²


@register("interval")
@dataclass(frozen=True, eq=False)
class IntervalGuidance(Composable):
    """h towards l ≤ f ≤ u, differentiated through the network.

    Args:
        coordinate: the coordinate f, a differentiable observable with one column.
        lower, upper: l < u in the unit of f; either may be infinite.
        log_odds: L > 0 of the tilt L 1_A (:func:`leastwork.sampling.work.log_odds`).
        schedule: the model's schedule, α and σ.
        to_data: change from network units to data units, the model's ``units``.

    Raises:
        LeastworkError: the coordinate has several columns, l ≥ u, or L ≤ 0.
    """

    coordinate: Observable
    lower: float
    upper: float
    log_odds: float
    schedule: Schedule
    to_data: ToData = NETWORK_UNITS

    def __post_init__(self) -> None:
        names = self.coordinate.names
        if len(names) != 1:
            raise LeastworkError(f"an interval is of one coordinate, not of {len(names)}, {names}: pick one")
        if not self.lower < self.upper:
            raise LeastworkError(f"lower = {self.lower:g} is not below upper = {self.upper:g}: exchange them")
        if not 0 < self.log_odds < math.inf:
            raise LeastworkError(f"log_odds = {self.log_odds:g}: give a positive number, the tilt inside the interval")

    @property
    def through_network(self) -> bool:
        return True

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, (B, *event); ``denoised`` must have its graph from x."""
        mean, spread, pull = self.moments(x, t, denoised)
        log_pi, slope = log_share(self.lower, self.upper, mean, spread)
        force = torch.sigmoid(self._log_gain + log_pi) * slope
        return smap(lambda leaf: force.to(leaf).reshape(-1, *[1] * (leaf.ndim - 1)) * leaf, pull)

    def value(self, x: State, t: float, denoised: State) -> Tensor:
        """V(x, t), float64 (B,); ``denoised`` must have its graph from x."""
        mean, spread, _ = self.moments(x, t, denoised)
        return torch.nn.functional.softplus(self._log_gain + log_share(self.lower, self.upper, mean, spread)[0])

    def moments(self, x: State, t: float, denoised: State) -> tuple[Tensor, Tensor, State]:
        """m and s, float64 (B,), and Jᵀ∇f, network units (B, *event)."""
        with torch.enable_grad():
            at = smap(lambda leaf: leaf.detach().requires_grad_(), denoised)
            f = self.coordinate(self.to_data(at))[:, 0]
            slopes = torch.autograd.grad(f.sum(), leaves(at))
        slope = slopes if isinstance(x, tuple) else slopes[0]
        pull = pull_back(denoised, x, slope)
        m = Moments.at(self.schedule, float(t))
        variance = m.sigma**2 / m.alpha * inner(slope, pull).to(torch.float64)
        least = _LEAST_VARIANCE * m.sigma**2 / (m.alpha**2 + m.sigma**2) * inner(slope, slope).to(torch.float64)
        spread = torch.maximum(variance, least).sqrt().clamp(min=torch.finfo(torch.float32).tiny)
        return f.detach().to(torch.float64), spread, pull

    @property
    def _log_gain(self) -> float:
        """ln(e^L − 1)."""
        return self.log_odds + math.log(-math.expm1(-self.log_odds))

    def parts(self) -> Parts:
        own = ("lower", "upper", "log_odds")
        described = {"names": self.coordinate.names, "schedule": describe_schedule(self.schedule)}
        return {**described, **{name: getattr(self, name) for name in own}, **units_parts(self.to_data)}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "IntervalGuidance":
        rest = dict(parts)
        names, schedule = rest.pop("names"), schedule_from(rest.pop("schedule"))
        to_data = Affine(rest.pop("shift"), rest.pop("scale"))
        return cls(find(names), schedule=schedule, to_data=to_data, **rest)


def log_share(lower: float, upper: float, mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """ln π, the log-probability of a Gaussian between two values, and ∂ ln π/∂m, (B,) each; accurate far in the tails.

    Args:
        lower, upper: l < u.
        mean: m, float64 (B,).
        spread: s > 0, float64 (B,).

    >>> log_pi, slope = log_share(-1.0, 1.0, torch.zeros(1).double(), torch.ones(1).double())
    >>> round(log_pi.exp().item(), 4), slope.item()
    (0.6827, 0.0)
    """
    low, high = (lower - mean) / spread, (upper - mean) / spread
    above = low > 0  # both Φ would round to one, so use the mirror image
    a, b = torch.where(above, -high, low), torch.where(above, -low, high)
    log_b = torch.special.log_ndtr(b)
    middle, width = 0.5 * (low + high), (upper - lower) / spread
    log_a = torch.special.log_ndtr(a)
    rest = -torch.expm1(log_a - log_b)  # π/Φ(b)
    thin, far = width < _THIN, b < _FAR  # where Φ at both ends agree in most digits, and where both Φ nearly vanish
    log_pi = torch.where(thin, _log_density(middle) + width.log(), log_b + rest.log())
    at_b = math.sqrt(2 / math.pi) / torch.special.erfcx(-b / math.sqrt(2)) / rest  # φ(b)/π
    in_tail = at_b * torch.expm1(0.5 * (b - a) * (b + a))  # [φ(a) − φ(b)]/π
    between = (_log_density(a) - log_pi).exp() - (_log_density(b) - log_pi).exp()
    ends = torch.where(far, in_tail, between) * torch.where(above, -1.0, 1.0)
    return log_pi, torch.where(thin, middle, ends) / spread


def _log_density(z: Tensor) -> Tensor:
    """ln φ."""
    return -0.5 * z.square() - 0.5 * math.log(2 * math.pi)

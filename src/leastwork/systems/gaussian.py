"""A guided Gaussian in closed form: data N(m, s²) in every coordinate, tilt r(x) = −λ a·x − ½ μ |x|².

    p_t = N(αm, α²s² + σ²)                 D(x, t) = (α s² x + σ² m)/(α²s² + σ²)
    q = p e^r / Z = N((m − λ s² a)/(1 + μs²), s²/(1 + μs²))

Doob's transform h* = ∇ ln q_t − ∇ ln p_t is affine in x. Under any affine guidance h = p_i + q_i x the chain of a
first-order solver stays Gaussian. So its ledger, with ln w = ln dP/dQ + r, follows from recursions of moments: forward
for E ln w, backward for E[w^θ | x_i] = exp(u_i + v_i x + ½ w_i x²) at θ = 1 and 2. There is no sampling and no limit of
small steps. With the noise z of a step and its shift δ = e h, the forward moments give W = Σ E δ²/2c²; the backward
recursion starts from θ r(D(x, t_min)) and ends with the prior N(0, σ(t_max)²).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NoPathWeightsError
from leastwork.guidance.base import Composable
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments
from leastwork.sampling.solvers.steps import Steps
from leastwork.schedules.base import Schedule

__all__ = ["ChainLedger", "Gaussian", "GaussianDoob", "QuadraticTilt", "exact_chain"]


@dataclass(frozen=True)
class QuadraticTilt:
    """The log-tilt r(x) = −λ a·x − ½ μ |x|².

    Args:
        linear: λ.
        quadratic: μ.
        direction: unit vector a; by default along the first coordinate.

    >>> QuadraticTilt(linear=2.0)(torch.tensor([[1.0, 5.0]]))
    tensor([-2.])
    """

    linear: float = 0.0
    quadratic: float = 0.0
    direction: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.direction is not None and not math.isclose(sum(a * a for a in self.direction), 1, rel_tol=1e-6):
            raise LeastworkError(f"direction={self.direction} is not a unit vector: divide it by its length")

    def slope(self, dim: int) -> Tensor:
        """λ a, (dim,), float64."""
        direction = torch.zeros(dim, dtype=torch.float64)
        direction[0] = 1
        if self.direction is not None:
            direction = torch.tensor(self.direction, dtype=torch.float64)
        if len(direction) != dim:
            raise LeastworkError(f"direction has {len(direction)} coordinates, the data {dim}")
        return self.linear * direction

    def __call__(self, x: Tensor) -> Tensor:
        """r(x): (B, dim) -> (B,)."""
        return -x @ self.slope(x.shape[-1]).to(x) - 0.5 * self.quadratic * x.square().sum(dim=-1)


@dataclass(frozen=True)
class Gaussian:
    """N(mean, std²) in each of ``dim`` coordinates.

    >>> Gaussian(0.0, 2.0).for_mean(-1.0).linear
    0.25
    """

    mean: float = 0.0
    std: float = 1.0
    dim: int = 1

    def __post_init__(self) -> None:
        if self.std <= 0 or self.dim < 1:
            raise LeastworkError(f"Gaussian needs std > 0 and dim >= 1, not {self.std}, {self.dim}")

    def model(self, schedule: Schedule) -> DiffusionModel:
        """The exact diffusion model, event shape (dim,)."""

        def net(x: Tensor, t: Tensor) -> Tensor:
            slope, offset = self.denoiser(Moments.at(schedule, float(t)))
            return slope * x + offset

        return DiffusionModel(net, schedule, predicts="data", event_shape=(self.dim,))

    def denoiser(self, m: Moments) -> tuple[float, float]:
        """Coefficients (k, d) of D(x, t) = k x + d."""
        variance = m.alpha**2 * self.std**2 + m.sigma**2
        return m.alpha * self.std**2 / variance, m.sigma**2 * self.mean / variance

    def for_mean(self, wanted: float, direction: Sequence[float] | None = None) -> QuadraticTilt:
        """The linear tilt with E_q[a·x] = wanted: λ = (a·m − wanted)/s²."""
        unit = QuadraticTilt(1.0, direction=direction).slope(self.dim)
        return QuadraticTilt((self.mean * float(unit.sum()) - wanted) / self.std**2, direction=direction)

    def for_second_moment(self, wanted: float) -> QuadraticTilt:
        """The quadratic tilt with E_q|x|² = wanted: s² u + m² u² = wanted/dim, u = 1/(1 + μ s²)."""
        if wanted <= 0:
            raise LeastworkError(f"a second moment is positive, not {wanted}")
        share, s2 = wanted / self.dim, self.std**2
        u = 2 * share / (s2 + math.sqrt(s2**2 + 4 * self.mean**2 * share))
        return QuadraticTilt(quadratic=(1 / u - 1) / s2)

    def for_variance(self, wanted: float) -> QuadraticTilt:
        """The quadratic tilt with the variance ``wanted`` in every coordinate: μ = 1/wanted − 1/s²."""
        if wanted <= 0:
            raise LeastworkError(f"a variance is positive, not {wanted}")
        return QuadraticTilt(quadratic=1 / wanted - 1 / self.std**2)

    def tilted(self, tilt: QuadraticTilt) -> tuple[Tensor, float]:
        """Mean (dim,) and variance of every coordinate of q = p e^r / Z."""
        u = self._shrinkage(tilt)
        return (self.mean - self.std**2 * tilt.slope(self.dim)) * u, self.std**2 * u

    def log_normaliser(self, tilt: QuadraticTilt) -> float:
        """ln Z = ln E_p[e^r]."""
        mean, variance = self.tilted(tilt)
        exponent = 0.5 * (mean.square() / variance - self.mean**2 / self.std**2).sum()
        return float(exponent) + 0.5 * self.dim * math.log(variance / self.std**2)

    def kl(self, tilt: QuadraticTilt) -> float:
        """KL(q ‖ p), the least work that reaches q."""
        mean, variance = self.tilted(tilt)
        ratio = variance / self.std**2
        shift = float((mean - self.mean).square().sum()) / self.std**2
        return 0.5 * (self.dim * (ratio - 1 - math.log(ratio)) + shift)

    def marginal(self, m: Moments) -> tuple[float, float]:
        """Mean and variance of every coordinate of x_t."""
        return m.alpha * self.mean, m.alpha**2 * self.std**2 + m.sigma**2

    def doob(self, tilt: QuadraticTilt, schedule: Schedule, strength: float = 1.0) -> "GaussianDoob":
        """Doob's transform of the tilt, times ``strength``."""
        return GaussianDoob(self, tilt, schedule, strength)

    def _shrinkage(self, tilt: QuadraticTilt) -> float:
        precision = 1 + tilt.quadratic * self.std**2
        if precision <= 0:
            raise LeastworkError(f"quadratic={tilt.quadratic} has no normalisable target: it must exceed −1/std²")
        return 1 / precision


@dataclass(frozen=True)
class GaussianDoob(Composable):
    """The guidance h = ε (∇ ln q_t − ∇ ln p_t), which is affine in x.

    Args:
        gaussian: the density p of the model.
        tilt: r.
        schedule: the model's schedule, α and σ.
        strength: ε; 1 is Doob's transform.

    >>> from leastwork.schedules.gaussian import VESchedule
    >>> doob = Gaussian(0.0, 1.0).doob(QuadraticTilt(linear=2.0), VESchedule(1.0, 2.0))
    >>> doob(torch.zeros(1, 1), 0.0, torch.zeros(1, 1))
    tensor([[-1.]])
    """

    gaussian: Gaussian
    tilt: QuadraticTilt
    schedule: Schedule
    strength: float = 1.0
    through_network: bool = field(default=False, init=False)

    def coefficients(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """p_i (S, dim) and q_i (S, 1) of h = p_i + q_i x at the given times."""
        alpha = self.schedule.alpha(times)[:, None]
        noise = self.schedule.sigma(times)[:, None] ** 2
        mean, variance = self.gaussian.tilted(self.tilt)
        model_variance = alpha**2 * self.gaussian.std**2 + noise
        target_variance = alpha**2 * variance + noise
        offset = alpha * (mean / target_variance - self.gaussian.mean / model_variance)
        slope = 1 / model_variance - 1 / target_variance
        return self.strength * offset, self.strength * slope

    def __call__(self, x: Tensor, t: float, denoised: Tensor) -> Tensor:
        """h(x, t): (B, dim) -> (B, dim)."""
        offset, slope = self.coefficients(torch.tensor([float(t)], dtype=torch.float64))
        return offset.to(x) + slope.to(x) * x


@dataclass(frozen=True)
class ChainLedger:
    """Exact expectations under the guided chain, summed over coordinates, in nats."""

    work: float
    dissipation: float
    ess: float
    """(E w)²/E w² of w = dP/dQ · e^r; zero where E w² diverges."""
    log_normaliser: float
    """ln Z of the discretised model; infinite, as dissipation is, where E w diverges."""
    mean: Tensor
    """Mean of the guided samples, (dim,)."""
    variance: Tensor
    """Variance of the guided samples, (dim,)."""

    @property
    def bound(self) -> float:
        """W − dissipation."""
        return self.work - self.dissipation

    @property
    def efficiency(self) -> float:
        """1 − dissipation/W; NaN if W is zero."""
        return 1 - self.dissipation / self.work if self.work else math.nan


def exact_chain(
    gaussian: Gaussian,
    schedule: Schedule,
    steps: Steps,
    tilt: QuadraticTilt,
    offset: Tensor | None = None,
    slope: Tensor | None = None,
) -> ChainLedger:
    """The ledger of the discretised chain from N(0, σ(t_max)²) to x_0 = D(x, t_min), under h = p_i + q_i x.

    Args:
        gaussian: the distribution of the data, and so the model.
        schedule: the schedule α and σ.
        steps: steps of a first-order solver with noise in every guided step.
        tilt: the log-tilt r(x_0).
        offset: p_i, (S, 1) or (S, dim).
        slope: q_i, (S, 1) or (S, dim); without offset and slope the guidance is Doob's transform.

    Raises:
        NoPathWeightsError: a step has no noise, uses earlier steps, or has a corrector.

    >>> from leastwork.sampling.process import Process
    >>> from leastwork.sampling.grids import time_grid
    >>> from leastwork.schedules.gaussian import VPSchedule
    >>> from leastwork.sampling.solvers import Euler
    >>> data, schedule = Gaussian(0.5, 0.3), VPSchedule()
    >>> process = Process(data.model(schedule))
    >>> steps = Euler().steps(process, time_grid(process, 100))
    >>> round(exact_chain(data, schedule, steps, data.for_mean(0.2)).efficiency, 3)
    0.998
    """
    if not steps.has_density or steps.has_memory:
        raise NoPathWeightsError(
            "the exact chain needs a first-order solver with noise in every step: κ > 0, no corrector"
        )
    if (offset is None) != (slope is None):
        raise LeastworkError("pass both offset and slope of the guidance, or neither")
    if offset is None or slope is None:
        offset, slope = gaussian.doob(tilt, schedule).coefficients(steps.times[:-1])
    kicks = steps.e[:, None]
    kick_offset = (kicks * offset).expand(len(steps), gaussian.dim)
    kick_slope = (kicks * slope).expand(len(steps), gaussian.dim)
    denoisers = [gaussian.denoiser(Moments.at(schedule, t)) for t in steps.times.tolist()]
    k, d = torch.tensor(denoisers, dtype=torch.float64).T[..., None]
    factor = steps.a[:, None] + steps.b[:, None] * k[:-1] + kick_slope  # x' = factor x + constant + c z
    constant = steps.b[:, None] * d[:-1] + kick_offset
    prior = Moments.at(schedule, float(steps.times[0])).sigma ** 2

    mean = torch.zeros(gaussian.dim, dtype=torch.float64)
    variance = torch.full_like(mean, prior)
    work = torch.zeros_like(mean)
    noise = steps.c**2
    width = torch.where(steps.c > 0, steps.c, 1.0)  # a step without noise has no guidance, and costs nothing
    for i in range(len(steps)):
        work += ((kick_offset[i] + kick_slope[i] * mean) ** 2 + kick_slope[i] ** 2 * variance) / (2 * width[i] ** 2)
        mean = factor[i] * mean + constant[i]
        variance = factor[i] ** 2 * variance + noise[i]
    final_mean, final_variance = k[-1] * mean + d[-1], k[-1] ** 2 * variance
    linear, mu = tilt.slope(gaussian.dim), tilt.quadratic
    mean_tilt = float((-linear * final_mean - 0.5 * mu * (final_mean**2 + final_variance)).sum())

    c = steps.c[:, None]
    gain_offset, gain_slope = kick_offset / width[:, None], kick_slope / width[:, None]

    def log_moment(theta: float) -> float:
        """ln E w^θ, by the backward recursion."""
        # θ r(k x + d)
        u = theta * (-linear * d[-1] - 0.5 * mu * d[-1] ** 2)
        v = theta * k[-1] * (-linear - mu * d[-1])
        w = (-theta * mu * k[-1] ** 2).expand(gaussian.dim)
        for i in reversed(range(len(steps))):
            rho = 1 - w * noise[i]
            if bool((rho <= 0).any()):
                return math.inf
            g0, g1, a, b = gain_offset[i], gain_slope[i], factor[i], constant[i]
            # the exponent is linear in z with coefficient L0 + L1 x, and −½ρ z² remains
            l0 = -theta * g0 + c[i] * (v + w * b)
            l1 = -theta * g1 + c[i] * w * a
            u, v, w = (
                u + v * b + 0.5 * w * b**2 - 0.5 * theta * g0**2 + 0.5 * l0**2 / rho - 0.5 * rho.log(),
                v * a + w * a * b - theta * g0 * g1 + l0 * l1 / rho,
                w * a**2 - theta * g1**2 + l1**2 / rho,
            )
        rho = 1 - w * prior
        if bool((rho <= 0).any()):
            return math.inf
        return float((u + 0.5 * v**2 * prior / rho - 0.5 * rho.log()).sum())

    log_z, log_second = log_moment(1.0), log_moment(2.0)
    total = float(work.sum())
    return ChainLedger(
        work=total,
        dissipation=log_z - (mean_tilt - total),
        ess=0.0 if math.isinf(log_second) else math.exp(2 * log_z - log_second),
        log_normaliser=log_z,
        mean=final_mean,
        variance=final_variance,
    )

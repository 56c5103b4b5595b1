"""Densities on a line by quadrature: scores, tilts and Doob transforms."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from leastwork.errors import InfeasibleError, LeastworkError, NonFiniteError
from leastwork.guidance.base import Composable
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments
from leastwork.schedules.base import Schedule

__all__ = ["LineDensity", "LineDoob", "LineOptimum", "kl_histogram", "maximum_entropy"]

_CHUNK = 1 << 21  # entries in one block of the posterior's (B, G) table
_TABLE = 2049  # positions at which a function is tabulated
_MOST_STEPS = 100  # Newton steps of maximum entropy
_MOST_TABLES = 1024  # tables that are kept, one for each time


@dataclass(frozen=True, eq=False)
class LineDensity:
    """A density on an interval, with averages by the trapezoidal rule.

    The rule is exact to rounding for a smooth density that vanishes at both ends and is wide compared with the
    grid's spacing.

    Args:
        log_density: ln p(x) up to a constant; (B, 1) -> (B,), float64.
        low, high: ends of the interval.
        points: number of nodes of the grid.

    >>> standard = LineDensity(lambda x: -0.5 * x[:, 0] ** 2, -9.0, 9.0)
    >>> standard.log_prob(torch.zeros(1, 1)).exp().item()
    0.39894228...
    """

    log_density: Callable[[Tensor], Tensor]
    low: float
    high: float
    points: int = 1201

    def __post_init__(self) -> None:
        if not self.low < self.high or self.points < 3:
            raise LeastworkError(
                f"LineDensity needs low < high and 3 points, not {self.low}, {self.high}, {self.points}"
            )

    @cached_property
    def grid(self) -> Tensor:
        """The nodes, (G,)."""
        return torch.linspace(self.low, self.high, self.points, dtype=torch.float64)

    @property
    def spacing(self) -> float:
        """Distance between nodes."""
        return (self.high - self.low) / (self.points - 1)

    @cached_property
    def log_normaliser(self) -> float:
        """ln ∫ exp(log_density)."""
        return float(torch.logsumexp(self.log_density(self.grid[:, None]), dim=0) + math.log(self.spacing))

    @cached_property
    def log_weights(self) -> Tensor:
        """ln of the nodes' probabilities, which sum to one, (G,)."""
        return self.log_density(self.grid[:, None]) - self.log_normaliser + math.log(self.spacing)

    @cached_property
    def _cumulative(self) -> Tensor:
        """P(X <= grid), (G,)."""
        p = self.log_weights.exp()
        steps = torch.cat([torch.zeros(1, dtype=torch.float64), 0.5 * (p[1:] + p[:-1])])
        total = steps.cumsum(0)
        return total / total[-1]

    def log_prob(self, x: Tensor) -> Tensor:
        """Normalised ln p(x): (B, 1) -> (B,), float64."""
        return self.log_density(x.to(torch.float64)) - self.log_normaliser

    def mean(self, fn: Callable[[Tensor], Tensor]) -> Tensor:
        """E[fn]; fn: (B, 1) -> (B,) or (B, K); returns a scalar or (K,), float64."""
        values = fn(self.grid[:, None]).to(torch.float64)
        return torch.tensordot(self.log_weights.exp(), values, dims=1)

    def kl(self, other: "LineDensity") -> float:
        """KL(self ‖ other)."""
        return float(self.mean(lambda x: self.log_prob(x) - other.log_prob(x)))

    def tilted(self, log_tilt: Callable[[Tensor], Tensor]) -> "LineDensity":
        """The density p e^r / Z; r: (B, 1) -> (B,)."""
        return LineDensity(lambda x: self.log_density(x) + log_tilt(x), self.low, self.high, self.points)

    def rescaled(self, scale: float) -> "LineDensity":
        """The density of x/scale, which are the network units z of a model with data units x = scale · z."""
        return LineDensity(lambda z: self.log_density(scale * z), self.low / scale, self.high / scale, self.points)

    def cdf(self, x: Tensor) -> Tensor:
        """P(X <= x), linear between nodes; x of any shape."""
        return _interpolate(x.to(torch.float64).clamp(self.low, self.high), self.low, self.spacing, self._cumulative)

    def probability(self, low: float, high: float) -> float:
        """P(low < X <= high)."""
        below, above = self.cdf(torch.tensor([low, high]))
        return float(above - below)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws by inversion of the distribution function, (n, 1), float64."""
        u = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device).cpu()
        cell = torch.searchsorted(self._cumulative, u, right=True).clamp(1, self.points - 1)
        below, above = self._cumulative[cell - 1], self._cumulative[cell]
        return (self.grid[cell - 1] + self.spacing * (u - below) / (above - below))[:, None]

    def denoise(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """D = E[x_0 | α x_0 + σ ε = x] by quadrature: (B, 1) -> (B, 1)."""
        self._check_resolution(alpha, sigma)
        d = _posterior_means(x[:, 0].to(torch.float64), alpha, sigma, self.grid, self.log_weights[:, None])
        return d.to(x.dtype)

    def log_prob_noised(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """ln p_t(x) of x_t = α x_0 + σ ε by quadrature: (B, 1) -> (B,), float64."""
        self._check_resolution(alpha, sigma)
        kernel = -0.5 * ((x.to(torch.float64) - alpha * self.grid) / sigma) ** 2
        return torch.logsumexp(self.log_weights + kernel, dim=1) - 0.5 * math.log(2 * math.pi * sigma**2)

    def model(self, schedule: Schedule, tabulated: bool = True) -> DiffusionModel:
        """The exact diffusion model of this density, event shape (1,).

        Args:
            schedule: the schedule α and σ.
            tabulated: whether to interpolate D linearly in a table that is made once per time; this is a hundred times
                faster than the quadrature, with an error of 10⁻⁴ for Prinz's potential.
        """

        def quadrature(x: Tensor, t: float) -> Tensor:
            m = Moments.at(schedule, t)
            return self.denoise(x[:, None], m.alpha, m.sigma)[:, 0]

        evaluate = _Table(quadrature, self, schedule) if tabulated else quadrature

        def net(x: Tensor, t: Tensor) -> Tensor:
            return evaluate(x[:, 0].to(torch.float64), float(t))[:, None].to(x.dtype)

        return DiffusionModel(net, schedule, predicts="data", event_shape=(1,))

    def _check_resolution(self, alpha: float, sigma: float) -> None:
        if sigma < alpha * self.spacing:
            needed = math.ceil((self.high - self.low) * alpha / sigma) + 1 if sigma > 0 else 0
            remedy = f"use at least points={needed}" if needed else "the schedule's t_min must be positive"
            raise LeastworkError(
                f"noise of σ/α = {sigma / alpha:.2g} falls between {self.points} grid points: {remedy}"
            )


@dataclass(frozen=True, eq=False)
class LineDoob(Composable):
    """Doob's transform of a density on a line, the guidance of least work at κ = 1.

    Args:
        density: the density p of the model.
        log_tilt: the log-tilt r, (B, 1) -> (B,).
        schedule: the model's schedule, α and σ.
        strength: ε in h = ε h*.
        tabulated: whether to interpolate linearly in a table that is made once per time.

    >>> from leastwork.schedules.gaussian import VPSchedule
    >>> standard = LineDensity(lambda x: -0.5 * x[:, 0] ** 2, -9.0, 9.0, points=3001)
    >>> doob = LineDoob(standard, lambda x: 0.5 * x[:, 0], VPSchedule())
    >>> x = torch.zeros(1, 1)
    >>> round(doob(x, 0.1, x).item() / VPSchedule().alpha(torch.tensor(0.1)).item(), 6)
    0.5
    """

    density: LineDensity
    log_tilt: Callable[[Tensor], Tensor]
    schedule: Schedule
    strength: float = 1.0
    tabulated: bool = True
    through_network: bool = field(default=False, init=False)

    @cached_property
    def target(self) -> LineDensity:
        """q = p e^r / Z."""
        return self.density.tilted(self.log_tilt)

    def __call__(self, x: Tensor, t: float, denoised: Tensor) -> Tensor:
        """h(x, t): (B, 1) -> (B, 1)."""
        h = self._evaluate(x[:, 0].to(torch.float64), float(t))[:, None]
        return (self.strength * h).to(x.dtype)

    @cached_property
    def _evaluate(self) -> Callable[[Tensor, float], Tensor]:
        return _Table(self._quadrature, self.density, self.schedule) if self.tabulated else self._quadrature

    def _quadrature(self, x: Tensor, t: float) -> Tensor:
        m = Moments.at(self.schedule, t)
        self.density._check_resolution(m.alpha, m.sigma)
        both = torch.stack([self.density.log_weights, self.target.log_weights], dim=1)
        means = _posterior_means(x, m.alpha, m.sigma, self.density.grid, both)
        return m.alpha / m.sigma**2 * (means[:, 1] - means[:, 0])


@dataclass(frozen=True)
class LineOptimum:
    """The density closest to a prior density among all that have the wanted averages."""

    density: LineDensity
    lambdas: Tensor
    """λ of p e^{−λ·O} / Z, (K,)."""
    kl: float
    """KL(optimum ‖ prior), the least work."""


def maximum_entropy(
    prior: LineDensity, observables: Callable[[Tensor], Tensor], values: Tensor | list[float]
) -> LineOptimum:
    """p e^{−λ·O}/Z with E[O] = values: Newton's method on the convex ln Z(λ) + λ·values.

    Args:
        prior: the density p.
        observables: the observables O, (B, 1) -> (B,) or (B, K).
        values: wanted averages, (K,).

    Raises:
        InfeasibleError: no density on the grid has these averages.

    >>> from leastwork.systems.prinz import position, prinz, prinz_biased
    >>> optimum = maximum_entropy(prinz_biased(), position, [float(prinz().mean(position))])
    >>> optimum.lambdas, round(optimum.kl, 3)
    (tensor([-1.4925], dtype=torch.float64), 0.293)
    """
    o = observables(prior.grid[:, None]).to(torch.float64).reshape(prior.points, -1)
    wanted = torch.as_tensor(values, dtype=torch.float64).reshape(-1)
    if o.shape[1] != len(wanted):
        raise LeastworkError(f"{len(wanted)} values for {o.shape[1]} observables: pass one per column")
    centred = o - wanted
    lambdas = torch.zeros_like(wanted)
    scale = centred.abs().amax(dim=0).clamp(min=1e-300)

    def dual(at: Tensor) -> Tensor:
        return torch.logsumexp(prior.log_weights - centred @ at, dim=0)

    mean = torch.full_like(wanted, torch.nan)
    for _ in range(_MOST_STEPS):
        q = torch.softmax(prior.log_weights - centred @ lambdas, dim=0)
        mean = q @ centred
        if bool((mean.abs() < 1e-12 * scale).all()):
            return _optimum(prior, observables, lambdas)
        covariance = (centred - mean).T @ (q[:, None] * (centred - mean))
        step = torch.linalg.lstsq(covariance, mean[:, None], driver="gelsd").solution[:, 0]  # for redundant observables
        length, slope = 1.0, float(mean @ step)
        while not dual(lambdas + length * step) <= dual(lambdas) - 0.25 * length * slope + 1e-14 and length > 1e-12:
            length /= 2
        lambdas = lambdas + length * step
    raise InfeasibleError(
        f"no reweighting reaches {wanted.tolist()} in {_MOST_STEPS} Newton steps (off by {mean.tolist()}): "
        "the values must lie inside the range of the observables, and agree with one another"
    )


def _optimum(prior: LineDensity, observables: Callable[[Tensor], Tensor], lambdas: Tensor) -> LineOptimum:
    def log_tilt(x: Tensor) -> Tensor:
        return -observables(x).reshape(len(x), -1).to(torch.float64) @ lambdas

    density = prior.tilted(log_tilt)
    return LineOptimum(density, lambdas, density.kl(prior))


def kl_histogram(
    samples: Tensor,
    density: LineDensity,
    bins: int = 100,
    interval: tuple[float, float] = (-1.2, 1.2),
    log_weight: Tensor | None = None,
) -> float:
    """KL(density ‖ samples) over equal bins of an interval and one more bin for everything outside.

    An empty bin counts as half a sample, since KL would be infinite otherwise. Sampling noise adds about
    (occupied bins − 1)/2n, which is 0.004 for 10,000 exact draws of Prinz's density.

    Args:
        samples: samples, (n,) or (n, 1).
        density: the true density.
        bins: number of bins.
        interval: ends of the interval that is divided into bins.
        log_weight: ln w of the samples, (n,), up to a constant; counts are then n times the normalised weights, and at
            least one half in each bin.

    Raises:
        NonFiniteError: a sample is NaN or infinite.
    """
    x = samples.detach().to("cpu", torch.float64).reshape(-1)
    if not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).nonzero()[0])
        raise NonFiniteError(f"sample {bad} is not finite, so it has no bin: leave it out")
    edges = torch.linspace(*interval, bins + 1, dtype=torch.float64)
    p = density.cdf(edges).diff()
    p = torch.cat([p, (1 - p.sum()).clamp(min=0)[None]])
    inside = (x >= edges[0]) & (x <= edges[-1])
    cell = torch.where(inside, torch.bucketize(x, edges[1:-1]), bins)
    w = torch.ones_like(x) if log_weight is None else torch.softmax(log_weight.to("cpu", torch.float64), 0) * len(x)
    counts = torch.bincount(cell, weights=w, minlength=bins + 1).clamp(min=0.5)
    return float(torch.special.xlogy(p, p * counts.sum() / counts).sum())


class _Table:
    """A function of (x, t) by linear interpolation in x between nodes that are computed once per time."""

    def __init__(self, fn: Callable[[Tensor, float], Tensor], density: LineDensity, schedule: Schedule) -> None:
        self._fn, self._density, self._schedule = fn, density, schedule
        self._rows = lru_cache(maxsize=_MOST_TABLES)(self._row)

    def _row(self, t: float) -> tuple[float, float, Tensor]:
        m = Moments.at(self._schedule, t)
        low = m.alpha * self._density.low - 6 * m.sigma
        high = m.alpha * self._density.high + 6 * m.sigma
        nodes = torch.linspace(low, high, _TABLE, dtype=torch.float64)
        with torch.no_grad():
            return low, (high - low) / (_TABLE - 1), self._fn(nodes, t)

    def __call__(self, x: Tensor, t: float) -> Tensor:
        low, spacing, values = self._rows(t)
        high = low + spacing * (_TABLE - 1)
        inside = (x >= low) & (x <= high)
        y = _interpolate(x.clamp(low, high), low, spacing, values)
        return y if bool(inside.all()) else y.masked_scatter(~inside, self._fn(x[~inside], t))


def _interpolate(x: Tensor, low: float, spacing: float, values: Tensor) -> Tensor:
    """Linear interpolation on equally spaced nodes; x within them."""
    place = (x - low) / spacing
    cell = place.detach().long().clamp(0, len(values) - 2)
    return torch.lerp(values[cell], values[cell + 1], place - cell)


def _posterior_means(x: Tensor, alpha: float, sigma: float, grid: Tensor, log_weights: Tensor) -> Tensor:
    """E[x_0 | x_t = x] under each of C densities on the grid; x: (B,); log_weights: (G, C); returns (B, C)."""
    rows = max(1, _CHUNK // len(grid))
    blocks = []
    for part in x.split(rows):
        kernel = -0.5 * ((part[:, None] - alpha * grid) / sigma) ** 2
        blocks.append(torch.stack([torch.softmax(kernel + w, dim=1) @ grid for w in log_weights.T], dim=1))
    return torch.cat(blocks) if blocks else x.new_zeros(0, log_weights.shape[1])

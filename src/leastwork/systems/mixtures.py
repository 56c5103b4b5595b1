"""Gaussian mixtures p(x) = Σ_k w_k N(x; m_k, s_k² I), which stay mixtures under noise, tilting and reweighting.

    x_t = α x_0 + σ ε:   m_k → α m_k,  s_k² → α² s_k² + σ²
    r = −λ a·x:          m_k → m_k − λ s_k² a,  w_k → w_k exp(−λ a·m_k + ½ λ² s_k²)/Z
    w → w′:              r(x) = ln p′(x)/p(x),  ln Z = 0

So the target q of a tilt is a mixture too, and Doob's transform is a difference of two scores,
h*(x, t) = ∇ ln q_t − ∇ ln p_t. Everything is evaluated in float64 and returned in the dtype of x.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from leastwork.errors import InfeasibleError, LeastworkError
from leastwork.guidance.base import Composable
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments
from leastwork.schedules.base import Schedule
from leastwork.statistics.estimate import Estimate

__all__ = ["GaussianMixture", "MixtureDoob", "two_states"]

_LINE_POINTS = 4001  # points of the quadrature on a line, over ±10 standard deviations


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of isotropic Gaussians.

    Args:
        weights: weights w_k ≥ 0, (K,), which are normalised.
        means: means m_k, (K, d).
        stds: standard deviations s_k, (K,) or one number for all.

    >>> mixture = GaussianMixture([0.25, 0.75], [[-1.0], [1.0]], 0.5)
    >>> mixture.mean
    tensor([0.5000], dtype=torch.float64)
    """

    weights: Tensor
    means: Tensor
    stds: Tensor

    def __init__(
        self,
        weights: Tensor | Sequence[float],
        means: Tensor | Sequence[Sequence[float]],
        stds: Tensor | Sequence[float] | float,
    ) -> None:
        w, m, s = (torch.as_tensor(part, dtype=torch.float64) for part in (weights, means, stds))
        if w.ndim != 1 or m.ndim != 2 or len(w) != len(m) or s.ndim > 1 or (s.ndim == 1 and len(s) != len(w)):
            raise LeastworkError(
                f"a mixture needs weights (K,), means (K, d) and stds (K,), not {tuple(w.shape)}, {tuple(m.shape)}, "
                f"{tuple(s.shape)}"
            )
        if not bool((w >= 0).all()) or not float(w.sum()) > 0 or not bool((s > 0).all()):
            raise LeastworkError(
                "a mixture's weights must be at least zero, with a positive sum, and its stds positive"
            )
        object.__setattr__(self, "weights", w / w.sum())
        object.__setattr__(self, "means", m)
        object.__setattr__(self, "stds", s.expand(len(w)).clone())

    @property
    def dim(self) -> int:
        """Number d of coordinates of a sample."""
        return self.means.shape[1]

    @property
    def mean(self) -> Tensor:
        """E[x], (d,)."""
        return self.weights @ self.means

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws, (n, d), float64."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return self.means[k] + self.stds[k, None] * noise

    def noised(self, alpha: float, sigma: float) -> "GaussianMixture":
        """The mixture of α x_0 + σ ε."""
        return GaussianMixture(self.weights, alpha * self.means, (alpha**2 * self.stds**2 + sigma**2).sqrt())

    def log_prob(self, x: Tensor) -> Tensor:
        """ln p(x): (B, d) -> (B,), float64."""
        return torch.logsumexp(self._log_joint(x), dim=1)

    def populations(self, x: Tensor) -> Tensor:
        """Probability that x belongs to each component, an observable whose mean is w: (B, d) -> (B, K)."""
        return self._shares(x).to(x.dtype)

    def score(self, x: Tensor) -> Tensor:
        """∇ ln p(x) = Σ_k P(k|x) (m_k − x)/s_k²: (B, d) -> (B, d)."""
        pull = self._pull(x)
        return (pull @ self.means.to(x.device) - pull.sum(dim=1, keepdim=True) * x).to(x.dtype)

    def denoise(self, x: Tensor, alpha: float, sigma: float) -> Tensor:
        """D = E[x_0 | α x_0 + σ ε = x]: (B, d) -> (B, d)."""
        noised = self.noised(alpha, sigma)
        share = noised._shares(x)
        variance = noised.stds**2
        centre = (sigma**2 / variance)[:, None] * self.means
        slope = share @ (alpha * self.stds**2 / variance).to(x.device)[:, None]
        # nothing cancels in this sum, so the two large arrays can have the dtype of x
        return share.to(x.dtype) @ centre.to(x) + slope.to(x.dtype) * x

    def model(self, schedule: Schedule) -> DiffusionModel:
        """The exact diffusion model, event shape (d,)."""

        def net(x: Tensor, t: Tensor) -> Tensor:
            m = Moments.at(schedule, float(t))
            return self.denoise(x, m.alpha, m.sigma)

        return DiffusionModel(net, schedule, predicts="data", event_shape=(self.dim,))

    def tilted(self, linear: float, direction: Tensor | Sequence[float]) -> "GaussianMixture":
        """q = p e^{−λ a·x}/Z.

        Args:
            linear: λ.
            direction: a, (d,), of any length.
        """
        a = self._direction(direction)
        log_weights = self.weights.log() - linear * self.means @ a + 0.5 * (linear * self.stds) ** 2 * a.square().sum()
        means = self.means - linear * self.stds[:, None] ** 2 * a
        return GaussianMixture(torch.softmax(log_weights, dim=0), means, self.stds)

    def log_normaliser(self, linear: float, direction: Tensor | Sequence[float]) -> float:
        """ln Z = ln E_p[e^{−λ a·x}]."""
        a = self._direction(direction)
        exponent = -linear * self.means @ a + 0.5 * (linear * self.stds) ** 2 * a.square().sum()
        return float(torch.logsumexp(self.weights.log() + exponent, dim=0))

    def tilt_for_mean(self, wanted: float, direction: Tensor | Sequence[float]) -> float:
        """The λ with E_q[a·x] = wanted, q = p e^{−λ a·x}/Z; E_q falls with λ, so there is just one."""
        a = self._direction(direction)
        if float(a.square().sum()) == 0:
            raise LeastworkError("direction is zero: no tilt along it changes anything")

        def excess(linear: float) -> float:
            return float(self.tilted(linear, a).mean @ a) - wanted

        high = 1.0
        while not excess(-high) >= 0 >= excess(high):
            high *= 2
            if not high < 1e9:
                raise InfeasibleError(f"no tilt reaches a mean of {wanted} along the direction: it is too far out")
        low = -high
        while low < (middle := 0.5 * (low + high)) < high:  # down to the spacing of float64
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        return middle

    def reweighted(self, weights: Tensor | Sequence[float]) -> "GaussianMixture":
        """The same components with other weights."""
        return GaussianMixture(weights, self.means, self.stds)

    def log_ratio(self, target: "GaussianMixture", x: Tensor) -> Tensor:
        """The log-tilt r(x) = ln q(x)/p(x) from this mixture p to ``target`` q: (B, d) -> (B,), float64."""
        return target.log_prob(x) - self.log_prob(x)

    def doob(self, target: "GaussianMixture", schedule: Schedule, strength: float = 1.0) -> "MixtureDoob":
        """Doob's transform towards ``target``, times ``strength``."""
        return MixtureDoob(self, target, schedule, strength)

    def kl(self, target: "GaussianMixture") -> float:
        """KL(target ‖ self), the least work that reaches ``target``, by quadrature on a line.

        In several dimensions all means must lie on one line and all components must have the same width, as in
        ``two_states``: then the densities differ along that line only.

        Raises:
            LeastworkError: the densities do not differ along one line only; see :meth:`estimate_kl`.
        """
        p, q = self._along_a_line(target)
        low = float((q.means[:, 0] - 10 * q.stds).min())
        high = float((q.means[:, 0] + 10 * q.stds).max())
        points = max(_LINE_POINTS, math.ceil(4 * (high - low) / float(q.stds.min())))
        x = torch.linspace(low, high, points, dtype=torch.float64)[:, None]
        terms = q.log_prob(x).exp() * p.log_ratio(q, x)
        return float(torch.trapezoid(terms, x[:, 0]))

    def estimate_kl(self, target: "GaussianMixture", n: int, generator: torch.Generator) -> Estimate:
        """KL(target ‖ self) from n draws of ``target``, in any dimension."""
        return Estimate.from_samples(self.log_ratio(target, target.sample(n, generator)))

    def _direction(self, direction: Tensor | Sequence[float]) -> Tensor:
        a = torch.as_tensor(direction, dtype=torch.float64)
        if a.shape != (self.dim,):
            raise LeastworkError(f"direction has shape {tuple(a.shape)}, the mixture {self.dim} coordinates")
        return a

    def _along_a_line(self, target: "GaussianMixture") -> tuple["GaussianMixture", "GaussianMixture"]:
        """Both mixtures in the one coordinate in which they differ."""
        if self.dim != target.dim:
            raise LeastworkError(f"the mixtures have {self.dim} and {target.dim} coordinates: they must agree")
        if self.dim == 1:
            return self, target
        means = torch.cat([self.means, target.means])
        spread = means - means[0]
        along = spread[spread.square().sum(dim=1).argmax()]
        along = along / along.norm().clamp(min=torch.finfo(along.dtype).tiny)
        off_line = (spread - (spread @ along)[:, None] * along).abs().max()
        widths = torch.cat([self.stds, target.stds])
        if bool(off_line > 1e-9 * widths[0]) or not torch.allclose(widths, widths[0], rtol=1e-12, atol=0.0):
            raise LeastworkError(
                "exact KL in several dimensions is for means on one line and components of one width: use estimate_kl"
            )
        line = (spread @ along)[:, None]
        p = GaussianMixture(self.weights, line[: len(self.means)], self.stds)
        return p, GaussianMixture(target.weights, line[len(self.means) :], target.stds)

    def _log_joint(self, x: Tensor, up_to_constant: bool = False) -> Tensor:
        """ln w_k N(x; m_k, s_k²), float64 (B, K), or up to a term that all components share."""
        variance = self.stds**2
        # |x − m|² is expanded into a matrix product, relative to the mean, so that little is lost to cancellation
        z, m = x - self.mean.to(x.device), self.means - self.mean
        constant = self.weights.log() - 0.5 * self.dim * (2 * math.pi * variance).log()
        constant = constant - 0.5 * m.square().sum(dim=1) / variance
        log_joint = constant.to(x.device) + z @ (m / variance[:, None]).T.to(x.device)
        if up_to_constant and bool((variance == variance[0]).all()):
            return log_joint
        return log_joint - 0.5 * torch.einsum("bd,bd->b", z, z)[:, None] / variance.to(x.device)

    def _shares(self, x: Tensor) -> Tensor:
        """P(k|x), (B, K), float64."""
        return torch.softmax(self._log_joint(x, up_to_constant=True), dim=1)

    def _pull(self, x: Tensor) -> Tensor:
        """P(k|x)/s_k², (B, K), float64."""
        return self._shares(x) / (self.stds**2).to(x.device)


@dataclass(frozen=True, eq=False)
class MixtureDoob(Composable):
    """The guidance h = ε (∇ ln q_t − ∇ ln p_t).

    With r = ln q/p, E_p[e^r | x_t = x] = q_t(x)/p_t(x), so that h is Doob's transform at ε = 1.

    Args:
        mixture: the density p of the model.
        target: the target density q.
        schedule: the model's schedule, α and σ.
        strength: ε; 1 is Doob's transform.

    >>> from leastwork.schedules.gaussian import LinearSchedule
    >>> mixture = two_states(1, (0.5, 0.5), separation=2.0, std=0.3)
    >>> doob = mixture.doob(mixture.reweighted([0.2, 0.8]), LinearSchedule())
    >>> bool(doob(torch.zeros(1, 1), 0.5, torch.zeros(1, 1)) > 0)
    True
    """

    mixture: GaussianMixture
    target: GaussianMixture
    schedule: Schedule
    strength: float = 1.0
    through_network: bool = field(default=False, init=False)

    def __call__(self, x: Tensor, t: float, denoised: Tensor) -> Tensor:
        """h(x, t): (B, d) -> (B, d)."""
        m = Moments.at(self.schedule, float(t))
        q, p = self.target.noised(m.alpha, m.sigma), self.mixture.noised(m.alpha, m.sigma)
        pull = self.strength * torch.cat([q._pull(x), -p._pull(x)], dim=1)
        # both scores in float64: in float32 the difference of two scores of size 1/σ would lose too many digits
        constant = pull @ torch.cat([q.means, p.means]).to(x.device)
        slope = pull.sum(dim=1, keepdim=True)
        return constant.to(x.dtype) - slope.to(x.dtype) * x

    def log_tilt(self, x: Tensor) -> Tensor:
        """r(x) = ln q(x)/p(x), whose ln Z is zero: (B, d) -> (B,), float64."""
        return self.mixture.log_ratio(self.target, x)


def two_states(dim: int, populations: Sequence[float], separation: float, std: float) -> GaussianMixture:
    """Two Gaussian states at ∓separation/2 along the first coordinate.

    Args:
        dim: number of coordinates.
        populations: populations of the left and of the right state.
        separation: distance between the two means.
        std: standard deviation of both states in every coordinate.

    >>> mixture = two_states(3, (0.15, 0.85), separation=2.0, std=0.3)
    >>> mixture.mean.tolist()
    [0.7, 0.0, 0.0]
    """
    if dim < 1 or len(populations) != 2:
        raise LeastworkError(f"two_states needs dim >= 1 and two populations, not {dim} and {len(populations)}")
    means = torch.zeros(2, dim, dtype=torch.float64)
    means[:, 0] = torch.tensor([-0.5, 0.5]) * separation
    return GaussianMixture(list(populations), means, std)

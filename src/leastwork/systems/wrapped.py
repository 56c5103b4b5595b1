"""Mixtures of wrapped normals on the torus, p(θ) = Σ_k w_k Π_i f(θ_i − m_ki; s_k), which stay mixtures under noise.

    θ_t = θ_0 + σε modulo 2π:   s_k² → s_k² + σ²
    w → w′:   r(θ) = ln p′(θ)/p(θ),  ln Z = 0,  h*(θ, t) = ∇ ln p′_t − ∇ ln p_t

f is the wrapped normal distribution (:mod:`leastwork.geometry.torus`). Averages over one or two angles follow by
quadrature, which on the torus converges faster than any power. Everything is evaluated in float64 and returned in the
dtype of the angles.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.torus import log_wrapped_normal_and_score, wrap
from leastwork.guidance.base import Composable
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments
from leastwork.schedules.base import Schedule
from leastwork.schedules.gaussian import VESchedule

__all__ = ["TORSIONAL", "WrappedDoob", "WrappedMixture", "two_wells"]

TORSIONAL = VESchedule(0.01 * math.pi, 2 * math.pi)
"""Noise from σ = 0.01π, as in Torsional Diffusion, to 2π, where e^{−σ²/2} is below 10⁻⁸; there it ends at π."""

_POINTS = 512  # of the quadrature in each angle


@dataclass(frozen=True, eq=False)
class WrappedMixture:
    """A mixture of wrapped normals.

    Args:
        weights: weights w_k > 0, (K,), which are normalised.
        means: m_k, rad, (K, d).
        stds: s_k, rad, (K,).

    >>> mixture = two_wells(1)
    >>> round(float(mixture.average(lambda x: x.cos()[:, 0])), 4)  # e^{−s²/2} Σ w_k cos m_k
    0.0764
    """

    weights: Tensor
    means: Tensor
    stds: Tensor

    def __post_init__(self) -> None:
        w, m, s = (torch.as_tensor(part, dtype=torch.float64) for part in (self.weights, self.means, self.stds))
        if w.ndim != 1 or m.ndim != 2 or s.shape != w.shape or len(m) != len(w):
            raise LeastworkError(
                f"a mixture needs weights (K,), means (K, d) and stds (K,), not {tuple(w.shape)}, {tuple(m.shape)}, "
                f"{tuple(s.shape)}"
            )
        if not bool((w > 0).all()) or not bool((s > 0).all()):
            raise LeastworkError("the weights and stds of a mixture must be positive")
        object.__setattr__(self, "weights", w / w.sum())
        object.__setattr__(self, "means", m)
        object.__setattr__(self, "stds", s)

    @property
    def dim(self) -> int:
        """Number d of angles."""
        return self.means.shape[1]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws, (n, d), float64, in [−π, π)."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return wrap(self.means[k] + self.stds[k, None] * noise)

    def noised(self, sigma: float) -> "WrappedMixture":
        """The mixture of θ_0 + σε."""
        return replace(self, stds=(self.stds**2 + sigma**2).sqrt())

    def log_prob(self, x: Tensor) -> Tensor:
        """ln p(θ): (B, d) -> (B,), float64."""
        return torch.logsumexp(self.weights.log().to(x.device) + self._components(x)[0].sum(dim=-1), dim=1)

    def score(self, x: Tensor) -> Tensor:
        """∇ ln p(θ): (B, d) -> (B, d)."""
        value, slope = self._components(x)
        share = torch.softmax(self.weights.log().to(x.device) + value.sum(dim=-1), dim=1)
        return (share[..., None] * slope).sum(dim=1).to(x.dtype)

    def model(self, schedule: Schedule = TORSIONAL) -> DiffusionModel:
        """The exact model of angles, event shape (d,)."""

        def net(x: Tensor, t: Tensor) -> Tensor:
            return self.noised(Moments.at(schedule, float(t)).sigma).score(x)

        return DiffusionModel(net, schedule, predicts="score", event_shape=(self.dim,), periodic=True)

    def reweighted(self, weights: Sequence[float]) -> "WrappedMixture":
        """The same components with other weights, (K,)."""
        return replace(self, weights=torch.tensor(weights, dtype=torch.float64))

    def doob(self, target: "WrappedMixture", schedule: Schedule = TORSIONAL, strength: float = 1.0) -> "WrappedDoob":
        """Doob's transform towards ``target``, times ``strength``."""
        return WrappedDoob(self, target, schedule, strength)

    def average(self, fn: Callable[[Tensor], Tensor], log_tilt: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """E[fn] under p, or under p e^r/Z, by quadrature in at most two angles; fn: (B, d) -> (B, ...)."""
        if self.dim > 2:
            raise LeastworkError(f"quadrature in {self.dim} angles takes {_POINTS}^{self.dim} points: draw samples")
        line = wrap(2 * math.pi * torch.arange(_POINTS, dtype=torch.float64) / _POINTS)
        x = torch.cartesian_prod(*[line] * self.dim).reshape(-1, self.dim)
        share = torch.softmax(self.log_prob(x) + (0.0 if log_tilt is None else log_tilt(x)), dim=0)
        return torch.tensordot(share, fn(x).to(torch.float64), dims=1)

    def kl(self, target: "WrappedMixture") -> float:
        """KL(target ‖ self), the least work that reaches ``target``, by quadrature."""
        return float(target.average(lambda x: target.log_prob(x) - self.log_prob(x)))

    def _components(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """ln f(θ_i − m_ki; s_k) and its slope, float64 (B, K, d)."""
        return log_wrapped_normal_and_score(x.double()[:, None] - self.means.to(x.device), self.stds[:, None])


@dataclass(frozen=True, eq=False)
class WrappedDoob(Composable):
    """The guidance h = ε (∇ ln q_t − ∇ ln p_t), Doob's transform of r = ln q/p at ε = 1.

    Args:
        mixture: the density p of the model.
        target: the target density q.
        schedule: the model's schedule.
        strength: ε.
    """

    mixture: WrappedMixture
    target: WrappedMixture
    schedule: Schedule
    strength: float = 1.0
    through_network: bool = field(default=False, init=False)

    def __call__(self, x: Tensor, t: float, denoised: Tensor) -> Tensor:
        """h(θ, t): (B, d) -> (B, d)."""
        sigma = Moments.at(self.schedule, float(t)).sigma
        fine = x.double()
        return (self.strength * (self.target.noised(sigma).score(fine) - self.mixture.noised(sigma).score(fine))).to(x)

    def log_tilt(self, x: Tensor) -> Tensor:
        """r(θ), whose ln Z is zero: (B, d) -> (B,), float64."""
        return self.target.log_prob(x) - self.mixture.log_prob(x)


def two_wells(dim: int, population: float = 0.7) -> WrappedMixture:
    """Two wells of width 0.35 rad, the second about the angle 3, across the cut at ±π: gauche and trans, say.

    Args:
        dim: number of angles.
        population: population of the first well, about the angle −1.
    """
    means = torch.tensor([[-1.0], [3.0]], dtype=torch.float64).repeat(1, dim)
    weights = torch.tensor([population, 1 - population], dtype=torch.float64)
    return WrappedMixture(weights, means, torch.full((2,), 0.35, dtype=torch.float64))

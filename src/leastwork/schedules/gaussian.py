"""Noise schedules of a Gaussian path x_t = α_t x_0 + σ_t ε, with t = 0 the data and t = 1 the noise.

    f = α̇/α        g² = 2σσ̇ − 2(α̇/α)σ²        log-SNR = ln α²/σ²

(Song et al., ICLR 2021; Kingma et al., NeurIPS 2021.) Times and results are float64 tensors of any shape.
Every schedule has the interval [t_min, t_max] on which it may be used; its prior at t_max is σ(t_max) times a standard
normal. If α(t_max) = 0 (cosine, flow matching), f and g² diverge there, and solvers start with an exponential step,
which stays finite.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from leastwork.errors import LeastworkError
from leastwork.schedules.base import check_numbers

__all__ = ["CosineSchedule", "LinearSchedule", "VESchedule", "VPSchedule"]


@dataclass(frozen=True)
class VPSchedule:
    """Variance preserving: ln α = −½(β₀ t + ½(β₁ − β₀) t²), σ² = 1 − α² (Song et al., ICLR 2021).

    Args:
        beta_min: β₀, rate at t = 0.
        beta_max: β₁, rate at t = 1.
        t_min: time at which sampling ends; g²/σ² diverges at 0.
        t_max: time at which sampling starts.

    >>> s = VPSchedule(0.1, 20.0)
    >>> t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    >>> torch.allclose(s.alpha(t) ** 2 + s.sigma(t) ** 2, torch.ones_like(t))
    True
    >>> torch.allclose(s.time_of(s.log_snr(t[1:])), t[1:])
    True
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 < self.beta_min <= self.beta_max < math.inf:
            raise LeastworkError(f"VPSchedule needs 0 < beta_min <= beta_max < ∞, not {self.beta_min}, {self.beta_max}")

    def _log_alpha(self, t: Tensor) -> Tensor:
        return -0.5 * (self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t**2)

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def alpha(self, t: Tensor) -> Tensor:
        return self._log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(2 * self._log_alpha(t))).sqrt()

    def alpha_dot(self, t: Tensor) -> Tensor:
        return -0.5 * self._beta(t) * self.alpha(t)

    def sigma_dot(self, t: Tensor) -> Tensor:
        return 0.5 * self._beta(t) * self.alpha(t) ** 2 / self.sigma(t)

    def log_snr(self, t: Tensor) -> Tensor:
        return 2 * self._log_alpha(t) - torch.log(-torch.expm1(2 * self._log_alpha(t)))

    def time_of(self, log_snr: Tensor) -> Tensor:
        area = softplus(-log_snr)  # −2 ln α = β₀ t + ½(β₁ − β₀) t²
        return 2 * area / (self.beta_min + (self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * area).sqrt())


@dataclass(frozen=True)
class CosineSchedule:
    """α = cos(πt/2), σ = sin(πt/2) (Nichol & Dhariwal, ICML 2021; here without their offset).

    >>> s = CosineSchedule()
    >>> s.log_snr(torch.tensor(0.5, dtype=torch.float64)).abs().item() < 1e-12
    True
    """

    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.sin(0.5 * math.pi * (1 - t))  # exactly zero at t = 1, where cos(πt/2) is not

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sin(0.5 * math.pi * t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        return -0.5 * math.pi * self.sigma(t)

    def sigma_dot(self, t: Tensor) -> Tensor:
        return 0.5 * math.pi * self.alpha(t)

    def log_snr(self, t: Tensor) -> Tensor:
        return 2 * (self.alpha(t).log() - self.sigma(t).log())

    def time_of(self, log_snr: Tensor) -> Tensor:
        return torch.atan(torch.exp(-0.5 * log_snr)) * (2 / math.pi)


@dataclass(frozen=True)
class VESchedule:
    """Variance exploding: α = 1, σ = σ_min (σ_max/σ_min)^t (Song et al., ICLR 2021).

    Args:
        sigma_min: σ at t = 0, network units.
        sigma_max: σ at t = 1, network units; choose several times the extent of the data, or x at t_max still depends
            on the data.

    >>> VESchedule(0.01, 50.0).sigma(torch.tensor([0.0, 1.0], dtype=torch.float64))
    tensor([1.0000e-02, 5.0000e+01], dtype=torch.float64)
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    t_min: float = 0.0
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise LeastworkError(
                f"VESchedule needs 0 < sigma_min < sigma_max < ∞, not {self.sigma_min}, {self.sigma_max}"
            )

    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.exp(self._log_ratio() * t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def sigma_dot(self, t: Tensor) -> Tensor:
        return self._log_ratio() * self.sigma(t)

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * (math.log(self.sigma_min) + self._log_ratio() * t)

    def time_of(self, log_snr: Tensor) -> Tensor:
        return (-0.5 * log_snr - math.log(self.sigma_min)) / self._log_ratio()


@dataclass(frozen=True)
class LinearSchedule:
    """Flow matching's straight path: α = 1 − t, σ = t (Lipman et al., ICLR 2023; Liu et al., ICLR 2023).

    >>> LinearSchedule().alpha(torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)).tolist()
    [1.0, 0.75, 0.0]
    """

    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t

    def sigma(self, t: Tensor) -> Tensor:
        return t

    def alpha_dot(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)

    def sigma_dot(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def log_snr(self, t: Tensor) -> Tensor:
        return 2 * (torch.log1p(-t) - t.log())

    def time_of(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-0.5 * log_snr)

"""Schedule of EDM in its variance-preserving form: x = x_0 + σ ε is carried as z = c(σ) x, c = σ_d/√(σ² + σ_d²).

    u = (1 − t) σ_min^{1/ρ} + t σ_max^{1/ρ}        σ(t) = u^ρ        α = c(σ)        σ of the library = c(σ) σ

(Karras et al., NeurIPS 2022, arXiv:2206.00364, equation 5 and table 1.) z and x differ by a known factor, so that paths
of both have the same probabilities, the same work and the same weights. But z keeps the size of the data, σ_d, at all
noise levels, whereas x grows to σ_max; float32 stays accurate and the prior is N(0, σ_d²) at any σ_max. Times uniform
in t are Karras' noise levels.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.schedules.base import check_numbers
from leastwork.schedules.remembered import FromMoments

__all__ = ["EDMSchedule"]


@dataclass(frozen=True)
class EDMSchedule(FromMoments):
    """Noise levels σ from σ_min at t = 0 to σ_max at t = 1, with α = σ_d/√(σ² + σ_d²).

    Args:
        sigma_min, sigma_max: the least and the largest noise level, in the units of the data.
        sigma_data: σ_d, the standard deviation of the data for which the network was preconditioned.
        rho: ρ, the larger, the more of the times lie at small σ.
        t_min, t_max: part of the times that is used.

    Raises:
        ConfigError: a level, σ_d or ρ is not positive, or σ_min is not below σ_max.

    >>> edm = EDMSchedule(0.002, 80.0, sigma_data=0.5)
    >>> t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    >>> edm.level(t)
    tensor([2.0000e-03, 2.5152e+00, 8.0000e+01], dtype=torch.float64)
    >>> torch.allclose(edm.sigma(t) / edm.alpha(t), edm.level(t))
    True
    >>> edm.times([80.0, 1.0, 0.002])
    tensor([1.0000, 0.4034, 0.0000], dtype=torch.float64)
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    rho: float = 7.0
    t_min: float = 0.0
    t_max: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            swapped = 0 < self.sigma_max < self.sigma_min < math.inf
            raise ConfigError(
                f"EDMSchedule needs 0 < sigma_min < sigma_max < ∞, not {self.sigma_min}, {self.sigma_max}: "
                + ("exchange them" if swapped else "leave out σ = 0, which the last denoising step reaches")
            )
        for name in ("sigma_data", "rho"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(
                    f"EDMSchedule needs a positive finite {name}, not {getattr(self, name)}: take that of the training"
                )

    def standardised(self) -> "EDMSchedule":
        """The same times with σ_d as the unit of length: levels divided by σ_d, and σ_d = 1."""
        return EDMSchedule(
            self.sigma_min / self.sigma_data, self.sigma_max / self.sigma_data, 1.0, self.rho, self.t_min, self.t_max
        )

    def level(self, t: Tensor) -> Tensor:
        """σ of EDM, the noise level over the signal level."""
        return self._root(t) ** self.rho

    def times(self, levels: Tensor | list[float]) -> Tensor:
        """The times of given noise levels, float64, for ``t_grid``.

        Raises:
            ConfigError: a level is outside [sigma_min, sigma_max], such as the 0 that ends Karras' list.
        """
        sigma = torch.as_tensor(levels, dtype=torch.float64)
        slack = 1e-6  # lists of levels are often in float32
        outside = ~((sigma >= self.sigma_min * (1 - slack)) & (sigma <= self.sigma_max * (1 + slack)))
        if bool(outside.any()):
            first = float(sigma[outside].flatten()[0])
            remedy = (
                "leave it out, as the last denoising step leads from the level before to σ = 0"
                if first == 0
                else "leave it out, or give the schedule the range of the network"
            )
            raise ConfigError(f"σ = {first:.4g} is outside [{self.sigma_min:.4g}, {self.sigma_max:.4g}]: {remedy}")
        return self._time(sigma).clamp(self.t_min, self.t_max)

    def log_snr(self, t: Tensor) -> Tensor:
        return -2 * self.rho * self._root(t).log()

    def time_of(self, log_snr: Tensor) -> Tensor:
        return self._time(torch.exp(-0.5 * log_snr))

    def _time(self, level: Tensor) -> Tensor:
        low, high = self._ends()
        return (level ** (1 / self.rho) - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        return self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)

    def _root(self, t: Tensor) -> Tensor:
        """u = σ^{1/ρ}."""
        low, high = self._ends()
        return low + (high - low) * t

    def _moments(self, t: Tensor) -> tuple[Tensor, ...]:
        level, (low, high) = self.level(t), self._ends()
        slope = self.rho * (high - low) * self._root(t) ** (self.rho - 1)
        alpha = self.sigma_data / (level**2 + self.sigma_data**2).sqrt()
        return alpha, alpha * level, -(alpha**3) * level * slope / self.sigma_data**2, alpha**3 * slope

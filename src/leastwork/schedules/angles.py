"""Noise schedule of rotations: σ of IGSO(3) as a function of t."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError

__all__ = ["AngleSchedule"]


@dataclass(frozen=True)
class AngleSchedule:
    """σ_R(t) = σ_min (σ_max/σ_min)^t, rad; at σ_max rotations should be nearly uniform.

    >>> round(AngleSchedule().sigma(torch.tensor(1.0)).item(), 3)
    2.33
    """

    sigma_min: float = 0.02
    sigma_max: float = 2.33

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise LeastworkError(f"AngleSchedule({self.sigma_min}, {self.sigma_max}): needs 0 < sigma_min < sigma_max")

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * torch.exp(math.log(self.sigma_max / self.sigma_min) * t)

    def diffusion_squared(self, t: Tensor) -> Tensor:
        """g_R² = dσ_R²/dt."""
        return 2 * math.log(self.sigma_max / self.sigma_min) * self.sigma(t).square()

"""Two moons: half circles of radius 1, point-symmetric about the origin, with Gaussian noise added,

    p(x) = Σ_m w_m (1/π) ∫₀^π N(x; c_m(θ), s² I) dθ       c_±(θ) = ±(cos θ − ½, sin θ − ¼)

The integral over θ is done by Gauss–Legendre quadrature, which is exact to rounding as soon as neighbouring nodes
overlap; the density is then a Gaussian mixture, with exact scores, noised densities and models.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.models.velocity import VelocityModel
from leastwork.systems.mixtures import GaussianMixture

__all__ = ["Moons"]


@dataclass(frozen=True)
class Moons:
    """The density of two moons, in two coordinates without a unit.

    Args:
        std: standard deviation s of the noise, at least 0.02.
        upper: weight of the upper moon.

    Raises:
        LeastworkError: s is too small for the quadrature, or the weight is outside (0, 1).

    >>> moons = Moons()
    >>> moons.sample(3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 2])
    >>> float(moons.mean.abs().max())
    0.0
    """

    std: float = 0.1
    upper: float = 0.5

    def __post_init__(self) -> None:
        if not 0.02 <= self.std < math.inf or not 0 < self.upper < 1:
            raise LeastworkError(f"Moons needs std >= 0.02 and 0 < upper < 1, not std={self.std}, upper={self.upper}")

    @cached_property
    def mixture(self) -> GaussianMixture:
        """The same density as a Gaussian mixture, the components of the upper moon first."""
        count = math.ceil(20 + 8 / self.std)
        nodes, weights = np.polynomial.legendre.leggauss(count)
        angle = torch.from_numpy(0.5 * math.pi * (nodes + 1))
        half = torch.from_numpy(0.5 * weights)
        return GaussianMixture(
            torch.cat([self.upper * half, (1 - self.upper) * half]),
            torch.cat([_arc(angle), -_arc(angle)]),
            self.std,
        )

    @property
    def mean(self) -> Tensor:
        """E[x], (2,), float64: the centre of an arc is at (−½, 2/π − ¼)."""
        return (2 * self.upper - 1) * torch.tensor([-0.5, 2 / math.pi - 0.25], dtype=torch.float64)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent draws, (n, 2), float64."""
        angle = math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
        side = torch.rand(n, generator=generator, dtype=torch.float64) < self.upper
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return torch.where(side, 1.0, -1.0)[:, None] * _arc(angle) + self.std * noise

    def log_prob(self, x: Tensor) -> Tensor:
        """ln p(x): (B, 2) -> (B,), float64."""
        return self.mixture.log_prob(x)

    def is_upper(self, x: Tensor) -> Tensor:
        """Probability that x belongs to the upper moon, an observable with mean ``upper``: (B, 2) -> (B,)."""
        shares = self.mixture.populations(x)
        return shares[:, : shares.shape[1] // 2].sum(dim=1)

    def flow(self) -> VelocityModel:
        """The exact flow of the straight path x_t = (1 − t) x_0 + t ε, whose density at t = 0 is p.

        u = (x − D)/t = −(x + t ∇ln p_t)/(1 − t); the first form is used for large t, the second for small t.
        """

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            time = float(t)
            if time > 0.5:
                return (x - self.mixture.denoise(x, 1 - time, time)) / time
            return -(x + time * self.mixture.noised(1 - time, time).score(x)) / (1 - time)

        return VelocityModel(velocity, event_shape=(2,))


def _arc(angle: Tensor) -> Tensor:
    """Points of the upper half circle at angles θ: (n,) -> (n, 2)."""
    return torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], dim=1)

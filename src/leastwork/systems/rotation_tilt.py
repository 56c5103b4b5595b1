"""One rotation, normal about a mean, tilted by a function of the angle from it: V by quadrature over the group.

    p(R) = f(θ; ς),  θ the angle of R_0ᵀR        r(R) = λ cos θ        V(R, t) = ln Σ_l a_l χ_l(θ) − ln Σ_l b_l χ_l(θ)

    a_l = e^{−l(l+1)σ_R²/2} ∫ p e^r χ_l dR,  b_l the same without e^r,  χ_l(θ) = sin((l + ½)θ)/sin(θ/2)

since the characters χ_l are eigenfunctions of the heat equation on SO(3). dR is the uniform distribution, which is
(1 − cos θ) dθ/π for functions of the angle (Weyl's integration formula) and is integrated by Gauss's rule. To make the
model one of frames, there is also a position with its own Gaussian data, which is not tilted.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry import igso3
from leastwork.geometry.rotations import log
from leastwork.geometry.state import State
from leastwork.guidance.base import Composable
from leastwork.models.frames import FrameModel
from leastwork.schedules.angles import AngleSchedule
from leastwork.schedules.base import Schedule
from leastwork.schedules.gaussian import VPSchedule
from leastwork.systems.frame_mixture import FrameMixture

__all__ = ["RotationTilt"]

_DEGREES = 80  # largest degree l of the characters: there e^{−l(l+1)ς²/2} is 10⁻²⁸ for ς = 0.15
_POINTS = 400  # points of Gauss's rule


@dataclass(frozen=True)
class RotationTilt(Composable):
    """Doob's transform of the tilt, as a guidance of :attr:`model`.

    Args:
        strength: λ.
        angle: ς of the data, rad, at least 0.15.

    Raises:
        LeastworkError: ς is so small that 80 characters are not enough.

    >>> tilt = RotationTilt(strength=2.0)
    >>> tilt.mean_cosine > RotationTilt(strength=0.0).mean_cosine
    True
    """

    strength: float
    angle: float = 0.6

    def __post_init__(self) -> None:
        if self.angle < 0.15:
            raise LeastworkError(f"angle={self.angle}: must be at least 0.15 rad, or the characters do not suffice")

    @property
    def through_network(self) -> bool:
        return False

    @property
    def schedule(self) -> Schedule:
        return VPSchedule()

    @property
    def angles(self) -> AngleSchedule:
        return AngleSchedule()

    @cached_property
    def mixture(self) -> FrameMixture:
        """The data: one pose, at the origin."""
        one = torch.ones(1, dtype=torch.float64)
        turn = torch.eye(3, dtype=torch.float64)[None, None]
        return FrameMixture(one, torch.zeros(1, 1, 3, dtype=torch.float64), turn, 0.5, self.angle)

    @cached_property
    def model(self) -> FrameModel:
        return self.mixture.model(self.schedule, self.angles)

    @cached_property
    def _rule(self) -> tuple[Tensor, Tensor]:
        """Nodes of the quadrature over the angle, and the weights of p dR."""
        points, weights = np.polynomial.legendre.leggauss(_POINTS)
        theta = torch.from_numpy(0.5 * math.pi * (points + 1))
        density = igso3.log_density(theta, torch.tensor(self.angle, dtype=torch.float64)).exp()
        return theta, torch.from_numpy(weights) * 0.5 * (1 - theta.cos()) * density

    @cached_property
    def _coefficients(self) -> tuple[Tensor, Tensor]:
        """∫ p e^r χ_l dR / Z and ∫ p χ_l dR."""
        theta, weight = self._rule
        chi, _ = _characters(theta)
        tilted = weight * torch.exp(self.strength * theta.cos())
        return (tilted / tilted.sum()) @ chi, (weight / weight.sum()) @ chi

    @property
    def log_z(self) -> float:
        """ln Z = ln E[e^r]."""
        theta, weight = self._rule
        return float((weight * torch.exp(self.strength * theta.cos())).sum().log())

    @property
    def mean_cosine(self) -> float:
        """E[cos θ] under the target."""
        theta, weight = self._rule
        tilted = weight * torch.exp(self.strength * theta.cos())
        return float(tilted @ theta.cos() / tilted.sum())

    @property
    def least_work(self) -> float:
        """KL(target ‖ model) = λ E[cos θ] − ln Z, nats."""
        return self.strength * self.mean_cosine - self.log_z

    def cosine(self, x: State) -> Tensor:
        """cos θ of each sample, (B,)."""
        return 0.5 * (x[1][:, 0].diagonal(dim1=1, dim2=2).sum(dim=1) - 1)

    def log_tilt(self, x: State) -> Tensor:
        """r, (B,)."""
        return self.strength * self.cosine(x)

    def value_and_slope(self, theta: Tensor, turned: float) -> tuple[Tensor, Tensor]:
        """V + ln Z and dV/dθ at rotations with noise σ_R = ``turned``, float64."""
        chi, change = _characters(theta.clamp(1e-4, math.pi - 1e-4))
        order = torch.arange(_DEGREES, dtype=torch.float64)
        fading = torch.exp(-0.5 * order * (order + 1) * turned**2)
        above, below = (fading * a for a in self._coefficients)
        top, bottom = chi @ above, chi @ below
        return (top / bottom).log(), (change @ above) / top - (change @ below) / bottom

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h*, exact."""
        turned = float(self.angles.sigma(torch.tensor(t, dtype=torch.float64)))
        offset = log(x[1].double())
        theta = offset.norm(dim=-1)
        _, slope = self.value_and_slope(theta.flatten(), turned)
        turn = (slope.reshape(theta.shape) / theta.clamp(min=1e-4))[..., None] * offset
        return torch.zeros_like(x[0]), turn.to(x[1])


def _characters(theta: Tensor) -> tuple[Tensor, Tensor]:
    """χ_l and its derivative, (n, L)."""
    half = torch.arange(_DEGREES, dtype=torch.float64) + 0.5
    sine, cosine = torch.sin(half * theta[:, None]), torch.cos(half * theta[:, None])
    below = torch.sin(0.5 * theta)[:, None]
    return sine / below, half * cosine / below - 0.5 * sine * torch.cos(0.5 * theta)[:, None] / below.square()

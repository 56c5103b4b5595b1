"""Mixtures of rigid frames, Gaussian positions and isotropic Gaussian rotations, which stay mixtures under noise.

    p(x) = Σ_k w_k Π_i N(p_i; m_ki, s²) f(R_kiᵀR_i; ς)       m_k → α m_k,  s² → α² s² + σ²,  ς² → ς² + σ_R²
    w → w′:   r(x) = ln p′(x)/p(x),  ln Z = 0,  h*(x, t) = ∇ ln p′_t − ∇ ln p_t

f is the distribution of Brownian motion on rotations (:mod:`leastwork.geometry.igso3`); the σ² of two motions add.
Everything is evaluated in float64 and returned in the dtype of x.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry import igso3
from leastwork.geometry.frames import Frames, Tangent
from leastwork.geometry.rotations import exp
from leastwork.geometry.state import State
from leastwork.guidance.base import Composable
from leastwork.models.frames import FrameModel
from leastwork.models.predictions import Moments
from leastwork.schedules.angles import AngleSchedule
from leastwork.schedules.base import Schedule
from leastwork.schedules.gaussian import VPSchedule

__all__ = ["FrameDoob", "FrameMixture", "two_poses"]


@dataclass(frozen=True, eq=False)
class FrameMixture:
    """K poses of N frames.

    Args:
        weights: weights w_k, positive and of sum one, (K,).
        positions: mean positions m, (K, N, 3).
        rotations: mean rotations R, (K, N, 3, 3).
        spread: standard deviation s of each coordinate of the positions.
        angle: standard deviation ς of each coordinate of the rotation vectors, rad.

    Raises:
        LeastworkError: the sizes do not match, or the weights are not positive with sum one.
    """

    weights: Tensor
    positions: Tensor
    rotations: Tensor
    spread: float
    angle: float

    def __post_init__(self) -> None:
        count = self.positions.shape[:2]
        if self.positions.shape != (*count, 3) or self.rotations.shape != (*count, 3, 3):
            raise LeastworkError("a mixture of frames needs positions (K, N, 3) and rotations (K, N, 3, 3)")
        sums = abs(float(self.weights.sum()) - 1) < 1e-9
        if self.weights.shape != count[:1] or not bool((self.weights > 0).all()) or not sums:
            raise LeastworkError("a mixture of frames needs positive weights (K,) that sum to one")

    def with_weights(self, weights: Tensor) -> "FrameMixture":
        """The same poses in other proportions, (K,)."""
        return replace(self, weights=weights.double() / weights.double().sum())

    def sample(self, n: int, generator: torch.Generator) -> Frames:
        """n independent draws, float64."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, *self.positions.shape[1:], generator=generator, dtype=torch.float64)
        rotation, _ = igso3.noised(self.rotations[k], self.angle, generator)
        return self.positions[k] + self.spread * noise, rotation

    def parts(self, x: State, alpha: float = 1.0, sigma: float = 0.0, turned: float = 0.0) -> tuple[Tensor, Tangent]:
        """ln (w_k p_k(x)), (B, K), up to a constant, and ∇ ln p_k, (B, K, N, 3) each; of noised frames."""
        position, rotation = x[0].double(), x[1].double()
        variance = (alpha * self.spread) ** 2 + sigma**2
        away = position[:, None] - alpha * self.positions
        shift = -away / variance
        angle = torch.tensor(math.hypot(self.angle, turned), dtype=torch.float64)
        offset = igso3.offset_between(self.rotations, rotation[:, None])
        turn = igso3.score(offset, angle)
        log_p = (
            igso3.log_density(offset.norm(dim=-1), angle).sum(dim=2) - 0.5 * away.square().sum(dim=(2, 3)) / variance
        )
        return self.weights.log() + log_p, (shift, turn)

    def responsibility(self, x: State) -> Tensor:
        """Probability p(k | x) that a structure belongs to each pose, (B, K)."""
        return torch.softmax(self.parts(x)[0], dim=1).to(x[0])

    def score(self, x: State, alpha: float, sigma: float, turned: float) -> Tangent:
        """∇ ln p_t, (B, N, 3) each."""
        log_p, (shift, turn) = self.parts(x, alpha, sigma, turned)
        share = torch.softmax(log_p, dim=1)[..., None, None]
        return (share * shift).sum(dim=1).to(x[0]), (share * turn).sum(dim=1).to(x[0])

    def model(self, schedule: Schedule | None = None, angles: AngleSchedule | None = None) -> FrameModel:
        """The diffusion model with the exact scores."""
        schedule, angles = schedule or VPSchedule(), angles or AngleSchedule()

        def net(x: State, t: Tensor) -> Tangent:
            m, turned = Moments.at(schedule, float(t)), angles.sigma(t.double())
            return self.score(x, m.alpha, m.sigma, float(turned))

        return FrameModel(net, schedule, angles, self.positions.shape[1])

    def log_ratio(self, other: "FrameMixture", x: State) -> Tensor:
        """ln p′(x)/p(x), float64 (B,): the log-tilt from this mixture to another mixture of the same poses."""
        return other.parts(x)[0].logsumexp(dim=1) - self.parts(x)[0].logsumexp(dim=1)


@dataclass(frozen=True, eq=False)
class FrameDoob(Composable):
    """The exact guidance h* = ∇ ln p′_t − ∇ ln p_t.

    Args:
        start, target: p and p′.
        model: the model, for its schedules.
    """

    start: FrameMixture
    target: FrameMixture
    model: FrameModel

    @property
    def through_network(self) -> bool:
        return False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        m = Moments.at(self.model.schedule, float(t))
        turned = float(self.model.angles.sigma(torch.tensor(t, dtype=torch.float64)))
        there = self.target.score(x, m.alpha, m.sigma, turned)
        here = self.start.score(x, m.alpha, m.sigma, turned)
        return there[0] - here[0], there[1] - here[1]


def two_poses(residues: int = 2, weight: float = 0.2, turn: float = 1.2) -> FrameMixture:
    """Two poses that differ in positions and in all orientations; ``weight`` is that of the second.

    >>> two_poses(3).positions.shape
    torch.Size([2, 3, 3])
    """
    along = torch.arange(residues, dtype=torch.float64)
    straight = torch.stack([along - along.mean(), 0 * along, 0 * along], dim=1)
    bent = straight + torch.stack([0 * along, 0.8 * (along - along.mean()).abs() + 0.4, 0 * along], dim=1)
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    still = torch.eye(3, dtype=torch.float64).expand(residues, 3, 3)
    turned = exp(turn * axis).expand(residues, 3, 3)
    weights = torch.tensor([1 - weight, weight], dtype=torch.float64)
    return FrameMixture(weights, torch.stack([straight, bent]), torch.stack([still, turned]), 0.3, 0.35)

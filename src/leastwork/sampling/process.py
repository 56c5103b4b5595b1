"""The guided generation process, dx = (A x + B y + E h) dt + G dW̄, run from t_max down to t_min.

For a diffusion model y = D(x, t) is the denoiser and, with noise level κ,

    dx = [f x − ½(1+κ²) g² (s + h)] dt + κ g dW̄,      s = (αD − x)/σ²

(Song et al., ICLR 2021; κ = 1 is the reverse SDE, κ = 0 the probability-flow ODE), so that

    A = f + ½(1+κ²) g²/σ²    B = −½(1+κ²) g² α/σ²    E = −½(1+κ²) g²    G = κ g.

For a velocity model y = u(x, t), and A = 0, B = 1, E = −1, G = 0: guidance is a velocity added along generation. For a
model of rigid frames the positions go as above; y of a rotation is its score, and it turns by −½(1+κ²) g_R² (s + h) dt
+ κ g_R dW̄ in its own frame.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, smap
from leastwork.models.base import Model
from leastwork.models.frames import FrameModel
from leastwork.models.velocity import VelocityModel
from leastwork.schedules.base import diffusion_squared, drift

__all__ = ["Coefficients", "Process"]


@dataclass(frozen=True)
class Coefficients:
    """A, B, E, G at the times of a grid, float64, (S+1,)."""

    A: Tensor
    B: Tensor
    E: Tensor
    G: Tensor


@dataclass(frozen=True)
class Process:
    """The generation process of a model at noise level κ (0 for the ODE).

    Raises:
        LeastworkError: κ < 0, or κ > 0 for a velocity model, which has no SDE.
    """

    model: Model
    kappa: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.kappa < float("inf"):
            raise LeastworkError(f"kappa={self.kappa} must be a finite number >= 0 (1: reverse SDE, 0: ODE)")
        if self.kappa > 0 and isinstance(self.model, VelocityModel):
            raise LeastworkError("a VelocityModel has no score and so no SDE: use process='ode'")

    @property
    def interval(self) -> tuple[float, float]:
        """[t_min, t_max] on which the model may be used."""
        if isinstance(self.model, VelocityModel):
            return self.model.t_min, self.model.t_max
        return self.model.schedule.t_min, self.model.schedule.t_max

    def coefficients(self, t: Tensor) -> Coefficients:
        """Drift and diffusion at times t, float64 (S+1,); infinite where the schedule is singular."""
        if isinstance(self.model, VelocityModel):
            one = torch.ones_like(t)
            return Coefficients(A=0 * one, B=one, E=-one, G=0 * one)
        schedule = self.model.schedule
        sigma_squared = schedule.sigma(t) ** 2
        g_squared = diffusion_squared(schedule, t)
        half = 0.5 * (1 + self.kappa**2) * g_squared
        return Coefficients(
            A=drift(schedule, t) + half / sigma_squared,
            B=-half * schedule.alpha(t) / sigma_squared,
            E=-half,
            G=self.kappa * g_squared.sqrt(),
        )

    def evaluate(self, x: State, t: float) -> State:
        """y(x, t): the denoiser D, or the velocity u; of frames, D of positions and the score of rotations."""
        if isinstance(self.model, VelocityModel):
            return self.model.velocity(x, t)
        if isinstance(self.model, FrameModel):
            return self.model.estimate(x, t)
        return self.model.denoise(x, t)

    def endpoint(self, x: State, y: State, t: float) -> State:
        """What the model expects at t = 0, from y(x, t): D itself, or the straight line x − t u."""
        if isinstance(self.model, VelocityModel):
            return smap(lambda a, b: a - t * b, x, y)
        if isinstance(self.model, FrameModel):
            return self.model.endpoint(x, y, t)
        return y

    def prior(self, noise: State) -> State:
        """States at t_max from standard normal noise."""
        if isinstance(self.model, VelocityModel):
            return self.model.prior.from_noise(noise)
        if isinstance(self.model, FrameModel):
            return self.model.prior(noise)
        scale = self.model.prior_scale
        return smap(lambda leaf: scale * leaf, self.project(noise))

    def project(self, x: State) -> State:
        """Onto the model's subspace, if it lives on one."""
        return x if isinstance(self.model, VelocityModel) else self.model.project(x)

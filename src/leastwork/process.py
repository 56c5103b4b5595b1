"""The guided generation process, dx = (A x + B y + E h) dt + G dW̄, run from t_max down to t_min.

For a diffusion model y = D(x, t) is the denoiser and, with noise level κ,

    dx = [f x − ½(1+κ²) g² (s + h)] dt + κ g dW̄,      s = (αD − x)/σ²

(Song et al., ICLR 2021; κ = 1 is the reverse SDE, κ = 0 the probability-flow ODE), so that

    A = f + ½(1+κ²) g²/σ²    B = −½(1+κ²) g² α/σ²    E = −½(1+κ²) g²    G = κ g.

For a velocity model y = u(x, t), and A = 0, B = 1, E = −1, G = 0: guidance is a velocity added along generation. For a
model of rigid frames the positions go as above; y of a rotation is its score, and it turns by −½(1+κ²) g_R² (s + h) dt
+ κ g_R dW̄ in its own frame.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, smap
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.frames import FrameModel
from leastwork.models.velocity import VelocityModel
from leastwork.schedules import diffusion_squared, drift

__all__ = ["Coefficients", "Model", "Process", "time_grid"]

_FINITE = 9.0  # the log-SNR at which a grid enters from, or leaves to, an infinite one

Model: TypeAlias = DiffusionModel | FrameModel | VelocityModel


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


def time_grid(process: Process, steps: int, spacing: str | Tensor = "uniform") -> Tensor:
    """Times from t_max down to t_min, float64, (steps + 1,).

    Args:
        process: gives the interval and the schedule.
        steps: number of steps S.
        spacing: "uniform" in t; "log-snr", uniform in ℓ = ln α²/σ² (where α(t_max) = 0 the first step leaves t_max for
            ℓ = −9, where σ(t_min) = 0 the last comes from ℓ = 9); "balanced", half of the steps so and half uniform in
            α²/(α² + σ²), which is where samples decide for a basin; "signal", one fifth of the steps uniform in ℓ, two
            fifths in α²/(α² + σ²) and two fifths in α/(α + 3σ), where structures form; or decreasing times.

    Raises:
        LeastworkError: no steps, an unknown spacing, or times that do not decrease within [t_min, t_max].

    >>> import leastwork as lw
    >>> process = Process(lw.VelocityModel(lambda x, t: x, event_shape=(1,)), kappa=0.0)
    >>> time_grid(process, 4).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    low, high = process.interval
    if isinstance(spacing, Tensor):
        times = spacing.to(torch.float64).cpu()
        inside = times.ndim == 1 and len(times) >= 2 and float(times[0]) <= high and float(times[-1]) >= low
        if not inside or not bool((times.diff() < 0).all()):
            raise LeastworkError(f"t_grid must hold at least two times that decrease within [{low}, {high}]")
        return times
    if steps < 1:
        raise LeastworkError(f"steps={steps}: at least one step is needed")
    if spacing == "uniform":
        return torch.linspace(high, low, steps + 1, dtype=torch.float64)
    if spacing in ("log-snr", "balanced", "signal"):
        if isinstance(process.model, VelocityModel):
            raise LeastworkError("a VelocityModel has no log-SNR: use t_grid='uniform' or pass the times")
        schedule = process.model.schedule
        first, last = schedule.log_snr(torch.tensor([high, low], dtype=torch.float64)).tolist()
        leaps = [
            math.isinf(first),
            math.isinf(last),
        ]  # from t_max to the first finite value, and from the last to t_min
        if any(leaps) and steps <= sum(leaps):
            return torch.linspace(high, low, steps + 1, dtype=torch.float64)
        ends = (-_FINITE if leaps[0] else first, _FINITE if leaps[1] else last)
        times = schedule.time_of(_log_snr(*ends, steps - sum(leaps), spacing))
        times = torch.cat([times.new_tensor([high] * leaps[0]), times, times.new_tensor([low] * leaps[1])])
        times[0], times[-1] = high, low  # the inverse of log-SNR rounds
        return times
    raise LeastworkError(
        f"t_grid={spacing!r} is not a grid: choose 'uniform', 'log-snr', 'balanced', 'signal' or pass the times"
    )


def _log_snr(first: float, last: float, steps: int, spacing: str) -> Tensor:
    """Rising log-SNR ℓ, (steps + 1,), uniform in ℓ or in a mean of the fractions of ℓ and of another measure."""
    even = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    if spacing == "log-snr":
        return first + (last - first) * even
    fine = torch.linspace(first, last, 20_001, dtype=torch.float64)
    basins, structures = fine.sigmoid(), (0.5 * fine - math.log(3.0)).sigmoid()  # α²/(α² + σ²) and α/(α + 3σ)
    parts = ((0.5, fine), (0.5, basins)) if spacing == "balanced" else ((0.2, fine), (0.4, basins), (0.4, structures))
    gone = sum(weight * (part - part[0]) / (part[-1] - part[0]) for weight, part in parts)
    assert isinstance(gone, Tensor)
    return torch.from_numpy(np.interp(even.numpy(), gone.numpy(), fine.numpy()))

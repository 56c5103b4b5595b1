"""Drift and diffusion of a guided generation process, dx = (A x + B y + E h) dt + G dW̄.

For Gaussian noise y = D(x, t) is the denoiser and, with noise level κ,

    dx = [f x − ½(1+κ²) g² (s + h)] dt + κ g dW̄,      s = (αD − x)/σ²

(Song et al., ICLR 2021; κ = 1 is the reverse SDE, κ = 0 the probability-flow ODE), so that

    A = f + ½(1+κ²) g²/σ²    B = −½(1+κ²) g² α/σ²    E = −½(1+κ²) g²    G = κ g.

For a flow y = u(x, t), and A = 0, B = 1, E = −1, G = 0: guidance is a velocity added along generation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.schedules.base import Schedule, diffusion_squared, drift

__all__ = ["Coefficients", "flow_coefficients", "gaussian_coefficients"]


@dataclass(frozen=True)
class Coefficients:
    """A, B, E, G at the times of a grid, float64, (S+1,)."""

    A: Tensor
    B: Tensor
    E: Tensor
    G: Tensor


def gaussian_coefficients(schedule: Schedule, t: Tensor, kappa: float) -> Coefficients:
    """Coefficients for Gaussian noise at times t, float64 (S+1,); infinite where the schedule is singular."""
    sigma_squared = schedule.sigma(t) ** 2
    g_squared = diffusion_squared(schedule, t)
    half = 0.5 * (1 + kappa**2) * g_squared
    return Coefficients(
        A=drift(schedule, t) + half / sigma_squared,
        B=-half * schedule.alpha(t) / sigma_squared,
        E=-half,
        G=kappa * g_squared.sqrt(),
    )


def flow_coefficients(t: Tensor) -> Coefficients:
    """Coefficients for a velocity at times t, float64 (S+1,)."""
    one = torch.ones_like(t)
    return Coefficients(A=0 * one, B=one, E=-one, G=0 * one)

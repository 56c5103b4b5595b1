"""Euler–Maruyama: x − Δt (A x + B y + E h) + G √Δt z; order 1 (Maruyama, 1955).

A step that starts where the drift diverges (α = 0 at t_max) is replaced by the first-order exponential one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.sampling.process import Process
from leastwork.sampling.solvers.exponential import Exponential
from leastwork.sampling.solvers.steps import Steps, Turns, is_singular

__all__ = ["Euler"]


@dataclass(frozen=True)
class Euler:
    """Order 1; one evaluation a step."""

    evaluations: int = 1

    def steps(self, process: Process, times: Tensor) -> Steps:
        k = process.coefficients(times[:-1])
        dt = -times.diff()
        zero = torch.zeros_like(dt)
        turns = _turns(process, times)
        plain = Steps(times, 1 - dt * k.A, -dt * k.B, zero, -dt * k.E, zero, k.G * dt.sqrt(), turns=turns)
        singular = is_singular(process, times)
        if not bool(singular.any()):
            return plain
        safe = Exponential(order=1).steps(process, times)
        return Steps(
            times,
            torch.where(singular, safe.a, plain.a),
            torch.where(singular, safe.b, plain.b),
            zero,
            torch.where(singular, safe.e, plain.e),
            zero,
            torch.where(singular, safe.c, plain.c),
            turns=turns,
        )


def _turns(process: Process, times: Tensor) -> Turns | None:
    """Coefficients of rotations: ½(1+κ²) g_R² Δt for score and guidance, κ g_R √Δt for the noise."""
    angles = process.model.angles
    if angles is None:
        return None
    square = angles.diffusion_squared(times[:-1]) * -times.diff()
    pull = 0.5 * (1 + process.kappa**2) * square
    return Turns(pull, pull, process.kappa * square.sqrt())

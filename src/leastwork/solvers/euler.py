"""Euler–Maruyama: x − Δt (A x + B y + E h) + G √Δt z; order 1 (Maruyama, 1955).

A step that starts where the drift diverges (α = 0 at t_max) is replaced by the first-order exponential one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.process import Process
from leastwork.solvers.exponential import Exponential
from leastwork.solvers.steps import Steps, is_singular

__all__ = ["Euler"]


@dataclass(frozen=True)
class Euler:
    """Order 1; one evaluation a step."""

    evaluations: int = 1

    def steps(self, process: Process, times: Tensor) -> Steps:
        k = process.coefficients(times[:-1])
        dt = -times.diff()
        zero = torch.zeros_like(dt)
        plain = Steps(times, 1 - dt * k.A, -dt * k.B, zero, -dt * k.E, zero, k.G * dt.sqrt())
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
        )

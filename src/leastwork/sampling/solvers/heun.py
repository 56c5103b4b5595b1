"""Heun's trapezoidal rule: predict by Euler, then average the drifts of both ends; order 2 for the ODE.

    x̃ = x − Δt F(x, t) + c z        x′ = x − ½Δt [F(x, t) + F(x̃, t′)] + c z,      F = A x + B y + E h

With noise (κ > 0) it is the weak second-order scheme for additive noise (Kloeden & Platen, 1992, §15.1), c² the
trapezoidal integral of G². The corrected state is not Gaussian given x, so there is no transition density: no work
and no path weights.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.sampling.process import Process
from leastwork.sampling.solvers.euler import Euler
from leastwork.sampling.solvers.steps import Steps, is_singular

__all__ = ["Heun"]


@dataclass(frozen=True)
class Heun:
    """Order 2 for the ODE; two evaluations a step."""

    evaluations: int = 2

    def steps(self, process: Process, times: Tensor) -> Steps:
        if process.model.has_rotations:
            raise LeastworkError(
                "Heun's correction is not defined for rotations: use 'euler', 'exponential' or 'multistep'"
            )
        euler = Euler().steps(process, times)
        k, dt = process.coefficients(times), -times.diff()
        singular = is_singular(process, times)
        noise = k.G.square()
        c = torch.where(singular, euler.c, (0.5 * dt * (noise[:-1] + noise[1:])).sqrt())
        corrector = 0.5 * dt[:, None] * torch.stack([k.A[1:], k.B[1:], k.E[1:]], dim=1)
        corrector[singular] = float("nan")
        return replace(euler, c=c, corrector=corrector)

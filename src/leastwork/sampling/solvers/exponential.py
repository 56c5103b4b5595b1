"""Exponential integrators of the DPM-Solver++ kind, in data prediction, for any noise level κ.

With λ = ln(α/σ), Δ = λ_s − λ_t > 0 and the denoiser D frozen over the step t → s, the process is solved exactly:

    x_s = (σ_s/σ_t) e^{−κ²Δ} x_t + α_s (1 − e^{−(1+κ²)Δ}) D̂ + σ_s √(1 − e^{−2κ²Δ}) z

(Lu et al., DPM-Solver++, 2022; κ = 0 is DDIM, κ = 1 the ancestral sampler). Order 1 takes D̂ = D; order 2, the
multistep form 2M, extrapolates to the middle of the step: D̂ = D + (Δ/2Δ₋)(D − D₋). Guidance enters as the shift
σ²h/α of D. The shift is extrapolated only for the ODE. With noise, extrapolating D makes the model's own chain of
second order, but extrapolating the guidance would waste work: least-work guidance depends on the present state alone,
and an extrapolated one depends on the noise of the step before. For a velocity model the two orders are Euler and
Adams–Bashforth.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.models.base import is_scored
from leastwork.sampling.process import Process
from leastwork.sampling.solvers.steps import Steps, Turns

__all__ = ["Exponential"]


@dataclass(frozen=True)
class Exponential:
    """Order 1 or 2; one evaluation a step."""

    order: int = 2
    evaluations: int = 1

    def __post_init__(self) -> None:
        if self.order not in (1, 2):
            raise LeastworkError(f"order={self.order}: the exponential solver has orders 1 and 2")

    def steps(self, process: Process, times: Tensor) -> Steps:
        dt = -times.diff()
        if not is_scored(process.model):
            zero = torch.zeros_like(dt)
            now, previous = self._extrapolation(dt)
            return Steps(times, zero + 1, -dt * now, -dt * previous, dt * now, dt * previous, zero)
        schedule, kappa_squared = process.model.schedule, process.kappa**2
        alpha, sigma = schedule.alpha(times), schedule.sigma(times)
        width = 0.5 * schedule.log_snr(times).diff()  # infinite where α = 0 at t_max
        a = sigma[1:] / sigma[:-1] * (torch.exp(-kappa_squared * width) if kappa_squared else torch.ones_like(width))
        data = alpha[1:] * -torch.expm1(-(1 + kappa_squared) * width)
        c = sigma[1:] * (-torch.expm1(-2 * kappa_squared * width)).sqrt() if kappa_squared else torch.zeros_like(width)
        now, previous = self._extrapolation(width)
        # guidance shifts D by σ²h/α; at α = 0 the state is independent of the data, and h vanishes with α
        lever = torch.where(alpha > 0, sigma**2 / alpha, 0.0)
        lever_previous = torch.cat([torch.zeros(1, dtype=torch.float64), lever[:-2]])
        recall = previous if kappa_squared == 0 else torch.zeros_like(previous)
        return Steps(
            times, a, data * now, data * previous, data * (1 - recall) * lever[:-1], data * recall * lever_previous, c,
            turns=_turns(process, times),
        )  # fmt: skip

    def _extrapolation(self, width: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of y and y₋ in the prediction at the middle of the step, (S,) each; they sum to one."""
        ratio = torch.zeros_like(width)
        if self.order == 2:
            ratio[1:] = torch.where(torch.isinf(width[:-1]), 0.0, 0.5 * width[1:] / width[:-1])
        return 1 + ratio, -ratio


def _turns(process: Process, times: Tensor) -> Turns | None:
    """Coefficients of rotations: σ_t² (1 − ρ^{1+κ²}) and, for the noise, σ_s √(1 − ρ^{2κ²}); ρ = σ_s/σ_t."""
    angles = process.model.angles
    if angles is None:
        return None
    sigma, kappa_squared = angles.sigma(times), process.kappa**2
    ratio = sigma[1:] / sigma[:-1]
    pull = sigma[:-1].square() * (1 - ratio ** (1 + kappa_squared))
    return Turns(pull, pull, sigma[1:] * (1 - ratio ** (2 * kappa_squared)).sqrt())

"""A solver is a table of coefficients: x_{i+1} = a x + b y + b′ y₋ + e h + e′ h₋ + c z.

y and h are the model and the guidance at (x_i, t_i), y₋ and h₋ those of the step before, z standard normal noise.
With c > 0 the transition is Gaussian *given the path so far*, for the guided chain and for the model alike; their
means differ by the shift δ = e h + e′ h₋. That is all that work and path weights need, for multistep solvers too.
A rotation turns by ω = b y + e h + c z in its own frame, with coefficients of its own (:class:`Turns`) and the score
as y; given the past ω is Gaussian, and work and weights are those of the law of ω.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.sampling.process import Process

__all__ = ["Steps", "Turns", "is_singular"]


@dataclass(frozen=True)
class Turns:
    """The coefficients of rotations, float64 (S,): ω = b y + e h + c z."""

    b: Tensor
    e: Tensor
    c: Tensor


@dataclass(frozen=True)
class Steps:
    """The coefficients of S steps, float64 (S,), and the S+1 times they join."""

    times: Tensor
    a: Tensor
    b: Tensor
    b_previous: Tensor
    e: Tensor
    e_previous: Tensor
    c: Tensor
    corrector: Tensor | None = None
    """½Δt (A, B, E) at the end of each step, (S, 3), for Heun's correction; NaN in a row: that step has none."""
    turns: Turns | None = None
    """For a model of frames."""

    def __len__(self) -> int:
        return len(self.a)

    @property
    def dt(self) -> Tensor:
        """Step lengths t_i − t_{i+1} > 0, (S,)."""
        return -self.times.diff()

    @property
    def has_density(self) -> bool:
        """Whether every transition is a known Gaussian."""
        noisy = bool((self.c > 0).all()) and (self.turns is None or bool((self.turns.c > 0).all()))
        return self.corrector is None and noisy


def is_singular(process: Process, times: Tensor) -> Tensor:
    """Which of the steps start where drift or diffusion diverges (α = 0), bool (S,)."""
    k = process.coefficients(times[:-1])
    return ~(torch.isfinite(k.A) & torch.isfinite(k.B) & torch.isfinite(k.G))

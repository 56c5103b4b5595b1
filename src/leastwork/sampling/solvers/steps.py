"""Tables of step coefficients: x_{i+1} = a x + b y + b′ y₋ + e h + e′ h₋ + c z.

y and h are the predictions of the model and the guidance at (x_i, t_i), y₋ and h₋ those of the step before, and z is
standard normal noise. For c > 0 the transition is Gaussian given the path so far, for the guided chain and for the
model; their means differ by the shift δ = e h + e′ h₋. Work and path weights need only δ and c, for multistep solvers
too. A step with c = 0 and without guidance is the same map for both chains, and its ratio is one. A rotation turns by
ω = b y + e h + c z in its own frame, with its own coefficients (:class:`Turns`) and the score as y; given the past ω is
Gaussian, and work and weights are those of the distribution of ω.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from leastwork.sampling.process import Process

__all__ = ["Step", "Steps", "Turn", "Turns", "is_singular"]


@dataclass(frozen=True)
class Turns:
    """The coefficients of rotations, float64 (S,): ω = b y + e h + c z."""

    b: Tensor
    e: Tensor
    c: Tensor

    def table(self) -> list["Turn"]:
        """The turns one by one, as plain floats."""
        return [Turn(*row) for row in torch.stack([self.b, self.e, self.c], dim=1).tolist()]


@dataclass(frozen=True, slots=True)
class Turn:
    """The coefficients of one step of rotations: ω = b y + e h + c z."""

    b: float
    e: float
    c: float


@dataclass(frozen=True, slots=True)
class Step:
    """One step from time t to t_next: x′ = a x + b y + b_previous y₋ + e h + e_previous h₋ + c z.

    Args:
        t, t_next: start and end time of the step, t > t_next.
        a, b, b_previous, e, e_previous, c: coefficients of the state, the model, the guidance and the noise.
        corrector: ½Δt (A, B, E) at the end of the step, for Heun's correction; None for a step without correction.
        turn: coefficients of rotations, for a model of frames.
    """

    t: float
    t_next: float
    a: float
    b: float
    b_previous: float
    e: float
    e_previous: float
    c: float
    corrector: tuple[float, float, float] | None = None
    turn: Turn | None = None

    @property
    def lever(self) -> float:
        """e/c, or 0 for a step without guidance and noise."""
        return self.e / self.c if self.e else 0.0

    def without_memory(self) -> "Step":
        """The first-order step, with y₋ = y and h₋ = h, for a chain that starts here."""
        return replace(self, b=self.b + self.b_previous, b_previous=0.0, e=self.e + self.e_previous, e_previous=0.0)


@dataclass(frozen=True)
class Steps:
    """The coefficients of S steps, float64 (S,), and the S+1 times between which they lead."""

    times: Tensor
    a: Tensor
    b: Tensor
    b_previous: Tensor
    e: Tensor
    e_previous: Tensor
    c: Tensor
    corrector: Tensor | None = None
    """½Δt (A, B, E) at the end of each step, (S, 3), for Heun's correction; NaN for a step without correction."""
    turns: Turns | None = None
    """Coefficients of rotations, for a model of frames."""
    chain: str = ""
    """The chain in words if its noise is not that of the SDE for which guidance is learned; empty if it is."""
    motions: bool = False
    """Whether every step ends with a random rotation of the points (:mod:`leastwork.sampling.stepping`)."""
    unweighted: str = ""
    """The reason why paths of these Gaussian steps have no work and no weights; empty if they have."""

    def __len__(self) -> int:
        return len(self.a)

    def table(self) -> list[Step]:
        """The steps one by one, as plain floats."""
        columns = (self.times[:-1], self.times[1:], self.a, self.b, self.b_previous, self.e, self.e_previous, self.c)
        correctors = [None] * len(self) if self.corrector is None else [_finite(r) for r in self.corrector.tolist()]
        turns = [None] * len(self) if self.turns is None else self.turns.table()
        rows = torch.stack(columns, dim=1).tolist()
        return [Step(*row, corrector=p, turn=w) for row, p, w in zip(rows, correctors, turns, strict=True)]

    @property
    def dt(self) -> Tensor:
        """Step lengths t_i − t_{i+1} > 0, (S,)."""
        return -self.times.diff()

    @property
    def has_memory(self) -> bool:
        """Whether a step uses values of the step before."""
        return bool((self.b_previous != 0).any() | (self.e_previous != 0).any())

    @cached_property
    def has_density(self) -> bool:
        """Whether every transition is Gaussian with known mean and c > 0, or takes no notice of the guidance."""
        unguided = (self.e == 0) & (self.e_previous == 0)
        noisy = bool((unguided | (self.c > 0)).all()) and (self.turns is None or bool((self.turns.c > 0).all()))
        return self.corrector is None and noisy and not self.unweighted


def _finite(corrector: list[float]) -> tuple[float, float, float] | None:
    at_state, at_model, at_guidance = corrector
    return (at_state, at_model, at_guidance) if math.isfinite(at_state) else None


def is_singular(process: Process, times: Tensor) -> Tensor:
    """Whether each step starts where drift or diffusion diverges (α = 0), bool (S,)."""
    k = process.coefficients(times[:-1])
    return ~(torch.isfinite(k.A) & torch.isfinite(k.B) & torch.isfinite(k.G))

"""Five kinds of predictions of a network about x_t = α x_0 + σ ε:

    data      D = E[x_0 | x_t]
    noise     ε = (x − α D)/σ
    score     s = (α D − x)/σ²
    velocity  u = α̇ D + σ̇ ε            (flow matching; the probability-flow ODE's dx/dt)
    v         v = α ε − σ D             (Salimans & Ho, ICLR 2022)

Given x, each is an affine function of any other, so a prediction is converted to D, and all else follows from D.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from leastwork.geometry.state import State, smap
from leastwork.schedules.base import Schedule

__all__ = ["Moments", "Prediction", "data_weights", "from_data", "to_data"]

Prediction: TypeAlias = Literal["score", "noise", "data", "velocity", "v"]


@dataclass(frozen=True)
class Moments:
    """α, σ and their time derivatives at one time, as plain floats."""

    alpha: float
    sigma: float
    alpha_dot: float
    sigma_dot: float

    @classmethod
    def at(cls, schedule: Schedule, t: float) -> "Moments":
        """The moments of ``schedule`` at time ``t``."""
        time = torch.tensor(t, dtype=torch.float64)
        return cls(
            float(schedule.alpha(time)),
            float(schedule.sigma(time)),
            float(schedule.alpha_dot(time)),
            float(schedule.sigma_dot(time)),
        )


def data_weights(kind: Prediction, m: Moments) -> tuple[float, float]:
    """Weights (p, q) with D = p · prediction + q · x."""
    match kind:
        case "data":
            return 1.0, 0.0
        case "noise":
            return -m.sigma / m.alpha, 1 / m.alpha
        case "score":
            return m.sigma**2 / m.alpha, 1 / m.alpha
        case "velocity":
            wronskian = m.alpha_dot * m.sigma - m.sigma_dot * m.alpha
            return m.sigma / wronskian, -m.sigma_dot / wronskian
        case "v":
            norm = m.alpha**2 + m.sigma**2
            return -m.sigma / norm, m.alpha / norm


def _prediction_weights(kind: Prediction, m: Moments) -> tuple[float, float]:
    """Weights (p, q) with prediction = p · D + q · x."""
    match kind:
        case "data":
            return 1.0, 0.0
        case "noise":
            return -m.alpha / m.sigma, 1 / m.sigma
        case "score":
            return m.alpha / m.sigma**2, -1 / m.sigma**2
        case "velocity":
            return m.alpha_dot - m.sigma_dot * m.alpha / m.sigma, m.sigma_dot / m.sigma
        case "v":
            return -(m.alpha**2 + m.sigma**2) / m.sigma, m.alpha / m.sigma


def _affine(weights: tuple[float, float], a: State, x: State) -> State:
    p, q = weights

    def combine(u: Tensor, v: Tensor) -> Tensor:
        if q == 0:
            return p * u  # never u itself, as a network may write its next output to the same place
        return torch.add(p * u, v, alpha=q)

    return smap(combine, a, x)


def to_data(kind: Prediction, prediction: State, x: State, m: Moments) -> State:
    """D from a prediction at x; all states of one structure (B, *event)."""
    return _affine(data_weights(kind, m), prediction, x)


def from_data(kind: Prediction, denoised: State, x: State, m: Moments) -> State:
    """The prediction of the given kind from D at x.

    >>> m = Moments(0.8, 0.6, -1.0, 2.0)
    >>> x, d = torch.tensor([[1.0]]), torch.tensor([[0.5]])
    >>> from_data("noise", d, x, m)  # (1 - 0.8 * 0.5) / 0.6
    tensor([[1.0000]])
    """
    return _affine(_prediction_weights(kind, m), denoised, x)

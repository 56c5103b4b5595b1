"""Umbrella windows: tilts of the model that are functions of a coordinate ξ(x) of D columns.

    r(ξ) = −½ Σ_d ((ξ_d − m_d)/w_d)² + λ·(ξ − m)

This is the harmonic potential of stiffness 1/w² with its minimum at m + w²λ (Torrie & Valleau, J. Comput. Phys. 23,
187, 1977). λ is chosen so that the window's samples have their mean at m: then windows sit where they were put however
steep the free energy is, and all have about the width w.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Window", "balanced"]

_NEWTON_STEPS = 30
_LONGEST_STEP = 1.0  # of λ w in one step
_MOST_NUMBERS = 2**22  # candidates times samples that are looked at together


@dataclass(frozen=True)
class Window:
    """One umbrella potential.

    Args:
        middle: m, where the mean of its samples is meant to be, one number for each column of the coordinate.
        width: w, in the units of the columns.
        slope: λ, in inverse units of the columns.

    >>> Window((1.0,), (0.5,), (2.0,)).log_tilt(torch.tensor([[1.0], [1.5]])).tolist()
    [0.0, 0.5]
    """

    middle: tuple[float, ...]
    width: tuple[float, ...]
    slope: tuple[float, ...]

    def log_tilt(self, seen: Tensor) -> Tensor:
        """r of coordinates (n, D), nats, (n,)."""
        middle, width, slope = (seen.new_tensor(part) for part in (self.middle, self.width, self.slope))
        away = seen - middle
        return -0.5 * (away / width).square().sum(dim=1) + away @ slope


def balanced(seen: Tensor, log_weight: Tensor, middles: Tensor, width: Tensor) -> Tensor:
    """λ of windows whose weighted samples have their means at the middles, by Newton's method on the convex dual.

    Where the samples do not reach around a middle there is no such λ, and the window has few effective samples.

    Args:
        seen: coordinates of samples, float64 (n, D).
        log_weight: their log-weights under the model, (n,).
        middles: m of the windows, (C, D).
        width: w, (D,).

    Returns:
        Tensor: λ, (C, D).

    >>> seen = torch.linspace(-4, 4, 801, dtype=torch.float64)[:, None]
    >>> slope = balanced(seen, -0.5 * seen[:, 0].square(), torch.tensor([[1.0]]).double(), torch.ones(1).double())
    >>> round(slope.item(), 3)
    1.0
    """
    size = max(1, _MOST_NUMBERS // len(seen))
    return torch.cat([_balanced(seen, log_weight, some, width) for some in middles.split(size)])


def _balanced(seen: Tensor, log_weight: Tensor, middles: Tensor, width: Tensor) -> Tensor:
    away = (seen[None] - middles[:, None]) / width  # (C, n, D), in widths
    start = log_weight - 0.5 * away.square().sum(dim=2)
    slope = torch.zeros_like(middles)  # λ w
    one = 1e-3 * torch.eye(middles.shape[1], dtype=seen.dtype)
    for _ in range(_NEWTON_STEPS):
        weight = torch.softmax(start + (away * slope[:, None]).sum(dim=2), dim=1)
        mean = torch.einsum("cn,cnd->cd", weight, away)
        square = torch.einsum("cn,cnd,cne->cde", weight, away, away) - mean[:, :, None] * mean[:, None]
        step = -torch.linalg.solve(square + one, mean)
        slope = slope + step * (_LONGEST_STEP / step.norm(dim=1, keepdim=True).clamp(min=_LONGEST_STEP))
    return slope / width

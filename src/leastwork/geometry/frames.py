"""Rigid frames, R³ × SO(3) for each residue: states (positions, rotations) and tangents (shifts, turns),

    exp_(p, R)(u, ω) = (p + u, R exp(ω̂))      ⟨(u, ω), (u′, ω′)⟩ = u·u′ + ω·ω′

Positions (B, N, 3) and their shifts are in the world's frame; a rotation (B, N, 3, 3) takes the residue's own frame to
the world, and turns (B, N, 3) are in the residue's own frame (as in FrameDiff, Yim et al., ICML 2023).
"""

from typing import TypeAlias

import torch
from torch import Tensor

from leastwork.geometry.rotations import exp
from leastwork.geometry.state import State

__all__ = ["Frames", "Tangent", "are_frames", "flat_tangent", "moved", "moved_rigidly", "tangent_from"]

Frames: TypeAlias = tuple[Tensor, Tensor]
Tangent: TypeAlias = tuple[Tensor, Tensor]


def are_frames(x: State) -> bool:
    """Whether a state consists of positions and rotations."""
    return isinstance(x, tuple) and len(x) == 2 and x[0].ndim == 3 and x[1].shape == (*x[0].shape, 3)


def moved(x: Frames, tangent: Tangent) -> Frames:
    """exp_x(tangent)."""
    return x[0] + tangent[0], x[1] @ exp(tangent[1])


def moved_rigidly(x: Frames, rotation: Tensor, shift: Tensor | float = 0.0) -> Frames:
    """The whole structure rotated by Q about the origin and then shifted; rotation: (3, 3) or (B, 3, 3)."""
    q = rotation if rotation.ndim == 2 else rotation[:, None]
    return (q @ x[0][..., None]).squeeze(-1) + shift, q @ x[1]


def flat_tangent(tangent: Tangent) -> Tensor:
    """Shifts, then turns, (B, 6N)."""
    return torch.cat([part.flatten(1) for part in tangent], dim=1)


def tangent_from(flat: Tensor) -> Tangent:
    """The inverse of :func:`flat_tangent`, (B, 6N)."""
    shift, turn = flat.chunk(2, dim=1)
    return shift.unflatten(1, (-1, 3)), turn.unflatten(1, (-1, 3))

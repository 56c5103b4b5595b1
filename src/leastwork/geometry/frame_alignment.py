"""Alignment of rigid frames as an alignment of points: d² = min_Q Σ_i [|p_i − Q p′_i|²/ℓ² + ½κ |R_i − Q R′_i|_F²].

p are positions about their centroid, R orientations (a residue's body frame to the world), and one proper rotation Q
turns both. ½|R − R′|_F² = 4 sin²(θ/2), θ the angle between them (the chordal distance; Hartley, Trumpf, Dai and Li,
Int. J. Comput. Vis. 103, 267, 2013). Positions p/ℓ and axes u = √(½κ) R, the columns of R, turn alike, and so a
structure of A frames is 4A vectors, Q the rotation of `leastwork.geometry.alignment`, and its correlation
Σ p p′ᵀ/ℓ² + ½κ Σ R R′ᵀ. There all points may also be shifted, and axes may not. With s the sum of the 3A axes,

    v = (p_i/ℓ − s/2A, u_j − s/6A)

have their centroid at the origin already and the same inner products, Σ v v′ᵀ = Σ p p′ᵀ/ℓ² + Σ u u′ᵀ, so that no shift
makes them closer. This map is the reflection that exchanges the direction (1, 0), which is zero for centred positions,
with the direction (1, 1), which is zero for centred points.
"""

import math
from typing import TypeAlias

import torch
from torch import Tensor

from leastwork.geometry.alignment import align, aligned_squared_distances, centred
from leastwork.geometry.rotations import slope_of

__all__ = ["Frames", "as_vectors", "from_vectors", "optimal_rotations", "squared_distances"]

Frames: TypeAlias = tuple[Tensor, Tensor]


def as_vectors(x: Frames, length: float = 1.0, orientation_weight: float = 1.0) -> Tensor:
    """The vectors v whose distances after alignment are those of the frames, float64, (B, 4A, 3).

    Args:
        x: positions (B, A, 3), any unit of length, and rotations (B, A, 3, 3).
        length: ℓ, same unit.
        orientation_weight: κ, the weight of a squared angle relative to a squared shift in units of ℓ.

    >>> v = as_vectors((torch.randn(1, 5, 3), torch.eye(3).expand(1, 5, 3, 3)))
    >>> v.shape, bool(v.mean(dim=1).abs().max() < 1e-12)
    (torch.Size([1, 20, 3]), True)
    """
    positions, rotations = x
    n = positions.shape[1]
    axes = math.sqrt(0.5 * orientation_weight) * rotations.to(torch.float64).mT.flatten(1, 2)
    s = axes.sum(dim=1, keepdim=True)
    return torch.cat([centred(positions) / length - s / (2 * n), axes - s / (6 * n)], dim=1)


def from_vectors(gradient: Tensor, rotations: Tensor, length: float = 1.0, orientation_weight: float = 1.0) -> Frames:
    """The tangent state of a function of v, by the chain rule.

    Args:
        gradient: ∂f/∂v, (B, 4A, 3), whose sum over the vectors is zero, since f does not change under shifts.
        rotations: R, (B, A, 3, 3).
        length: ℓ.
        orientation_weight: κ.

    Returns:
        Frames: ∂f/∂p, (B, A, 3), in the world's frame, and ∂f/∂ω, (B, A, 3), in the bodies': R turns as R exp(ω̂).
    """
    n = rotations.shape[1]
    force, pull = gradient[:, :n], gradient[:, n:]
    force = force - force.mean(dim=1, keepdim=True)
    pull = pull + pull.mean(dim=1, keepdim=True)  # from −s/2A and −s/6A: the sums of pulls and forces are opposite
    rotations = rotations.to(gradient.dtype)
    return force / length, slope_of(rotations, math.sqrt(0.5 * orientation_weight) * pull.unflatten(1, (n, 3)).mT)


def squared_distances(
    x: Frames, guides: Frames, length: float = 1.0, orientation_weight: float = 1.0, pairs: int | None = None
) -> Tensor:
    """d² after one rigid motion of positions and orientations together; divided by A it is the mean over frames.

    Args:
        x: samples, positions (N, A, 3), any unit of length, and rotations (N, A, 3, 3).
        guides: (M, A, 3), same unit, and (M, A, 3, 3).
        length: ℓ, same unit.
        orientation_weight: κ.
        pairs: number of pairs of a sample and a guide in memory at a time; by default as many as suit the machine.

    Returns:
        Tensor: (N, M), float64, squared units of ℓ.

    >>> positions, still = torch.randn(1, 5, 3), torch.eye(3).expand(1, 5, 3, 3)
    >>> turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> moved = (positions @ turn.T + 7.0, turn @ still)
    >>> bool(squared_distances((positions, still), moved) < 1e-9)
    True
    >>> bool(squared_distances((positions, still), (moved[0], still)) < 1e-9)  # the orientations did not follow
    False
    """
    v, others = (as_vectors(frames, length, orientation_weight) for frames in (x, guides))
    return aligned_squared_distances(v, others, pairs)


def optimal_rotations(
    x: Frames, guides: Frames, length: float = 1.0, orientation_weight: float = 1.0, pairs: int | None = None
) -> Tensor:
    """Rotations Q that take every guide onto every sample, positions and orientations together, float64 (N, M, 3, 3).

    Args:
        x, guides, length, orientation_weight, pairs: as in :func:`squared_distances`.
    """
    v, others = (as_vectors(frames, length, orientation_weight) for frames in (x, guides))
    turns = v.new_empty(len(v), len(others), 3, 3)
    for some, tiles in align(v, others, pairs):
        for tile in tiles:
            turns[some, tile.guides] = tile.rotations.permute(3, 1, 2, 0)
    return turns

"""Gaussian kernels of rigid frames, ln k(x) = ln (1/M) Σ_m exp(−d²(x, x_m)/2b²), and their tangent scores.

    ∂ ln k/∂p_i = (Σ_m w_m Q_m p_i^m − p_i)/ℓ²b²,    ∂ ln k/∂ω_i = ½κ (C_i − C_iᵀ)^∨/b²,    C_i = R_iᵀ Σ_m w_m Q_m R_i^m

with d the distance of `leastwork.geometry.frame_alignment`, positions about their centroids, w = softmax(−d²/2b²) and
ω the rotation in the body's frame, R → R exp(ω̂). Q_m takes guide m onto x; Q_m and w_m are the same for all positions
and orientations of the guide. d² is minimal in Q, whose derivative therefore drops out (the envelope theorem). There is
no net force, Σ f_i = 0, and no net torque, Σ p_i × f_i + R_i τ_i = 0.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.frame_alignment import Frames, as_vectors, from_vectors
from leastwork.geometry.state import State, leaves
from leastwork.kernels.aligned import AlignedKernel

__all__ = ["FrameKernel"]

_TOLERANCE = 1e-3  # largest deviation of RᵀR from 1: passes rounded coordinates, but no means of distant rotations


@dataclass(frozen=True)
class FrameKernel:
    """d² = min Σ_i [|p_i − Q p_i^m − shift|²/ℓ² + κ 4 sin²(θ_i/2)], θ_i the angle from Q R_i^m to R_i.

    States are (positions (B, A, 3), rotations (B, A, 3, 3)), with R from the body's frame to the world's. d² is a sum
    over frames, so b/√A is the bandwidth per frame. For κ → 0 and ℓ = 1 this kernel is the `AlignedKernel`.

    Args:
        length: ℓ in data units; for κ = 1 a shift by ℓ counts as much as a rotation by one radian.
        orientation_weight: κ, the weight of orientations.
        pairs: number of pairs of a sample and a guide in memory at a time; by default as many as suit the machine.

    Raises:
        LeastworkError: ℓ or κ is not a finite number > 0.

    >>> still = torch.eye(3).expand(1, 2, 3, 3)
    >>> turned = torch.stack([torch.eye(3), torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])])[None]
    >>> x, kernel = torch.tensor([[[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]]), FrameKernel()
    >>> log_k, (force, torque) = kernel.log_kernel_and_score((x, still), kernel.embed((x, turned)), 1.0)
    >>> torque[0, :, 2]  # by a right angle about z, half of which the common turn gives to each frame
    tensor([-0.7071,  0.7071])
    """

    length: float = 1.0
    orientation_weight: float = 1.0
    pairs: int | None = None

    def __post_init__(self) -> None:
        for name in ("length", "orientation_weight"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise LeastworkError(f"{name}={value} of a kernel of frames must be a finite number > 0")

    @property
    def distance(self) -> str:
        return "distance of frames after rigid-body alignment"

    def embed(self, points: State) -> Tensor:
        """Guides as vectors (M, 4A, 3), float64.

        Raises:
            LeastworkError: the states are not frames, or their orientations are not rotations.
        """
        positions, rotations = _frames(points)
        R = rotations.to(torch.float64)
        off = (R.mT @ R - torch.eye(3, dtype=R.dtype, device=R.device)).abs().amax(dim=(2, 3))
        wrong = torch.nonzero(~((off <= _TOLERANCE) & (torch.linalg.det(R) > 0)))
        if len(wrong):
            m, i = wrong[0].tolist()
            raise LeastworkError(
                f"the orientation of frame {i} of state {m} is not a rotation: pass R with R.T @ R = 1 and det R = 1"
            )
        return as_vectors((positions, rotations), self.length, self.orientation_weight)

    def dimension(self, points: State) -> int:
        return 6 * leaves(points)[0].shape[1] - 6

    @torch.no_grad()
    def squared_distances(self, x: State, guides: Tensor) -> Tensor:
        return self._of_vectors.squared_distances(self._vectors(x), guides)

    @torch.no_grad()
    def log_kernel(self, x: State, guides: Tensor, bandwidth: float) -> Tensor:
        return self._of_vectors.log_kernel(self._vectors(x), guides, bandwidth)

    @torch.no_grad()
    def log_kernel_and_score(self, x: State, guides: Tensor, bandwidth: float) -> tuple[Tensor, Frames]:
        """ln k(x), (B,), float64, and its tangent score, in the precision of x.

        Returns:
            (Tensor, Frames): the score is ∂ ln k/∂p, (B, A, 3), in the world's frame, one over data units, and
            ∂ ln k/∂ω, (B, A, 3), in the bodies', one over radians.
        """
        positions, rotations = _frames(x)
        log_k, score = self._of_vectors.log_kernel_and_score(self._vectors(x), guides, bandwidth)
        assert isinstance(score, Tensor)
        force, torque = from_vectors(score, rotations, self.length, self.orientation_weight)
        return log_k, (force.to(positions.dtype), torque.to(rotations.dtype))

    @property
    def _of_vectors(self) -> AlignedKernel:
        return AlignedKernel(self.pairs)

    def _vectors(self, x: State) -> Tensor:
        return as_vectors(_frames(x), self.length, self.orientation_weight)


def _frames(x: State) -> Frames:
    """Positions and rotations of a state that has them."""
    shapes = [tuple(leaf.shape) for leaf in leaves(x)]
    if isinstance(x, tuple) and len(x) == 2 and x[0].ndim == 3 and shapes[1] == (*shapes[0], 3):
        positions, rotations = x
        if shapes[0][1] >= 2 and shapes[0][2] == 3:
            return positions, rotations
    raise LeastworkError(
        f"states of shape {' and '.join(map(str, shapes))} are not rigid frames: pass (positions (B, A, 3), "
        "rotations (B, A, 3, 3)) of A >= 2 frames"
    )

"""Kernel of the distance after rigid-body alignment."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.alignment import align, aligned_squared_distances, centred
from leastwork.geometry.state import State, leaves, smap
from leastwork.kernels.flat import row_blocks

__all__ = ["AlignedKernel"]


@dataclass(frozen=True)
class AlignedKernel:
    """d² = min |x − R x_m − shift|² over proper rotations and shifts, for molecules (A, 3).

    The squared RMSD is d²/A, and b/√A the bandwidth as an RMSD.

    Args:
        pairs: number of pairs of a sample and a guide in memory at a time; by default as many as suit the machine.
    """

    pairs: int | None = None

    @property
    def distance(self) -> str:
        return "distance after rigid-body alignment"

    def embed(self, points: State) -> Tensor:
        if not isinstance(points, Tensor) or points.ndim != 3 or points.shape[2] != 3 or points.shape[1] < 2:
            shape = smap(lambda leaf: tuple(leaf.shape[1:]), points)
            raise LeastworkError(f"states of shape {shape} cannot be aligned: pass structures (A, 3) of A >= 2 atoms")
        return centred(points)

    def dimension(self, points: State) -> int:
        return max(3 * leaves(points)[0].shape[1] - 6, 1)  # two atoms have one degree of freedom, their distance

    @torch.no_grad()
    def squared_distances(self, x: State, guides: Tensor) -> Tensor:
        return aligned_squared_distances(leaves(x)[0], guides, self.pairs)

    @torch.no_grad()
    def log_kernel(self, x: State, guides: Tensor, bandwidth: float) -> Tensor:
        (x,) = leaves(x)
        squared = (self.squared_distances(x[some], guides) for some in row_blocks(x, guides))
        log_k = torch.cat([part.mul_(-0.5 / bandwidth**2).logsumexp(dim=1) for part in squared])
        return log_k - math.log(len(guides))

    @torch.no_grad()
    def log_kernel_and_score(self, x: State, guides: Tensor, bandwidth: float) -> tuple[Tensor, State]:
        (x,) = leaves(x)
        own = centred(x)
        log_k, mean = own.new_empty(len(own)), torch.empty_like(own)
        for some, tiles in align(own, guides, self.pairs):
            # softmax over guides that come tile by tile, with sums relative to the largest exponent so far
            top = own.new_full((), -math.inf)
            total, pulled = own.new_zeros(()), own.new_zeros(())
            for tile in tiles:
                exponent = tile.squared * (-0.5 / bandwidth**2)
                largest = torch.maximum(top, exponent.amax(dim=0))
                weights, fade = exponent.sub_(largest).exp_(), (top - largest).exp()
                total = total * fade + weights.sum(dim=0)
                pulled = pulled * fade[..., None, None] + tile.combine(weights)
                top = largest
            log_k[some] = top + total.log()
            mean[some] = pulled / total[:, None, None]
        return log_k - math.log(len(guides)), (mean.sub_(own) / bandwidth**2).to(x.dtype)

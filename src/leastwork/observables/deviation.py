"""Root mean square deviation from a structure after rigid-body alignment, RMSD² = min_R (1/A) Σ_i |x_i − R y_i|².

x and y have their centroids at the origin. Near the best rotation R, the rotation exp([ω]×) R with

    ω = K⁻¹ Σ_i z_i × x_i        z_i = R y_i,    K = tr(S) − ½(S + Sᵀ),    S = Σ_i x_i z_iᵀ

is to first order the best rotation for a nearby x, which makes the deviation correct to second order, since the minimum
is stationary in ω. So R can be computed without a graph, and the gradient can still be differentiated once more, as
needed when a schedule is fitted through the sampler. At x itself ω only corrects the rounding of R.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.alignment import align, centred
from leastwork.observables.distances import pick
from leastwork.observables.function import Observable

__all__ = ["rmsd"]

_SAMPLES = 512  # samples that are aligned at a time


def rmsd(reference: Tensor, unit: str = "nm") -> Observable:
    """RMSD, (B, 1), after alignment by shifts and proper rotations, so that mirror images are not alike.

    At the reference itself the deviation has a kink, where its gradient is not unique.

    Args:
        reference: the structure y, (A, 3), in the unit of the model's coordinates.
        unit: unit of the model's coordinates.

    Raises:
        LeastworkError: the reference is not a structure of three or more atoms, or not finite.

    >>> y = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    >>> turned, mirrored = y.roll(1, dims=1) + 5.0, -y
    >>> rmsd(y)(torch.stack([turned, mirrored])) > 0.1
    tensor([[False],
            [ True]])
    """
    if reference.ndim != 2 or reference.shape[1] != 3 or len(reference) < 3:
        raise LeastworkError(f"a reference of shape {tuple(reference.shape)} has no deviation: pass (A, 3), A >= 3")
    if not bool(reference.isfinite().all()):
        raise LeastworkError("the reference structure is NaN or infinite somewhere: mend it")
    return Observable(_Deviation(reference.detach()), ("RMSD",), unit)


@dataclass(frozen=True, eq=False)
class _Deviation:
    reference: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        pick(x, ((0,),))
        if x.shape[1] != len(self.reference):
            raise LeastworkError(f"a structure of {x.shape[1]} atoms has no RMSD from one of {len(self.reference)}")
        own, y = centred(x), centred(self.reference[None].to(x.device))
        apart = own - _rotated_reference(own, y)
        return (torch.linalg.vector_norm(apart, dim=(1, 2)) / len(self.reference) ** 0.5).to(x.dtype)


def _rotated_reference(x: Tensor, y: Tensor) -> Tensor:
    """exp([ω]×) R y for every x, (B, A, 3); y: (1, A, 3)."""
    with torch.no_grad():
        z = y @ _rotations(x, y).mT
        S = x.mT @ z
        trace = S.diagonal(dim1=1, dim2=2).sum(dim=1)
        K = trace[:, None, None] * torch.eye(3, dtype=S.dtype, device=S.device) - 0.5 * (S + S.mT)
        inverse = torch.linalg.inv_ex(K).inverse
        # for points on a line or a mirror image the best rotation is not unique; no correction is made
        unique = torch.linalg.det(K) > 1e-9 * trace**3
        inverse = torch.where(unique[:, None, None], inverse, 0.0)
    omega = torch.einsum("bij,bj->bi", inverse, torch.linalg.cross(z, x).sum(dim=1))[:, None].expand_as(z)
    once = torch.linalg.cross(omega, z)
    return z + once + 0.5 * torch.linalg.cross(omega, once)


def _rotations(x: Tensor, y: Tensor) -> Tensor:
    """The rotations R that take y onto each x, (B, 3, 3)."""
    found = x.new_empty(len(x), 3, 3)
    for some, tiles in align(x, y, _SAMPLES):
        for tile in tiles:
            found[some] = tile.rotations[:, 0].permute(2, 1, 0)
    return found

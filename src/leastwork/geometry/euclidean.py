"""Euclidean states and their linear subspaces: x ↦ P x, with P the orthogonal projection.

A model of molecules without translation has states in the zero-centroid subspace of R^{N×3}, of dimension 3N − 3 (Xu et
al., GeoDiff, ICLR 2022). Prior, noise, score and guidance are projected onto it, and work and log-densities are those
of its dimension.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from leastwork.geometry.state import EventShape, State, event_numel, shapes, smap

__all__ = ["Subspace", "ZeroCentre"]


@runtime_checkable
class Subspace(Protocol):
    """A linear subspace of the event space."""

    def project(self, x: State) -> State:
        """Orthogonal projection of every sample: state -> state."""
        ...

    def dimension(self, event_shape: EventShape) -> int:
        """Degrees of freedom of one sample."""
        ...


@dataclass(frozen=True)
class ZeroCentre:
    """States (B, N, 3) whose centroid over the N points is zero.

    >>> import torch
    >>> ZeroCentre().project(torch.tensor([[[1.0, 0.0], [3.0, 0.0]]]))
    tensor([[[-1.,  0.],
             [ 1.,  0.]]])
    >>> ZeroCentre().dimension((10, 3))
    27
    """

    def project(self, x: State) -> State:
        return smap(lambda leaf: leaf - leaf.mean(dim=-2, keepdim=True), x)

    def dimension(self, event_shape: EventShape) -> int:
        return event_numel(event_shape) - sum(shape[-1] for shape in shapes(event_shape))

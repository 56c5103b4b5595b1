"""What a kernel between structures is."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from leastwork.geometry.state import State

__all__ = ["Kernel"]


@runtime_checkable
class Kernel(Protocol):
    """A distance between samples and what follows from it; states in data units, guides as ``embed`` gives them."""

    @property
    def distance(self) -> str:
        """What d is, to be read after "in"."""
        ...

    def embed(self, points: State) -> Tensor:
        """Guides (M, *event) as the kernel compares them, float64, (M, ...): done once for many calls."""
        ...

    def dimension(self, points: State) -> int:
        """Degrees of freedom D that the distance sees."""
        ...

    def squared_distances(self, x: State, guides: Tensor) -> Tensor:
        """d², (B, M), float64."""
        ...

    def log_kernel(self, x: State, guides: Tensor, bandwidth: float) -> Tensor:
        """ln k(x), (B,), float64: of thousands of nats float32 would lose the third decimal."""
        ...

    def log_kernel_and_score(self, x: State, guides: Tensor, bandwidth: float) -> tuple[Tensor, State]:
        """ln k(x), (B,), and ∇ ln k, like x, without a graph."""
        ...

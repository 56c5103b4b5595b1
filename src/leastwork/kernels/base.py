"""Protocol of a kernel between structures."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from leastwork.geometry.state import State

__all__ = ["Kernel"]


@runtime_checkable
class Kernel(Protocol):
    """A distance between samples, and kernels of it; states are in data units, guides are results of ``embed``."""

    @property
    def distance(self) -> str:
        """Name of the distance, such as it follows the word "in"."""
        ...

    def embed(self, points: State) -> Tensor:
        """Convert guides (M, *event) into the form that the kernel compares, float64 (M, ...), once for many calls."""
        ...

    def dimension(self, points: State) -> int:
        """Number D of degrees of freedom on which the distance depends."""
        ...

    def squared_distances(self, x: State, guides: Tensor) -> Tensor:
        """d², (B, M), float64."""
        ...

    def log_kernel(self, x: State, guides: Tensor, bandwidth: float) -> Tensor:
        """ln k(x), float64 (B,); float32 would lose the third decimal of thousands of nats."""
        ...

    def log_kernel_and_score(self, x: State, guides: Tensor, bandwidth: float) -> tuple[Tensor, State]:
        """ln k(x), (B,), and ∇ ln k in the structure of x, without a graph."""
        ...

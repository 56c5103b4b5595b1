"""The region that guiding points stand for: A = {x: ln k(x) ≥ c}, c a low quantile of ln k₋ᵢ(x_i) over the guides.

k is the guides' kernel density and k₋ᵢ the same without guide i, so that a guide is judged as a new sample is. By
default all but the outermost 5 % of the guides lie inside.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State
from leastwork.guidance.kernel_density import KernelDensity
from leastwork.observables import Observable

__all__ = ["IntervalRegion", "Region"]


@runtime_checkable
class IntervalRegion(Protocol):
    """A region that is l ≤ f(x) ≤ u of a differentiable coordinate, so that guidance can follow its border."""

    @property
    def interval(self) -> tuple[Observable, float, float]:
        """f of one column, l and u, data units."""
        ...


@dataclass(frozen=True, eq=False)
class Region:
    """Whether samples belong to the region of the guides.

    Args:
        density: the guides, two or more, with their kernel.
        quantile: share of the guides that the region leaves out, in [0, 1).

    Raises:
        LeastworkError: a quantile outside [0, 1), or a single guide.

    >>> import torch
    >>> from leastwork.guidance.kernel_density import kernel_density
    >>> points = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    >>> region = Region(kernel_density(points))
    >>> region(torch.tensor([[0.0, 0.0], [9.0, 0.0]])).tolist()
    [True, False]
    """

    density: KernelDensity
    quantile: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.quantile < 1:
            raise LeastworkError(f"quantile={self.quantile} is a share of the guides: choose it in [0, 1)")
        if len(self.density) < 2:
            raise LeastworkError("one guiding point does not say how wide its region is: pass more, or region=...")

    @cached_property
    def level(self) -> float:
        """c, the ln k at the border."""
        return float(self.density.leave_one_out().quantile(self.quantile))

    def __call__(self, x: State) -> Tensor:
        """Membership of samples (B, *event), data units: bool (B,)."""
        return self.density.log_kernel(x) >= self.level

    @property
    def definition(self) -> str:
        """One sentence for a report."""
        k = self.density
        return (
            f"A = {{x: ln k(x) ≥ {self.level:.4g}}}, the {100 * self.quantile:g} % quantile of the {len(k)} guides' "
            f"leave-one-out ln k, where k is their mean Gaussian kernel in {k.kernel.distance}, "
            f"bandwidth {k.bandwidth:.4g}."
        )

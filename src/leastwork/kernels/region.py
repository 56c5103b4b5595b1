"""Regions of state space: the region of the guides, A = {x: ln k(x) ≥ c}, a ball, and an interval of one coordinate.

For the region of the guides, c is a low quantile of ln k₋ᵢ(x_i) over the guides.

k is the kernel density of the guides and k₋ᵢ the density without guide i, so that guides are treated like new samples.
By default all but the outermost 5 % of the guides lie inside.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, flatten
from leastwork.kernels.density import KernelDensity
from leastwork.observables import Observable

__all__ = ["Ball", "DefinedRegion", "IntervalRegion", "Membership", "Region", "Slab", "definition_of"]

_HUGE = 1e150  # a radius whose square overflows float64


@runtime_checkable
class IntervalRegion(Protocol):
    """A region l ≤ f(x) ≤ u of a differentiable coordinate, whose border guidance can resolve."""

    @property
    def interval(self) -> tuple[Observable, float, float]:
        """The coordinate f, with one column, and l and u in its unit."""
        ...


@dataclass(frozen=True, eq=False)
class Region:
    """The region of the guides.

    Args:
        density: the guides, two or more, with their kernel.
        quantile: share of the guides that the region leaves out, in [0, 1).

    Raises:
        LeastworkError: the quantile is outside [0, 1), or there is only one guide.

    >>> import torch
    >>> from leastwork.kernels.density import kernel_density
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
            raise LeastworkError("one guiding point does not define the width of a region: pass more, or region=...")

    @cached_property
    def level(self) -> float:
        """c, the value of ln k at the border."""
        return float(self.density.leave_one_out().quantile(self.quantile))

    def __call__(self, x: State) -> Tensor:
        """Membership of samples (B, *event), data units: bool (B,)."""
        return self.density.log_kernel(x) >= self.level

    @property
    def interval(self) -> tuple[Observable, float, float]:
        """The distance b √(−2 ln k) from the guides, from −∞ to its value at the border."""
        distance = Observable(
            self._distance, names=("distance from the guides",), differentiable=self.density.is_smooth
        )
        return distance, -math.inf, self.density.bandwidth * math.sqrt(-2 * self.level)

    def _distance(self, x: State) -> Tensor:
        return self.density.distance(x)[:, None]

    @property
    def definition(self) -> str:
        """One sentence for a report."""
        k = self.density
        return (
            f"A = {{x: ln k(x) ≥ {self.level:.4g}}}, the {100 * self.quantile:g} % quantile of the {len(k)} guides' "
            f"leave-one-out ln k, where k is their mean Gaussian kernel in {k.kernel.distance}, "
            f"bandwidth {k.bandwidth:.4g}."
        )


Membership: TypeAlias = Callable[[State], Tensor]


@runtime_checkable
class DefinedRegion(Protocol):
    """A membership test with a definition for reports."""

    @property
    def definition(self) -> str:
        """One sentence for a report."""
        ...

    def __call__(self, x: State) -> Tensor:
        """Membership of samples (B, *event), data units: bool (B,)."""
        ...


def definition_of(region: Membership) -> str:
    """The sentence that defines a region in a report; for a plain function it contains the function's name."""
    if isinstance(region, DefinedRegion):
        return region.definition
    return f"A = {{x: {getattr(region, '__name__', type(region).__name__)} is true}}"


@dataclass(frozen=True)
class Ball:
    """All states within ``radius`` of ``centre``.

    >>> import torch
    >>> Ball((0.0, 0.0), 1.0)(torch.tensor([[0.5, 0.5], [1.0, 1.0]])).tolist()
    [True, False]
    """

    centre: tuple[float, ...]
    radius: float

    def __call__(self, x: State) -> Tensor:
        flat = flatten(x)
        square = self.radius**2 if self.radius < _HUGE else math.inf
        return (flat - flat.new_tensor(self.centre)).square().sum(dim=1) <= square

    @property
    def interval(self) -> tuple[Observable, float, float]:
        """The distance from the centre, from −∞ to the radius."""
        return Observable(self._distance, names=("distance from the centre",)), -math.inf, self.radius

    def _distance(self, x: State) -> Tensor:
        flat = flatten(x)
        return torch.linalg.vector_norm(flat - flat.new_tensor(self.centre), dim=1, keepdim=True)

    @property
    def definition(self) -> str:
        shown = ", ".join(f"{c:g}" for c in self.centre[:6]) + (", …" if len(self.centre) > 6 else "")
        return f"A = {{x: |x − ({shown})| ≤ {self.radius:g}}}".replace("-", "−")


@dataclass(frozen=True)
class Slab:
    """All states whose coordinate ``index`` lies between two values, either of which may be infinite.

    >>> import torch
    >>> slab = Slab(1, -math.inf, 0.5)
    >>> slab(torch.tensor([[9.0, 0.5], [0.0, 0.6]])).tolist(), slab.definition
    ([True, False], 'A = {x: x_2 ≤ 0.5}')
    """

    index: int
    lower: float
    upper: float

    def __call__(self, x: State) -> Tensor:
        values = flatten(x)[:, self.index]
        return (values >= self.lower) & (values <= self.upper)

    @property
    def interval(self) -> tuple[Observable, float, float]:
        """x_i, l and u."""
        return Observable(self._coordinate, names=(f"x_{self.index + 1}",)), self.lower, self.upper

    def _coordinate(self, x: State) -> Tensor:
        return flatten(x)[:, self.index, None]

    @property
    def definition(self) -> str:
        low = f"{self.lower:g} ≤ " if math.isfinite(self.lower) else ""
        high = f" ≤ {self.upper:g}" if math.isfinite(self.upper) else ""
        return f"A = {{x: {low}x_{self.index + 1}{high}}}".replace("-", "−")

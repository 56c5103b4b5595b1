"""Path guidance by kernels around guides that the probability-flow ODE has carried forward."""

import math
from bisect import bisect_right
from dataclasses import dataclass

import torch

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, leaves, smap
from leastwork.guidance.base import Composable, Find, Parts, register
from leastwork.kernels.base import Kernel
from leastwork.kernels.files import kernel_from, kernel_parts, points_from

__all__ = ["Sigmoid", "TransportedGuidance"]


@dataclass(frozen=True)
class Sigmoid:
    """f(t) = data + (noise − data)/(1 + e^{−(t − switch)/width}).

    Args:
        data, noise: values for t far below and far above ``switch``.
        switch: the time t at which f is halfway between the two values.
        width: width > 0 of the change, in units of t; three quarters of the change take 4 widths.

    >>> f = Sigmoid(data=2.0, noise=0.0, switch=0.5, width=0.1)
    >>> round(f(0.0), 2), f(0.5), round(f(1.0), 2)
    (1.99, 1.0, 0.01)
    """

    data: float
    noise: float
    switch: float = 0.5
    width: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.width < math.inf:
            raise LeastworkError(f"width={self.width} of a sigmoid must be a finite number > 0, in units of t")

    def __call__(self, t: float) -> float:
        share = 0.5 * (1 + math.tanh(0.5 * (t - self.switch) / self.width))  # 1/(1 + e^{-x}) without overflow
        return self.data + (self.noise - self.data) * share


@register("transported")
@dataclass(frozen=True, eq=False)
class TransportedGuidance(Composable):
    """h = η(t) ∇ₓ ln Σ_m K_{b(t)}(x, x_t^m).

    Args:
        kernel: the kernel, whose distance is that of states in network units.
        times: increasing times at which the guides are given, (T,).
        guides: guides x_t^m at these times, network units, (T, M, *event), computed by
            :func:`leastwork.sampling.transport.carry_forward`; they are interpolated linearly in t, and constant
            outside the times.
        strength: the strength η(t).
        bandwidth: the bandwidth b(t) > 0, in network units of the kernel's distance.

    Raises:
        LeastworkError: the times do not increase or do not match the rows of guides, or a bandwidth is not positive.

    >>> from leastwork.kernels.flat import EuclideanKernel
    >>> guides = torch.tensor([[[0.0]], [[1.0]]])  # one guide at two times
    >>> h = TransportedGuidance(EuclideanKernel(), (0.0, 1.0), guides, Sigmoid(2.0, 2.0), Sigmoid(0.5, 0.5))
    >>> x = torch.tensor([[3.0]])
    >>> h(x, 0.5, x)  # 2 · (0.5 − 3)/0.5²
    tensor([[-20.]])
    """

    kernel: Kernel
    times: tuple[float, ...]
    guides: State
    strength: Sigmoid
    bandwidth: Sigmoid

    def __post_init__(self) -> None:
        rows = len(leaves(self.guides)[0])
        if (
            rows == 0
            or rows != len(self.times)
            or any(b <= a for a, b in zip(self.times, self.times[1:], strict=False))
        ):
            raise LeastworkError(
                f"there are {len(self.times)} times for guides at {rows}: pass increasing times, one for each row"
            )
        ends = (self.bandwidth.data, self.bandwidth.noise)
        if not all(0 < end < math.inf for end in ends):
            raise LeastworkError(f"bandwidths {ends} must be finite numbers > 0, in network units of the distance")

    @property
    def through_network(self) -> bool:
        return False

    def guides_at(self, t: float) -> State:
        """x_t^m, network units, (M, *event)."""
        right = bisect_right(self.times, t)
        if right in (0, len(self.times)):
            row = 0 if right == 0 else -1
            return smap(lambda leaf: leaf[row], self.guides)
        start, stop = self.times[right - 1 : right + 1]
        share = (t - start) / (stop - start)
        return smap(lambda leaf: torch.lerp(leaf[right - 1], leaf[right], share), self.guides)

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, (B, *event)."""
        device = leaves(x)[0].device
        guides = self.kernel.embed(smap(lambda leaf: leaf.to(device), self.guides_at(float(t))))
        _, score = self.kernel.log_kernel_and_score(x, guides, self.bandwidth(float(t)))
        eta = self.strength(float(t))
        return smap(lambda leaf: eta * leaf, score)

    def parts(self) -> Parts:
        return {
            "kernel": kernel_parts(self.kernel),
            "times": self.times,
            "guides": self.guides,
            "strength": vars(self.strength),
            "bandwidth": vars(self.bandwidth),
        }

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "TransportedGuidance":
        strength, bandwidth = Sigmoid(**parts["strength"]), Sigmoid(**parts["bandwidth"])
        kernel, guides = kernel_from(parts["kernel"]), points_from(parts["guides"])
        return cls(kernel, tuple(parts["times"]), guides, strength, bandwidth)

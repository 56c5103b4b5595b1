"""Published forms of path guidance, towards a region that is given by guiding points x^m:

    transported    h(x, t) = η(t) ∇ₓ ln Σ_m K_{b(t)}(x, x_t^m)        loss    h(x, t) = a e^{−bt} ∇ₓ ln k(D(x, t))

(Kolloff et al., Minimum-Excess-Work Guidance, arXiv 2505.13375). x_t^m are the guides carried forward by the
probability-flow ODE, η and b are sigmoids in t, and k is the kernel density of the guides. Kernels are evaluated in log
space, so that far from all guides h points to the nearest guide and does not vanish. h is returned without a graph, so
these forms serve sampling and derivative-free fits.
"""

import math
from dataclasses import dataclass

import torch

from leastwork.geometry.state import State, leaves, smap
from leastwork.guidance.base import Composable, Find, Parts, register
from leastwork.guidance.pull_back import pull_back
from leastwork.kernels.density import KernelDensity
from leastwork.kernels.files import kernel_from, kernel_parts, points_from
from leastwork.models.units import NETWORK_UNITS, Affine, ToData, units_parts

__all__ = ["LossGuidance"]


@register("path loss")
@dataclass(frozen=True, eq=False)
class LossGuidance(Composable):
    """h = a e^{−bt} ∇ₓ ln k(D(x, t)), through the network.

    Args:
        density: the kernel density k of the guides in data units, made by
            :func:`leastwork.kernels.density.kernel_density`.
        strength: a.
        decay: b, per unit of t; b < 0 puts the weight on the noisy end.
        to_data: change from network units to data units, the model's ``units``.
    """

    density: KernelDensity
    strength: float
    decay: float = 0.0
    to_data: ToData = NETWORK_UNITS

    @property
    def through_network(self) -> bool:
        return True

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, (B, *event); ``denoised`` must have its graph from x."""
        with torch.enable_grad():
            point = self.to_data(denoised)
        k = self.density
        at = smap(torch.Tensor.detach, point)
        _, score = k.kernel.log_kernel_and_score(at, k.guides.to(leaves(at)[0].device), k.bandwidth)
        eta = self.strength * math.exp(-self.decay * t)
        return smap(lambda leaf: eta * leaf, pull_back(point, x, score))

    def parts(self) -> Parts:
        k = self.density
        density = {"kernel": kernel_parts(k.kernel), "points": k.points, "bandwidth": k.bandwidth}
        return {"density": density, "strength": self.strength, "decay": self.decay, **units_parts(self.to_data)}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "LossGuidance":
        rest = dict(parts)
        k, to_data = rest.pop("density"), Affine(rest.pop("shift"), rest.pop("scale"))
        density = KernelDensity(kernel_from(k["kernel"]), points_from(k["points"]), k["bandwidth"])
        return cls(density, **rest, to_data=to_data)

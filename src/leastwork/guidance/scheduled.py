"""Scheduled observable guidance: h(x, t) = −η(t) Σ_k λ_k ∇O_k(D(x, t)),  η(t) = a e^{−bt}.

The published form (Kolloff et al., Minimum-Excess-Work Guidance, arXiv 2505.13375), with Tweedie's D and η once.
With the Jacobian the gradient is taken with respect to x through the network, ∇ₓ O_k(D(x, t)); without, it is the
gradient of O_k at D, which costs no backward pass of the network.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.geometry.state import State, leaves, smap
from leastwork.guidance.base import Composable, Find, Parts, register
from leastwork.models.units import to_data_units
from leastwork.observables import Observable

__all__ = ["ScheduledGuidance"]


@register("scheduled")
@dataclass(frozen=True)
class ScheduledGuidance(Composable):
    """The published guidance.

    Args:
        observable: O, evaluated in data units, K columns.
        lambdas: λ, (K,), one over the observable's unit.
        strength: a > 0; a tensor where it is to be fitted.
        decay: b.
        jacobian: differentiate through the network.
        shift, scale: the model's units.
    """

    observable: Observable
    lambdas: Tensor
    strength: float | Tensor
    decay: float | Tensor
    jacobian: bool = False
    shift: float | Tensor = 0.0
    scale: float | Tensor = 1.0

    @property
    def through_network(self) -> bool:
        return self.jacobian

    def __call__(self, x: State, t: float, denoised: State) -> State:
        ambient = torch.is_grad_enabled()
        with torch.enable_grad():
            if self.jacobian:
                point, at = denoised, x
            else:
                point = smap(lambda d: d if ambient and d.requires_grad else d.detach().requires_grad_(), denoised)
                at = point
            values = self.observable(to_data_units(point, self.shift, self.scale))
            total = (values @ self.lambdas.to(values)).sum()
            # the graph is kept for the other terms of a sum
            gradients = torch.autograd.grad(total, leaves(at), create_graph=ambient, retain_graph=True)
        eta = self._eta(t)
        h = tuple(-eta * gradient for gradient in gradients)
        return h if isinstance(x, tuple) else h[0]

    def _eta(self, t: float) -> float | Tensor:
        exponent = -self.decay * t
        if isinstance(exponent, Tensor):
            return self.strength * exponent.exp()
        return self.strength * math.exp(exponent)

    def parts(self) -> Parts:
        own = ("lambdas", "strength", "decay", "jacobian", "shift", "scale")
        return {"names": self.observable.names, **{name: getattr(self, name) for name in own}}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "ScheduledGuidance":
        rest = dict(parts)
        return cls(find(rest.pop("names")), **rest)

"""Scheduled observable guidance: h(x, t) = −η(t) Σ_k λ_k ∇O_k(D(x, t)),  η(t) = a e^{−bt}.

This is the published form (Kolloff et al., Minimum-Excess-Work Guidance, arXiv 2505.13375), with D by Tweedie's formula
and one factor η. With ``jacobian`` the gradient is taken with respect to x through the network, ∇ₓ O_k(D(x, t));
without, it is the gradient of O_k at D, which takes no backward pass of the network.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import State, cat, leaves, smap
from leastwork.guidance.base import Composable, Find, Parts, register
from leastwork.guidance.pull_back import pull_back
from leastwork.models.latents import pieces, sees_decoded
from leastwork.models.units import NETWORK_UNITS, Affine, ToData, units_parts
from leastwork.observables import Observable

__all__ = ["ScheduledGuidance"]


@register("scheduled")
@dataclass(frozen=True)
class ScheduledGuidance(Composable):
    """The published guidance.

    Args:
        observable: the observables O of states in data units, K columns.
        lambdas: λ in inverse units of the observables, (K,).
        strength: a > 0; a tensor if it is to be fitted.
        decay: b, per unit of t.
        jacobian: whether to differentiate through the network.
        to_data: change from network units to data units, the model's ``units``.
    """

    observable: Observable
    lambdas: Tensor
    strength: float | Tensor
    decay: float | Tensor
    jacobian: bool = False
    to_data: ToData = NETWORK_UNITS

    @property
    def through_network(self) -> bool:
        return self.jacobian

    def __call__(self, x: State, t: float, denoised: State) -> State:
        ambient = torch.is_grad_enabled()
        if not ambient and sees_decoded(self.observable):
            return self._of_latents(x, t, denoised)
        with torch.enable_grad():
            if self.jacobian:
                point, at = denoised, x
            else:
                point = smap(lambda d: d if ambient and d.requires_grad else d.detach().requires_grad_(), denoised)
                at = point
            values = self.observable(self.to_data(point))
            total = (values @ self.lambdas.to(values)).sum()
            # the graph is kept, since other terms of a sum may need it
            gradients = torch.autograd.grad(total, leaves(at), create_graph=ambient, retain_graph=True)
        eta = self._eta(t)
        h = tuple(-eta * gradient for gradient in gradients)
        return h if isinstance(x, tuple) else h[0]

    def _of_latents(self, x: State, t: float, denoised: State) -> State:
        """h, with the graph of few decoded samples at a time."""
        parts: list[State] = []
        for piece in pieces(denoised):
            with torch.enable_grad():
                point = smap(lambda d, piece=piece: d[piece].detach().requires_grad_(), denoised)
                values = self.observable(self.to_data(point))
                gradients = torch.autograd.grad((values @ self.lambdas.to(values)).sum(), leaves(point))
            parts.append(gradients if isinstance(point, tuple) else gradients[0])
        slope, eta = cat(parts), self._eta(t)
        return smap(lambda leaf: -eta * leaf, pull_back(denoised, x, slope) if self.jacobian else slope)

    def _eta(self, t: float) -> float | Tensor:
        exponent = -self.decay * t
        if isinstance(exponent, Tensor):
            return self.strength * exponent.exp()
        return self.strength * math.exp(exponent)

    def parts(self) -> Parts:
        own = {name: getattr(self, name) for name in ("lambdas", "strength", "decay", "jacobian")}
        seen = {"decoded": True} if sees_decoded(self.observable) else {}
        return {"names": self.observable.names, **own, **units_parts(self.to_data), **seen}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "ScheduledGuidance":
        rest = dict(parts)
        to_data, decoded = Affine(rest.pop("shift"), rest.pop("scale")), rest.pop("decoded", False)
        observable = find(rest.pop("names"))
        if decoded and not sees_decoded(observable):
            raise ConfigError(
                f"the guidance steers {', '.join(observable.names)} of decoded latents: pass "
                "leastwork.models.latents.of_data(observable, model)"
            )
        return cls(observable, **rest, to_data=to_data)

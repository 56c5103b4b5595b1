"""Learned guidance: h(x, t) = ∇ₓ V(x, t), with V(x, t) ≈ ln E[e^{r(x_0)} | x_t = x] a network.

    V(x, t) = V̂(D(x, t), t)          h = Jᵀ ∇V̂          J = ∂D/∂x

If V is exact this is Doob's transform, the guidance of least work at κ = 1 (Doob, Classical Potential Theory, 1984;
Dai Pra, Appl. Math. Optim. 23, 313, 1991). V̂ is a function of the denoised state D, because the model has already
learned which structure a noisy state becomes. The gradient takes one product with the model's Jacobian in each step; a
network that takes x itself needs no derivative of the model. The observables are never differentiated.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from leastwork.errors import ConfigError
from leastwork.geometry.frames import tangent_from
from leastwork.geometry.state import State, flatten, smap, unflatten
from leastwork.geometry.tangents import cotangent, slope_along
from leastwork.guidance.base import Composable, Find, Parts, register
from leastwork.guidance.pull_back import pull_back
from leastwork.models.predictions import Moments
from leastwork.networks.perceptron import filled
from leastwork.networks.value import ValueNetwork, sees_denoised, value_and_gradient
from leastwork.schedules.base import Schedule
from leastwork.schedules.files import describe_schedule, schedule_from

__all__ = ["Bound", "LearnedGuidance"]


@dataclass(frozen=True, eq=False)
class Bound:
    """A bound on the length of h: a longer h is shortened to it, and path weights are those of the shortened h.

    Far from the states on which V was learned its gradient may be hundreds of times too long, and a single such path
    can dominate the variance of ln w. Elsewhere the bound has no effect.

    Args:
        log_snr: log-SNRs, rising, float64 (S,).
        size: the largest |h| at each of them, network units, float64 (S,); linear in between.

    >>> import torch
    >>> bound = Bound(torch.tensor([-1.0, 1.0]), torch.tensor([1.0, 3.0]))
    >>> bound.at(0.0), bound.at(9.0)
    (2.0, 3.0)
    """

    log_snr: Tensor
    size: Tensor

    def at(self, log_snr: float) -> float:
        """The largest |h| at a log-SNR."""
        return float(np.interp(log_snr, self.log_snr.cpu().numpy(), self.size.cpu().numpy()))

    def __call__(self, h: State, moments: Moments) -> State:
        """h with no vector longer than the bound, (B, *event)."""
        largest = self.at(2 * math.log(moments.alpha / moments.sigma) if moments.alpha > 0 else -math.inf)
        factor = (largest / flatten(h).norm(dim=1).clamp(min=torch.finfo(torch.float32).tiny)).clamp(max=1.0)
        return smap(lambda leaf: leaf * factor.reshape(-1, *[1] * (leaf.ndim - 1)), h)


@register("learned")
@dataclass(frozen=True, eq=False)
class LearnedGuidance(Composable):
    """h = ∇ₓ V.

    Args:
        network: differentiable V̂(D, α, σ) or V(x, α, σ), flat states (B, d) in network units -> (B,). Its attribute
            ``denoised`` is True if it takes D, and False or missing if it takes x. For frames, its slope is a tangent.
        schedule: the model's schedule, α and σ.
        bound: a bound on the length of h, or None for none.

    >>> import torch
    >>> from leastwork.networks.value import ValueNetwork
    >>> from leastwork.schedules.gaussian import VPSchedule
    >>> h = LearnedGuidance(ValueNetwork(6), VPSchedule())
    >>> x = torch.randn(4, 2, 3)
    >>> h(x, 0.5, x).abs().max().item()  # before training h is zero
    0.0
    """

    network: nn.Module
    schedule: Schedule
    bound: "Bound | None" = None

    @property
    def through_network(self) -> bool:
        return sees_denoised(self.network)

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, (B, *event)."""
        seen: State = smap(Tensor.detach, denoised) if self.through_network else x
        flat = flatten(seen)
        m = Moments.at(self.schedule, float(t))
        _, gradient = value_and_gradient(self.network, flat, flat.new_tensor(m.alpha), flat.new_tensor(m.sigma))
        if self.through_network:
            gradient = slope_along(x, pull_back(denoised, x, cotangent(seen, gradient)))
        h = unflatten(gradient, x) if gradient.shape == flat.shape else tangent_from(gradient)
        return h if self.bound is None else self.bound(h, m)

    def value(self, x: State, t: float, denoised: State) -> Tensor:
        """V(x, t), (B,)."""
        flat = flatten(denoised if self.through_network else x)
        m = Moments.at(self.schedule, float(t))
        return self.network(flat, flat.new_tensor(m.alpha), flat.new_tensor(m.sigma))

    def parts(self) -> Parts:
        """The parts for a file.

        Raises:
            ConfigError: the network is not a ValueNetwork.
        """
        if type(self.network) is not ValueNetwork:
            raise ConfigError(
                f"a guidance learned with your own network, {type(self.network).__name__}, has no file form: "
                "save its state_dict, and load it into LearnedGuidance(network, model.schedule)"
            )
        network, schedule = self.network, describe_schedule(self.schedule)
        bound = None if self.bound is None else {"log_snr": self.bound.log_snr, "size": self.bound.size}
        return {"network": network.config, "weights": network.state_dict(), "schedule": schedule, "bound": bound}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "LearnedGuidance":
        network = filled(ValueNetwork(**parts["network"]), parts["weights"])
        bound = parts.get("bound")  # older files have none
        return cls(network, schedule_from(parts["schedule"]), None if bound is None else Bound(**bound))

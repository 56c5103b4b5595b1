"""Learned guidance: h(x, t) = ∇ₓ V(x, t), with V(x, t) ≈ ln E[e^{r(x_0)} | x_t = x] a network.

Where V is exact this is Doob's transform, the guidance of least work at κ = 1 (Doob, Classical Potential Theory,
1984; Dai Pra, Appl. Math. Optim. 23, 313, 1991). It differentiates V only, never the model.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.geometry.frames import tangent_from
from leastwork.geometry.state import State, leaves
from leastwork.guidance.base import Composable
from leastwork.models.predictions import Moments
from leastwork.models.value_network import value_and_gradient
from leastwork.schedules import Schedule

__all__ = ["LearnedGuidance", "flatten", "unflatten"]


@dataclass(frozen=True, eq=False)
class LearnedGuidance(Composable):
    """h = ∇ₓ V.

    Args:
        network: V(x, α, σ), flat states (B, d) in network units -> (B,); differentiable. Of frames it gives a tangent.
        schedule: α and σ of the model.

    >>> from leastwork.models.value_network import ValueNetwork
    >>> from leastwork.schedules import VPSchedule
    >>> h = LearnedGuidance(ValueNetwork(6), VPSchedule())
    >>> x = torch.randn(4, 2, 3)
    >>> h(x, 0.5, x).abs().max().item()  # untrained, it does nothing
    0.0
    """

    network: nn.Module
    schedule: Schedule

    @property
    def through_network(self) -> bool:
        return False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, (B, *event)."""
        flat = flatten(x)
        m = Moments.at(self.schedule, float(t))
        _, gradient = value_and_gradient(self.network, flat, flat.new_tensor(m.alpha), flat.new_tensor(m.sigma))
        return unflatten(gradient, x) if gradient.shape == flat.shape else tangent_from(gradient)

    def value(self, x: State, t: float) -> Tensor:
        """V(x, t), (B,)."""
        flat = flatten(x)
        m = Moments.at(self.schedule, float(t))
        return self.network(flat, flat.new_tensor(m.alpha), flat.new_tensor(m.sigma))


def flatten(x: State) -> Tensor:
    """All coordinates of every sample, (B, d)."""
    return torch.cat([leaf.reshape(len(leaf), -1) for leaf in leaves(x)], dim=1)


def unflatten(flat: Tensor, like: State) -> State:
    """Coordinates (B, d) in the structure of a state (of any batch)."""
    parts = flat.split([leaf[0].numel() for leaf in leaves(like)], dim=1)
    shaped = tuple(part.reshape(len(part), *leaf.shape[1:]) for part, leaf in zip(parts, leaves(like), strict=True))
    return shaped if isinstance(like, tuple) else shaped[0]

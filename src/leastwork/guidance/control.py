"""Control: guidance of a flow by an added velocity field c(x, t), dx = u dt + c |dt|.

    c = s₀ (W z_L + w)     z_l = z_{l−1} + φ(W_l z_{l−1} + b_l + U_l τ),  z_1 = φ(W_1 x̂ + b_1 + U_1 τ)    φ = SiLU

x̂ is x standardised in each coordinate by the mean and spread of paths at time t, τ are a few slow cosines of t, and s₀
is the overall spread of the data. The weights W and w of the last layer start at zero, and so does the control.
"""

from dataclasses import dataclass

from torch import nn

from leastwork.errors import ConfigError
from leastwork.geometry.state import State, flatten, unflatten
from leastwork.guidance.base import Composable, Find, Parts, register
from leastwork.networks.control import ControlNetwork
from leastwork.networks.perceptron import filled

__all__ = ["ControlGuidance"]


@register("control")
@dataclass(frozen=True, eq=False)
class ControlGuidance(Composable):
    """h = c(x, t), for a VelocityModel.

    Args:
        network: the control c(x, t): flat states (B, d) in network units, and one time -> (B, d).

    >>> import torch
    >>> h = ControlGuidance(ControlNetwork(6))
    >>> x = torch.randn(4, 2, 3)
    >>> h(x, 0.5, x).abs().max().item()  # before a fit the control is zero
    0.0
    """

    network: nn.Module

    @property
    def through_network(self) -> bool:
        return False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units per unit of time, (B, *event)."""
        return unflatten(self.network(flatten(x), float(t)), x)

    def parts(self) -> Parts:
        """The parts for a file.

        Raises:
            ConfigError: the network is not a ControlNetwork.
        """
        if type(self.network) is not ControlNetwork:
            raise ConfigError(
                f"a control with your own network, {type(self.network).__name__}, has no file form: "
                "save its state_dict, and load it into ControlGuidance(network)"
            )
        return {"network": self.network.config, "weights": self.network.state_dict()}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "ControlGuidance":
        return cls(filled(ControlNetwork(**parts["network"]), parts["weights"]))

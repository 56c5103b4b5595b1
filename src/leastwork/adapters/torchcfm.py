"""Vector fields trained with ``torchcfm``, whose time s runs from noise (0) to data (1); t = 1 − s.

    I-CFM     x_s = s x_1 + (1 − s) x_0 + ς z              α = 1 − t        σ² = t² + ς² (1 − α²)
    VP-CFM    x_s = sin(πs/2) x_1 + cos(πs/2) x_0 + ς z    α = cos(πt/2)    σ² = (1 + ς²) sin²(πt/2)
    FM        x_s = s x_1 + (1 − (1 − ς)s) z               α = 1 − t        σ² = t (t + 2ς(1 − t))

(Tong et al., TMLR 2024; Albergo et al., 2023; Lipman et al., ICLR 2023.) The matcher's ODE draws x_1 + ς z, with the
matcher's own noise ς, and these samples are taken as the data here. So σ² = Var(x_s | x_1) − ς²α², which vanishes at
the data; the velocity, ½g² and the marginals are exactly those of the matcher. Sources must be standard normal and
drawn independently of the data. With couplings by optimal transport or Schrödinger bridges the path is not Gaussian
given x_1, and only the velocity is known.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from leastwork.adapters.network import NetworkSettings, as_tensors
from leastwork.adapters.settings import ModelSettings, key
from leastwork.adapters.wrapping import Wrapped, check_network, package
from leastwork.errors import ConfigError
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.velocity import Prior, StandardNormal, VelocityModel
from leastwork.schedules.base import Schedule
from leastwork.schedules.function import FunctionSchedule
from leastwork.schedules.gaussian import CosineSchedule, LinearSchedule

__all__ = ["ADAPTERS", "TorchcfmSettings", "from_torchcfm"]

Call: TypeAlias = Literal["auto", "concatenated", "t, x", "x, t"]
Matcher: TypeAlias = Literal[
    "ConditionalFlowMatcher",
    "VariancePreservingConditionalFlowMatcher",
    "TargetConditionalFlowMatcher",
    "ExactOptimalTransportConditionalFlowMatcher",
    "SchrodingerBridgeConditionalFlowMatcher",
]


class _TheirTime(Wrapped):
    """u(x, t) = −net at time 1 − t, in the order that the network takes."""

    def __init__(self, net: Callable[..., Tensor], call: Call) -> None:
        super().__init__(net)
        self.call: Call = call

    def forward(self, x: Tensor, t: Tensor, **context: Any) -> Tensor:
        s = 1 - t
        if self.call == "concatenated":
            return -self.net(torch.cat([x, s.expand(len(x))[:, None]], dim=-1), **context)
        return -(self.net(s, x, **context) if self.call == "t, x" else self.net(x, s, **context))


def from_torchcfm(
    net: Callable[..., Tensor],
    matcher: Any,
    event_shape: tuple[int, ...],
    *,
    call: Call = "auto",
    prior: Prior | None = None,
    shift: float | Tensor = 0.0,
    scale: float | Tensor = 1.0,
    context: Mapping[str, Any] | None = None,
) -> DiffusionModel | VelocityModel:
    """Wrap a vector field that was trained with a matcher of ``torchcfm``.

    Args:
        net: the network.
        matcher: the ``ConditionalFlowMatcher`` of the training; None if it was of another kind.
        event_shape: shape of one sample.
        call: "concatenated", ``net(torch.cat([x, t[:, None]], -1))``, as their MLP; "t, x", ``net(t, x)``, as their
            UNet and torchdyn; or "x, t". By default, what the network's signature says.
        prior: the distribution of x_0; by default, and for a DiffusionModel, a standard normal.
        shift, scale: as in :class:`leastwork.DiffusionModel`.
        context: keyword arguments of the network; :class:`leastwork.PerSample` has a row for each sample.

    Returns:
        DiffusionModel: for independent couplings with a standard normal. VelocityModel: otherwise.

    Raises:
        ConfigError: the package is missing, the object is not a matcher, or the network does not fit.
    """
    matchers = package("torchcfm.conditional_flow_matching", "torchcfm")
    if matcher is not None and not isinstance(matcher, matchers.ConditionalFlowMatcher):
        raise ConfigError(f"matcher={matcher!r} is not a matcher of torchcfm: pass the one of the training, or None")
    prior = StandardNormal() if prior is None else prior
    context = {} if context is None else context
    wrapped = _TheirTime(net, _call(net) if call == "auto" else call)
    check_network(wrapped, event_shape, context, _WORDS[wrapped.call])
    schedule = _schedule(matcher, matchers) if prior == StandardNormal() else None
    if schedule is None:
        return VelocityModel(wrapped, event_shape, prior, shift=shift, scale=scale, context=context)
    return DiffusionModel(wrapped, schedule, "velocity", event_shape, None, shift, scale, context)


@dataclass(frozen=True, kw_only=True)
class TorchcfmSettings(NetworkSettings):
    """A vector field that was trained with a matcher of ``torchcfm``."""

    matcher: Matcher | None = key(
        "the matcher of the training, or leave it out if only the velocity counts", default=None
    )
    sigma: float = key("the matcher's sigma, 0 or more", default=0.0, ge=0)
    call: Call = key("how the network is called", default="auto")

    def build(self) -> DiffusionModel | VelocityModel:
        matchers = package("torchcfm.conditional_flow_matching", "torchcfm")
        matcher = None if self.matcher is None else getattr(matchers, self.matcher)(sigma=self.sigma)
        context = as_tensors(self.context)
        return from_torchcfm(self.net(), matcher, self.event_shape, call=self.call, context=context, **self.units)


ADAPTERS: Mapping[str, type[ModelSettings]] = {"torchcfm": TorchcfmSettings}

_WORDS = {"concatenated": "net(torch.cat([x, t[:, None]], -1))", "t, x": "net(t, x)", "x, t": "net(x, t)"}


def _call(net: Callable[..., Tensor]) -> Call:
    """From the names of the arguments that have no default."""
    function = net.forward if isinstance(net, nn.Module) else net
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "t, x"
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in positional if p.default is p.empty]
    if len(needed) == 1:
        return "concatenated"
    return "x, t" if len(needed) > 1 and needed[1].startswith("t") and not needed[0].startswith("t") else "t, x"


def _schedule(matcher: Any, known: Any) -> Schedule | None:
    """α and σ as functions of our time, or None if the path is not Gaussian given the data."""
    kind, blur = type(matcher), float(getattr(matcher, "sigma", 0.0))
    if kind is known.ConditionalFlowMatcher:
        variance = lambda t: t**2 + blur**2 * t * (2 - t)  # noqa: E731
        return FunctionSchedule(_straight, lambda t: variance(t).sqrt()) if blur else LinearSchedule()
    if kind is known.VariancePreservingConditionalFlowMatcher:
        factor = math.sqrt(1 + blur**2)
        return FunctionSchedule(_arc, lambda t: factor * torch.sin(0.5 * math.pi * t)) if blur else CosineSchedule()
    if kind is known.TargetConditionalFlowMatcher:
        rest = lambda t: t * (t + 2 * blur * (1 - t))  # noqa: E731
        return FunctionSchedule(_straight, lambda t: rest(t).sqrt()) if blur else LinearSchedule()
    return None


def _straight(t: Tensor) -> Tensor:
    return 1 - t


def _arc(t: Tensor) -> Tensor:
    return torch.sin(0.5 * math.pi * (1 - t))  # exactly zero at t = 1

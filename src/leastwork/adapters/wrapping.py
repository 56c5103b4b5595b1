"""Checks before a network is wrapped: the package is installed, the network fits, its precision is sufficient.

1 − α² at the end of sampling is 10⁻⁴ or less: float16 and bfloat16 cannot distinguish α from 1 there.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import shapes
from leastwork.models.context import arguments, for_a_trial
from leastwork.models.contract import HALF, remedy_of, what_is_wrong
from leastwork.models.placement import evaluating
from leastwork.support.extras import needs

__all__ = ["Wrapped", "check_network", "on_device", "package"]

_CHECK = "check event_shape, its order of channels, context=, and that the checkpoint belongs to this architecture"


class Wrapped(nn.Module):
    """A network, or a function, in a form that a model can call; in training mode when the network is.

    >>> net = nn.Linear(2, 2)
    >>> wrapped = Wrapped(net)
    >>> _ = net.eval()
    >>> wrapped.training
    False
    """

    def __init__(self, net: Callable[..., Any]) -> None:
        super().__init__()
        self.net = net

    @property
    def training(self) -> bool:
        """The network's own mode, whenever it was set."""
        net = self.__dict__.get("_modules", {}).get("net")
        return net is not None and net.training

    @training.setter
    def training(self, mode: bool) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """It has none of its own to set."""


def package(name: str, extra: str) -> Any:
    """The package, or one of its modules.

    Raises:
        ConfigError: it is not installed; names the extra that brings it.
    """
    try:
        return needs(name, extra)
    except LeastworkError as error:
        raise ConfigError(str(error)) from None


def on_device(value: Any, device: torch.device) -> Any:
    """Conditions of a network on a device: tensors in mappings, dataclasses and the keywords of ``functools.partial``.

    >>> on_device({"a": torch.zeros(2), "b": 1}, torch.device("meta"))["a"].device.type
    'meta'
    """
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(on_device(one, device) for one in value)
    if isinstance(value, Mapping):
        return {name: on_device(one, device) for name, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: on_device(getattr(value, one.name), device) for one in fields(value)})
    if isinstance(value, partial):
        return partial(value.func, *value.args, **on_device(value.keywords, device))
    return value


def check_network(
    net: Callable[..., Any],
    event_shape: tuple[int, ...],
    context: Mapping[str, Any],
    called: str,
    t: float = 0.5,
) -> None:
    """Call the wrapped network once, on zeros, and check its output.

    Args:
        net: the network in the form ``net(x, t, **context)`` in which the model will call it.
        event_shape: shape of one sample.
        context: keyword arguments of a conditional network.
        called: how the network itself is called, for the message.
        t: a time at which it is defined.

    Raises:
        ConfigError: the network has half precision, the call fails, or the output has another shape.
    """
    if any(not isinstance(size, int) for size in event_shape):
        raise ConfigError(f"event_shape={event_shape} must be a tuple of whole numbers, the shape of one sample")
    parameters = list(net.parameters()) if isinstance(net, nn.Module) else []
    half = next((p.dtype for p in parameters if p.dtype in HALF), None)
    if half is not None:
        raise ConfigError(
            f"the network is in {str(half).removeprefix('torch.')}, too coarse for work and weights: pass net.float()"
        )
    first = next((p for p in parameters if p.is_floating_point()), torch.zeros(()))
    (shape,) = shapes(event_shape)
    x = torch.zeros(2, *shape, dtype=first.dtype, device=first.device)
    time = torch.tensor(t, dtype=first.dtype, device=first.device)
    try:
        with torch.no_grad(), evaluating(net):
            y = net(x, time, **arguments(for_a_trial(context, len(x)), x))
    except LeastworkError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"the network cannot be called as {called} with x of shape {tuple(x.shape)} ({reason}): "
            f"{remedy_of(error) or _CHECK}"
        ) from error
    wrong = what_is_wrong(x, y, (tuple(shape),))
    if wrong:
        raise ConfigError(f"the network, called as {called}, returns {wrong}; check event_shape and what it is for")

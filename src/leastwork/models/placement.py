"""Device, precision and mode of a network, and their temporary change."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from leastwork.errors import LeastworkError
from leastwork.models.base import Model
from leastwork.models.context import moved_context

__all__ = ["evaluating", "moved", "placement"]


def placement(model: Model) -> tuple[torch.device, torch.dtype]:
    """Device and precision of the network's parameters; CPU and float32 if it has none.

    Raises:
        LeastworkError: parameters have no values, as on the device "meta".
    """
    parameters = model.parameters()
    if any(p.is_meta for p in parameters):
        raise LeastworkError(
            "the network is on the device 'meta', where weights have no values: load them by "
            "net.load_state_dict(weights, assign=True), or make the network outside of torch.device('meta')"
        )
    real = next((p.dtype for p in parameters if p.is_floating_point()), torch.float32)
    return (parameters[0].device if parameters else torch.device("cpu")), real


def moved(model: Model, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Model:
    """The model on another device or in another precision: a copy if needed, so that the user's model is unchanged.

    Its context moves with the network; the context of a plain function is moved at every call, to where x is.
    """
    own_device, own_dtype = placement(model)
    device, dtype = torch.device(device or own_device), dtype or own_dtype
    if all(p.device == device and (p.dtype == dtype or not p.is_floating_point()) for p in model.parameters()):
        return model
    assert isinstance(model.net, nn.Module)
    net = deepcopy(model.net).to(device=device, dtype=dtype)
    context = getattr(model, "context", {})
    return replace(cast(Any, model), net=net, **({"context": moved_context(context, device, dtype)} if context else {}))


@contextmanager
def evaluating(net: Any) -> Iterator[None]:
    """Context with the network in evaluation mode (dropout off); afterwards each module has its earlier mode."""
    training = [module for module in net.modules() if module.training] if isinstance(net, nn.Module) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True

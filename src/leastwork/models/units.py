"""Units: x = shift + scale · z takes network units z to the user's data units x."""

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import EventShape, State, event_numel, smap

__all__ = ["check_units", "to_data_units", "to_network_units"]


def _to(value: float | Tensor, like: Tensor) -> float | Tensor:
    return value.to(like) if isinstance(value, Tensor) else value


def to_data_units(z: State, shift: float | Tensor, scale: float | Tensor) -> State:
    """x = shift + scale · z, (B, *event)."""
    if not isinstance(shift, Tensor) and not isinstance(scale, Tensor) and (shift, scale) == (0.0, 1.0):
        return z
    return smap(lambda leaf: _to(shift, leaf) + _to(scale, leaf) * leaf, z)


def to_network_units(x: State, shift: float | Tensor, scale: float | Tensor) -> State:
    """z = (x − shift)/scale, (B, *event)."""
    return smap(lambda leaf: (leaf - _to(shift, leaf)) / _to(scale, leaf), x)


def check_units(event_shape: EventShape, scale: float | Tensor) -> None:
    """Raise unless the scale is positive and the event not empty."""
    if not bool((torch.as_tensor(scale) > 0).all()):
        raise LeastworkError("scale must be positive: it is the length of one network unit in data units")
    if event_numel(event_shape) == 0:
        raise LeastworkError(f"event_shape={event_shape} has no coordinates")

"""Units: x = shift + scale · z from network units z to data units x, or a decoder in place of this map."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import EventShape, State, event_numel, shapes, smap
from leastwork.support.arguments import whole

__all__ = [
    "NETWORK_UNITS",
    "Affine",
    "ToData",
    "check_units",
    "is_identity",
    "to_data_units",
    "to_network_units",
    "units_parts",
]

ToData: TypeAlias = Callable[[State], State]
"""Map from network units (B, *event) to data units (B, ...); differentiable if a guidance needs its gradient."""


@dataclass(frozen=True, eq=False)
class Affine:
    """The map x = shift + scale · z, which a file can hold.

    Args:
        shift, scale: numbers, or tensors that broadcast to an event.

    >>> Affine(1.0, 2.0)(torch.ones(1, 1))
    tensor([[3.]])
    """

    shift: float | Tensor = 0.0
    scale: float | Tensor = 1.0

    def __call__(self, z: State) -> State:
        return to_data_units(z, self.shift, self.scale)


NETWORK_UNITS = Affine()
"""The identity, for data units that equal network units."""


def units_parts(to_data: ToData) -> dict[str, float | Tensor]:
    """Shift and scale of a map to data units, as the parts for a file.

    Raises:
        ConfigError: the map is not affine.
    """
    if not isinstance(to_data, Affine):
        name = type(getattr(to_data, "decode", to_data)).__name__
        raise ConfigError(
            f"a guidance whose data units are decoded by a {name} has no file form, only "
            "shift + scale · z has: fit it again in the program that uses it"
        )
    return {"shift": to_data.shift, "scale": to_data.scale}


def _to(value: float | Tensor, like: Tensor) -> float | Tensor:
    return value.to(like) if isinstance(value, Tensor) else value


def to_data_units(z: State, shift: float | Tensor, scale: float | Tensor) -> State:
    """x = shift + scale · z, (B, *event)."""
    if is_identity(shift, scale):
        return z
    return smap(lambda leaf: _to(shift, leaf) + _to(scale, leaf) * leaf, z)


def to_network_units(x: State, shift: float | Tensor, scale: float | Tensor) -> State:
    """z = (x − shift)/scale, (B, *event)."""
    return smap(lambda leaf: (leaf - _to(shift, leaf)) / _to(scale, leaf), x)


def is_identity(shift: float | Tensor, scale: float | Tensor) -> bool:
    """Whether data units are given as network units: by the numbers 0 and 1."""
    return not isinstance(shift, Tensor) and not isinstance(scale, Tensor) and (shift, scale) == (0.0, 1.0)


def check_units(event_shape: EventShape, scale: float | Tensor, shift: float | Tensor = 0.0) -> None:
    """Raise unless the scale is positive, the event not empty, and shift and scale broadcast to an event."""
    if not bool((torch.as_tensor(scale) > 0).all()):
        raise LeastworkError("scale must be positive: it is the length of one network unit in data units")
    if not bool(torch.isfinite(torch.as_tensor(scale)).all() and torch.isfinite(torch.as_tensor(shift)).all()):
        raise LeastworkError("shift and scale must be finite: data units are shift + scale · network units")
    for size in (size for shape in shapes(event_shape) for size in shape):
        whole("event_shape", size, least=0)
    if event_numel(event_shape) == 0:
        raise LeastworkError(f"event_shape={event_shape} has no coordinates")
    for name, value in (("shift", shift), ("scale", scale)):
        own = torch.as_tensor(value).shape
        if not all(_broadcasts(own, (1, *shape)) for shape in shapes(event_shape)):
            raise LeastworkError(
                f"{name} has shape {tuple(own)}, which does not broadcast to an event {event_shape}: give a number, or "
                f"one value for each coordinate, and with a mask only for those that are real, {name}[mask]"
            )


def _broadcasts(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    return len(shape) <= len(onto) and all(a in (1, b) for a, b in zip(shape[::-1], onto[::-1], strict=False))

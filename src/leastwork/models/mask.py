"""Padding of a network that takes molecules of one size: a mask says which of its places are real.

    y = unpadded(net(padded(x), t))

The states of a model with a mask are the real coordinates alone. So noise, work, averages, centroids, kernels, regions
and files have no padding, and the model is the same as one of a network without padding. Only the network sees the
hidden places, as zeros, or as the identity where a state has rotations; what it returns there is left out.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.frames import are_frames
from leastwork.geometry.state import EventShape, State, shapes, smap
from leastwork.support.text import quoted

__all__ = ["MaskLike", "Places", "padded", "padded_shapes", "unmasked", "unpadded"]


@dataclass(frozen=True, eq=False)
class Places:
    """The places of a network's input, as a model keeps its mask after a check.

    Args:
        real: bool (N, ...), k axes, on the CPU; True where a place is real.
    """

    real: Tensor

    @cached_property
    def index(self) -> Tensor:
        """The flat indices of the real places, (n,)."""
        return self.real.flatten().nonzero()[:, 0]

    @cached_property
    def sources(self) -> Tensor:
        """For each flat place the real one that fills it, or n for a hidden one."""
        flat = self.real.flatten()
        return torch.where(flat, flat.cumsum(0) - 1, len(self.index))


MaskLike: TypeAlias = Tensor | Places | None


def unmasked(mask: MaskLike, event_shape: EventShape) -> tuple[Places | None, EventShape]:
    """The places of a mask, without axes along which it is constant, and the shape of a state.

    Args:
        mask: bool, one value for each place of the first axes of an event, (N, ...), True where it is real; or None.
        event_shape: shape of one sample with its padding; without, if the mask is given as places.

    Returns:
        the places, (N, ...) with k axes, and the shape (n, ...), where n real places replace the first k axes.

    Raises:
        LeastworkError: the mask is not bool, does not fit the event, or hides everything.

    >>> places, event_shape = unmasked(torch.tensor([True, True, False]), (3, 2))
    >>> event_shape, unmasked(places, event_shape)[1]
    ((2, 2), (2, 2))
    """
    event_shape = _as_tuple(event_shape)
    if mask is None or isinstance(mask, Places):
        return mask, event_shape
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = str(mask.dtype) if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        remedy = "mask > 0" if isinstance(mask, Tensor) else "torch.as_tensor(mask) > 0"
        raise LeastworkError(f"mask is {kind}: give a tensor of bools, True where a place is real, such as {remedy}")
    real, events = mask.detach().cpu(), shapes(event_shape)
    while real.ndim > 1 and bool((real == real[..., :1]).all()):
        real = real[..., 0]
    if not real.ndim or any(shape[: real.ndim] != real.shape for shape in events):
        raise LeastworkError(
            f"mask has shape {tuple(mask.shape)}, but an event with its padding {events[0]}: give one bool for each "
            f"place of it, such as {events[0][:1]}, and the same for all samples; molecules of another length take a "
            "model of their own, with another mask"
        )
    if not bool(real.any()):
        raise LeastworkError("the mask hides everything: it is True where a place is real, so ~mask may be meant")
    kept = tuple((int(real.sum()), *shape[real.ndim :]) for shape in events)
    return Places(real), kept if isinstance(event_shape[0], tuple) else kept[0]


def _as_tuple(event_shape: Any) -> EventShape:
    """The shape of a state, of one tensor or of several, as a tuple; lists are taken, as files have them."""
    if not isinstance(event_shape, tuple | list):
        raise LeastworkError(f"event_shape={quoted(event_shape)}: give a tuple, the shape of one sample, such as (2,)")
    return tuple(tuple(one) if isinstance(one, tuple | list) else one for one in event_shape)


def padded_shapes(shapes: tuple[tuple[int, ...], ...], mask: MaskLike) -> tuple[tuple[int, ...], ...]:
    """The shapes that the network has, from those of a state."""
    return tuple((*mask.real.shape, *shape[1:]) for shape in shapes) if isinstance(mask, Places) else shapes


def padded(x: State, mask: MaskLike) -> State:
    """A state (B, n, ...) with its padding, (B, N, ...), as the network takes it.

    >>> padded(torch.tensor([[1.0, 2.0]]), Places(torch.tensor([True, False, True])))
    tensor([[1., 0., 2.]])
    """
    if not isinstance(mask, Places):
        return x
    places = mask

    def pad(leaf: Tensor, filling: Tensor) -> Tensor:
        rows = torch.cat([leaf, filling.expand(len(leaf), 1, *leaf.shape[2:])], dim=1)
        return rows.index_select(1, places.sources.to(leaf.device)).unflatten(1, places.real.shape)

    if are_frames(x):
        return pad(x[0], x[0].new_zeros(())), pad(x[1], torch.eye(3).to(x[1]))
    return smap(lambda leaf: pad(leaf, leaf.new_zeros(())), x)


def unpadded(y: State, mask: MaskLike) -> State:
    """The real places of what the network returns, (B, N, ...) -> (B, n, ...).

    >>> unpadded(torch.tensor([[1.0, 9.0, 2.0]]), Places(torch.tensor([True, False, True])))
    tensor([[1., 2.]])
    """
    if not isinstance(mask, Places):
        return y
    places = mask
    return smap(lambda leaf: leaf.flatten(1, places.real.ndim).index_select(1, places.index.to(leaf.device)), y)

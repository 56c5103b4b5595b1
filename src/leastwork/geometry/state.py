"""States: a state is a tensor (B, *event), or a tuple of such tensors.

The library handles states through these few functions, so that products of spaces (positions and rotations) are treated
like vectors.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from leastwork.support.arguments import refused

__all__ = [
    "EventShape",
    "State",
    "all_finite",
    "as_state",
    "batch_size",
    "cat",
    "evenly",
    "event_numel",
    "flatten",
    "inner",
    "leaves",
    "shapes",
    "smap",
    "take",
    "tensor_of",
    "unflatten",
    "writes",
]

State: TypeAlias = Tensor | tuple[Tensor, ...]
EventShape: TypeAlias = tuple[int, ...] | tuple[tuple[int, ...], ...]


def smap(fn: Callable[..., Any], *states: Any) -> Any:
    """Apply ``fn`` leaf by leaf to states of one structure.

    >>> smap(torch.add, (torch.ones(2), torch.zeros(1)), (torch.ones(2), torch.ones(1)))
    (tensor([2., 2.]), tensor([1.]))
    """
    if isinstance(states[0], tuple):
        return tuple(fn(*parts) for parts in zip(*states, strict=True))
    return fn(*states)


def tensor_of(name: str, value: Any) -> Tensor:
    """The tensor that an argument is: a tensor as it stands, an array or nested list of numbers as one.

    Args:
        name: name of the argument.
        value: the value that was given.

    Raises:
        LeastworkError: it is nothing of that, or a single number.

    >>> tensor_of("x", [[1.0, 2.0]]).shape
    torch.Size([1, 2])
    """
    try:
        found = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError, RuntimeError):
        found = torch.zeros(())
    if found.ndim == 0:
        raise refused(name, value, "give a tensor, or an array of numbers, with a row for each sample")
    return found


def as_state(name: str, value: Any) -> State:
    """The state that an argument is: :func:`tensor_of` the value, or of each member of a tuple."""
    return tuple(tensor_of(name, leaf) for leaf in value) if isinstance(value, tuple) else tensor_of(name, value)


def leaves(state: State) -> tuple[Tensor, ...]:
    """The tensors of a state."""
    return state if isinstance(state, tuple) else (state,)


def batch_size(state: State) -> int:
    """Number of samples B of a state (B, *event)."""
    return leaves(state)[0].shape[0]


def inner(a: State, b: State) -> Tensor:
    """Euclidean inner product per sample, summed over the event and over leaves: (B,)."""
    total = None
    for u, v in zip(leaves(a), leaves(b), strict=True):
        part = torch.einsum("bi,bi->b", u.reshape(len(u), -1), v.reshape(len(v), -1))
        total = part if total is None else total + part
    assert total is not None
    return total


def all_finite(state: State) -> Tensor:
    """Whether each sample is finite, bool (B,)."""
    finite = None
    for leaf in leaves(state):
        part = torch.isfinite(leaf).reshape(len(leaf), leaf.shape[1:].numel()).all(dim=1)
        finite = part if finite is None else finite & part
    assert finite is not None
    return finite


def take(state: State, index: Any) -> State:
    """Samples ``state[index]``."""
    return smap(lambda leaf: leaf[index], state)


def evenly(n: int, most: int) -> Tensor:
    """Indices of at most ``most`` of n samples, evenly spaced.

    >>> evenly(10, 4).tolist(), evenly(3, 4).tolist()
    ([0, 2, 5, 7], [0, 1, 2])
    """
    return torch.arange(n) if n <= most else torch.arange(most) * n // most


def cat(states: list[State]) -> State:
    """Join batches along the sample axis."""
    if isinstance(states[0], tuple):
        return tuple(torch.cat(parts) for parts in zip(*states, strict=True))
    return torch.cat([leaf for state in states for leaf in leaves(state)])


def shapes(event_shape: EventShape) -> tuple[tuple[int, ...], ...]:
    """The event shape of every leaf."""
    if event_shape and isinstance(event_shape[0], tuple):
        return event_shape  # type: ignore[return-value]
    return (event_shape,)  # type: ignore[return-value]


def event_numel(event_shape: EventShape) -> int:
    """Number of coordinates of one sample.

    >>> event_numel((10, 3)), event_numel(((10, 3), (10, 3, 3)))
    (30, 120)
    """
    return sum(int(torch.Size(shape).numel()) for shape in shapes(event_shape))


def flatten(x: State) -> Tensor:
    """All coordinates of every sample, (B, d)."""
    return torch.cat([leaf.reshape(len(leaf), -1) for leaf in leaves(x)], dim=1)


def unflatten(flat: Tensor, like: State) -> State:
    """Coordinates (B, d) in the structure of a state (of any batch)."""
    parts = flat.split([leaf[0].numel() for leaf in leaves(like)], dim=1)
    shaped = tuple(part.reshape(len(part), *leaf.shape[1:]) for part, leaf in zip(parts, leaves(like), strict=True))
    return shaped if isinstance(like, tuple) else shaped[0]


def writes(state: State | None) -> list[int]:
    """How often each tensor of a state has been written to; tensors of ``torch.inference_mode`` do not count it.

    >>> x = torch.zeros(2)
    >>> before = writes(x)
    >>> writes(x.add_(1)) == before
    False
    """
    return [] if state is None else [0 if leaf.is_inference() else leaf._version for leaf in leaves(state)]

"""Context: the arguments of a network beside x and t, such as a label or an embedding.

A tensor of one sample, of leading size 1, is expanded to the batch. :class:`PerSample` has a row for each sample, so
that sample i is drawn with row i, whatever the batch size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from leastwork.errors import LeastworkError

__all__ = [
    "PerSample",
    "arguments",
    "for_a_trial",
    "for_samples",
    "moved_context",
    "refuse_inference_mode",
    "refuse_per_sample",
]

_Model = TypeVar("_Model")


@dataclass(frozen=True, eq=False)
class PerSample:
    """A context with one row for each sample: in ``lw.sample(model, n)`` sample i gets ``values[i]``.

    Args:
        values: (n, ...).

    >>> import leastwork as lw
    >>> means = torch.tensor([[0.0], [5.0]])
    >>> model = lw.DiffusionModel(
    ...     lambda x, t, mean: mean, lw.VPSchedule(), "data", (1,), context={"mean": PerSample(means)}
    ... )
    >>> lw.sample(model, 2, steps=10).x
    tensor([[0.],
            [5.]])
    """

    values: Tensor

    def __post_init__(self) -> None:
        if not isinstance(self.values, Tensor) or self.values.ndim == 0:
            raise LeastworkError(f"PerSample({self.values!r:.60}): give a tensor with one row for each sample")


def arguments(context: Mapping[str, Any], x: Tensor) -> dict[str, Any]:
    """The keyword arguments of a call: tensors where x is and, if they are real numbers, in its precision.

    Args:
        context: as a model has it; mappings, lists and tuples in it are gone through.
        x: the first tensor of the state, (B, ...).

    Raises:
        LeastworkError: a context has another number of samples than the batch.

    >>> arguments({"label": torch.tensor([3])}, torch.zeros(2, 1))
    {'label': tensor([3, 3])}
    """
    return {name: _argument(value, x, name) for name, value in context.items()} if context else {}


def _argument(value: Any, x: Tensor, name: str) -> Any:
    def shared(one: Tensor) -> Tensor:
        is_one = one.ndim > 0 and len(one) == 1
        return _placed(one, x).expand(len(x), *one.shape[1:]) if is_one else _placed(one, x)

    def rows(values: Tensor) -> Tensor:
        if len(values) != len(x):
            raise LeastworkError(
                f"context {name} has {len(values)} rows for a batch of {len(x)}: draw as many samples as it has rows, "
                "by lw.sample"
            )
        return _placed(values, x)

    return _mapped(value, shared, rows)


def _placed(value: Tensor, x: Tensor) -> Tensor:
    if value.is_meta and not x.is_meta:
        raise LeastworkError(
            "a tensor of the context is on the device 'meta', where it has no values: make it outside of "
            "torch.device('meta')"
        )
    return value.to(x.device, x.dtype if value.is_floating_point() else value.dtype)


def moved_context(context: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """The context on a device, its real numbers in a precision."""
    like = torch.empty(0, dtype=dtype, device=device)
    move: Callable[[Tensor], Tensor] = lambda one: _placed(one, like)  # noqa: E731
    return {name: _mapped(value, move, lambda rows: PerSample(move(rows))) for name, value in context.items()}


def for_samples(model: _Model, start: int, stop: int, n: int) -> _Model:
    """The model for the samples from ``start`` to ``stop`` of n; the model itself if its context has no rows.

    Raises:
        LeastworkError: a context has another number of rows than n.
    """
    context = getattr(model, "context", {})
    found = _rows(context)
    if found is None:
        return model
    if found != n:
        raise LeastworkError(f"the model's context has {found} rows, and n is {n}: draw {found} samples, one for each")
    slice_of = lambda rows: PerSample(rows[start:stop])  # noqa: E731
    sliced = {name: _mapped(value, lambda one: one, slice_of) for name, value in context.items()}
    return replace(model, context=sliced)  # pyright: ignore[reportArgumentType]  (a model is a dataclass)


def for_a_trial(context: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The context for a trial call with a few samples, with their rows of a context that has rows."""
    few: Callable[[Tensor], Any] = lambda rows: PerSample(rows[torch.arange(count) % len(rows)])  # noqa: E731
    return {name: _mapped(value, lambda one: one, few) for name, value in context.items()}


def refuse_per_sample(model: object) -> None:
    """Raise an error if samples differ in context, where a fit or a population takes them as draws of one law.

    Raises:
        LeastworkError: the context has rows.
    """
    if _rows(getattr(model, "context", {})) is not None:
        raise LeastworkError(
            "the model's context differs from sample to sample, so that they have no law in common: take a context "
            "that all samples share here, and PerSample in lw.sample"
        )


def refuse_inference_mode() -> None:
    """Raise an error within ``torch.inference_mode``, where a fit has no gradients.

    Raises:
        LeastworkError: the call is within ``torch.inference_mode``.
    """
    if torch.is_inference_mode_enabled():
        raise LeastworkError(
            "a fit takes gradients, which torch.inference_mode does not allow: call it outside, or within torch.no_grad"
        )


def _rows(value: Any) -> int | None:
    if isinstance(value, PerSample):
        return len(value.values)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return next((rows for rows in map(_rows, parts) if rows is not None), None)


def _mapped(value: Any, tensor: Callable[[Tensor], Tensor], rows: Callable[[Tensor], Any]) -> Any:
    """The same structure, with ``tensor(…)`` for each tensor and ``rows(values)`` for each :class:`PerSample`."""
    if isinstance(value, Mapping):
        return {key: _mapped(one, tensor, rows) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_mapped(one, tensor, rows) for one in value)
    if isinstance(value, PerSample):
        return rows(value.values)
    return tensor(value) if isinstance(value, Tensor) else value

"""Batches for which a device has too little memory: drawn in halves, which is said.

The noise of a sample does not depend on its batch, so the samples are the same, up to rounding.
"""

import warnings
from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.geometry.state import State, cat
from leastwork.sampling.stepping import BatchResult
from leastwork.support.text import plural

__all__ = ["halving"]


def halving(draw: Callable[[int, int], BatchResult], start: int, stop: int) -> BatchResult:
    """Draw samples ``start`` to ``stop`` at once, or in halves if they do not fit the memory of the device.

    Args:
        draw: draws the samples of a range.
        start, stop: range of sample indices.

    Raises:
        LeastworkError: a single sample does not fit.

    Warns:
        LeastworkWarning: the samples were halved.
    """
    try:
        return draw(start, stop)
    except torch.OutOfMemoryError:
        pass  # the traceback holds the tensors of the batch until this block is left
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    n = stop - start
    if n == 1:
        raise LeastworkError("the device has no memory for a single sample: free it of other programs, or take the CPU")
    warnings.warn(
        f"the device has no memory for {plural(n, 'sample')} at a time, so they are drawn in halves: give "
        f"batch_size={n // 2} to spare the attempts",
        LeastworkWarning,
        stacklevel=2,
    )
    middle = start + -(-n // 2)
    return _joined(halving(draw, start, middle), halving(draw, middle, stop))


def _joined(one: BatchResult, other: BatchResult) -> BatchResult:
    def join(name: str) -> Tensor | None:
        parts = [getattr(one, name), getattr(other, name)]
        return None if parts[0] is None else torch.cat(parts)

    x: State = cat([one.x, other.x])
    rest = {name.name: join(name.name) for name in fields(BatchResult) if name.name not in ("x", "step_moments")}
    return BatchResult(x=x, step_moments=one.step_moments + other.step_moments, **rest)  # pyright: ignore[reportArgumentType]  (as in one)

"""Kernels and guiding points as plain values and tensors, for the file of a guidance."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.geometry.state import State
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.angles import AngleKernel
from leastwork.kernels.base import Kernel
from leastwork.kernels.flat import EuclideanKernel

__all__ = ["kernel_from", "kernel_parts", "points_from"]


def kernel_parts(kernel: Kernel) -> Mapping[str, Any]:
    """The plain values of a kernel.

    Raises:
        ConfigError: the kernel contains functions, or has a subspace other than ZeroCentre().
    """
    if isinstance(kernel, AlignedKernel):
        return {"distance": "aligned"}
    if isinstance(kernel, AngleKernel):
        return {"distance": "angles"}
    if not isinstance(kernel, EuclideanKernel):
        raise ConfigError(
            f"a guidance with a {type(kernel).__name__} has no file form, as functions have none: fit it again in the "
            "program that uses it, or use a EuclideanKernel or AlignedKernel"
        )
    if kernel.subspace is not None and not isinstance(kernel.subspace, ZeroCentre):
        raise ConfigError(f"a kernel on {kernel.subspace!r} has no file form: only one on ZeroCentre() has")
    return {"distance": "euclidean", "zero_centre": kernel.subspace is not None}


def kernel_from(parts: Mapping[str, Any]) -> Kernel:
    """The kernel from the parts of :func:`kernel_parts`.

    Raises:
        KeyError: a part is missing.
    """
    if parts["distance"] == "aligned":
        return AlignedKernel()
    if parts["distance"] == "angles":
        return AngleKernel()
    return EuclideanKernel(ZeroCentre() if parts["zero_centre"] else None)


def points_from(stored: Tensor | list[Tensor]) -> State:
    """Guiding points as a state; a file holds a list for a state of several tensors."""
    return tuple(stored) if isinstance(stored, list) else stored

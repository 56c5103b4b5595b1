"""Contract of a network: one prediction for each coordinate of x, in single or double precision, at all states.

Structure and shape of every output are checked, which costs nothing. A half-precision network raises an error before
sampling. The first step of a sampler shows whether the network leaves some coordinates noisy
(:mod:`leastwork.models.listening`).
"""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, flatten, leaves, smap

__all__ = ["HALF", "answered", "never_denoised", "refuse_half", "undenoised", "what_is_wrong"]

HALF = (torch.float16, torch.bfloat16)
_SAME = 1e-6  # largest relative difference, from rounding, of values that are the same


def what_is_wrong(x: State, y: object, wanted: tuple[tuple[int, ...], ...]) -> str:
    """A fault in the structure and shape of a network's output, in words; empty if there is none.

    Args:
        x: the input states.
        y: the output of the network.
        wanted: the shapes of the output's tensors for one sample.
    """
    given = y if isinstance(y, tuple) else (y,)
    parts = [leaf for leaf in given if isinstance(leaf, Tensor)]
    if isinstance(y, tuple) != isinstance(x, tuple) or len(parts) != len(given):
        return (
            f"a {type(y).__name__}, but the model's state is a {type(x).__name__}: return the prediction alone, "
            "such as output.sample"
        )
    count = len(leaves(x)[0])
    if [tuple(leaf.shape) for leaf in parts] != [(count, *shape) for shape in wanted]:
        same = "of the same shape" if wanted == tuple(tuple(leaf.shape[1:]) for leaf in leaves(x)) else f"{wanted}"
        return f"shape {_shapes(parts)} for x of shape {_shapes(leaves(x))}: it must return one prediction {same}"
    for a, b in zip(leaves(x), parts, strict=True):
        if not b.is_floating_point():
            return f"{b.dtype} for x in {a.dtype}: return real numbers"
        if a.device != b.device:
            return f"a tensor on {b.device} for x on {a.device}: compute where x is"
    return ""


def answered(x: State, y: object, wanted: tuple[tuple[int, ...], ...], t: float) -> State:
    """A network's output after a check; half precision, as under autocast, is converted to the precision of x.

    Args:
        x, y, wanted: as in :func:`what_is_wrong`.
        t: the time, for the message.

    Raises:
        LeastworkError: the output has another structure or shape than the model declares.
    """
    if isinstance(x, Tensor) and isinstance(y, Tensor) and (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device):
        return y  # as nearly always
    wrong = what_is_wrong(x, y, wanted)
    if wrong:
        raise LeastworkError(f"at t = {t:.4g} the network returns {wrong}")
    kind = leaves(x)[0].dtype
    return smap(lambda leaf: leaf.to(kind) if leaf.dtype in HALF and kind not in HALF else leaf, y)  # pyright: ignore[reportArgumentType]  (checked)


def refuse_half(parameters: Iterable[Tensor]) -> None:
    """Raise an error if work and weights would be computed in half precision.

    Args:
        parameters: the parameters of the network.

    Raises:
        LeastworkError: the parameters have half precision.
    """
    half = next((p.dtype for p in parameters if p.dtype in HALF), None)
    if half is not None:
        raise LeastworkError(
            f"the network is in {half}, which is too coarse for work and weights: pass dtype=torch.float32, which "
            "takes a copy, or keep its parameters in float32 and use torch.autocast inside it"
        )


def never_denoised(x: State, y: State, *, knows: Literal["data", "noise", "velocity"]) -> Tensor:
    """Indices of flat coordinates that a network leaves as they are, such as padding that a mask hides from it.

    A network that predicts data returns such a coordinate unchanged. In any other prediction it must show the noise,
    which differs from state to state, so that the same value for all states leaves the coordinate noisy.

    Args:
        x: noisy states, network units, (B, *event).
        y: the network's own output at these states.
        knows: what it predicts; "velocity" is that of a flow, which may be constant, and only zero leaves noise.
    """
    noisy, said = flatten(x), flatten(y)
    if knows == "data":
        left = (said - noisy).abs() <= _SAME * noisy.abs()
    else:
        about = said - said[0] if knows == "noise" and len(said) > 1 else said
        left = about.abs() <= _SAME * about.abs().max()
    return (left.all(dim=0) & (noisy != 0).all(dim=0)).nonzero()[:, 0]


def undenoised(silent: Tensor, size: int) -> str:
    """The sentence about coordinates that are never denoised."""
    return (
        f"{len(silent)} of {size} coordinates are never denoised, the first is {int(silent[0])}: the network leaves "
        "them as they are, as padding behind a mask, so that they end as noise in every average; pass mask=, which is "
        "True for the real places of an event, to the model, and its states are those alone"
    )


def _shapes(parts: Iterable[Tensor]) -> str:
    return ", ".join(str(tuple(leaf.shape)) for leaf in parts)

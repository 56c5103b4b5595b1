"""What a network owes its model: one prediction for each coordinate of x, in single or double precision, everywhere.

Every answer is looked at for structure and shape, which costs nothing; a half-precision network is refused before
anything is drawn; and the first step of a sampler shows coordinates that the network says nothing of.
"""

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.geometry.state import State, flatten, leaves, smap

__all__ = ["HALF", "answered", "never_denoised", "refuse_half", "undenoised", "warn_of_undenoised", "what_is_wrong"]

HALF = (torch.float16, torch.bfloat16)
_SILENT = 1e-6  # of x, by which αD may differ from it where the network says nothing


def what_is_wrong(x: State, y: object, wanted: tuple[tuple[int, ...], ...]) -> str:
    """What is wrong with the structure and shape of a network's answer, or nothing.

    Args:
        x: the states that it was asked about.
        y: what it returned.
        wanted: the shapes of one answer's tensors.
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
    """A network's answer, in the precision of x where it was in half of it, as under autocast.

    Args:
        x, y, wanted: as in :func:`what_is_wrong`.
        t: time, for the message.

    Raises:
        LeastworkError: it has another structure or shape than the model declares.
    """
    wrong = what_is_wrong(x, y, wanted)
    if wrong:
        raise LeastworkError(f"at t = {t:.4g} the network returns {wrong}")
    kind = leaves(x)[0].dtype
    return smap(lambda leaf: leaf.to(kind) if leaf.dtype in HALF and kind not in HALF else leaf, y)  # pyright: ignore[reportArgumentType]  (checked)


def refuse_half(parameters: Iterable[Tensor]) -> None:
    """See that work and weights are not computed in half precision.

    Args:
        parameters: of the network.

    Raises:
        LeastworkError: the network's parameters are in it.
    """
    half = next((p.dtype for p in parameters if p.dtype in HALF), None)
    if half is not None:
        raise LeastworkError(
            f"the network is in {half}, which is too coarse for work and weights: pass dtype=torch.float32, which "
            "takes a copy, or keep its parameters in float32 and use torch.autocast inside it"
        )


def never_denoised(x: State, end: State, alpha: float) -> Tensor:
    """Indices of flat coordinates, of which the network says nothing: αD = x for all states, though x is not zero.

    Args:
        x: noisy states, network units, (B, *event).
        end: D of these.
        alpha: α of their time.
    """
    noisy, clean = flatten(x), alpha * flatten(end)
    silent = ((clean - noisy).abs() <= _SILENT * noisy.abs()).all(dim=0) & (noisy != 0).all(dim=0)
    return silent.nonzero()[:, 0]


def warn_of_undenoised(x: State, end: State, alpha: float) -> None:
    """Warn of coordinates that stay noise, at the first step of a sampler.

    Args:
        x, end, alpha: as in :func:`never_denoised`.

    Warns:
        LeastworkWarning: there are such, as padding is that a mask hides from the network.
    """
    silent = never_denoised(x, end, alpha)
    if len(silent):
        warnings.warn(undenoised(silent, flatten(x).shape[1]), LeastworkWarning, stacklevel=3)


def undenoised(silent: Tensor, size: int) -> str:
    """The sentence about coordinates that are never denoised."""
    return (
        f"{len(silent)} of {size} coordinates are never denoised, the first is {int(silent[0])}: the network predicts "
        "no noise there, as for padding behind a mask, so that they end as noise in every average; leave them out of "
        "event_shape"
    )


def _shapes(parts: Iterable[Tensor]) -> str:
    return ", ".join(str(tuple(leaf.shape)) for leaf in parts)

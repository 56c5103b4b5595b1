"""Contract of a network: one prediction for each coordinate of x, in single or double precision, at all states.

Structure and shape of every output are checked, and that the network has not changed x, which costs nothing. A
half-precision network raises an error before sampling. The first step of a sampler shows whether the network leaves
some coordinates noisy or is random (:mod:`leastwork.models.listening`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, flatten, leaves, smap, writes
from leastwork.support.text import brief

__all__ = [
    "CHANGES_X", "HALF", "NetworkError", "answered", "asked", "check_parts", "never_denoised", "refuse_half",
    "remedy_of", "undenoised", "what_is_wrong",
]  # fmt: skip

HALF = (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
CHANGES_X = "the network changes x in place: let it work on a copy, x = x.clone()"
_SAME = 1e-6  # largest relative difference, from rounding, of values that are the same
_NEEDS_A_TIME_EACH = ("tensor of dimension 0", "0-dim tensor", "zero-dimensional tensor", "0-d tensor")
_REMEDIES = {
    "NoneType": "end it with return",
    "ndarray": "return a tensor, torch.from_numpy(y)",
    "float": "return a tensor of the shape of x",
    "list": "return the prediction alone, such as y[0], or a tensor of the numbers, torch.tensor(y)",
    "tuple": "return the prediction alone, such as y[0]",
}  # by the type of an output that is no state


class NetworkError(LeastworkError):
    """A network that raised an error of its own, or that changed the states which it was asked at."""


def check_parts(net: object, context: object, schedule: object = None) -> None:
    """Raise an error if a part of a model is a class in place of an object, or of the wrong kind.

    Raises:
        LeastworkError: the network cannot be called with states, or the context is no mapping.
    """
    for name, one in (("net", net), ("schedule", schedule)):
        if isinstance(one, type):
            raise LeastworkError(f"{name} is the class {one.__name__}: pass an object of it, {one.__name__}(…)")
    if not callable(net):
        kind = type(net).__name__
        raise LeastworkError(f"net is a {kind}, which cannot be called: pass a network or a function of x and t")
    if not isinstance(context, Mapping):
        raise LeastworkError(f'context is a {type(context).__name__}: give keyword arguments, such as {{"label": …}}')


def asked(net: Callable[..., Any], inside: State, t: Tensor, given: Mapping[str, Any], x: State | None = None) -> Any:
    """The network's own output, net(inside, t, **given).

    Args:
        net: the network.
        inside: states as the network takes them, with their padding.
        t: scalar time, as the network takes it.
        given: the keyword arguments.
        x: the model's states, which the call must leave as they are; None where that is not looked at.

    Raises:
        NetworkError: the network raises an error, or changes x.
    """
    before = writes(x)
    try:
        found = net(inside, t, **given)
    except (LeastworkError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        shapes = "".join(f", {name} {tuple(one.shape)}" for name, one in given.items() if isinstance(one, Tensor))
        keywords = "".join(f", {name}={name}" for name in given)
        raise NetworkError(
            f"net(x, t{keywords}) raised {type(error).__name__} ({brief(error) or 'no message'}); it is called with x "
            f"of shape {_shapes(leaves(inside))}, a scalar tensor t in {str(t.dtype).removeprefix('torch.')}{shapes}: "
            f"{remedy_of(error) or 'wrap the network in a function that takes these, or mend event_shape or context'}"
        ) from error
    if writes(x) != before:
        raise NetworkError(CHANGES_X)
    return found


def remedy_of(error: Exception) -> str:
    """What to do about an error of a network, where that is plain; else empty."""
    if "scalar types: Long, Int" in str(error):  # of an embedding
        return "it takes whole numbers as time, so round it there, t = t.round().long(), and let it run over its steps"
    if any(words in str(error) for words in _NEEDS_A_TIME_EACH):
        return "it takes one time for each state, so give it t.expand(len(x))"
    if "but they are 0D" in str(error):  # of a linear layer
        return "it takes one time for each state, so give it t.expand(len(x), 1)"
    if any(f"{words} {kind}" in str(error) for words in ("got", "found", "type") for kind in ("Half", "BFloat16")):
        return "it computes in half precision inside, so take .half() or .bfloat16() out of it"
    if "can't allocate memory" in str(error):  # torch's allocator of the CPU raises a RuntimeError
        return "there is no memory for a batch of this size, so give a smaller batch_size"
    return ""


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
        remedy = _REMEDIES.get(type(y).__name__, "return the prediction alone, such as output.sample")
        if isinstance(y, Mapping) and y:
            remedy = f"return the prediction alone, such as y[{next(iter(y))!r}]"
        return f"a {type(y).__name__}, but the model's state is a {type(x).__name__}: {remedy}"
    count = len(leaves(x)[0])
    if [tuple(leaf.shape) for leaf in parts] != [(count, *shape) for shape in wanted]:
        same = "of the same shape" if wanted == tuple(tuple(leaf.shape[1:]) for leaf in leaves(x)) else f"{wanted}"
        return (
            f"shape {_shapes(parts)} for x of shape {_shapes(leaves(x))}: it must return one prediction {same}"
            f"{_reshaped(tuple(parts[0].shape), (count, *wanted[0])) if len(parts) == 1 else ''}"
        )
    for a, b in zip(leaves(x), parts, strict=True):
        if b.layout != torch.strided:
            return "a sparse tensor: return y.to_dense()"
        if not b.is_floating_point():
            return f"{b.dtype} for x in {a.dtype}: return real numbers"
        if a.device != b.device:
            return f"a tensor on {b.device} for x on {a.device}: compute where x is"
    return ""


def answered(x: State, y: object, wanted: tuple[tuple[int, ...], ...], t: float) -> State:
    """A network's output after a check, in the precision of x: half as under autocast, or double as by a constant.

    Args:
        x, y, wanted: as in :func:`what_is_wrong`.
        t: the time, for the message.

    Raises:
        LeastworkError: the output has another structure or shape than the model declares.
    """
    if isinstance(x, Tensor) and isinstance(y, Tensor) and _looks(x) == _looks(y):
        return y  # as nearly always
    wrong = what_is_wrong(x, y, wanted)
    if wrong:
        raise LeastworkError(f"at t = {t:.4g} the network returns {wrong}")
    kind = leaves(x)[0].dtype
    return smap(lambda leaf: leaf if kind in HALF else leaf.to(kind), y)  # pyright: ignore[reportArgumentType]  (checked)


def _looks(x: Tensor) -> tuple[object, ...]:
    return x.shape, x.dtype, x.device, x.layout


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
    if len(silent) == size:
        return (
            "the network denoises nothing: it returns its input, or the same at all states; look at what it returns, "
            "whether its weights were loaded, and at predicts="
        )
    return (
        f"{len(silent)} of {size} coordinates are never denoised, the first is {int(silent[0])}: the network leaves "
        "them as they are, as padding behind a mask, so that they end as noise in every average; pass mask=, which is "
        "True for the real places of an event, to the model, and its states are those alone"
    )


def _reshaped(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """How to make the wanted shape of the one that was found, if that is plain."""
    if len(found) == len(wanted) > 1 and found == (wanted[0], 2 * wanted[1], *wanted[2:]):
        return f"; of a prediction and a learned variance, return y[:, :{wanted[1]}]"
    if len(found) > 1 and found == (wanted[0], *wanted[2:], wanted[1]) and found != wanted:
        return "; with its channels last, return y.movedim(-1, 1)"
    if torch.Size(found).numel() == torch.Size(wanted).numel() and found[:1] == wanted[:1]:
        return ", as y.reshape(x.shape) is"
    return ""


def _shapes(parts: Iterable[Tensor]) -> str:
    return ", ".join(str(tuple(leaf.shape)) for leaf in parts)

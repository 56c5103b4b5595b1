"""What a network returns at the first step of a sampler, for checks that cost no evaluation of their own."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from leastwork.geometry.state import State, all_finite, flatten, leaves, smap
from leastwork.models.base import Model, is_periodic, is_scored
from leastwork.models.contract import never_denoised, undenoised
from leastwork.models.predictions import Moments

__all__ = ["Heard", "listening", "noise_left", "said"]

_Result = TypeVar("_Result")
_MIXED = 0.02  # change of one output with the other states of a batch, beyond what half precision makes of sums
_REPEATED = 1e-6  # largest change between two calls, relative to the largest value, from another order of sums


@dataclass(frozen=True)
class Heard:
    """One call of a network.

    Args:
        x, y: what it took, and what it returned.
        change: where it drew random numbers, the largest difference to a second call with the same x, relative to the
            largest value; else 0.
        mixed: by how much the first state's output changes with the other states of the batch, relative to its size; 0
            at all calls but the first.
    """

    x: State
    y: State
    change: float
    mixed: float


def listening(model: Model, evaluate: Callable[[Model], _Result]) -> tuple[_Result, list[Heard]]:
    """Evaluate a model, and return the result with what its network took and returned at each call.

    Before the first call it takes the first state in all places of the batch, where its output must be the same. A
    network that draws from torch's own generator is called once more, to see whether its output changes.
    """
    heard: list[Heard] = []

    def net(x: State, *arguments: Any, **context: Any) -> State:
        alone = _first_alone(model.net, x, *arguments, **context) if not heard else None
        before = _generators(x)
        y = model.net(x, *arguments, **context)
        drew = any(not torch.equal(a, b) for a, b in zip(before, _generators(x), strict=True))
        mixed = 0.0 if drew or alone is None else _change(_first(y), alone)
        heard.append(Heard(x, y, _change(y, model.net(x, *arguments, **context)) if drew else 0.0, mixed))
        return y

    return evaluate(replace(cast(Any, model), net=net)), heard


def _first_alone(net: Callable[..., Any], x: State, *arguments: Any, **context: Any) -> State | None:
    """The output for the first state if all others are equal to it; None if the network fails."""
    if len(leaves(x)[0]) < 2:
        return None
    same = smap(lambda part: part.detach()[:1].expand_as(part).clone().requires_grad_(part.requires_grad), x)
    try:
        return smap(Tensor.clone, _first(net(same, *arguments, **context)))
    except Exception:
        return None


def _first(y: Any) -> Any:
    return smap(lambda part: part.detach()[:1], y)


def _generators(x: State) -> list[Tensor]:
    """The states of torch's own generators, of the CPU and of the device of x."""
    device = leaves(x)[0].device
    own = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *own]


def _change(y: Any, again: Any) -> float:
    """Largest difference of two outputs, relative to the largest value of the first; 0 if they are no states."""
    pairs = [(a, b) for a, b in zip(leaves(y), leaves(again), strict=True) if isinstance(a, Tensor)]
    return max((float((a - b).abs().max() / a.abs().max().clamp(min=1e-30)) for a, b in pairs), default=0.0)


def said(model: Model, one: Heard, t: float) -> list[str]:
    """Sentences about a call: what is random in it, and the coordinates that it leaves noisy."""
    random = (
        f"two calls of the network with the same x differ by {one.change:.1%}, as it draws random numbers: take out "
        "what is random, such as dropout by function"
    )
    mixed = (
        f"the network answers for one state by others of its batch, which change it by {one.mixed:.1%}, or by earlier "
        "calls: no sample is then independent; take batch norm in its evaluation mode, and sums over the event alone"
    )
    left = noise_left(model, smap(Tensor.detach, one.x), smap(Tensor.detach, one.y), t)
    return [
        words
        for words in (random if one.change > _REPEATED else "", mixed if one.mixed > _MIXED else "", left)
        if words
    ]


def noise_left(model: Model, x: State, y: State, t: float) -> str:
    """A sentence about the coordinates that the network leaves noisy; empty if there are none.

    Args:
        model: the model.
        x: states that its network took, (B, *event).
        y: what it returned for them, without a graph.
        t: the time.
    """
    if not bool(all_finite(y).all()):
        return ""  # which is told where it ends
    if is_periodic(model):
        return ""  # the noise of an angle is uniform, which a free rotation is too
    if not is_scored(model):
        silent = never_denoised(x, y, knows="velocity")
        return "" if len(silent) == flatten(x).shape[1] else _words(silent, x)
    if model.has_rotations:
        x, y = leaves(x)[0], leaves(y)[0]  # without noise the score of a rotation vanishes too
    predicts = getattr(model, "predicts", "score")
    if predicts == "v" and Moments.at(model.schedule, t).alpha == 0:
        return ""  # v is then the mean of the data
    return _words(never_denoised(x, y, knows="data" if predicts == "data" else "noise"), x)


def _words(silent: Tensor, x: State) -> str:
    return undenoised(silent, flatten(x).shape[1]) if len(silent) else ""

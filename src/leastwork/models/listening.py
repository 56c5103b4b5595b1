"""What a network returns at the first step of a sampler, for checks that cost no evaluation of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from leastwork.geometry.state import State, all_finite, flatten, leaves, smap
from leastwork.models.base import Model, is_periodic, is_scored
from leastwork.models.contract import CHANGES_X, NetworkError, never_denoised, undenoised
from leastwork.models.mask import unpadded
from leastwork.models.predictions import Moments, data_weights

__all__ = ["Heard", "listening", "noise_left", "said"]

_Result = TypeVar("_Result")
_MIXED = 0.02  # change of one output with the other states of a batch, beyond what half precision makes of sums
_FREE = 0.5  # where α = 0, the largest slope of D itself, which has no scale there and so need not be small
_COVERED = 0.1  # largest slope of αD against x at t_max, the part of the variance there that is of the data
_REPEATED = 1e-6  # largest change between two calls, relative to the largest value, from another order of sums
_ROUND = 2.0  # rad; the density of wrapped noise of this σ departs from the uniform by 2 exp(−σ²/2) = 27 %
_UNCOVERED = (
    "samples begin as uniform angles, but noise of σ = {:.2g} rad at t_max does not go round the circle: end the "
    "schedule later, as VESchedule(0.01 * pi, pi), where the network knows such noise"
)


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

    Before the first call it takes the first state in all other places of the batch, where its output must be the same.
    A network that draws from torch's own generator is called once more, to see whether its output changes.

    Raises:
        NetworkError: the network changes x, by a way too that torch does not count, such as that of NumPy.
    """
    heard: list[Heard] = []

    def net(x: State, *arguments: Any, **context: Any) -> State:
        alone = _first_alone(model.net, x, *arguments, **context) if not heard else None
        before, given = _generators(x), smap(torch.clone, x)
        y = model.net(x, *arguments, **context)
        if not all(torch.equal(a, b) for a, b in zip(leaves(x), leaves(given), strict=True)):
            raise NetworkError(CHANGES_X)
        drew = any(not torch.equal(a, b) for a, b in zip(before, _generators(x), strict=True))
        mixed = 0.0 if drew or alone is None else _change(_row(y, 0), alone)
        heard.append(Heard(x, y, _change(y, model.net(x, *arguments, **context)) if drew else 0.0, mixed))
        return y

    return evaluate(replace(cast(Any, model), net=net)), heard


def _first_alone(net: Callable[..., Any], x: State, *arguments: Any, **context: Any) -> State | None:
    """The output for the first state in other company; None if there is none, or if the network fails.

    The first state stands in all places but the first, where the second stands, so that an answer by place or by an
    earlier call differs too. In a batch of two, or where states differ in context, it stands in all places.
    """
    count = len(leaves(x)[0])
    if count < 2:
        return None
    place = 1 if count > 2 and not any(_differs(one, count) for one in context.values()) else 0
    order = torch.zeros(count, dtype=torch.long, device=leaves(x)[0].device)
    order[0] = place
    others = smap(lambda part: part.detach()[order].requires_grad_(part.requires_grad), x)
    try:
        return smap(Tensor.clone, _row(net(others, *arguments, **context), place))
    except Exception:
        return None


def _differs(value: Any, count: int) -> bool:
    """Whether an argument has a row for each state, and that of the first state is not that of the second."""
    if isinstance(value, Mapping):
        return any(_differs(one, count) for one in value.values())
    if isinstance(value, tuple | list):
        return any(_differs(one, count) for one in value)
    return isinstance(value, Tensor) and value.shape[:1] == (count,) and not torch.equal(value[0], value[1])


def _row(y: Any, place: int) -> Any:
    return smap(lambda part: part.detach()[place : place + 1], y)


def _generators(x: State) -> list[Tensor]:
    """The states of torch's own generators, of the CPU and of the device of x."""
    device = leaves(x)[0].device
    own = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *own]


def _change(y: Any, again: Any) -> float:
    """Largest difference of two outputs, relative to the largest value of the first; 0 if they are no states."""
    pairs = [(a, b) for a, b in zip(leaves(y), leaves(again), strict=False) if _are_alike(a, b)]
    return max((float((a - b).abs().max() / a.abs().max().clamp(min=1e-30)) for a, b in pairs), default=0.0)


def _are_alike(a: Any, b: Any) -> bool:
    """Whether two parts of outputs can be compared; what is wrong with others is said where they are used."""
    return (
        isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape
        and a.is_floating_point() and not a.is_meta
    )  # fmt: skip


def said(model: Model, one: Heard, t: float) -> list[str]:
    """Sentences about a call: what is random in it, and the coordinates that it leaves noisy."""
    random = (
        f"two calls of the network with the same x differ by {_percent(one.change)}, as it draws random numbers: take "
        "out what is random, such as dropout by function"
    )
    mixed = (
        "the network answers for one state by others of its batch, by its place in it, or by earlier calls, which "
        f"change the answer by {one.mixed:.1%}: no sample is then independent; take batch norm in its evaluation mode, "
        "sums over the event alone, and context= with lw.PerSample for what differs from sample to sample"
    )
    x, y = smap(Tensor.detach, one.x), smap(Tensor.detach, one.y)
    is_random = one.change > _REPEATED
    told = [random] if is_random else [mixed] if one.mixed > _MIXED else []
    return [
        *told,
        *([left] if (left := noise_left(model, x, y, t)) else [] if told else _noise_as_data(model, x, y, t)),
    ]


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 1e-3 else f"{100 * share:.0e} %"


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


def _noise_as_data(model: Model, x: State, y: State, t: float) -> list[str]:
    """The sentence about a network whose estimate of the data goes with the noise at t_max, or no sentence.

    For D = E[x_0 | x] the slope of αD against x is α²s²/(α²s² + σ²), with s the spread of the data: positive, and
    small where noise covers the data. Where α = 0, D does not depend on x.
    """
    if is_periodic(model) and is_scored(model) and t == model.interval[1]:
        sigma = Moments.at(model.schedule, t).sigma
        return [_UNCOVERED.format(sigma)] if sigma < _ROUND else []
    if not is_scored(model) or model.has_rotations or t < model.interval[1]:
        return []
    m = Moments.at(model.schedule, t)
    predicts: Any = getattr(model, "predicts", "score")
    mask = getattr(model, "mask", None)
    noisy, said = (flatten(unpadded(one, mask)).double() for one in (x, y))
    noisy, said = noisy - noisy.mean(dim=0), said - said.mean(dim=0)
    size = float(noisy.square().sum())
    if not size > 0:  # of a single state
        return []
    p, q = data_weights(predicts, m)
    slope = (p * float((said * noisy).sum()) / size + q) * (m.alpha or 1.0)
    if not abs(slope) >= (_COVERED if m.alpha else _FREE):
        return []
    return [
        f"at t = {t:.4g}, where samples begin as noise alone, the estimate of the data by predicts={predicts!r} is "
        f"{slope:.2g} times that noise, and not next to nothing: noise does not cover the data there, so that t_max or "
        "sigma_max is too small, or the sign of the output, predicts=, the time or the weights are not what they are "
        "taken for; leastwork check-model with data tells which"
    ]


def _words(silent: Tensor, x: State) -> str:
    return undenoised(silent, flatten(x).shape[1]) if len(silent) else ""

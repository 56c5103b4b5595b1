"""What a network returns at the first step of a sampler, for checks that cost no evaluation of their own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from torch import Tensor

from leastwork.geometry.state import State, flatten, leaves
from leastwork.models.base import Model, is_periodic, is_scored
from leastwork.models.contract import never_denoised, undenoised
from leastwork.models.predictions import Moments

__all__ = ["listening", "noise_left"]

_Result = TypeVar("_Result")


def listening(model: Model, evaluate: Callable[[Model], _Result]) -> tuple[_Result, list[tuple[State, State]]]:
    """Evaluate a model, and return the result with what its network took and returned at each call."""
    heard: list[tuple[State, State]] = []

    def net(x: State, *arguments: Any, **context: Any) -> State:
        heard.append((x, model.net(x, *arguments, **context)))
        return heard[-1][1]

    return evaluate(replace(cast(Any, model), net=net)), heard


def noise_left(model: Model, x: State, y: State, t: float) -> str:
    """A sentence about the coordinates that the network leaves noisy; empty if there are none.

    Args:
        model: the model.
        x: states that its network took, (B, *event).
        y: what it returned for them, without a graph.
        t: the time.
    """
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

"""Tangents of a state as flat vectors u (B, k), and the changes dx of the state's coordinates:

    flat states: dx = u          rigid frames: dp = v, dR = R ω̂ with u = (v, ω)

A function f of the coordinates has the slope s with df = s·u; :func:`slope_along` computes it from ∂f/∂x, and
:func:`cotangent` gives a ∂f/∂x with this slope.
"""

from torch import Tensor

from leastwork.geometry.frames import are_frames, flat_tangent, tangent_from
from leastwork.geometry.rotations import hat, slope_of, vee
from leastwork.geometry.state import State, flatten, unflatten

__all__ = ["cotangent", "direction", "slope_along", "tangent_along"]


def direction(x: State, tangent: Tensor) -> State:
    """The change of the coordinates along a tangent (B, k), (B, *event)."""
    if not are_frames(x):
        return unflatten(tangent, x)
    shift, turn = tangent_from(tangent)
    return shift, x[1] @ hat(turn)


def tangent_along(x: State, moved: State) -> Tensor:
    """The tangent (B, k) that changes the coordinates by ``moved``: the inverse of :func:`direction`."""
    if not are_frames(x):
        return flatten(moved)
    return flat_tangent((moved[0], vee(x[1].transpose(-1, -2) @ moved[1])))


def slope_along(x: State, gradient: State) -> Tensor:
    """The slope (B, k) of a function by the tangent, from its gradient by the coordinates, (B, *event)."""
    if not are_frames(x):
        return flatten(gradient)
    return flat_tangent((gradient[0], slope_of(x[1], gradient[1])))


def cotangent(x: State, slope: Tensor) -> State:
    """A gradient by the coordinates that has the given slope (B, k)."""
    if not are_frames(x):
        return unflatten(slope, x)
    shift, turn = tangent_from(slope)
    return shift, 0.5 * x[1] @ hat(turn)

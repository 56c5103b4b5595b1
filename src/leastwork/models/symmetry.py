"""Numerical tests of symmetry: equivariance of models, D(Rx, t) = R D(x, t), invariance of functions, O(Rx) = O(x).

If both hold, V(x, t) = ln E[e^{r(x_0)} | x_t = x] is invariant too, and a network of invariants can learn it. The
symmetry is tested on a few noisy states and random proper rotations, and not assumed.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from leastwork.geometry.euclidean import ZeroCentre
from leastwork.geometry.frames import moved_rigidly
from leastwork.geometry.rotations import random_rotations, uniform
from leastwork.geometry.state import State, batch_size, leaves, shapes, take
from leastwork.models.base import Scored
from leastwork.models.frames import FrameModel
from leastwork.support.random import generator

__all__ = ["has_no_orientation", "is_invariant"]

_TRIALS = 64  # states that are tested
_TOLERANCE = 1e-3  # largest deviation, relative to the size of the output; float32 networks reach 10⁻⁵
_TIMES = (0.05, 0.4, 0.9)
_MOST_POINTS = 40  # the number of invariants grows as its square


@torch.no_grad()
def has_no_orientation(model: Scored) -> bool:
    """Whether states are 4 to 40 centred points in space, or 2 to 40 frames, and the model is equivariant."""
    if isinstance(model, FrameModel):
        return 2 <= model.residues <= _MOST_POINTS and _frames_are_equivariant(model)
    (shape, *more) = shapes(model.event_shape)
    space = not more and len(shape) == 2 and shape[1] == 3 and 4 <= shape[0] <= _MOST_POINTS
    if not space or not isinstance(model.subspace, ZeroCentre):
        return False
    random = generator(0, "orientation")
    like = next(iter(model.parameters()), torch.empty(()))
    x = model.project(torch.randn(_TRIALS, *shape, generator=random).to(like))
    assert isinstance(x, Tensor)
    turn = random_rotations(_TRIALS, random).to(x)
    low, high = model.schedule.t_min, model.schedule.t_max
    for share in _TIMES:
        t = low + share * (high - low)
        still, turned = model.denoise(x, t), model.denoise(x @ turn, t)
        assert isinstance(still, Tensor)
        assert isinstance(turned, Tensor)
        if float((turned - still @ turn).norm()) > _TOLERANCE * float(still.norm()):
            return False
    return True


def _frames_are_equivariant(model: FrameModel) -> bool:
    """Whether the score of positions turns with rigid motions, and the score of rotations is invariant."""
    random = generator(0, "orientation")
    like = next(iter(model.parameters()), torch.empty(()))
    shift, turn = (torch.randn(_TRIALS, *shape, generator=random).to(like) for shape in model.noise_shape)
    x = (shift, uniform(turn))
    motion = random_rotations(_TRIALS, random).to(like)
    away = torch.randn(_TRIALS, 1, 3, generator=random).to(like) if model.subspace is None else 0.0
    low, high = model.schedule.t_min, model.schedule.t_max
    for share in _TIMES:
        t = low + share * (high - low)
        still, turned = model.score(x, t), model.score(moved_rigidly(x, motion, away), t)
        expected = ((motion[:, None] @ still[0][..., None]).squeeze(-1), still[1])
        for found, known in zip(turned, expected, strict=True):
            if float((found - known).norm()) > _TOLERANCE * float(known.norm()):
                return False
    return True


@torch.no_grad()
def is_invariant(fn: Callable[[State], Tensor], x: State) -> bool:
    """Whether a function of structures is invariant under rotations.

    Args:
        fn: function (B, N, 3) -> (B, ...) with values that are numbers or bools.
        x: structures on which it is tested, data units.
    """
    n = batch_size(x)
    some = take(x, slice(None, None, max(n // _TRIALS, 1)))
    some = take(some, slice(_TRIALS))
    turn = random_rotations(batch_size(some), generator(0, "invariance")).to(leaves(some)[0])
    if isinstance(some, tuple):
        moved = moved_rigidly((some[0], some[1]), turn)
    else:
        moved = some @ turn
    still, turned = fn(some).double(), fn(moved).double()
    scale = max(float(still.abs().max()), 1e-12)
    different = int(((turned - still).abs() > _TOLERANCE * scale).sum())
    return different <= 0.02 * still.numel()  # at the border of a region, rounding may change a few values

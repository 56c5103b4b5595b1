"""Check of claimed equivariance: the output turns with the structure, D(Rx, t) = R D(x, t).

The same holds for a velocity. R is a proper rotation, or with "reflections" any orthogonal matrix.
"""

from typing import Literal, TypeAlias

from torch import Tensor

from leastwork.checks.report import Check
from leastwork.checks.subject import Subject
from leastwork.geometry.frames import moved_rigidly
from leastwork.geometry.rotations import random_rotations
from leastwork.geometry.state import shapes
from leastwork.models.frames import FrameModel
from leastwork.support.random import generator

__all__ = ["Symmetry", "check_symmetry"]

Symmetry: TypeAlias = Literal["rotations", "reflections"]

_TOLERANCE = 1e-3  # largest deviation, relative to the size of the output; float32 networks reach 10⁻⁵
_STATES = 32  # states that are tested
_PLACES = (0.05, 0.4, 0.9)  # fractions of the interval


def check_symmetry(subject: Subject, claimed: Symmetry) -> Check:
    """Measure the largest deviation of the output, relative to its size, under random rotations."""
    if isinstance(subject.model, FrameModel):
        return _check_frames(subject, subject.model, claimed)
    (shape, *more) = shapes(subject.model.event_shape)
    if more or len(shape) != 2 or shape[1] != 3:
        return Check(
            "equivariance",
            "fault",
            f"claimed for {claimed}, but a state of shape {subject.model.event_shape} is not points in space (N, 3): "
            "take the claim back",
        )
    turn = random_rotations(_STATES, generator(subject.seed, "symmetry"))
    if claimed == "reflections":
        turn[::2] = -turn[::2]
    x = subject.noise("symmetry", _STATES)
    assert isinstance(x, Tensor)
    turn = turn.to(x)
    worst, when = 0.0, subject.at(0.5)
    for place in _PLACES:
        t = subject.at(place)
        still, turned = subject.answer(x, t), subject.answer(x @ turn, t)
        assert isinstance(still, Tensor)
        assert isinstance(turned, Tensor)
        off = float((turned - still @ turn).norm() / still.norm().clamp(min=1e-12))
        if not off <= worst:
            worst, when = off, t
    return _judge(worst, when, claimed)


def _check_frames(subject: Subject, model: FrameModel, claimed: Symmetry) -> Check:
    """For frames, the score of positions turns with the structure; that of rotations, in own frames, is constant."""
    if claimed == "reflections":
        words = "claimed for reflections, but frames are not turned into their mirror images: claim 'rotations'"
        return Check("equivariance", "fault", words)
    (x, r), turn = subject.noise("symmetry", _STATES), random_rotations(_STATES, generator(subject.seed, "symmetry"))
    turn = turn.to(x)
    worst, when = 0.0, subject.at(0.5)
    for place in _PLACES:
        t = subject.at(place)
        still, turned = model.score((x, r), t), model.score(moved_rigidly((x, r), turn), t)
        wanted = (turn[:, None] @ still[0][..., None]).squeeze(-1), still[1]
        pairs = zip(turned, wanted, strict=True)
        off = max(float((a - b).norm() / b.norm().clamp(min=1e-12)) for a, b in pairs)
        if not off <= worst:
            worst, when = off, t
    return _judge(worst, when, claimed)


def _judge(worst: float, when: float, claimed: Symmetry) -> Check:
    if worst <= _TOLERANCE:
        return Check("equivariance", "ok", f"the answer turns with the structure ({claimed}), to {worst:.1g}")
    return Check(
        "equivariance",
        "fault",
        f"claimed for {claimed}, but the answer is off by {worst:.2g} of its size at t = {when:.3g} when the structure "
        "is turned: take the claim back, or mend the network (frames, absolute coordinates, float32 sums)",
    )

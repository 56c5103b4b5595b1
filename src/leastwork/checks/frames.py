"""Checks of models of rigid frames: their angles, their data, and both scores against the data.

    error = ⟨ |s − ∇ ln p(x_t | x_0)|² ⟩ / ⟨ |∇ ln p(x_t | x_0)|² ⟩,   least for the score s, and one for s = 0

The score of positions is in the world's frame and that of rotations in the residue's own. The other sign, the other
direction of time and rotations in the world's frame are tried too. The ODE is not checked, since frames cannot be
carried along it.
"""

import math
from typing import TypeAlias

import torch
from torch import Tensor

from leastwork.checks.report import Check
from leastwork.checks.subject import Subject
from leastwork.geometry.frames import tangent_from
from leastwork.models.frames import FrameModel
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import generator

__all__ = ["NOT_CARRIED", "check_angles", "check_rotations", "check_scores"]

NOT_CARRIED = Check(
    "round trip", "skipped", "not checked for frames, which the flow's ODE cannot carry from data to noise and back"
)

_WARNING_MEMORY, _FAULT_MEMORY = 0.02, 0.25  # largest first character of SO(3), e^{−σ_R²}, at t_max
_TIMES = (0.2, 0.4, 0.6, 0.8)  # fractions of the interval
_SIGMAS = 5.0  # standard errors by which a difference is significant
_CLEAR = 0.95  # a hypothesis is named if its error is below this part of the declared one
_PROPER = 1e-3  # largest deviation of RᵀR from 1

_Errors: TypeAlias = dict[str, Tensor]  # errors of each sample by hypothesis; the empty name is the declaration


def check_angles(subject: Subject) -> Check:
    """Check that rotations at t_max hardly depend on the data."""
    model = subject.model
    assert isinstance(model, FrameModel)
    first, last = model.angles.sigma(torch.tensor(subject.interval, dtype=torch.float64)).tolist()
    left = math.exp(-(last**2))
    if left < _WARNING_MEMORY:
        return Check(
            "angles", "ok", f"σ from {first:.3g} to {last:.3g} rad, where {left:.1g} of an orientation is left"
        )
    words = (
        f"at t_max σ is {last:.3g} rad, and {left:.2g} of an orientation is left, which the uniform prior leaves out: "
        "raise sigma_max of the angles, 2.33 or so"
    )
    return Check("angles", "fault" if left > _FAULT_MEMORY else "warning", words)


def check_rotations(rotations: Tensor) -> Check | None:
    """A fault if the second part of the data are not rotations, or None."""
    r = rotations.double()
    off = float((r.transpose(-1, -2) @ r - torch.eye(3, dtype=r.dtype, device=r.device)).abs().max())
    if off < _PROPER and bool((torch.linalg.det(r) > 0).all()):
        return None
    return Check(
        "data",
        "fault",
        f"the second part of the data is no rotations (RᵀR is off by {off:.2g}, or the determinant is negative): give "
        "matrices from the residue's frame to the world's, such as leastwork.observables.frames_of makes",
    )


def check_scores(subject: Subject) -> list[Check]:
    """Compare the errors of both scores on noised data, as declared and under other hypotheses."""
    if subject.data is None:
        words = "not checked without data: give some, and sign and frame of both scores and time are checked with them"
        return [Check("prediction", "skipped", words)]
    positions, rotations = _errors(subject)
    return [_judge("score of positions", positions), _judge("score of rotations", rotations)]


def _errors(subject: Subject) -> tuple[_Errors, _Errors]:
    """Relative squared errors of both scores for each sample, under each hypothesis."""
    model, data = subject.model, subject.data
    assert isinstance(model, FrameModel)
    assert data is not None
    random = generator(subject.seed, "scores")
    low, high = subject.interval
    found: tuple[dict[str, list[Tensor]], dict[str, list[Tensor]]] = ({}, {})
    for place in _TIMES:
        t = subject.at(place)
        x, lever, target = model.noised(data, t, random)
        exact = tangent_from(-target / lever)  # the conditional score
        for when, time in (("", t), ("time runs from noise to data: give it low + high - t", low + high - t)):
            shift, turn = model.project(subject.ask(x, time))
            own = (x[1].transpose(-1, -2) @ turn[..., None]).squeeze(-1)
            words = f"its {when}" if when else ""
            other = f"; its {when}" if when else ""
            tries = (
                {words: shift, f"it has the other sign: return its negative{other}": -shift},
                {
                    words: turn,
                    f"it has the other sign: return its negative{other}": -turn,
                    f"it is in the world's frame: turn it by the transpose of each rotation{other}": own,
                },
            )
            for errors, tried, true in zip(found, tries, exact, strict=True):
                size = true.double().square().mean()
                for name, score in tried.items():
                    error = (score - true).double().square().flatten(1).mean(dim=1) / size
                    errors.setdefault(name, []).append(error)
    positions, rotations = ({name: torch.stack(parts).mean(dim=0) for name, parts in one.items()} for one in found)
    return positions, rotations


def _judge(name: str, errors: _Errors) -> Check:
    declared = errors[""]
    mine = Estimate.from_samples(declared)
    best = min(errors, key=lambda hypothesis: float(errors[hypothesis].mean()))
    gain = Estimate.from_samples(declared - errors[best])
    if best and float(errors[best].mean()) < _CLEAR * mine.value and gain.value > _SIGMAS * gain.stderr:
        ratio = mine.value / float(errors[best].mean())
        return Check(name, "fault", f"its error on noised data is {ratio:.3g} times smaller if {best}")
    if mine.value > 1 + _SIGMAS * mine.stderr:
        words = (
            f"its error on noised data is {mine.value:.3g} times that of no score at all: check units (scale=), "
            "schedule, angles, and that these are the data it was trained on"
        )
        return Check(name, "fault", words)
    return Check(name, "ok", f"its error on noised data is {mine.value:.3g} of that of no score, and least as declared")

"""All checks of a model, in the order in which they depend on each other."""

from typing import Any

import torch

from leastwork.checks.flow import check_direction, check_round_trip
from leastwork.checks.frames import NOT_CARRIED, check_angles, check_rotations, check_scores
from leastwork.checks.network import check_coordinates, check_decoder, check_parameters, check_purity, check_shapes
from leastwork.checks.prediction import check_prediction
from leastwork.checks.report import Check, ModelReport
from leastwork.checks.schedule import check_schedule
from leastwork.checks.subject import Examined, Subject
from leastwork.checks.symmetry import Symmetry, check_symmetry
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import State, leaves, shapes
from leastwork.models.base import is_periodic
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.frames import FrameModel
from leastwork.models.mask import padded_shapes
from leastwork.models.placement import evaluating
from leastwork.models.velocity import VelocityModel

__all__ = ["check_model"]


def check_model(
    model: Examined,
    data: State | None = None,
    *,
    equivariant: bool | Symmetry = False,
    samples: int = 256,
    seed: int = 0,
) -> ModelReport:
    """Check by measurement that a model is as declared, in a few hundred network evaluations of a batch.

    Args:
        model: a DiffusionModel, FrameModel or VelocityModel.
        data: some samples of the training data, (n, *event), data units; if given, prediction, direction of time and
            units are checked too.
        equivariant: the claimed equivariance of the output: "rotations" (or True), or "reflections" too.
        samples: number of states in a batch.
        seed: seed of the noise.

    Returns:
        ModelReport: ``.ok``, ``.faults``, ``.warnings``; prints as a table.

    Raises:
        ConfigError: the object is not a model, or the data cannot be used.

    >>> import leastwork as lw
    >>> data = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="noise", event_shape=(2,))
    >>> print(lw.check_model(model, data)["prediction"].words)
    declared predicts='noise', but the errors of denoising are ... times smaller if it predicts 'score': set ...
    """
    if not isinstance(model, DiffusionModel | FrameModel | VelocityModel):
        kind = type(model).__name__
        raise ConfigError(f"model is a {kind}: make it a lw.DiffusionModel, lw.FrameModel or lw.VelocityModel")
    if equivariant not in (False, True, "rotations", "reflections"):
        raise ConfigError(f"equivariant={equivariant!r} is not a symmetry: choose 'rotations' or 'reflections'")
    if samples < 16:
        raise ConfigError(f"samples={samples} is too few to measure by: take at least 16")
    checks: list[Check] = []
    if data is not None:
        wrong = _data_shape(model, data)
        checks.append(wrong or Check("data", "ok", f"{len(leaves(data)[0])} samples of the model's shape"))
        data = None if wrong else data
    subject = Subject.of(model, data, seed, samples)
    checks += check_parameters(subject)
    if all(check.status != "fault" for check in checks if check.name == "precision"):
        with torch.no_grad(), evaluating(model.net):
            checks += _measure(subject, equivariant)
    return ModelReport(_name(model), tuple(checks))


def _measure(subject: Subject, equivariant: bool | Symmetry) -> list[Check]:
    """All checks that evaluate the network; checks that an earlier fault makes meaningless are left out."""
    checks: list[Check] = []
    frames, flow = (isinstance(subject.model, kind) for kind in (FrameModel, VelocityModel))
    if not flow:
        checks += check_schedule(subject)
    if frames:
        checks.append(check_angles(subject))
    checks.append(check_shapes(subject))
    if any(check.status == "fault" and check.name in ("output", "schedule") for check in checks):
        return checks
    checks += [check_coordinates(subject), *check_purity(subject), *check_decoder(subject)]
    if any(check.name == "input" for check in checks):
        return checks
    try:
        if frames:
            checks += [*check_scores(subject), NOT_CARRIED]
        else:
            checks.append(check_direction(subject) if flow else check_prediction(subject))
            checks.append(check_round_trip(subject))
        if equivariant:
            checks.append(check_symmetry(subject, "rotations" if equivariant is True else equivariant))
    except LeastworkError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
        checks.append(Check("batches", "fault", f"the network fails on a batch of another size or value: {reason}"))
    return checks


def _data_shape(model: Examined, data: Any) -> Check | None:
    """A fault in the shape of the data, with the order of axes that would fit, or None."""
    if not all(isinstance(leaf, torch.Tensor) for leaf in leaves(data)):
        return Check("data", "fault", f"data is a {type(data).__name__}: give a tensor, torch.as_tensor(data)")
    wanted, found = shapes(model.event_shape), tuple(tuple(leaf.shape[1:]) for leaf in leaves(data))
    if wanted == found:
        return check_rotations(leaves(data)[1]) if isinstance(model, FrameModel) else _degrees(model, data)
    words = f"data have event shape {', '.join(map(str, found))}, the model {', '.join(map(str, wanted))}"
    if padded_shapes(wanted, model.mask) == found:
        return Check("data", "fault", f"{words}: give the real places alone, data[:, mask]")
    if len(wanted) == len(found) == 1 and sorted(wanted[0]) == sorted(found[0]):
        left = list(range(len(found[0])))
        order = [left.pop(next(i for i, axis in enumerate(left) if found[0][axis] == size)) for size in wanted[0]]
        axes = ", ".join(str(axis + 1) for axis in order)
        return Check("data", "fault", f"{words}: the same axes in another order, so pass data.permute(0, {axes})")
    if len(wanted) == len(found) == 1 and torch.Size(wanted[0]).numel() == torch.Size(found[0]).numel():
        return Check("data", "fault", f"{words}: as many coordinates, so data.reshape(-1, *event_shape) may be meant")
    return Check("data", "fault", f"{words}: give samples of what the model generates")


def _degrees(model: Examined, data: State) -> Check | None:
    """A fault if the data of a model of angles are no angles in radians, or None."""
    largest = max(float(leaf.abs().max()) for leaf in leaves(data)) if is_periodic(model) else 0.0
    if largest <= 6.3:  # 2π, for angles from 0 on
        return None
    return Check("data", "fault", f"angles reach {largest:.3g} and are in radians: of degrees, give data * pi / 180")


def _name(model: Examined) -> str:
    net = type(model.net).__name__
    kind = type(model).__name__
    return f"{kind} of {net}, event shape {model.event_shape}"

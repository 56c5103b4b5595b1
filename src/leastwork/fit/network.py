"""Networks for V: of invariants if model and functions do not depend on orientation, else of coordinates."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError
from leastwork.fit.denoiser import is_denoiser
from leastwork.geometry.state import State, event_numel, flatten
from leastwork.models.base import Model, Scored, is_periodic, is_scored
from leastwork.models.denoised import is_differentiable
from leastwork.models.placement import evaluating, placement
from leastwork.models.symmetry import has_no_orientation, is_invariant
from leastwork.networks.frames import turn_signal
from leastwork.networks.value import ValueNetwork
from leastwork.schedules.angles import AngleSchedule
from leastwork.support.random import derive_seed, generator

__all__ = ["directed_network", "noisy_network", "plain_scored", "value_network"]

_TURNS = 65  # log-SNRs at which the signal of rotations is tabulated


def plain_scored(model: Model, what: str) -> Scored:
    """The model, if it has a score in plain coordinates, which the methods that move V by gradients of paths need.

    Args:
        model: the model that is to be guided.
        what: the subject of the message, with its verb.

    Raises:
        LeastworkError: the model has no score, or rotations.
    """
    if not is_scored(model) or model.has_rotations:
        raise LeastworkError(
            f"{what} a score in plain coordinates, which a {type(model).__name__} has not: take the method least-work, "
            "which guides every kind of model"
        )
    return model


def noisy_network(model: Scored, given: nn.Module | None, seed: int) -> nn.Module:
    """V of the noisy state where there are no samples of the model yet, where the model is placed.

    Args:
        model: the model that is guided.
        given: a network to begin with, which is copied, or None for V = 0, which has to be scaled to states later.
        seed: seed of the initial weights.
    """
    device, dtype = placement(model)
    if given is not None:
        return deepcopy(given).to(device=device, dtype=dtype)
    fresh = ValueNetwork(event_numel(model.event_shape), seed=derive_seed(seed, "network"), angles=is_periodic(model))
    return fresh.to(device=device, dtype=dtype)


def value_network(
    model: Scored,
    functions: Sequence[Callable[[Any], Tensor]],
    x: State,
    seed: int,
    focus: State | None = None,
    denoised: bool = True,
) -> ValueNetwork:
    """A network with V = 0, scaled to the data.

    Args:
        model: the model that is guided.
        functions: functions of states in data units that define the target: observables, or membership in a region.
        x: samples of the model, data units.
        seed: seed of the initial weights.
        focus: points in the part of space that matters, data units; not used by a network of invariants.
        denoised: whether V shall be a function of the denoised state, where the model can be differentiated.
    """
    x0 = flatten(model.to_network_units(x))
    frames = model.has_rotations
    invariant = has_no_orientation(model) and all(is_invariant(fn, x) for fn in functions)
    angles = is_periodic(model)
    near = focus is not None and not invariant and not frames and not angles
    d = event_numel(model.event_shape)
    with evaluating(model.net):
        # at much noise the D of angles is x itself, and V of x wastes less than V of D
        own = model.to_network_units(x)
        through = denoised and not angles and is_differentiable(model, own) and (frames or is_denoiser(model, own))
    kind = {"focus": near, "invariant": invariant, "frames": frames, "angles": angles, "turns": _TURNS * frames}
    network = ValueNetwork(d, seed=seed, denoised=through, **kind).to(x0)
    network.standardise(x0)
    if model.angles is not None:
        _tabulate_turns(network, model, model.angles, x)
    return network.focus_on(flatten(model.to_network_units(focus)).to(x0)) if near and focus is not None else network


def _tabulate_turns(network: ValueNetwork, model: Scored, angles: AngleSchedule, x: State) -> None:
    schedule = model.schedule
    ends = schedule.log_snr(torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)).clamp(-20.0, 20.0)
    log_snr = torch.linspace(float(ends[0]), float(ends[1]), _TURNS, dtype=torch.float64)
    network.know_turns(log_snr, turn_signal(x[1], angles.sigma(schedule.time_of(log_snr))))


def directed_network(
    model: Scored,
    functions: Sequence[Callable[[Any], Tensor]],
    x: State,
    omega: Tensor,
    seed: int,
    denoised: bool = True,
) -> ValueNetwork:
    """A network with V = 0 as from :func:`value_network`, with the direction in which the tilt moves the mean.

    Args:
        model, functions, x, denoised: as in :func:`value_network`.
        omega: e^r/Z of each sample, (n,).
        seed: seed of the fit.
    """
    network = value_network(model, functions, x, derive_seed(seed, "network"), denoised=denoised)
    return network.look_along(flatten(model.to_network_units(x)), omega - 1, generator(seed, "direction"))

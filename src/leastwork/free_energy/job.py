"""Fits of free-energy runs: a model guided to the flat histogram of a coordinate, or to the rarer of two states."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from leastwork.fit.methods import Method, settings_given
from leastwork.fit.result import FitRecord
from leastwork.fit.value import fit_ratio
from leastwork.free_energy.collected import Collected
from leastwork.free_energy.combine import Joined
from leastwork.free_energy.difference import collect_states
from leastwork.free_energy.flat import FlatTilt, flat_tilt
from leastwork.free_energy.guided import Drawn, Task, task_of
from leastwork.free_energy.mbar import needs_pymbar
from leastwork.free_energy.methods import DIFFERENCE_METHODS, PROFILE_METHODS, TwoStates, Umbrella
from leastwork.free_energy.profile import Plan, collect_windows, plan_windows, profile_of, warn_of_windows
from leastwork.free_energy.run import DifferenceRun, ProfileRun
from leastwork.geometry.state import cat, take
from leastwork.models.base import Model
from leastwork.networks.value import ValueNetwork
from leastwork.observables import Observable
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.steer import systematic_ancestors
from leastwork.support.progress import Progress, check_progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["flat_histogram", "guide_to_states"]

_MEMBERS = 8000  # samples of the flat histogram, resampled from all windows, from which V is learned
_ITERATIONS = 800
_ROUNDS = 2
_OWN_A_WINDOW = 4  # samples of the model for each sample of a window, unless their number is given


def flat_histogram(
    model: Model,
    coordinate: Observable,
    method: Umbrella | str = "umbrella",
    *,
    lower: float | Sequence[float] | None = None,
    upper: float | Sequence[float] | None = None,
    bins: int | Sequence[int] | None = None,
    width: float | Sequence[float] | None = None,
    samples: int | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
    **choices: Any,
) -> ProfileRun:
    """Guide a model to the flat histogram of a coordinate, in which all its values are equally likely.

    The profile comes first, as in :func:`leastwork.free_energy_profile`; V of the flat histogram is then learned as the
    log-ratio of the resampled windows and the model's own samples, and polished on guided paths.

    Args:
        model, coordinate, lower, upper, bins, width, seed, progress, choices: as in
            :func:`leastwork.free_energy_profile`.
        method: "umbrella", or an ``Umbrella`` with settings.
        samples: number of the model's own samples; by default four times those of a window.

    Returns:
        ProfileRun: with the guidance, its certificate, and all samples of the profile.

    Raises:
        NoPathWeightsError, LeastworkError: as for a profile.
        LearningError: V of the flat histogram was not learned.
    """
    begin, chosen = time.perf_counter(), PROFILE_METHODS.build(method, {})
    own = _OWN_A_WINDOW * chosen.window_samples if samples is None else samples
    plan = plan_windows(
        model, coordinate, lower, upper, bins, width, chosen.window_samples, own, chosen.most_windows, None,
        chosen.window_noised, seed, progress, choices,
    )  # fmt: skip
    collected, joined, missing = collect_windows(plan)
    warn_of_windows(plan, joined, missing)
    tilt = flat_tilt(plan.edges, profile_of(collected, joined, plan.edges, coordinate).values, chosen.ceiling)
    more = _flat(plan, collected, joined, tilt)
    collected = collected.with_tilt(tilt, more)
    whole = _Fitted.of(plan.task, plan.own, collected, chosen, PROFILE_METHODS.name_of(chosen), begin)
    return ProfileRun(**vars(whole), edges=plan.edges)


def guide_to_states(
    model: Model,
    states: Observable,
    method: TwoStates | str = "two-states",
    *,
    samples: int | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
    **choices: Any,
) -> DifferenceRun:
    """Guide a model to the rarer of two states, and keep all samples for the difference of their free energies.

    Args:
        model, seed, progress, choices: as in :func:`leastwork.free_energy_difference`.
        states: memberships in A and B (:func:`leastwork.free_energy.difference.memberships`).
        method: "two-states", or a ``TwoStates`` with settings.
        samples: number of the model's own samples; by default as many as of a state.

    Raises:
        NoPathWeightsError, LeastworkError, LearningError: as for a difference.
    """
    begin, chosen = time.perf_counter(), DIFFERENCE_METHODS.build(method, {})
    needs_pymbar()
    task = task_of(model, states, chosen.state_noised, seed, check_progress(progress), choices)
    own = task.own(chosen.state_samples if samples is None else samples)
    collected = collect_states(
        task, own, (None, None), chosen.state_samples, chosen.success, chosen.polish_rounds, budget=0
    )
    whole = _Fitted.of(task, own, collected, chosen, DIFFERENCE_METHODS.name_of(chosen), begin)
    return DifferenceRun(**vars(whole))


@dataclass(frozen=True)
class _Fitted:
    """The fields that both kinds of run have."""

    model: Model
    coordinate: Observable
    method: str
    guidance: Any
    collected: Collected
    choices: Any
    seed: int
    model_samples: Ensemble
    fit: FitRecord
    network_evaluations: int
    seconds: float
    progress: Progress
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, task: Task, own: Ensemble, collected: Collected, chosen: Method, name: str, begin: float) -> "_Fitted":
        network, seconds = collected.parts[-1].network, time.perf_counter() - begin
        assert network is not None
        record = FitRecord(collected.evaluations, seconds)
        return cls(
            task.model, task.coordinate, name, task.guidance(network), collected, task.choices, task.seed, own, record,
            collected.evaluations, seconds, task.progress, settings_given(chosen),
        )  # fmt: skip


def _flat(plan: Plan, collected: Collected, joined: Joined, tilt: FlatTilt) -> list[Drawn]:
    """Guided samples of the flat histogram."""
    task, states = plan.task, [part.x for part in collected.parts if part.x is not None]
    log_w = torch.cat(
        [log_v + tilt.log_tilt(part.seen) for log_v, part in zip(joined.log_weight, collected.parts, strict=True)]
    )
    share = torch.softmax(log_w, dim=0)
    random = generator(task.seed, "members of the flat histogram")
    places = systematic_ancestors(share[None], torch.rand(1, generator=random, dtype=torch.float64))[0]
    some = places[torch.randperm(len(places), generator=random)[:_MEMBERS]]
    members = task.model.to_network_units(take(cat(states), some))
    learned = fit_ratio(
        task.network(collected.parts[0]), task.model, task.model.to_network_units(plan.own.x), members,
        iterations=_ITERATIONS, noised=2 * task.noised, seed=derive_seed(task.seed, "V of the flat histogram"),
        progress=task.progress,
    )  # fmt: skip
    assert isinstance(learned.network, ValueNetwork)
    return task.polished(
        learned.network, learned.network_evaluations, tilt.log_tilt, 2 * plan.samples, "flat histogram", _ROUNDS
    )

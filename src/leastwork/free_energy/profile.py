"""Free-energy profiles by umbrella sampling with learned guidance: F(ξ) = −ln p(ξ) of the model.

The model's own samples show the bulk. Windows are added one by one where samples are fewest
(:mod:`leastwork.free_energy.place`), and each learns its guidance from a neighbour
(:mod:`leastwork.free_energy.guided`). All samples are joined by MBAR with path weights
(:mod:`leastwork.free_energy.combine`). Such an estimate is unbiased whatever has been learned from which samples, since
the mean of a part is right given all parts before it.
"""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.fit.value import LearningError
from leastwork.free_energy.collected import Collected
from leastwork.free_energy.combine import Joined
from leastwork.free_energy.guided import Drawn, Task, task_of
from leastwork.free_energy.mbar import needs_pymbar
from leastwork.free_energy.place import Place, next_place
from leastwork.free_energy.result import Profile, bin_of, bin_volume, equal_bins
from leastwork.models.base import Model
from leastwork.observables import Observable
from leastwork.sampling.ensemble import Ensemble
from leastwork.statistics.estimate import Estimate
from leastwork.support.arguments import number, refused, whole
from leastwork.support.progress import Progress, check_progress, no_progress

__all__ = ["Plan", "collect_windows", "free_energy_profile", "plan_windows", "profile_of", "warn_of_windows"]

_WIDTHS = {1: 24, 2: 10}  # widths of a window in the range of a column, by the number of columns
_BINS = {1: 50, 2: 20}
_HIGHEST = {1: math.inf, 2: 10.0}
_PLACES_A_WIDTH = 2  # places where a window may stand, in a width
_NOISED = 16_000


def free_energy_profile(
    model: Model,
    coordinate: Observable,
    *,
    lower: float | Sequence[float] | None = None,
    upper: float | Sequence[float] | None = None,
    bins: int | Sequence[int] | None = None,
    width: float | Sequence[float] | None = None,
    samples: int = 1000,
    own: int | None = None,
    most_windows: int = 64,
    highest: float | None = None,
    noised: int = _NOISED,
    seed: int = 0,
    progress: Progress = no_progress,
    **choices: Any,
) -> Profile:
    """Compute the free energy of a model along a coordinate, −ln p(ξ), by umbrella windows with learned guidance.

    Args:
        model: a DiffusionModel or a FrameModel.
        coordinate: ξ, an observable with one or two columns; it is not differentiated.
        lower, upper: the range of each column; by default that of the model's own samples.
        bins: number of bins of each column; by default 50, and 20 of each of two.
        width: width of the windows in each column; by default 1/24 of its range, and 1/10 for two columns.
        samples: number of samples in each window.
        own: number of the model's own samples; by default four times as many.
        most_windows: largest number of windows.
        highest: free energy above the lowest, k_BT, beyond which no windows are placed; by default the whole range is
            covered for one column, and 10 k_BT for two.
        noised: largest number of noised states from which the guidance of one window is learned.
        seed: seed of all random numbers.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: solver, steps, t_grid, batch_size, device, dtype as in :func:`leastwork.sample`.

    Returns:
        Profile: F with errors, the windows, their overlap and effective samples.

    Raises:
        NoPathWeightsError: the process or solver has no path weights.
        LeastworkError: pymbar is missing, the coordinate never moves, or an argument cannot be used.

    Warns:
        LeastworkWarning: some of the range was not reached, or neighbouring windows hardly overlap; says where.

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> settings = {"lower": -1, "upper": 1, "bins": 4, "samples": 100, "own": 2000, "steps": 20}
    >>> profile = lw.free_energy_profile(model, lw.observables.component(0), **settings)
    >>> bool((profile.values - torch.tensor([1.19, 0.96, 0.96, 1.19])).abs().max() < 0.2)
    True
    """
    begin = time.perf_counter()
    plan = plan_windows(
        model,
        coordinate,
        lower,
        upper,
        bins,
        width,
        samples,
        own,
        most_windows,
        highest,
        noised,
        seed,
        progress,
        choices,
    )
    collected, joined, missing = collect_windows(plan)
    warn_of_windows(plan, joined, missing)
    return profile_of(collected, joined, plan.edges, coordinate, time.perf_counter() - begin)


@dataclass(frozen=True)
class Plan:
    """The settings of a profile, checked, with the model's own samples."""

    task: Task
    own: Ensemble
    edges: tuple[Tensor, ...]
    middles: Tensor
    width: Tensor
    samples: int
    most_windows: int
    highest: float

    def next(self, collected: Collected, joined: Joined, middles: Tensor) -> tuple[Place | None, Tensor]:
        """The next window at one of the middles, and all of these where samples are wanting."""
        shares = [part.effective / len(part.log_weight) for part in joined.parts]
        return next_place(collected.parts, shares, joined.log_weight, middles, self.width, self.samples, self.highest)


def plan_windows(
    model: Model, coordinate: Observable, lower: Any, upper: Any, bins: int | Sequence[int] | None, width: Any,
    samples: int, own: int | None, most_windows: int, highest: float | None, noised: int, seed: int,
    progress: Progress, choices: Mapping[str, Any],
) -> Plan:  # fmt: skip
    needs_pymbar()
    columns = coordinate.count
    if columns not in _WIDTHS:
        raise LeastworkError(
            f"a profile has one or two columns, and the coordinate has {columns}: pick them with "
            "leastwork.observables.column"
        )
    task = task_of(model, coordinate, whole("noised", noised), seed, check_progress(progress), choices)
    samples, most_windows = whole("samples", samples, 50), whole("most_windows", most_windows)
    limit = _HIGHEST[columns] if highest is None else number("highest", highest, "give k_BT", least=0.0)
    drawn = task.own(whole("own", 4 * samples if own is None else own, 100))
    low, high, wide = _range(task, task.drawn(drawn), lower, upper, width)
    edges, middles = _bins(low, high, bins), _middles(low, high, wide)
    return Plan(task, drawn, edges, middles, wide, samples, most_windows, limit)


def collect_windows(plan: Plan) -> tuple[Collected, Joined, Tensor]:
    """All samples, joined, and the places where samples are still wanting, (M, D)."""
    task, middles = plan.task, plan.middles
    collected = Collected((task.drawn(plan.own),), (0,))
    while True:
        joined = collected.joined(task.seed)
        place, missing = plan.next(collected, joined, middles)
        if place is None or len(collected.tilts) == plan.most_windows:
            if len(middles) < len(plan.middles):
                _, missing = plan.next(collected, joined, plan.middles)
            return collected, joined, missing
        try:
            more = task.guided(
                collected.parts[place.parent], place.window.log_tilt, plan.samples,
                f"window {len(collected.tilts) + 1}",
            )  # fmt: skip
        except LearningError:  # too few samples around this place; others may be in reach
            middles = middles[(middles - middles.new_tensor(place.window.middle)).abs().amax(dim=1) > 0]
            continue
        collected = collected.with_tilt(place.window, more)


def _range(task: Task, own: Drawn, lower: Any, upper: Any, width: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The range and the width of windows, (D,) each."""
    names, count = task.coordinate.names, task.coordinate.count
    moved = own.seen.std(dim=0)
    if bool((moved <= 1e-9 * own.seen.abs().amax(dim=0).clamp(min=1e-30)).any()):
        still = int(moved.argmin())
        raise LeastworkError(
            f"the coordinate {names[still]!r} is {float(own.seen[0, still]):.6g} in all {len(own.seen)} samples of the "
            "model, so it has no profile: take another coordinate"
        )
    low = own.seen.amin(dim=0) if lower is None else _columns("lower", lower, count)
    high = own.seen.amax(dim=0) if upper is None else _columns("upper", upper, count)
    if not bool((low < high).all()):
        raise LeastworkError(f"lower = {low.tolist()} is not below upper = {high.tolist()}: exchange them")
    wide = (high - low) / _WIDTHS[count] if width is None else _columns("width", width, count)
    if not bool((wide > 0).all()):
        raise refused("width", width, "give a positive number for each column")
    return low, high, wide


def _columns(name: str, value: Any, count: int) -> Tensor:
    try:
        found = torch.as_tensor(value, dtype=torch.float64).reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        found = torch.zeros(0)
    if len(found) not in (1, count) or not bool(found.isfinite().all()):
        raise refused(name, value, f"give one finite number for each of {count} columns")
    return found.expand(count).clone()


def _bins(low: Tensor, high: Tensor, count: int | Sequence[int] | None) -> tuple[Tensor, ...]:
    columns = len(low)
    given = [_BINS[columns]] if count is None else [count] if isinstance(count, int) else list(count)
    if len(given) not in (1, columns):
        raise refused("bins", count, f"give one number for each of {columns} columns")
    return equal_bins(low, high, tuple(whole("bins", one) for one in (given * columns)[:columns]))


def _middles(low: Tensor, high: Tensor, width: Tensor) -> Tensor:
    """Where windows may stand, (C, D)."""
    axes = []
    for a, b, w in zip(low.tolist(), high.tolist(), width.tolist(), strict=True):
        axes.append(torch.linspace(a, b, max(2, round(_PLACES_A_WIDTH * (b - a) / w) + 1)).tolist())
    return torch.tensor(list(product(*axes)), dtype=torch.float64)


def profile_of(
    collected: Collected, joined: Joined, edges: tuple[Tensor, ...], coordinate: Observable, seconds: float = 0.0
) -> Profile:
    """The profile that joined samples give in the bins between the edges."""
    shape = tuple(len(edge) - 1 for edge in edges)
    size = math.prod(shape)
    places = [bin_of(part.seen, edges) for part in collected.parts]
    inside = [torch.nn.functional.one_hot(place + 1, size + 1)[:, 1:].double() for place in places]
    counts = torch.stack([one.sum(dim=0) for one in inside]).sum(dim=0)
    mass, cov = joined.averages(inside)
    mass = torch.where((counts > 0) & (mass > 0), mass, torch.nan)
    cov, log_z = cov / mass[:, None] / mass, joined.log_z
    return Profile(
        coordinate.names, coordinate.units, edges, -(mass / bin_volume(edges)).log().reshape(shape),
        cov.diagonal().clamp(min=0).sqrt().reshape(shape), cov, collected.tilts, joined.mbar.overlap, joined.effective,
        counts.reshape(shape), Estimate(-log_z.value, log_z.stderr), joined.mbar.free_energies, collected.evaluations,
        seconds, collected.parts, joined,
    )  # fmt: skip


def warn_of_windows(plan: Plan, joined: Joined, missing: Tensor) -> None:
    names = plan.task.coordinate.names
    if len(missing):
        _warn_of_gaps(missing, names, len(joined.effective) > plan.most_windows)
    alone = [k for k, group in enumerate(joined.mbar.parts) if group]
    if alone:
        warnings.warn(
            f"{len(alone)} of {len(joined.effective) - 1} windows do not overlap with those nearer to the model, the "
            f"first is window {alone[0]}, and only path weights join them: draw more samples, or take wider windows",
            LeastworkWarning,
            stacklevel=3,
        )


def _warn_of_gaps(missing: Tensor, names: tuple[str, ...], full: bool) -> None:
    low, high = missing.amin(dim=0).tolist(), missing.amax(dim=0).tolist()
    where = " and ".join(f"{a:.4g} ≤ {name} ≤ {b:.4g}" for name, a, b in zip(names, low, high, strict=True))
    remedy = "give a larger most_windows" if full else "draw more samples, or take wider windows"
    warnings.warn(
        f"samples are wanting at {len(missing)} places within {where}, where the profile has large errors or none: "
        f"{remedy}",
        LeastworkWarning,
        stacklevel=3,
    )

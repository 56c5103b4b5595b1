"""The free-energy difference of two states: F_B − F_A = ln p(A) − ln p(B), in k_BT.

    r = L 1_S      L = ln [s (1 − p) / (p (1 − s))]      of each state S with p = p(S) below one half

A tilt by L puts the share s of the target into S. Its guidance is learned from the model's own samples in S, or if
there are hardly any, from guides (:mod:`leastwork.path_guidance.job`). All samples, the model's own included, are
joined by MBAR with path weights (:mod:`leastwork.free_energy.combine`), so that p(A), p(B) and their covariance come
from one estimate. The better the guidance, the better path weights know Z = 1 + p(S)(e^L − 1); counting has to wait for
visits.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.free_energy.collected import Collected, StateTilt
from leastwork.free_energy.combine import Joined
from leastwork.free_energy.guided import Drawn, Task, task_of
from leastwork.free_energy.mbar import needs_pymbar
from leastwork.geometry.state import State, batch_size
from leastwork.kernels.region import Membership
from leastwork.models.base import Model, as_model
from leastwork.models.latents import of_data
from leastwork.observables import Observable
from leastwork.path_guidance.job import guide_path
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.work import log_odds
from leastwork.statistics.estimate import Estimate
from leastwork.support.arguments import function_of, number, refused, whole
from leastwork.support.progress import Progress, check_progress, no_progress
from leastwork.support.random import derive_seed

__all__ = ["Difference", "collect_states", "difference_of", "free_energy_difference", "memberships"]

_FEWEST = 30  # own samples in a state from which its guidance is learned
_NOISED = 32_000


@dataclass(frozen=True, eq=False)
class Difference:
    """F_B − F_A of a model.

    Args:
        value: F_B − F_A, k_BT.
        free_energies: −ln p(A) and −ln p(B), k_BT, (2,).
        counted: F_B − F_A by counting the model's own samples alone; NaN where one state has none.
        counting_error: the error that counting would have with all network evaluations spent on the model's own
            samples, k_BT.
        effective: effective samples n·ESS of the model and of each guided state, (K + 1,).
        overlap: overlap matrix of the model's own samples and the guided states, (K + 1, K + 1).
        states: which states were guided to, "A", "B" or both.
        network_evaluations: all evaluations of the model's network.
        seconds: wall time.
    """

    value: Estimate
    free_energies: Estimate
    counted: Estimate
    counting_error: float
    effective: Tensor = field(repr=False)
    overlap: Tensor = field(repr=False)
    states: tuple[str, ...]
    network_evaluations: int = 0
    seconds: float = 0.0


def free_energy_difference(
    model: Model,
    a: Membership,
    b: Membership,
    *,
    guides_a: State | None = None,
    guides_b: State | None = None,
    samples: int = 4000,
    own: int | None = None,
    success: float = 0.9,
    noised: int = _NOISED,
    rounds: int = 2,
    budget: int = 2_000_000,
    seed: int = 0,
    progress: Progress = no_progress,
    **choices: Any,
) -> Difference:
    """Compute the free-energy difference F_B − F_A of two states of a model.

    Args:
        model: a DiffusionModel or a FrameModel.
        a, b: membership in A and B of samples in data units, (B, *event) -> bool (B,); no state is in both.
        guides_a, guides_b: structures in a state that the model hardly visits, (M, *event), M ≥ 2, data units.
        samples: number of guided samples of each state below one half.
        own: number of the model's own samples; by default as many.
        success: the share of the guided target in its state, between 0 and 1.
        noised: largest number of noised states from which a guidance is learned.
        rounds: number of rounds of guided paths that polish a guidance.
        budget: largest number of network evaluations for learning from guides.
        seed: seed of all random numbers.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: solver, steps, t_grid, batch_size, device, dtype as in :func:`leastwork.sample`.

    Returns:
        Difference: F_B − F_A with its error, and what counting would have given.

    Raises:
        NoPathWeightsError: the process or solver has no path weights.
        LeastworkError: pymbar is missing, A and B overlap, or the model never visits one and there are no guides.
        LearningError: a guidance was not learned.

    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> settings = {"samples": 300, "own": 2000, "noised": 4000, "steps": 20}
    >>> found = lw.free_energy_difference(model, lambda x: x[:, 0] > 1, lambda x: x[:, 0] <= 1, **settings)
    >>> bool(abs(found.value.value + 1.668) < 5 * found.value.stderr)  # ln 0.1587/0.8413
    True
    """
    begin = time.perf_counter()
    needs_pymbar()
    share = number("success", success, "give a share between 0 and 1", least=0.0)
    if not 0 < share < 1:
        raise refused("success", success, "give a share between 0 and 1")
    coordinate = memberships(a, b, model)
    task = task_of(model, coordinate, whole("noised", noised), seed, check_progress(progress), choices)
    samples = whole("samples", samples, 50)
    own_samples = task.own(whole("own", samples if own is None else own, 100))
    collected = collect_states(task, own_samples, (guides_a, guides_b), samples, share, whole("rounds", rounds), budget)
    return difference_of(collected, collected.joined(task.seed), time.perf_counter() - begin)


def collect_states(
    task: Task, own: Ensemble, guides: tuple[State | None, State | None], samples: int, success: float, rounds: int,
    budget: int,
) -> Collected:  # fmt: skip
    """Samples of the model, and of guidances to the states below one half, the rarer one last."""
    first = task.drawn(own)
    both, n = int((first.seen.sum(dim=1) > 1).sum()), len(own)
    if both:
        raise LeastworkError(
            f"{both} of {n} samples of the model are in A and in B: make the states exclude each other"
        )
    collected = Collected((first,), (0,))
    for column in first.seen.sum(dim=0).argsort(descending=True).tolist():
        name, visits, p = "AB"[column], int(first.seen[:, column].sum()), float(first.seen[:, column].mean())
        given = guides[column]
        if p > 0.5:
            continue
        if visits >= _FEWEST:
            tilt = _tilt(column, log_odds(p, success))
            more = task.guided(first, tilt.log_tilt, samples, f"state {name}", rounds)
        elif given is not None:
            tilt, more = _from_guides(task, column, given, samples, budget, f"guides of {name}")
        else:
            raise LeastworkError(
                f"the model visits {name} in {visits} of {n} samples, too few to learn from: give two or more "
                f"structures in it to free_energy_difference, guides_{name.lower()}=, or draw more samples of the model"
            )
        collected = collected.with_tilt(tilt, more)
    return collected


def memberships(a: Membership, b: Membership, model: Model) -> Observable:
    """The coordinate of a difference: membership in A and in B, 0 or 1."""
    model, a, b = as_model(model), function_of("a", a), function_of("b", b)
    return Observable(_Both(of_data(a, model), of_data(b, model)), ("A", "B"), differentiable=False)


@dataclass(frozen=True)
class _Both:
    """Membership in both states, (B, 2)."""

    a: Membership
    b: Membership

    def __call__(self, x: State) -> Tensor:
        found = []
        for name, region in (("A", self.a), ("B", self.b)):
            inside = region(x)
            if not isinstance(inside, Tensor) or inside.dtype != torch.bool or inside.shape != (batch_size(x),):
                raise LeastworkError(f"membership in {name} is no bool tensor, (B,): return one bool for each sample")
            found.append(inside.cpu())
        return torch.stack(found, dim=1).double()


def _tilt(column: int, odds: float) -> StateTilt:
    return StateTilt((odds, 0.0) if column == 0 else (0.0, odds))


def _from_guides(
    task: Task, column: int, guides: State, samples: int, budget: int, purpose: str
) -> tuple[StateTilt, list[Drawn]]:
    """The tilt of a state and guided samples of it, learned from guides."""
    both = task.coordinate.fn

    def inside(x: State) -> Tensor:
        return both(x)[:, column] > 0

    run = guide_path(
        task.model, guides, region=inside, budget=budget, seed=derive_seed(task.seed, purpose), progress=task.progress,
        certificate_samples=samples, **task.choices.given,
    )  # fmt: skip
    drawn = run.certificate_ensemble
    spent = run.network_evaluations + drawn.network_evaluations
    part = Drawn(drawn.x, both(drawn.x), drawn.log_weight.double().cpu(), None, spent)
    return _tilt(column, run.log_odds), [part]


def difference_of(collected: Collected, joined: Joined, seconds: float = 0.0) -> Difference:
    """The difference that joined samples give."""
    parts = collected.parts
    p, cov = joined.averages([part.seen for part in parts])
    relative = cov / p[:, None] / p
    errors = relative.diagonal().clamp(min=0).sqrt()
    variance = (relative[0, 0] + relative[1, 1] - 2 * relative[0, 1]).clamp(min=0)
    counts, n = parts[0].seen.sum(dim=0), len(parts[0].seen)
    drawn = collected.evaluations / (parts[0].evaluations / n)
    states = tuple("A" if tilt.log_tilt(torch.eye(2).double())[0] > 0 else "B" for tilt in collected.tilts)
    return Difference(
        Estimate(float(p[0].log() - p[1].log()), float(variance.sqrt())),
        Estimate(-p.log(), errors),
        Estimate(float(counts[0].log() - counts[1].log()), float((1 / counts).sum().sqrt())),
        float(((1 / p).sum() / drawn).sqrt()), joined.effective, joined.mbar.overlap, states, collected.evaluations,
        seconds,
    )  # fmt: skip

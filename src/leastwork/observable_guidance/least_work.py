"""Least-work guidance for measured averages, near or far: learn V, go there in stages, polish, meet the averages.

A stage learns V from the samples of the guidance before it (:mod:`leastwork.fit.value`), for data that these samples
can still see (:mod:`leastwork.observable_guidance.approach`), and polishes it on fresh paths
(:mod:`leastwork.fit.on_policy`). At the data V is learned once more before that, on states of guided paths
(:mod:`leastwork.fit.labels`). Each set of paths first solves the dual again, on all samples there are. Then a few more
paths tell how far off the averages are, and one step of the head, whose effect on them the polish has measured, takes
them there. The budget of network evaluations is a cap, shared out by :mod:`leastwork.fit.budget`.
"""

import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.fit.budget import FEWEST, Share, least_budget, own_samples, share
from leastwork.fit.labels import LabelFit, draw_labelled, fit_labels
from leastwork.fit.network import directed_network
from leastwork.fit.on_policy import Polish, draw_response, off_target, polish
from leastwork.fit.result import FitRecord
from leastwork.fit.value import Check, LearningError, ValueFit, fit_value
from leastwork.geometry.state import State, cat, event_numel, flatten, shapes
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.base import Model, Scored, is_scored
from leastwork.models.placement import evaluating
from leastwork.networks.value import ValueNetwork, sees_denoised
from leastwork.observable_guidance.approach import Aim, Drawn, agrees, aim, far, part_way, pooled, solve
from leastwork.observables import evaluate
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.process import Process
from leastwork.sampling.sample import draw
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["LeastWorkFit", "Stage", "learn_guidance"]

_MEMORY = 0.01  # Var V at t_max
_MAX_STAGES = 20
_FAR_SAMPLES = 20_000  # for each stage, where there are several and the budget allows
_ON_THE_WAY = 0.35  # of what is left of the budget, for a stage that is not the last
_NOTICED = 2.0  # standard errors of a miss that is worth a step


@dataclass(frozen=True)
class Stage:
    """How far a stage went, with how many effective samples, and how its V was learned and polished."""

    fraction: float
    """β: of the way from the model's averages to the data."""
    ess: float
    """of e^r under the guidance before."""
    checks: tuple[Check, ...]
    polishes: tuple[Polish, ...] = ()
    labels: LabelFit | None = None

    def record(self) -> dict[str, Any]:
        """Plain values: the way, the effective samples, the held-out losses and what each polish did."""
        return {
            "fraction": self.fraction,
            "ess": self.ess,
            "iterations": [check.iteration for check in self.checks],
            "validation": [check.validation for check in self.checks],
            "variance_before": [polish.variance_before for polish in self.polishes],
            "variance_after": [polish.variance_after for polish in self.polishes],
        }


@dataclass(frozen=True)
class LeastWorkFit:
    """The guidance, the target it was made for, and what that took; the history has one entry a stage."""

    guidance: LearnedGuidance
    maxent: MaxEnt
    history: tuple[Stage, ...]
    network_evaluations: int
    seconds: float

    def record(self) -> FitRecord:
        """The same as plain values."""
        return FitRecord(self.network_evaluations, self.seconds, tuple(stage.record() for stage in self.history))


@dataclass(frozen=True)
class _Task:
    """What all stages share: the chain's number of steps, the budget, and how samples are drawn."""

    model: Scored
    data: Experiment
    seed: int
    steps: int
    budget: int
    rounds: int
    iterations: int
    progress: Progress
    choices: Choices

    def share(self, left: int, network: nn.Module) -> Share:
        """What a stage may take of the evaluations that are left."""
        polished = self.rounds if isinstance(network, ValueNetwork) else 0
        return share(left, self.steps, sees_denoised(network), polished)

    def seed_of(self, purpose: str) -> int:
        return derive_seed(self.seed, purpose)

    def guidance(self, network: nn.Module) -> LearnedGuidance:
        return LearnedGuidance(network, self.model.schedule)

    def draw(self, n: int, network: nn.Module | None, purpose: str) -> Drawn:
        guidance = None if network is None else self.guidance(network)
        drawn = draw(self.model, n, self.choices, guidance, seed=self.seed_of(purpose), progress=self.progress)
        return self.observe(drawn.x, drawn.log_weight, drawn.network_evaluations)

    def observe(self, x: State, log_weight: Tensor, evaluations: int) -> Drawn:
        return Drawn(x, evaluate(self.data.observable, x), log_weight, evaluations)

    def flat(self, x: State) -> Tensor:
        """Network units, (n, d), in the dtype of the network that is guided."""
        return flatten(self.model.to_network_units(x))


def learn_guidance(
    model: Model,
    data: Experiment,
    *,
    seed: int = 0,
    own: Ensemble | None = None,
    observed: Tensor | None = None,
    network: nn.Module | None = None,
    budget: int = 5_000_000,
    rounds: int = 1,
    iterations: int | None = None,
    progress: Progress = no_progress,
    choices: Choices = USUAL,
) -> LeastWorkFit:
    """Learn the guidance that meets the data with the least work.

    Args:
        model: a DiffusionModel or a FrameModel.
        data: the experiment.
        seed: of everything random.
        own: the model's own samples, if they have been drawn already with the same choices.
        observed: the observables of these, (n, K), if they are known already.
        network: V(x, α, σ) of flat states in network units; by default a ValueNetwork. Another one is not polished.
        budget: network evaluations, at most (:mod:`leastwork.fit.budget`).
        rounds: of polish.
        iterations: of the optimiser, half as many in all stages but the last; by default 1500, or 4000 above 8
            dimensions where V sees the noisy state.
        progress: ``leastwork.support.progress.bar`` shows one.
        choices: how samples are drawn. A process without path weights (the ODE, Heun, κ ≠ 1) is fitted on
            the usual steps of the SDE.

    Returns:
        LeastWorkFit: with h = 0 and no history where the model's samples cannot tell its averages from the data.

    Raises:
        InfeasibleError: no reweighting reaches the data.
        NonFiniteError: an observable is not finite on some samples; says how many, and the first.
        LearningError: V was not learned; its ``history`` tells how it went.
        LeastworkError: a model without an SDE, a budget that is too small, or stages that come no nearer.
    """
    begin = time.perf_counter()
    if not is_scored(model):
        raise LeastworkError("a VelocityModel has no score, so no least-work guidance by values: guide by its action")
    unused = 0
    if not choices.has_least_work(model):
        choices = replace(choices, process="sde", kappa=None, solver=None, t_grid=None)
        unused, own = 0 if own is None else own.network_evaluations, None  # these samples came from another process
    steps = len(choices.sampler(model).steps)
    if budget < least_budget(steps):
        raise LeastworkError(
            f"budget={budget} is too small for {steps} steps: a fit takes at least {least_budget(steps)} network "
            "evaluations; give so many, or take fewer steps"
        )
    task = _Task(model, data, seed, steps, budget, rounds, iterations or 0, progress, choices)
    here = _own_samples(task, own, observed)
    start = here.observed.mean(dim=0)
    spent = unused + here.evaluations
    goal = aim(here, data, start)
    maxent, history = goal.maxent, []
    nothing = goal.fraction == 1 and agrees(here, maxent, data)
    if network is None or nothing:
        network = directed_network(model, [data.observable], here.x, here.omega(maxent.lambdas), seed)  # whose h is 0
    if iterations is None:
        flat = event_numel(model.event_shape) <= 8 or sees_denoised(network)
        task = replace(task, iterations=1500 if flat else 4000)
    if not nothing:
        while True:
            last = goal.fraction == 1
            left = int((1.0 if last else _ON_THE_WAY) * (budget - spent))
            stage, network, maxent, evaluations = _stage(task, goal, here, network, len(history), start, left)
            history.append(stage)
            spent += evaluations
            if last:
                break
            if len(history) == _MAX_STAGES:
                raise LeastworkError(
                    f"the data were not reached in {_MAX_STAGES} stages, but {goal.fraction:.0%} of the way"
                )
            n = min(_FAR_SAMPLES, task.share(budget - spent, network).guided)
            if n < FEWEST:
                solve(here, data)  # if the data are out of reach, that is what is wrong
                raise LeastworkError(
                    f"the budget of {budget} network evaluations was used up {goal.fraction:.0%} of the way from the "
                    f"model's averages to the data: give {2 * budget} or more, or take fewer steps"
                )
            here = task.draw(n, network, f"stage {len(history)} samples")
            spent += here.evaluations
            goal = aim(here, data, start, goal.fraction, here.ess(maxent))
        _check_memory(task, network)
    return LeastWorkFit(task.guidance(network), maxent, tuple(history), spent, time.perf_counter() - begin)


def _own_samples(task: _Task, own: Ensemble | None, observed: Tensor | None) -> Drawn:
    """The model's own, more of them if the data are far."""
    if own is None:
        here = task.draw(own_samples(task.budget, task.steps + 1), None, "model")
    else:
        known = evaluate(task.data.observable, own.x) if observed is None else observed
        here = Drawn(own.x, known, torch.zeros(len(own), dtype=torch.float64), own.network_evaluations)
    most = min(_FAR_SAMPLES, int(0.5 * task.budget) // (task.steps + 1))
    missing = most - len(here.observed)
    if missing <= 0 or not far(here, task.data):
        return here
    more = task.draw(missing, None, "more of the model")
    return Drawn(
        cat([here.x, more.x]),
        torch.cat([here.observed, more.observed]),
        torch.zeros(most, dtype=torch.float64),
        here.evaluations + more.evaluations,
    )


def _stage(
    task: _Task, goal: Aim, here: Drawn, network: nn.Module, number: int, start: Tensor, left: int
) -> tuple[Stage, nn.Module, MaxEnt, int]:
    """Learn V and polish it with the evaluations that are left; also λ by then, and how many it took."""
    last, maxent = goal.fraction == 1, goal.maxent
    part = task.share(left, network)
    fit = _learn(task, maxent, here, network, number, last, part)
    network, evaluations = fit.network, fit.network_evaluations
    data = part_way(task.data, start, goal.fraction)
    pool = [] if number else [here]
    labels: LabelFit | None = None
    if last and part.labelled:
        sampler = task.choices.sampler(task.model, task.guidance(network))
        paths = draw_labelled(sampler, network, part.labelled, task.seed_of("labels"), task.progress)
        pool.append(task.observe(paths.x, paths.log_weight, paths.evaluations))
        evaluations += paths.evaluations
        maxent = pooled(pool, data, maxent)
        labels = fit_labels(
            network, [paths], [maxent.log_tilt_of(pool[-1].observed)], seed=task.seed_of("labels"),
            progress=task.progress,
        )  # fmt: skip
        network = labels.network
    polishes: list[Polish] = []
    for r in range(part.rounds if last else min(part.rounds, 1)):
        assert isinstance(network, ValueNetwork)
        sampler = task.choices.sampler(task.model, task.guidance(network))
        response = draw_response(sampler, network, part.paths, task.seed_of(f"polish {number}.{r}"), task.progress)
        pool.append(task.observe(response.x, response.log_weight, response.evaluations))
        evaluations += response.evaluations
        maxent = pooled(pool, data, maxent)
        binding = torch.where(maxent.lambdas != 0, maxent.model_std, 0.0)  # ignore inactive bounds
        observed = pool[-1].observed
        done = polish(network, response, maxent.log_tilt_of(observed), observed, maxent.target, binding)
        polishes.append(done)
        network = done.network
    if last and polishes and part.meeting:
        network, more = _met(task, network, maxent, polishes[-1], part.meeting)
        evaluations += more
    return Stage(goal.fraction, goal.ess, fit.history, tuple(polishes), labels), network, maxent, evaluations


def _met(task: _Task, network: nn.Module, maxent: MaxEnt, last: Polish, n: int) -> tuple[nn.Module, int]:
    """The step that takes the averages of fresh paths to their targets, where they are off; and its evaluations."""
    assert isinstance(network, ValueNetwork)
    drawn = task.draw(n, network, "meeting the averages")
    binding = torch.where(maxent.lambdas != 0, maxent.model_std, 0.0)
    miss = off_target(drawn.log_w(maxent), drawn.observed, maxent.target, binding)
    seen = miss.value.abs() > _NOTICED * miss.stderr
    if last.meeting is None or not bool(seen.any()):
        return network, drawn.evaluations
    change = last.meeting @ torch.where(seen, miss.value, 0.0)
    return network.with_head(change.reshape(-1, network.head.out_features)), drawn.evaluations


def _learn(
    task: _Task, maxent: MaxEnt, here: Drawn, network: nn.Module, number: int, last: bool, part: Share
) -> ValueFit:
    try:
        return fit_value(
            network,
            task.model,
            task.model.to_network_units(here.x),
            here.log_w(maxent),
            reference=network if number else None,
            learning_rate=1e-3 if number else 3e-3,  # it starts from what it knows
            iterations=task.iterations if last else task.iterations // 2,
            noised=part.noised,
            seed=task.seed_of(f"stage {number}"),
            progress=task.progress,
        )
    except LearningError:
        solve(here, task.data)  # if the data are out of reach, that is what is wrong
        raise


@torch.no_grad()
def _check_memory(task: _Task, network: nn.Module) -> None:
    """Warn where V at t_max still depends on x, so that no guidance can start from the prior without waste."""
    like = next(network.parameters())
    schedule = task.model.schedule
    random = generator(task.seed, "memory")
    drawn = [torch.randn(4096, *shape, generator=random).to(like) for shape in shapes(task.model.noise_shape)]
    noise: State = tuple(drawn) if len(drawn) > 1 else drawn[0]
    x = Process(task.model).prior(noise)
    with evaluating(task.model.net):
        end = task.model.denoise(x, schedule.t_max) if sees_denoised(network) else x
        variance = float(task.guidance(network).value(x, schedule.t_max, end).var())
    if variance > _MEMORY:
        warnings.warn(
            f"V at t_max = {schedule.t_max} has variance {variance:.3g} > {_MEMORY}: the noise there still knows "
            "the data, and work is wasted for that; use a schedule with more noise at its end",
            LeastworkWarning,
            stacklevel=3,
        )

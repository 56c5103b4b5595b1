"""Least-work guidance for measured averages: learn V in stages, polish it on guided paths, meet the averages.

A stage learns V from samples that the guidance of the stage before has drawn (:mod:`leastwork.fit.value`). It aims at
averages that reweighting these samples can still reach (:mod:`leastwork.observable_guidance.approach`), and polishes V
on fresh paths (:mod:`leastwork.fit.on_policy`). The last stage, which aims at the data themselves, first places the
steps of its chain where V wastes most (:mod:`leastwork.fit.placing`), and before the polish it learns V once more, on
states of guided paths (:mod:`leastwork.fit.labels`). Whenever paths have been drawn, λ is solved for again on all
samples so far. At the end a few more paths measure how far the averages are from their targets, and one step of the
head, whose effect on the averages is known from the polish, corrects them. The budget of network evaluations is an
upper limit, divided by :mod:`leastwork.fit.budget`.
"""

import time
import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, warn_of_data
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.fit.budget import FEWEST, Share, least_budget, of_stage, only_noised, own_samples, share
from leastwork.fit.labels import LabelFit, draw_labelled, fit_labels
from leastwork.fit.network import directed_network
from leastwork.fit.on_policy import Polish, draw_response, off_target, polish
from leastwork.fit.placing import Pilot, pilot_of, place_steps
from leastwork.fit.value import LearningError, ValueFit, fit_value
from leastwork.geometry.state import State, cat, event_numel, flatten, shapes
from leastwork.guidance.learned import Bound, LearnedGuidance
from leastwork.models.base import Model, Scored, is_scored
from leastwork.models.denoised import PULL
from leastwork.models.placement import evaluating
from leastwork.networks.value import ValueNetwork, sees_denoised
from leastwork.observable_guidance.approach import (
    Aim,
    Drawn,
    agrees,
    aim,
    at_once,
    fewer_steps,
    needs_stages,
    part_way,
    solve,
    solve_pooled,
)
from leastwork.observable_guidance.stages import LeastWorkFit, Stage
from leastwork.observables import evaluate
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.process import Process
from leastwork.sampling.sample import draw
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["learn_guidance"]

_MOST_VARIANCE_AT_END = 0.01  # Var V at t_max, nats², above which a warning is given
_MAX_STAGES = 20
_SAMPLES_A_STAGE = 20_000  # samples for each of several stages, if the budget allows
_BUDGET_OF_OWN = 0.5  # share of the budget for the model's own samples, at most, where the data are far
_BUDGET_OF_LAST = 0.3  # share of the rest of the budget that is kept for the last of several stages
_BUDGET_OF_A_STAGE = 0.35  # share of what remains besides that a stage on the way takes
_PILOT = 1024  # guided paths that decide what V is a function of


@dataclass(frozen=True)
class _Task:
    """Settings shared by all stages, among them the number of steps of the chain and the budget."""

    model: Scored
    data: Experiment
    seed: int
    steps: int
    budget: int
    rounds: int
    iterations: int
    progress: Progress
    choices: Choices
    placing: bool
    bound: Bound | None = None

    def share(self, left: int, network: nn.Module) -> Share:
        """How a stage divides the network evaluations that are left."""
        return share(left, self.steps, sees_denoised(network), self.rounds_of(network))

    def rounds_of(self, network: nn.Module) -> int:
        """Rounds of polish; only a ValueNetwork has a head to polish."""
        return self.rounds if isinstance(network, ValueNetwork) else 0

    def pilot(self, left: int, network: nn.Module) -> Pilot:
        """The pilot that places the steps, where guided paths are drawn on these afterwards."""
        found = pilot_of(self.model, self.choices, sees_denoised(network), left) if self.placing else Pilot(0, 0)
        return found if self.share(left - found.evaluations, network).labelled else Pilot(0, 0)

    def pays_for_stage(self, left: int, network: nn.Module, first: bool, chosen: bool) -> bool:
        """Whether ``left`` pays for a stage on the way, for two if V is chosen of two, and for the samples after it."""
        sees, part = sees_denoised(network), int(_BUDGET_OF_A_STAGE * left)
        for kind in (True, False) if sees and chosen else (sees,):
            left -= of_stage(part, self.steps, kind, not first)
            left -= _PILOT * (self.steps * (1 + PULL * kind) + 1) if sees and chosen else 0
        return self.share(left, network).guided >= FEWEST

    def enough_for_stages(self, network: nn.Module, chosen: bool) -> int:
        """A budget that pays for a stage on the way after the model's own samples, and is larger than that given."""
        enough, left = 2 * self.budget, (1 - _BUDGET_OF_OWN) * (1 - _BUDGET_OF_LAST)
        while not self.pays_for_stage(int(left * enough), network, True, chosen):
            enough = int(1.25 * enough)
        return enough

    def seed_of(self, purpose: str) -> int:
        return derive_seed(self.seed, purpose)

    @property
    def on_the_way(self) -> "_Task":
        """The same with the fewer steps of stages that do not aim at the data themselves."""
        choices = fewer_steps(self.choices)
        return replace(self, choices=choices, steps=len(choices.sampler(self.model).steps))

    def guidance(self, network: nn.Module) -> LearnedGuidance:
        return LearnedGuidance(network, self.model.schedule, self.bound)

    def draw(self, n: int, network: nn.Module | None, purpose: str) -> Drawn:
        guidance = None if network is None else self.guidance(network)
        drawn = draw(self.model, n, self.choices, guidance, seed=self.seed_of(purpose), progress=self.progress)
        return self.observe(drawn.x, drawn.log_weight, drawn.network_evaluations)

    def observe(self, x: State, log_weight: Tensor, evaluations: int) -> Drawn:
        return Drawn(x, evaluate(self.data.observable, x), log_weight, evaluations)

    def flat(self, x: State) -> Tensor:
        """States in data units as (n, d) in network units, in the dtype of the guided network."""
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
        seed: seed of all random numbers.
        own: the model's own samples, if they have been drawn already with the same choices.
        observed: the observables of ``own``, (n, K), if they have been evaluated already.
        network: V(x, α, σ) of flat states in network units; by default a ValueNetwork, the only kind that is polished.
        budget: largest number of network evaluations (:mod:`leastwork.fit.budget`).
        rounds: number of rounds of polish.
        iterations: number of optimiser steps in the last stage, and half as many in the others; by default
            1500, or 4000 above 8 dimensions if V is given the noisy state.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: process, solver and steps. For a process without path weights (the ODE, Heun, κ ≠ 1) the guidance is
            fitted on the usual steps of the SDE.

    Returns:
        LeastWorkFit: with h = 0 and no history if the model's own averages agree with the data within sampling error.

    Raises:
        InfeasibleError: no reweighting of the samples reaches the data.
        NonFiniteError: an observable is not finite on some samples; the message says on how many, and on which first.
        LearningError: V was not learned; the ``history`` of the error has the losses.
        LeastworkError: the model has no SDE, the budget is too small, or the stages stop short of the data.
    """
    begin = time.perf_counter()
    if not is_scored(model):
        raise LeastworkError("a VelocityModel has no score, so it has no value to learn: use learn_control")
    unused, placing = 0, choices.has_least_work(model)
    if not placing:
        choices = replace(choices, process="sde", kappa=None, solver=None, t_grid=None)
        unused, own = 0 if own is None else own.network_evaluations, None  # these samples came from another process
    steps = len(choices.sampler(model).steps)
    if budget < least_budget(steps):
        raise LeastworkError(
            f"budget={budget} is too small for {steps} steps: a fit takes at least {least_budget(steps)} network "
            "evaluations; give so many, or take fewer steps"
        )
    task = _Task(model, data, seed, steps, budget, rounds, iterations or 0, progress, choices, placing)
    here = _own_samples(task, own, observed)
    warn_of_data(here.observed, data)  # before anything is spent on data in another unit
    start = here.observed.mean(dim=0)
    spent = unused + here.evaluations
    goal, choose = aim(here, data, start), network is None
    nothing = goal.fraction == 1 and agrees(here, goal.maxent, data)
    if network is None or nothing:
        network = _first_network(task, here, goal)
    if iterations is None:
        flat = event_numel(model.event_shape) <= 8 or sees_denoised(network)
        task = replace(task, iterations=1500 if flat else 4000)
    way, before_last = task.on_the_way, budget - int(_BUDGET_OF_LAST * (budget - spent))
    maxent, history = goal.maxent, []
    if not nothing:
        while True:
            if goal.fraction < 1 and not way.pays_for_stage(before_last - spent, network, not history, choose):
                pays = budget - spent >= of_stage(0, steps, sees_denoised(network), bool(history))
                reached, enough = history[-1].fraction if history else 0.0, way.enough_for_stages(network, choose)
                goal = at_once(here, data, reached, budget, enough, pays)
                network = _first_network(task, here, goal) if choose and not history else network
            last = goal.fraction == 1
            left = budget - spent if last else int(_BUDGET_OF_A_STAGE * (before_last - spent))
            at = task if last else way
            if last or history or not choose:
                stage, network, maxent, evaluations = _stage(at, goal, here, network, len(history), start, left)
            else:
                stage, network, maxent, evaluations = _first_of_several(at, goal, here, network, start, left)
            history.append(stage)
            spent += evaluations
            if last:
                break
            if len(history) == _MAX_STAGES:
                raise LeastworkError(
                    f"the data were not reached in {_MAX_STAGES} stages, but {goal.fraction:.0%} of the way"
                )
            n = max(min(_SAMPLES_A_STAGE, way.share(before_last - spent, network).guided), FEWEST)
            here = way.draw(n, network, f"stage {len(history)} samples")
            spent += here.evaluations
            goal = aim(here, data, start, goal.fraction, here.ess(maxent))
        _warn_of_dependence_at_end(task, network)
    task = replace(task, bound=history[-1].bound if history else None)
    return LeastWorkFit(task.guidance(network), maxent, tuple(history), spent, time.perf_counter() - begin)


def _first_network(task: _Task, here: Drawn, goal: Aim) -> nn.Module:
    """V before it is learned, with h = 0."""
    return directed_network(task.model, [task.data.observable], here.x, here.omega(goal.maxent.lambdas), task.seed)


def _own_samples(task: _Task, own: Ensemble | None, observed: Tensor | None) -> Drawn:
    """Samples of the model itself, more of them if the data are far from its averages."""
    if own is None:
        here = task.draw(own_samples(task.budget, task.steps + 1), None, "model")
    else:
        known = evaluate(task.data.observable, own.x) if observed is None else observed
        here = Drawn(own.x, known, torch.zeros(len(own), dtype=torch.float64), own.network_evaluations)
    if not needs_stages(here, task.data):
        return here
    way = task.on_the_way
    most = min(int(_BUDGET_OF_OWN * task.budget), task.budget - of_stage(0, task.steps, True, False))
    affordable = (most - here.evaluations) // (way.steps + 1)
    missing = min(_SAMPLES_A_STAGE - len(here.observed), affordable)
    if missing <= 0:
        return here
    more = way.draw(missing, None, "more of the model")
    return Drawn(
        cat([here.x, more.x]),
        torch.cat([here.observed, more.observed]),
        torch.zeros(len(here.observed) + missing, dtype=torch.float64),
        here.evaluations + more.evaluations,
    )


def _first_of_several(
    task: _Task, goal: Aim, here: Drawn, network: nn.Module, start: Tensor, left: int
) -> tuple[Stage, nn.Module, MaxEnt, int]:
    """The first stage, with V of the denoised state or of the noisy one, whichever guides a few paths better.

    At much noise D is nearly the mean of what is common, and a rare state moves it by a part in a thousand: there V is
    steep in D, but not in x_t.
    """
    if not sees_denoised(network):
        return _stage(task, goal, here, network, 0, start, left)
    tilt = here.omega(goal.maxent.lambdas)
    other = directed_network(task.model, [task.data.observable], here.x, tilt, task.seed, denoised=False)
    found: list[tuple[float, Stage, nn.Module, MaxEnt]] = []
    evaluations = 0
    for candidate in (network, other):
        stage, learned, maxent, used = _stage(task, goal, here, candidate, 0, start, left)
        pilot = task.draw(_PILOT, learned, "pilot")
        evaluations += used + pilot.evaluations
        found.append((pilot.ess(maxent), stage, learned, maxent))
    _, stage, learned, maxent = max(found, key=lambda one: one[0])
    return stage, learned, maxent, evaluations


def _stage(
    task: _Task, goal: Aim, here: Drawn, network: nn.Module, number: int, start: Tensor, left: int
) -> tuple[Stage, nn.Module, MaxEnt, int]:
    """Learn V and polish it with ``left`` network evaluations; also returns the network, λ and the evaluations used."""
    last, maxent = goal.fraction == 1, goal.maxent
    report_metrics("stage", {"number": number + 1, "fraction of the way": goal.fraction, "ess": goal.ess})
    pilot = task.pilot(left, network) if last else Pilot(0, 0)
    part = task.share(left - pilot.evaluations, network)
    if last and not part.labelled:
        part = replace(part, noised=only_noised(left, sees_denoised(network)))
    fit = _learn(task, maxent, here, network, number, last, part)
    network, evaluations = fit.network, fit.network_evaluations + pilot.evaluations
    if pilot.paths:
        seed, guidance = task.seed_of("placing the steps"), task.guidance(network)
        task = replace(task, choices=place_steps(task.model, guidance, task.choices, pilot, seed, task.progress))
    data = part_way(task.data, start, goal.fraction)
    pool = [] if number else [here]
    labels: LabelFit | None = None
    if last and part.labelled:
        sampler = task.choices.sampler(task.model, task.guidance(network))
        paths = draw_labelled(sampler, network, part.labelled, task.seed_of("labels"), task.progress)
        pool.append(task.observe(paths.x, paths.log_weight, paths.evaluations))
        evaluations += paths.evaluations
        maxent = solve_pooled(pool, data, maxent)
        labels = fit_labels(
            network, [paths], [maxent.log_tilt_of(pool[-1].observed)], seed=task.seed_of("labels"),
            progress=task.progress,
        )  # fmt: skip
        network = labels.network
        schedule, times = task.model.schedule, sampler.steps.times[:-1]
        task = replace(task, bound=paths.bound(schedule.log_snr(times)))
    polishes: list[Polish] = []
    for r in range(part.rounds if last else 0):
        assert isinstance(network, ValueNetwork)
        sampler = task.choices.sampler(task.model, task.guidance(network))
        response = draw_response(sampler, network, part.paths, task.seed_of(f"polish {number}.{r}"), task.progress)
        pool.append(task.observe(response.x, response.log_weight, response.evaluations))
        evaluations += response.evaluations
        maxent = solve_pooled(pool, data, maxent)
        binding = torch.where(maxent.lambdas != 0, maxent.model_std, 0.0)  # ignore inactive bounds
        observed = pool[-1].observed
        done = polish(network, response, maxent.log_tilt_of(observed), observed, maxent.target, binding)
        polishes.append(done)
        network = done.network
    if last and polishes and part.meeting:
        network, more = _meet_averages(task, network, maxent, polishes[-1], part)
        evaluations += more
    times = task.choices.sampler(task.model).steps.times if pilot.paths else None
    stage = Stage(goal.fraction, goal.ess, fit.history, tuple(polishes), labels, task.bound, times)
    return stage, network, maxent, evaluations


def _meet_averages(task: _Task, network: nn.Module, maxent: MaxEnt, last: Polish, part: Share) -> tuple[nn.Module, int]:
    """Correct the averages of fresh paths where they miss their targets; also returns the evaluations used.

    The last polish has met the averages on its own paths. So a miss on fresh paths has a prior variance v, which is the
    sampling variance of these paths, or m² − s² for a miss m with standard error s, whichever is larger, and the part
    v/(v + s²) of it is corrected.
    """
    assert isinstance(network, ValueNetwork)
    drawn = task.draw(part.meeting, network, "meeting the averages")
    binding = torch.where(maxent.lambdas != 0, maxent.model_std, 0.0)
    miss = off_target(drawn.log_w(maxent), drawn.observed, maxent.target, binding)
    if last.meeting is None:
        return network, drawn.evaluations
    noise = miss.stderr.square()
    prior = torch.maximum(noise * part.meeting / part.paths, miss.value.square() - noise)
    change = last.meeting @ torch.where(noise > 0, miss.value * prior / (prior + noise), 0.0)
    return network.with_head(change.reshape(-1, network.head.out_features)), drawn.evaluations


def _learn(
    task: _Task, maxent: MaxEnt, here: Drawn, network: nn.Module, number: int, last: bool, part: Share
) -> ValueFit:
    try:
        return fit_value(
            network,
            task.model,
            task.model.to_network_units(here.x),
            maxent.log_tilt_of(here.observed),
            log_weight=here.log_weight if number else None,
            reference=network if number else None,
            learning_rate=1e-3 if number else 3e-3,  # warm start: later stages take a smaller learning rate
            iterations=task.iterations if last else task.iterations // 2,
            noised=part.noised,
            seed=task.seed_of(f"stage {number}"),
            progress=task.progress,
        )
    except LearningError:
        solve(here, task.data)  # raises InfeasibleError if the data are out of reach, which is the better message
        raise


@torch.no_grad()
def _warn_of_dependence_at_end(task: _Task, network: nn.Module) -> None:
    """Warn if V at t_max still depends on x: guidance that starts from the prior then wastes work."""
    like = next(network.parameters())
    schedule = task.model.schedule
    random = generator(task.seed, "memory")
    drawn = [torch.randn(4096, *shape, generator=random).to(like) for shape in shapes(task.model.noise_shape)]
    noise: State = tuple(drawn) if len(drawn) > 1 else drawn[0]
    x = Process(task.model).prior(noise)
    with evaluating(task.model.net):
        end = task.model.denoise(x, schedule.t_max) if sees_denoised(network) else x
        variance = float(task.guidance(network).value(x, schedule.t_max, end).var())
    if variance > _MOST_VARIANCE_AT_END:
        warnings.warn(
            f"V at t_max = {schedule.t_max} has variance {variance:.3g} > {_MOST_VARIANCE_AT_END}: the state there "
            "still depends on the data, which wastes work; use a schedule with more noise at its end",
            LeastworkWarning,
            stacklevel=3,
        )

"""Least-work guidance for measured averages, near or far: learn V, go there in stages, polish, meet the averages.

Far from the model, where e^r has few effective samples, the data are approached from the model's own averages m,

    o_β = (1 − β) m + β o,      β the largest with ESS(dP/dQ · e^{r_β}) ≥ ½ ESS(dP/dQ · e^{r of the stage before}),

each stage drawing with the guidance so far and weighting by its path weights, so that λ is always that of the model
itself (annealed importance sampling; Neal, Stat. Comput. 11, 125, 2001). At β = 1 follow rounds of polish on fresh
paths; each first solves the dual again on all samples there are.
"""

import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.ensemble import Ensemble
from leastwork.errors import InfeasibleError, LeastworkError, LeastworkWarning
from leastwork.experiment import Experiment
from leastwork.fit.on_policy import Polish, Response, draw_response, polish
from leastwork.fit.value import Check, LearningError, fit_value
from leastwork.geometry.state import State, cat, event_numel
from leastwork.guidance.learned import LearnedGuidance, flatten
from leastwork.maxent import MaxEnt, fit_lambdas
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.value_network import ValueNetwork
from leastwork.observables import evaluate
from leastwork.process import Model
from leastwork.progress import Progress, no_progress
from leastwork.random import derive_seed, generator
from leastwork.sampling import LAW, make_sampler, sample
from leastwork.stepping import Sampler
from leastwork.work import kish_ess

__all__ = ["LeastWorkFit", "Stage", "learn_guidance"]

_ENOUGH = 0.5  # ESS that a stage keeps
_LAST = 0.3  # ESS with which it may go all the way
_NOTHING = 1e-7  # nats: the data agree with the model
_MEMORY = 0.01  # Var V at t_max
_MAX_STAGES = 20
_FAR_SAMPLES = 20_000  # for each stage, where there are several


@dataclass(frozen=True)
class Stage:
    """How far a stage went, with how many effective samples, and how its V was learned and polished."""

    fraction: float
    """β: of the way from the model's averages to the data."""
    ess: float
    """of e^r under the guidance before."""
    checks: tuple[Check, ...]
    polishes: tuple[Polish, ...] = ()


@dataclass(frozen=True)
class LeastWorkFit:
    """The guidance, the target it was made for, and what that took; the history has one entry a stage."""

    guidance: LearnedGuidance
    maxent: MaxEnt
    history: tuple[Stage, ...]
    network_evaluations: int
    seconds: float


@dataclass(frozen=True)
class _Drawn:
    """Samples of one guidance: states, observables (n, K), and ln dP/dQ (n,)."""

    x: State
    observed: Tensor
    log_weight: Tensor


def learn_guidance(
    model: Model,
    data: Experiment,
    *,
    seed: int = 0,
    own: Ensemble | None = None,
    network: nn.Module | None = None,
    budget: int = 5_000_000,
    rounds: int = 2,
    iterations: int = 1500,
    progress: Progress = no_progress,
    **choices: Any,
) -> LeastWorkFit:
    """Learn the guidance that meets the data with the least work.

    Args:
        model: a DiffusionModel.
        data: the experiment.
        seed: of everything random.
        own: the model's own samples, if they have been drawn already with the same choices.
        network: V(x, α, σ) of flat states in network units; by default a ValueNetwork. Another one is not polished.
        budget: network evaluations where one stage is enough: 40 % for the model's own samples, the rest for polish.
        rounds: of polish.
        iterations: of the optimiser, for each stage.
        progress: ``leastwork.progress.bar`` shows one.
        choices: process, solver, steps, t_grid, batch_size as in :func:`leastwork.sample`. A process without path
            weights (the ODE, Heun, κ ≠ 1) is fitted on Euler steps of the SDE.

    Raises:
        InfeasibleError: no reweighting reaches the data.
        LearningError: V was not learned.
        LeastworkError: a model without an SDE, or stages that come no nearer.
    """
    begin = time.perf_counter()
    if not isinstance(model, DiffusionModel):
        raise LeastworkError("a VelocityModel has no score, so no least-work guidance by values: guide by its action")
    task = _Task(model, data, seed, budget, rounds, iterations, progress, _fitting(model, choices))
    return task.run(own, network, begin)


def _fitting(model: DiffusionModel, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Choices with path weights at κ = 1, the user's own where they have them."""
    law = {name: value for name, value in choices.items() if name in LAW}
    plain = law.get("process", "sde") == "sde" and law.get("kappa") in (None, 1, 1.0)
    if plain and make_sampler(model, None, **law).steps.has_density:
        return dict(choices)
    return {**choices, "process": "sde", "kappa": None, "solver": "euler", "t_grid": "uniform"}


class _Task:
    """What the stages of one fit share; counts network evaluations."""

    def __init__(
        self,
        model: DiffusionModel,
        data: Experiment,
        seed: int,
        budget: int,
        rounds: int,
        iterations: int,
        progress: Progress,
        choices: dict[str, Any],
    ) -> None:
        self.model, self.data, self.seed, self.rounds = model, data, seed, rounds
        self.iterations, self.progress, self.choices = iterations, progress, choices
        self.law = {name: value for name, value in choices.items() if name in LAW}
        per_sample = make_sampler(model, None, **self.law).evaluations
        self.samples = min(max(int(0.4 * budget / per_sample), 8192), 20_000)
        self.paths = min(max(int(0.6 * budget / per_sample / max(rounds, 1)), 4096), 10_000)
        self.evaluations = 0

    def run(self, own: Ensemble | None, network: nn.Module | None, begin: float) -> LeastWorkFit:
        own = own or self.draw(self.samples, None, "model")
        self.evaluations += own.network_evaluations
        here = _Drawn(own.x, evaluate(self.data.observable, own.x), torch.zeros(len(own), dtype=torch.float64))
        if len(own) < _FAR_SAMPLES and _farness(here, self.data) < _LAST:
            self.samples = _FAR_SAMPLES
            here = self.more(here)
        start = here.observed.mean(dim=0)
        history: list[Stage] = []
        keep, reached = 1.0, 0.0
        while True:
            fraction, maxent, ess = _reach(here, self.data, start, reached, _ENOUGH * keep)
            if network is None:
                network = self.first_network(here, maxent)
            guidance = LearnedGuidance(network, self.model.schedule)
            if fraction == 1 and maxent.kl < _NOTHING:
                break
            try:
                learned = self.learn(network, here, maxent, len(history))
            except LearningError:
                _solve(here, self.data)  # if the data are out of reach, that is what is wrong
                raise
            guidance = LearnedGuidance(learned[0], self.model.schedule)
            stage = Stage(fraction, ess, learned[1])
            last = fraction == 1
            pool = [here] if not history else []
            guidance, maxent, polishes, drawn = self.finish(guidance, maxent, pool, len(history), last, fraction, start)
            history.append(replace(stage, polishes=polishes))
            if last:
                break
            if len(history) == _MAX_STAGES:
                raise LeastworkError(
                    f"the data were not reached in {_MAX_STAGES} stages, but {fraction:.0%} of the way"
                )
            assert drawn is not None
            here, reached, network = drawn, fraction, guidance.network
            keep = kish_ess(here.log_weight + maxent.log_tilt_of(here.observed)).value
        self.check_memory(guidance)
        return LeastWorkFit(guidance, maxent, tuple(history), self.evaluations, time.perf_counter() - begin)

    def draw(self, n: int, guidance: LearnedGuidance | None, purpose: str) -> Ensemble:
        seed = derive_seed(self.seed, purpose)
        return sample(self.model, n, guidance, seed=seed, progress=self.progress, **self.choices)

    def more(self, here: _Drawn) -> _Drawn:
        """As many of the model's own samples as a distant target takes."""
        extra = self.draw(_FAR_SAMPLES - len(here.observed), None, "more of the model")
        self.evaluations += extra.network_evaluations
        observed = torch.cat([here.observed, evaluate(self.data.observable, extra.x)])
        return _Drawn(cat([here.x, extra.x]), observed, torch.zeros(len(observed), dtype=torch.float64))

    def first_network(self, here: _Drawn, maxent: MaxEnt) -> ValueNetwork:
        """A network that knows the data's scale, and along which direction the tilt moves their mean."""
        x0 = self.flat(here.x)
        network = ValueNetwork(x0.shape[1], seed=derive_seed(self.seed, "network")).to(x0)
        network.standardise(x0.mean(dim=0), x0.std(dim=0))
        w = len(x0) * torch.softmax(maxent.log_tilt_of(here.observed), dim=0)
        direction = ((w - 1).to(x0) @ ((x0 - network.mean) / network.std)) / len(x0)
        if float(direction.norm()) > 0:
            network.look_along(direction, generator(self.seed, "direction"))
        return network

    def learn(
        self, network: nn.Module, here: _Drawn, maxent: MaxEnt, stage: int
    ) -> tuple[nn.Module, tuple[Check, ...]]:
        fit = fit_value(
            network,
            self.model.schedule,
            self.flat(here.x),
            here.log_weight + maxent.log_tilt_of(here.observed),
            reference=network if stage else None,
            learning_rate=1e-3 if stage else 3e-3,  # it starts from what it knows
            iterations=self.iterations,
            seed=derive_seed(self.seed, f"stage {stage}"),
            progress=self.progress,
        )
        return fit.network, fit.history

    def finish(
        self,
        guidance: LearnedGuidance,
        maxent: MaxEnt,
        pool: list[_Drawn],
        stage: int,
        last: bool,
        fraction: float,
        start: Tensor,
    ) -> tuple[LearnedGuidance, MaxEnt, tuple[Polish, ...], _Drawn | None]:
        """Polish on fresh paths: all rounds at the last stage, one before; and the samples for the next stage."""
        polishes: list[Polish] = []
        drawn: _Drawn | None = None
        data = _part_way(self.data, start, fraction)
        if isinstance(guidance.network, ValueNetwork):
            for r in range(self.rounds if last else 1):
                seed = derive_seed(self.seed, f"polish {stage}.{r}")
                response = draw_response(self.sampler(guidance), self.paths, seed)
                self.evaluations += response.evaluations
                drawn = _Drawn(response.x, evaluate(self.data.observable, response.x), response.log_weight)
                pool.append(drawn)
                maxent = _pooled(pool, data, maxent)
                done = self.polish(guidance, response, drawn, maxent)
                polishes.append(done)
                guidance = LearnedGuidance(done.network, self.model.schedule)
        if last:
            return guidance, maxent, tuple(polishes), None
        fresh = self.draw(self.samples, guidance, f"stage {stage} samples")
        self.evaluations += fresh.network_evaluations
        observed = evaluate(self.data.observable, fresh.x)
        return guidance, maxent, tuple(polishes), _Drawn(fresh.x, observed, fresh.log_weight)

    def polish(self, guidance: LearnedGuidance, response: Response, drawn: _Drawn, maxent: MaxEnt) -> Polish:
        network = guidance.network
        assert isinstance(network, ValueNetwork)
        binding = torch.where(maxent.lambdas != 0, maxent.model_std, 0.0)  # a bound that does not bind asks nothing
        return polish(network, response, maxent.log_tilt_of(drawn.observed), drawn.observed, maxent.target, binding)

    def sampler(self, guidance: LearnedGuidance) -> Sampler:
        return make_sampler(self.model, guidance, **self.law)

    def flat(self, x: State) -> Tensor:
        """Network units, (n, d), in the dtype of the network that is guided."""
        return flatten(self.model.to_network_units(x))

    @torch.no_grad()
    def check_memory(self, guidance: LearnedGuidance) -> None:
        """Warn where V at t_max still depends on x, so that no guidance can start from the prior without waste."""
        like = next(guidance.network.parameters())
        schedule = self.model.schedule
        shape = (4096, event_numel(self.model.event_shape))
        noise = torch.randn(shape, generator=generator(self.seed, "memory")).to(like)
        t = torch.tensor(schedule.t_max, dtype=torch.float64)
        alpha, sigma = schedule.alpha(t).to(like), schedule.sigma(t).to(like)
        variance = float(guidance.network(sigma * noise, alpha, sigma).var())
        if variance > _MEMORY:
            warnings.warn(
                f"V at t_max = {schedule.t_max} has variance {variance:.3g} > {_MEMORY}: the noise there still knows "
                "the data, and work is wasted for that; use a schedule with more noise at its end",
                LeastworkWarning,
                stacklevel=4,
            )


def _part_way(data: Experiment, start: Tensor, fraction: float) -> Experiment:
    """The data, moved back towards averages ``start`` (K,)."""
    if fraction == 1:
        return data
    lower, upper = data.interval
    shift = (1 - fraction) * (start - torch.minimum(torch.maximum(start, lower), upper))
    return replace(data, values=data.values + shift, lower=data.lower + shift, upper=data.upper + shift)


def _solve(here: _Drawn, data: Experiment) -> tuple[MaxEnt, float]:
    """λ on weighted samples, and the ESS of dP/dQ · e^r."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)
        maxent = fit_lambdas(here.observed, data, here.log_weight)
    return maxent, kish_ess(here.log_weight + maxent.log_tilt_of(here.observed)).value


def _farness(here: _Drawn, data: Experiment) -> float:
    """ESS of e^r for the data themselves, 0 where the samples cannot reach them."""
    try:
        return _solve(here, data)[1]
    except InfeasibleError:
        return 0.0


def _reach(here: _Drawn, data: Experiment, start: Tensor, reached: float, enough: float) -> tuple[float, MaxEnt, float]:
    """The farthest fraction β of the way whose tilt keeps ``enough`` effective samples, by bisection."""
    try:
        maxent, ess = _solve(here, data)
        if ess >= enough * _LAST / _ENOUGH:
            return 1.0, maxent, ess
    except InfeasibleError:
        pass
    low, high, best = reached, 1.0, None
    for _ in range(12):
        middle = 0.5 * (low + high)
        try:
            maxent, ess = _solve(here, _part_way(data, start, middle))
        except InfeasibleError:
            high = middle
            continue
        if ess >= enough:
            low, best = middle, (middle, maxent, ess)
        else:
            high = middle
    if best is None or best[0] < reached + 1e-3 * (1 - reached):
        _solve(here, data)  # says what is out of reach
        raise LeastworkError(
            f"guidance in stages stalls at {reached:.1%} of the way from the model's averages to the data: "
            "draw more samples, use more steps, or give the data larger errors"
        )
    return best


def _pooled(pool: list[_Drawn], data: Experiment, maxent: MaxEnt) -> MaxEnt:
    """λ on samples of several guidances, each with a share in proportion to its effective number."""
    parts = []
    for drawn in pool:
        effective = len(drawn.observed) * kish_ess(drawn.log_weight + maxent.log_tilt_of(drawn.observed)).value
        parts.append(torch.log_softmax(drawn.log_weight, dim=0) + math.log(effective))
    joined = torch.cat([drawn.observed for drawn in pool])
    return fit_lambdas(joined, data, torch.cat(parts))

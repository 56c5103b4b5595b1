"""The methods of Observable Guidance, by the names that calls and run files use.

A method is a frozen dataclass of its own settings. Register one of your own by ``register_method("mine", Mine)``, where

    @dataclass(frozen=True)
    class Mine(ObservableMethod):
        strength: float = 1.0

        def fit(self, problem: Problem) -> Outcome: ...
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.errors import LeastworkError
from leastwork.fit.methods import Method, Registry, Told, setting
from leastwork.fit.result import Fit
from leastwork.guidance.base import Guidance
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.models.base import Model, is_scored
from leastwork.models.denoised import check_gradient
from leastwork.models.latents import check_decoder_gradient
from leastwork.networks.control import ControlNetwork
from leastwork.observable_guidance.adjoint_matching import match_adjoint
from leastwork.observable_guidance.least_action import learn_control
from leastwork.observable_guidance.least_work import learn_guidance
from leastwork.observable_guidance.objective import Objective
from leastwork.observable_guidance.ram import match_reward
from leastwork.observable_guidance.scheduled import Search, fit_schedule
from leastwork.observable_guidance.search import gaussian_process_search
from leastwork.observable_guidance.trust_region import match_variance
from leastwork.observables import check_differentiable
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.support.numerals import count, plain
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = [
    "METHODS",
    "AdjointMatching",
    "LeastWork",
    "Loss",
    "ObservableMethod",
    "Outcome",
    "Problem",
    "RewardMatching",
    "Reweight",
    "Scheduled",
    "TrustRegion",
    "register_method",
]

_BUDGET = 5_000_000


@dataclass(frozen=True, eq=False)
class Problem:
    """The input of a method.

    Args:
        model: the model that is guided.
        data: the experiment.
        own: the model's own samples.
        observed: the observables of ``own``, float64 (n, K).
        choices: process, solver and steps with which samples are drawn.
        seed: seed of all random numbers.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
    """

    model: Model
    data: Experiment
    own: Ensemble
    observed: Tensor
    choices: Choices
    seed: int = 0
    progress: Progress = no_progress


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of a method.

    Args:
        maxent: λ and the target.
        guidance: h, or None if the method only reweights.
        fit: the record of how the guidance was found, or None if there was nothing to search for.
        network_evaluations: number of network evaluations of the whole fit, the model's own samples included.
        times: times at which the fit has placed the steps, (S + 1,), or None where they are as chosen.
    """

    maxent: MaxEnt
    guidance: Guidance | None
    fit: Fit | None
    network_evaluations: int
    times: Tensor | None = None


class ObservableMethod(Method):
    """A way to meet averages: a frozen dataclass of its settings.

    Attributes:
        finds_lambdas: True for a method that finds λ again from guided paths on the way to the target.
        budget: network evaluations, of which about a third pays for the model's own samples.
    """

    finds_lambdas: ClassVar[bool] = False
    budget: int = _BUDGET

    @abstractmethod
    def fit(self, problem: Problem) -> Outcome:
        """Find λ and the guidance."""


def _budget() -> Any:
    return setting(_BUDGET, "the number of network evaluations that least-work may spend, at least 1", ge=1)


@dataclass(frozen=True)
class LeastWork(ObservableMethod):
    """h = ∇V learned from the model's own samples, in stages where the data are far, and on guided paths.

    A VelocityModel has no score; for it the method fits the added velocity of least kinetic action.

    Args:
        budget: largest number of network evaluations of the fit.
        iterations: number of optimiser steps, by default 1500.
        network: V(x, α, σ) of flat states in network units; by default a ``ValueNetwork``.
    """

    budget: int = _budget()
    iterations: int | None = setting(
        None, "the number of steps of the optimiser, for least-work, at least 2, or left out", ge=2
    )
    network: nn.Module | None = field(default=None, metadata={"hidden": True})

    finds_lambdas: ClassVar[bool] = True
    remedy: ClassVar[str] = "take a larger fit.budget, or more sampling.steps"

    @property
    def most_evaluations(self) -> int | None:
        return self.budget

    def fit(self, problem: Problem) -> Outcome:
        shared: dict[str, Any] = {
            key: getattr(problem, key) for key in ("seed", "own", "observed", "progress", "choices")
        }
        if not problem.model.has_score:
            network = self.network
            if network is not None and not isinstance(network, ControlNetwork):
                raise LeastworkError(
                    "the control of a VelocityModel is a ControlNetwork: leave out network=, or pass one"
                )
            if self.iterations is not None:
                raise LeastworkError(
                    f"iterations={self.iterations} is for a model with a score, and the control of a VelocityModel "
                    "has its own number: leave it out"
                )
            check_differentiable(problem.data.observable, "the control of a VelocityModel")
            control = learn_control(problem.model, problem.data, network=network, **shared)
            return Outcome(control.maxent, control.guidance, control, control.network_evaluations)
        found = learn_guidance(
            problem.model, problem.data, network=self.network, budget=self.budget, iterations=self.iterations, **shared
        )
        return Outcome(found.maxent, found.guidance, found, found.network_evaluations, found.times)

    def sentence(self, told: Told) -> str:
        if told.kind == "control":
            return (
                "To the velocity of the flow was added a control of least kinetic action under which the averages are "
                "those of the target, a network fitted through the solver."
            )
        if not told.stages:
            return ""
        n = len(told.stages)
        way = "in one stage" if n == 1 else f"in {n} stages, chosen by effective sample size"
        return (
            "The score was shifted by h = ∇V, where V(x, t) = ln E[exp(−λ·O) | x_t = x] was learned from the model's "
            f"own samples {way}, and polished on guided paths by least squares on their log-weights, with the averages "
            "as a constraint."
        )

    def table(self, told: Told) -> list[tuple[str, str]]:
        return [] if told.kind == "control" else [("budget", f"{count(self.budget)} network evaluations")]


@dataclass(frozen=True)
class Scheduled(ObservableMethod):
    """The published form h = −η(t) Σ λ_k ∇O_k(D), its schedule fitted to mismatch + γ·work.

    Args:
        budget: number of network evaluations; a third of them pays for the model's own samples, unless the number of
            these is given.
        fit_samples: number of samples in each evaluation of the schedule's objective.
        gamma: price of a nat of work, in squared standard deviations of the observables.
        jacobian: whether to differentiate O(D(x, t)) through the network.
        search: "gradient", "gaussian-process", or a derivative-free search of your own.
        calls: number of evaluations of a Gaussian-process search.
    """

    budget: int = _budget()
    fit_samples: int = setting(10_000, "the number of samples in one evaluation, at least 2", ge=2)
    gamma: float = setting(1e-3, "the price of a nat of work, 0 or more", ge=0, allow_inf_nan=False)
    jacobian: bool = setting(False, "true to differentiate through the network, or false")
    search: Literal["gradient", "gaussian-process"] | Search = field(
        default="gradient",
        metadata={"description": "a search of the schedule", "form": Literal["gradient", "gaussian-process"]},
    )
    calls: int = setting(256, "the number of evaluations of a Gaussian-process search, at least 1", ge=1)

    remedy: ClassVar[str] = "use method: least-work, another fit.gamma or more sampling.steps"

    def fit(self, problem: Problem) -> Outcome:
        maxent = fit_lambdas(problem.observed, problem.data)
        start = _denoised_gradient(problem, maxent, self.jacobian, "scheduled")
        search: Search | None = None if isinstance(self.search, str) else self.search
        if self.search == "gaussian-process":
            search = gaussian_process_search(self.calls, seed=derive_seed(problem.seed, "search"))
        data = problem.data
        objective = Objective(
            problem.model, data.observable, maxent.target, maxent.model_std, data.fitted, self.gamma, problem.choices
        )
        found = fit_schedule(
            objective, start, n=self.fit_samples, seed=problem.seed, search=search, progress=problem.progress
        )
        evaluations = problem.own.network_evaluations + found.network_evaluations
        return Outcome(maxent, found.guidance, found, evaluations)

    def sentence(self, told: Told) -> str:
        parameters = ""
        if all(isinstance(told.parameters.get(key), int | float) for key in ("strength", "decay")):
            a, b = (plain(told.parameters[key]) for key in ("strength", "decay"))
            parameters = f" with a = {a} and b = {b}"
        derivative = "∇O(D(x, t)) taken through the network" if self.jacobian else "∇O at the denoised estimate D"
        return (
            f"The score was shifted by h = −a·exp(−bt)·Σ λ ∇O(D), {derivative} (Kolloff et al., "
            f"arXiv:2505.13375){parameters}, fitted to the squared mismatch plus γ = {plain(self.gamma)} times the "
            "work on samples that were not used again."
        )

    def table(self, told: Told) -> list[tuple[str, str]]:
        how = self.search if isinstance(self.search, str) else "of your own"
        how = f"{how}, {self.calls} calls" if how == "gaussian-process" else how
        rows = [
            ("search", f"{how}, {count(self.fit_samples)} samples an evaluation"),
            ("γ", plain(self.gamma)),
            ("through the network", "yes" if self.jacobian else "no"),
        ]
        return rows + [
            (name, plain(told.parameters[key]))
            for name, key in (("strength a", "strength"), ("decay b", "decay"))
            if isinstance(told.parameters.get(key), int | float)
        ]


@dataclass(frozen=True)
class Loss(ObservableMethod):
    """h = −Σ λ_k ∇ₓO_k(D(x, t)), the gradient of the tilt at the denoised estimate."""

    budget: int = _budget()

    def fit(self, problem: Problem) -> Outcome:
        maxent = fit_lambdas(problem.observed, problem.data)
        guidance = _denoised_gradient(problem, maxent, True, "loss")
        return Outcome(maxent, guidance, None, problem.own.network_evaluations)

    def sentence(self, told: Told) -> str:
        return "The score was shifted by h = −Σ λ ∇ₓO(D(x, t)), the gradient of the tilt at the denoised estimate."


@dataclass(frozen=True)
class AdjointMatching(ObservableMethod):
    """h = ∇V learned on guided paths alone, without samples of the model."""

    budget: int = _budget()

    choices: ClassVar[Mapping[str, Any]] = {"solver": "exponential"}  # adjoints need steps that use one state only

    def fit(self, problem: Problem) -> Outcome:
        maxent = fit_lambdas(problem.observed, problem.data)
        tilt = maxent.log_tilt(problem.data.observable)
        check_differentiable(problem.data.observable, "method='adjoint-matching'")
        check_decoder_gradient(problem.model, problem.own.x, "adjoint-matching")
        if is_scored(problem.model):
            check_gradient(problem.model, problem.own.x)
        found = match_adjoint(
            problem.model, tilt, seed=problem.seed, progress=problem.progress, choices=problem.choices
        )
        return Outcome(maxent, found.guidance, found, problem.own.network_evaluations + found.network_evaluations)

    def sentence(self, told: Told) -> str:
        return "The score was shifted by h = ∇V, V learned on guided paths by adjoint matching (arXiv:2409.08861)."


@dataclass(frozen=True)
class RewardMatching(ObservableMethod):
    """h = ∇V regressed on the reward of re-noised endpoints of guided paths; observables are never differentiated.

    Args:
        budget: a third of it pays for the model's own samples, unless their number is given.
        rounds: number of rounds, each with new endpoints.
        learning_rate: largest learning rate; rewards that differ by tens of nats take a tenth of the default.
    """

    budget: int = _budget()
    rounds: int = setting(40, "the number of rounds, each with new endpoints, at least 1", ge=1)
    learning_rate: float = setting(3e-3, "the largest learning rate, above 0", gt=0, allow_inf_nan=False)

    def fit(self, problem: Problem) -> Outcome:
        maxent = fit_lambdas(problem.observed, problem.data)
        tilt = maxent.log_tilt(problem.data.observable)
        found = match_reward(
            problem.model, tilt, seed=problem.seed, rounds=self.rounds, learning_rate=self.learning_rate,
            progress=problem.progress, choices=problem.choices,
        )  # fmt: skip
        evaluations = problem.own.network_evaluations + found.network_evaluations
        return Outcome(maxent, found.guidance, found, evaluations)

    def sentence(self, told: Told) -> str:
        return (
            "The score was shifted by h = ∇V, V learned from the reward of re-noised endpoints of its own paths by "
            "reinforce adjoint matching (arXiv:2605.10759)."
        )


@dataclass(frozen=True)
class TrustRegion(ObservableMethod):
    """h = ∇V from the variance of log-weights of its own paths, towards the target by steps of bounded divergence.

    Args:
        budget: a third of it pays for the model's own samples, unless their number is given.
        rounds: number of steps, each with new paths.
        bound: largest divergence of one step, nats.
    """

    budget: int = _budget()
    rounds: int = setting(40, "the number of steps, each with new paths, at least 1", ge=1)
    bound: float = setting(0.1, "the largest divergence of a step, 0.0001 nats or more", ge=1e-4, allow_inf_nan=False)

    choices: ClassVar[Mapping[str, Any]] = {"solver": "exponential"}  # the kept paths need steps without memory

    def fit(self, problem: Problem) -> Outcome:
        maxent = fit_lambdas(problem.observed, problem.data)
        found = match_variance(
            problem.model, maxent.log_tilt(problem.data.observable), seed=problem.seed, rounds=self.rounds,
            bound=self.bound, progress=problem.progress, choices=problem.choices,
        )  # fmt: skip
        evaluations = problem.own.network_evaluations + found.network_evaluations
        return Outcome(maxent, found.guidance, found, evaluations)

    def sentence(self, told: Told) -> str:
        return (
            f"The score was shifted by h = ∇V, V learned from the variance of the log-weights of its own paths in "
            f"{count(self.rounds)} steps of at most {plain(self.bound)} nats each (arXiv:2508.12511)."
        )


@dataclass(frozen=True)
class Reweight(ObservableMethod):
    """No guidance: weights on the model's own samples."""

    budget: int = _budget()

    guides: ClassVar[bool] = False

    def fit(self, problem: Problem) -> Outcome:
        maxent = fit_lambdas(problem.observed, problem.data)
        return Outcome(maxent, None, None, problem.own.network_evaluations)


def _denoised_gradient(problem: Problem, maxent: MaxEnt, through: bool, name: str) -> ScheduledGuidance:
    """h = −Σ λ_k ∇O_k(D), differentiated through the network if ``through``."""
    model = problem.model
    if model.has_rotations:
        raise LeastworkError(f"method={name!r} cannot guide a model of frames: use 'least-work' or 'reweight'")
    check_differentiable(problem.data.observable, f"method={name!r}")
    if through and is_scored(model):
        check_gradient(model, problem.own.x)
    check_decoder_gradient(model, problem.own.x, name)
    return ScheduledGuidance(problem.data.observable, maxent.lambdas, 1.0, 0.0, through, model.units)


METHODS: Registry[ObservableMethod] = Registry(ObservableMethod)

register_method = METHODS.add
"""Register a method of your own: its name, and its class; see :meth:`leastwork.fit.methods.Registry.add`."""

register_method("least-work", LeastWork)
register_method("scheduled", Scheduled)
register_method("loss", Loss)
register_method("adjoint-matching", AdjointMatching)
register_method("ram", RewardMatching)
register_method("trust-region", TrustRegion)
register_method("reweight", Reweight)

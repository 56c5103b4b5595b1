"""The methods of Path Guidance, by the names that calls and run files use.

A method is a frozen dataclass of its own settings. Register one of your own by ``register_method("mine", Mine)``, where

    @dataclass(frozen=True)
    class Mine(PathGuidanceMethod):
        strength: float = 1.0

        def fit(self, problem: PathProblem) -> PathOutcome: ...
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from leastwork.fit.methods import Method, Registry, Told, hidden, setting
from leastwork.fit.result import Fit
from leastwork.geometry.state import State
from leastwork.guidance.base import Guidance
from leastwork.kernels.density import KernelDensity
from leastwork.kernels.flat import EuclideanKernel
from leastwork.kernels.region import Membership
from leastwork.models.base import Scored
from leastwork.models.denoised import check_gradient
from leastwork.models.latents import check_decoder_gradient, latent_decoder
from leastwork.path_guidance.least_work import learn_region
from leastwork.path_guidance.published import Form, fit_path, loss_form, transported_form
from leastwork.sampling.choices import Choices
from leastwork.sampling.ensemble import Ensemble
from leastwork.sampling.sample import draw
from leastwork.sampling.work import log_odds
from leastwork.support.arguments import number, refused
from leastwork.support.numerals import count, fraction, plain
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed

__all__ = [
    "BUDGET",
    "PATH_METHODS",
    "LeastWork",
    "Loss",
    "PathGuidanceMethod",
    "PathOutcome",
    "PathProblem",
    "Transported",
    "register_method",
]

BUDGET = 20_000_000
"""Largest number of network evaluations of a least-work fit, unless another is given."""


@dataclass(frozen=True, eq=False)
class PathProblem:
    """The input of a method.

    Args:
        model: the model that is guided.
        guides: the guiding structures with their kernel and bandwidth.
        region: membership in A of samples in data units, (B, *event) -> bool (B,).
        points: the guiding structures, (M, *event), data units.
        own: the model's own samples.
        choices: process, solver and steps with which samples are drawn.
        seed: seed of all random numbers.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
    """

    model: Scored
    guides: KernelDensity
    region: Membership
    points: State
    own: Ensemble
    choices: Choices
    seed: int = 0
    progress: Progress = no_progress


@dataclass(frozen=True, eq=False)
class PathOutcome:
    """The result of a method.

    Args:
        guidance: h.
        log_odds: L of the target p·e^{L 1_A}/Z; 0 if no guided sample reaches A.
        target: the share of the target in A.
        fit: the record of how the guidance was found.
        network_evaluations: number of network evaluations of the whole fit, the model's own samples included.
        times: times at which the fit has placed the steps, (S + 1,), or None where they are as chosen.
    """

    guidance: Guidance
    log_odds: float
    target: float
    fit: Fit
    network_evaluations: int
    times: Tensor | None = None


class PathGuidanceMethod(Method):
    """A way into a region: a frozen dataclass of its settings.

    Attributes:
        frames: True for a method that can also guide a FrameModel.
        budget: largest number of network evaluations of the fit, or None for the usual number.
    """

    frames: ClassVar[bool] = False
    budget: int | None = None

    @property
    def most_evaluations(self) -> int | None:
        return self.budget

    @abstractmethod
    def fit(self, problem: PathProblem) -> PathOutcome:
        """Find the guidance."""


def _budget() -> Any:
    return setting(None, "the network evaluations that the fit may spend, at least 1, or left out", ge=1)


@dataclass(frozen=True)
class LeastWork(PathGuidanceMethod):
    """h = ∇V, learned from members of A, which noising and denoising finds from the guides, and on guided paths.

    Args:
        budget: largest number of network evaluations of the fit; by default 20 million.
        success: the share of the target in A, below one.
    """

    budget: int | None = _budget()
    success: float = hidden(0.99)

    frames: ClassVar[bool] = True
    remedy: ClassVar[str] = "give more guides, a larger fit.budget, or more sampling.steps"

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = "give a share between 0 and 1; with all of the target in A each miss would be infinite"
        if not 0 < number("success", self.success, remedy) < 1:
            raise refused("success", self.success, remedy)

    @property
    def most_evaluations(self) -> int | None:
        return self.budget or BUDGET

    def fit(self, problem: PathProblem) -> PathOutcome:
        focus = isinstance(problem.guides.kernel, EuclideanKernel)  # other kernels do not compare coordinates
        found = learn_region(
            problem.model, problem.region, problem.points, problem.own, focus=focus, success=self.success,
            seed=problem.seed, budget=self.budget or BUDGET, progress=problem.progress, choices=problem.choices,
        )  # fmt: skip
        return PathOutcome(found.guidance, found.log_odds, self.success, found, found.network_evaluations, found.times)

    def sentence(self, told: Told) -> str:
        found = told.stages[0]
        rounds = [one for one in found["rounds"] if one["variance"] is not None]
        late = (
            f", and from a log-SNR of {plain(found['handover'])} by the gradient of the logarithm of the probability "
            "of A under a Gaussian with the moments of its coordinate given x_t"
            if found["handover"] is not None
            else ""
        )
        return (
            "The score was shifted by h = ∇V, where V(x, t) = ln E[exp(r) | x_t = x] and r is constant in A, such that "
            f"{fraction(self.success)} of the target lie there. V was learned as the log-ratio of noised samples of "
            f"the model and of {count(found['members'])} members of A, which chains of noising and denoising with "
            f"acceptance in A ({fraction(found['acceptance'])} of the moves) found from the guides, and then on the "
            f"states of {count(sum(one['paths'] for one in rounds))} guided paths, by what was left of their "
            f"ln dP/dQ + r{late}."
        )

    def table(self, told: Told) -> list[tuple[str, str]]:
        return [("share asked for", fraction(self.success))]


@dataclass(frozen=True)
class _Published(PathGuidanceMethod):
    """A published form, whose parameters are searched for.

    Args:
        budget: largest number of network evaluations of the fit, or None for what the search takes.
        gamma: price of a nat of work, in units of the success rate.
    """

    budget: int | None = _budget()
    gamma: float = setting(
        0.01, "the price of a nat of work in units of the success rate, 0 or more", ge=0, allow_inf_nan=False
    )

    words: ClassVar[str]
    evaluations_a_step: ClassVar[int] = 1
    """Network evaluations in one guided step, counting a product with the network's Jacobian as one more."""

    def sentence(self, told: Told) -> str:
        return (
            f"The score was shifted by a multiple of {self.words} (Kolloff et al., arXiv:2505.13375), its parameters "
            f"fitted to (1 − success) plus γ = {plain(self.gamma)} times the work on samples that were not used again."
        )

    def table(self, told: Told) -> list[tuple[str, str]]:
        return [("γ", plain(self.gamma)), ("parameters tried", count(told.trials))]

    def _search(self, problem: PathProblem, form: Form) -> PathOutcome:
        """Fit the parameters, then draw fresh samples for the share in A that they reach."""
        own = problem.own
        target = self.evaluations_a_step * own.network_evaluations  # for as many fresh samples as the model's own
        left = None if self.budget is None else self.budget - own.network_evaluations - target
        found = fit_path(
            problem.model, problem.region, form, gamma=self.gamma, seed=problem.seed, budget=left,
            progress=problem.progress, choices=problem.choices,
        )  # fmt: skip
        drawn = draw(
            problem.model, len(own), problem.choices, found.guidance, seed=derive_seed(problem.seed, "target"),
            progress=problem.progress,
        )  # fmt: skip
        inside, log_weight = problem.region(drawn.x).to(torch.float64), drawn.log_weight.to(torch.float64)
        success, odds = _target_of_samples(inside, log_weight)
        evaluations = own.network_evaluations + drawn.network_evaluations + found.network_evaluations
        return PathOutcome(found.guidance, odds, success, found, evaluations)


@dataclass(frozen=True)
class Transported(_Published):
    """The published form: kernels around guides that the probability-flow ODE carries forward; see its base class."""

    words: ClassVar[str] = (
        "the gradient of the logarithmic kernel density of the guides, carried forward by the probability-flow ODE"
    )

    def fit(self, problem: PathProblem) -> PathOutcome:
        return self._search(problem, transported_form(problem.model, problem.guides, problem.choices))


@dataclass(frozen=True)
class Loss(_Published):
    """The gradient of the guides' log-kernel at the denoised estimate; see its base class."""

    words: ClassVar[str] = "the gradient of the guides' logarithmic kernel density at the denoised estimate D(x, t)"
    evaluations_a_step: ClassVar[int] = 2

    def fit(self, problem: PathProblem) -> PathOutcome:
        check_gradient(problem.model, problem.own.x)
        if latent_decoder(problem.model) is None:  # otherwise guides are compared as latents
            check_decoder_gradient(problem.model, problem.own.x, "loss")
        return self._search(problem, loss_form(problem.model, problem.guides))


def _target_of_samples(inside: Tensor, log_weight: Tensor) -> tuple[float, float]:
    """Target of a guidance that has no target of its own: its share s of samples in A, and L from s and p(A).

    If no sample is in A, L is 0 and the efficiency is not defined.
    """
    n = len(inside)
    success = min(float(inside.mean()), 1 - 0.5 / n)  # a share of 1 cannot be told from 1 − 1/2n by n samples
    probability = float((log_weight.exp() * inside).mean())
    if not 0 < probability < 1:
        return success, 0.0
    return success, log_odds(probability, success)


PATH_METHODS: Registry[PathGuidanceMethod] = Registry(PathGuidanceMethod)

register_method = PATH_METHODS.add
"""Register a method of your own: its name, and its class; see :meth:`leastwork.fit.methods.Registry.add`."""

register_method("least-work", LeastWork)
register_method("transported", Transported)
register_method("loss", Loss)

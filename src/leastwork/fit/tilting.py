"""Guidance to measured averages by a copy of the model that was fine-tuned to p·e^{−λ·O}/Z, and by a value network.

    h = ½ (s_λ − s) + ½ ∇V          s_λ the score of the model's own samples, weighted by e^{−λ·O}/Z

A V of its own has to learn from samples what the model already knows: which noisy state becomes which structure. The
copy starts with that knowledge (:mod:`leastwork.fit.tuning`), but nothing makes its h a gradient. V is learned first
(:mod:`leastwork.fit.value`) and is the copy's control variate. Both estimate the same h, with errors that have little
in common but the samples, so that their mean is nearer to it than either.

What is learned from finite samples falls a little short of the data. So fresh guided samples, with their weights, join
the pool, and the copy goes on to a λ′ by which their own averages would meet the data, λ′ = λ + 2 Cov_Q(O)⁻¹ (E_Q[O] −
target), twice the step of Newton, since V stays; the target itself, and all that is judged by it, stays at λ.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.ensemble import Ensemble
from leastwork.errors import LeastworkError
from leastwork.experiment import Experiment
from leastwork.fit.approach import Drawn, joined, pooled, solve
from leastwork.fit.network import directed_network
from leastwork.fit.tuning import fine_tune
from leastwork.fit.value import fit_value
from leastwork.guidance.base import Guidance
from leastwork.guidance.learned import LearnedGuidance
from leastwork.guidance.tuned import TunedGuidance
from leastwork.maxent import MaxEnt
from leastwork.models.diffusion import DiffusionModel
from leastwork.observables import evaluate
from leastwork.progress import Progress, no_progress
from leastwork.random import derive_seed
from leastwork.sampling import sample

__all__ = ["TiltFit", "TiltRound", "tune_to_data"]

_STEPS = 60  # of a path that is only learned from, at most
_LEAST = 0.02  # ESS of the tilt under the model
_BATCH = 512
_SHARE = 0.5  # of the budget, for samples to learn from
_RANGE = 8192, 400_000  # of their number
_GUIDED = 8192
_TWICE = 2.0  # of a change of the copy only half arrives
_VALUE = 4000  # iterations of V


@dataclass(frozen=True)
class TiltRound:
    """Before a round, on fresh guided samples: (E_Q[O] − target)/σ_O, (K,), and the ESS of the target."""

    miss: Tensor
    ess: float


@dataclass(frozen=True)
class TiltFit:
    """The guidance, the target it was made for, and what that took."""

    guidance: Guidance
    maxent: MaxEnt
    history: tuple[TiltRound, ...]
    network_evaluations: int
    seconds: float


def tune_to_data(
    model: DiffusionModel,
    data: Experiment,
    own: Ensemble,
    *,
    seed: int = 0,
    budget: int = 5_000_000,
    iterations: int = 12_000,
    rounds: int = 1,
    progress: Progress = no_progress,
    **choices: Any,
) -> TiltFit:
    """Learn the guidance that meets the data with the least work, by a copy of the model.

    Args:
        model: a DiffusionModel whose network is an ``nn.Module``.
        data: the experiment.
        own: the model's own samples, which fix λ.
        seed: of everything random.
        budget: network evaluations, half of them for samples to learn from, of 60 steps at most, and the rest for the
            optimiser, whose every sample counts three.
        iterations: of the first fine-tuning, at most; of a round, half as many.
        rounds: of guided samples that join the pool, until their averages meet the data.
        progress: ``leastwork.progress.bar`` shows one.
        choices: as in :func:`leastwork.sample`.

    Raises:
        InfeasibleError: no reweighting reaches the data.
        LearningError: V was not learned.
        LeastworkError: a network that cannot be tuned, or data too far for one stage.
    """
    begin = time.perf_counter()
    observed = evaluate(data.observable, own.x)
    here = Drawn(own.x, observed, torch.zeros(len(own), dtype=torch.float64), own.network_evaluations)
    maxent = solve(here, data)
    if here.ess(maxent) < _LEAST:
        raise LeastworkError(
            f"the data leave {here.ess(maxent):.2%} of the model's samples effective, too few to tune a copy by: use "
            "method='least-work', which goes there in stages"
        )
    steps = min(int(choices.get("steps", 100)), _STEPS)
    n = min(max(int(_SHARE * budget / (steps + 1)), _RANGE[0]), _RANGE[1])
    most = max(int((1 - _SHARE) * budget / (3 * _BATCH)), 100)
    iterations = min(iterations, most)
    drawn = sample(model, n, seed=derive_seed(seed, "pool"), progress=progress, **{**choices, "steps": steps})
    pool = Drawn(drawn.x, evaluate(data.observable, drawn.x), torch.zeros(n, dtype=torch.float64), 0)
    spent = own.network_evaluations + drawn.network_evaluations
    value = fit_value(
        directed_network(model, [data.observable], pool.x, pool.omega(maxent.lambdas), seed),
        model,
        model.to_network_units(pool.x),
        -(pool.observed @ maxent.lambdas),
        iterations=_VALUE,
        noised=min(_BATCH * _VALUE, budget // 5),
        seed=derive_seed(seed, "baseline"),
        progress=progress,
    )
    spent += value.network_evaluations
    network = value.network.requires_grad_(False)

    def baseline(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return network(x, alpha, sigma).exp()

    tuned = fine_tune(
        model, model.to_network_units(pool.x), pool.omega(maxent.lambdas), baseline=baseline,
        iterations=iterations, batch_size=_BATCH,
        learning_rate=3e-4, seed=derive_seed(seed, "tuning"), progress=progress,
    ).model  # fmt: skip
    spent += 3 * _BATCH * iterations
    history: list[TiltRound] = []
    seen = [here]

    def mean(copy: DiffusionModel) -> Guidance:
        return 0.5 * TunedGuidance(copy) + 0.5 * LearnedGuidance(network, model.schedule)

    for number in range(rounds):
        guided = sample(
            model,
            _GUIDED,
            mean(tuned),
            seed=derive_seed(seed, f"round {number}"),
            progress=progress,
            **choices,
        )
        spent += 2 * guided.network_evaluations
        found = Drawn(guided.x, evaluate(data.observable, guided.x), guided.log_weight, guided.network_evaluations)
        seen.append(found)
        maxent = pooled(seen, data, maxent)
        history.append(TiltRound((found.observed.mean(dim=0) - maxent.target) / maxent.model_std, found.ess(maxent)))
        pool = joined([pool, found], maxent)
        tuned = fine_tune(
            model, model.to_network_units(pool.x), pool.omega(_aimed(found, maxent)),
            pool.omega(torch.zeros_like(maxent.lambdas)), start=tuned,
            baseline=baseline, iterations=iterations // 2, batch_size=_BATCH, learning_rate=3e-4,
            seed=derive_seed(seed, f"tuning {number}"), progress=progress,
        ).model  # fmt: skip
        spent += 3 * _BATCH * (iterations // 2)
    return TiltFit(mean(tuned), maxent, tuple(history), spent, time.perf_counter() - begin)


def _aimed(found: Drawn, maxent: MaxEnt) -> Tensor:
    """λ′, of the data that bind."""
    binding = (maxent.lambdas != 0).nonzero()[:, 0]
    values = found.observed[:, binding]
    miss = values.mean(dim=0) - maxent.target[binding]
    change = torch.zeros_like(maxent.lambdas)
    change[binding] = _TWICE * torch.linalg.solve(torch.cov(values.T).reshape(len(binding), len(binding)), miss)
    return maxent.lambdas + change

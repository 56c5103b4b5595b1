"""Reinforce adjoint matching: h = ∇V regressed on the reward of re-noised endpoints, without gradients of the reward.

    h ← E_Q[(r(x_0) − r̄) (∇ln p(x_t|x_0) − s − h) | x_t] = ∇ₓ E_Q[r(x_0) | x_t]

(Bergmeister et al., arXiv:2605.10759, its main loss in terms of scores.) Q is the present guidance, whose endpoints x_0
are drawn and noised analytically, several times each; the right side is held fixed in each regression. Any constant r̄
gives the same mean, and the mean of r the least noise. In the terms of :mod:`leastwork.fit.value`, where ω = e^r/Z
weights samples of the model, r − r̄ takes the place of ω − c, and Q that of the model.

The fixed point has ∇E_Q[r | x_t] where least-work guidance has ∇ln E[e^r | x_t] = ∇(E_Q[r | x_t] − KL): the work that
remains after t is left out, as in the paper's main method. Both agree for a linear tilt of a Gaussian, whose posterior
given x_t is moved by the same amount everywhere; in general the guidance is too strong, since remaining work is not
charged.

Where rewards differ by many nats, a learning rate that suits rewards of order one takes V too far, and the next
endpoints are worse, not better. W − ⟨r⟩ should fall below −⟨r⟩ of paths without guidance; if it stands significantly
above in several rounds, the regression stops with an error.
"""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.fit.network import noisy_network, plain_scored
from leastwork.fit.noised import evaluations_of_noised, noise_states, pool_of
from leastwork.fit.training import optimiser_of, take_step, warm_cosine
from leastwork.geometry.state import State, flatten
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.base import Model
from leastwork.networks.value import ValueNetwork, sees_denoised, value_and_gradient
from leastwork.observable_guidance.adjoint_matching import AdjointFit, Round
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.sample import draw
from leastwork.statistics.estimate import Estimate
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import derive_seed, generator

__all__ = ["match_reward"]

_MOST_WORSE = 3  # rounds that may be worse than no guidance
_SURE = 5.0  # standard errors by which such a round is worse: false alarms are one in 3 million
_LEVELS = 64  # log-SNRs at which the endpoints of one round are noised


def match_reward(
    model: Model,
    log_tilt: Callable[[State], Tensor],
    *,
    network: nn.Module | None = None,
    seed: int = 0,
    rounds: int = 40,
    endpoints: int = 1024,
    renoised: int = 16,
    updates: int = 40,
    points: int = 1024,
    learning_rate: float = 3e-3,
    progress: Progress = no_progress,
    choices: Choices = USUAL,
) -> AdjointFit:
    """Learn a guidance from the reward of endpoints alone.

    Args:
        model: a DiffusionModel.
        log_tilt: r of states in data units, (B, *event) -> (B,) nats, which needs no gradient.
        network: initial V(x, α, σ) of flat states in network units; it is copied, not changed. By default a
            ValueNetwork with V = 0, scaled to the first endpoints.
        seed: seed of all random numbers.
        rounds: number of rounds, each with endpoints of the guidance so far.
        endpoints: number of endpoints in one round.
        renoised: number of noised states for each endpoint.
        updates: number of optimiser steps in one round.
        points: number of noised states in one optimiser step.
        learning_rate: largest learning rate; the rate rises over a tenth of the run and then falls as a cosine.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: process, solver and steps with which endpoints are drawn.

    Raises:
        NonFiniteError: the reward of an endpoint is NaN or infinite.
        LeastworkError: the model has no score, or is one of frames; or endpoints are worse than those without guidance,
            in several rounds.
    """
    begin = time.perf_counter()
    model = plain_scored(model, "reinforce adjoint matching needs")
    fresh, random = network is None, generator(seed, "reinforce adjoint matching")
    network = noisy_network(model, network, seed)
    guidance, through = LearnedGuidance(network, model.schedule), sees_denoised(network)
    optimiser = optimiser_of(network, learning_rate)
    history: list[Round] = []
    evaluations, total, worse = 0, rounds * updates, 0
    unguided = Estimate(0.0, 0.0)
    with progress("matching rewards", rounds) as tick:
        for i in range(rounds):
            drawn = draw(model, endpoints, choices, guidance if i else None, seed=derive_seed(seed, f"endpoints {i}"))
            reward = log_tilt(drawn.x).detach().double()
            if not bool(torch.isfinite(reward).all()):
                raise NonFiniteError(f"the reward of endpoints of round {i + 1} is not finite: give it a finite floor")
            work = drawn.ledger.work
            price = Estimate.from_samples((0.0 if work is None else work.double()) - reward)
            unguided = unguided if i else price
            worse += price.value - unguided.value > _SURE * math.hypot(price.stderr, unguided.stderr)
            if worse == _MOST_WORSE:
                raise LeastworkError(_diverged(i + 1, rounds, price, unguided, learning_rate))
            x0 = model.to_network_units(drawn.x)
            if fresh and i == 0 and isinstance(network, ValueNetwork):
                network.standardise(flatten(x0))
            pool = pool_of(x0, reward - reward.mean(), model)
            order = torch.stack([torch.randperm(endpoints, generator=random) for _ in range(renoised)])
            order = order.flatten()[: endpoints * renoised // _LEVELS * _LEVELS].reshape(_LEVELS, -1)
            seen = noise_states(pool, order, model, through, network, random)
            evaluations += drawn.network_evaluations + evaluations_of_noised(through, True) * order.numel()
            loss = torch.zeros(())
            for j in range(updates):
                some = seen.at(torch.randint(order.numel(), (points,), generator=random))
                with torch.enable_grad():
                    _, slope = value_and_gradient(network, some.seen, some.alpha, some.sigma)
                    loss = (0.5 * some.square(slope) + some.omega * (slope * some.along).sum(dim=1)).mean()
                take_step(optimiser, loss, learning_rate * warm_cosine((i * updates + j + 1) / total))
            history.append(Round(i + 1, float(loss.detach()), price.value))
            report_metrics("matching rewards", {**vars(history[-1]), "work": float(drawn.work.mean())})
            tick()
    return AdjointFit(guidance, tuple(history), evaluations, time.perf_counter() - begin)


def _diverged(number: int, rounds: int, price: Estimate, unguided: Estimate, learning_rate: float) -> str:
    return (
        f"reinforce adjoint matching diverges: in round {number} of {rounds}, work minus reward is {price.value:.3g} "
        f"nats, and {unguided.value:.3g} without guidance, for the {_MOST_WORSE}rd time; take a smaller learning_rate, "
        f"such as {learning_rate / 10:.1g}, or method 'least-work', which anneals the tilt"
    )

"""Reinforce adjoint matching: a linear tilt of a Gaussian, which its fixed point solves exactly, and what it refuses.

A check at z = 5 gives a false alarm in 1.7 million; seeds are fixed.
"""

import pytest
import torch

import leastwork as lw
from leastwork.observable_guidance.methods import RewardMatching
from leastwork.observable_guidance.ram import match_reward
from leastwork.sampling.choices import Choices
from leastwork.systems.gaussian import Gaussian

SCHEDULE = lw.VPSchedule()
MODEL = Gaussian(0.5, 0.6, 1).model(SCHEDULE)


@pytest.mark.slow
def test_a_linear_tilt_of_a_gaussian_is_met() -> None:
    """q = N(m + s² a, s²), with a reward that has no gradient: r is looked up, so that autograd sees nothing.

    The sampler is of second order: an error of its variance would be taken for reward, and its endpoints are few.
    """
    choices = {"solver": "multistep", "steps": 40}
    fit = match_reward(
        MODEL, lambda x: 1.5 * x[:, 0].detach(), rounds=16, endpoints=512, updates=20, choices=Choices(**choices),
        seed=1,
    )  # fmt: skip
    ens = lw.sample(MODEL, 4000, fit.guidance, seed=2, **choices)
    mean = ens.mean(lambda x: x[:, 0])
    assert abs(mean.value - (0.5 + 0.36 * 1.5)) < 5 * mean.stderr + 0.1  # z = 5, and 0.1 for 16 short rounds
    assert fit.network_evaluations == 16 * (512 * 41 + 512 * 16)
    assert fit.history[-1].objective < fit.history[0].objective


def test_one_round_points_to_where_the_reward_is() -> None:
    """It learns h = ∇E_P[r | x_t] = a α s²/(α² s² + σ²), which is positive."""
    data = lw.Experiment(lw.Observable(lambda x: x.detach(), names=("x",)), values=[0.6])
    method = RewardMatching(rounds=1)
    run = lw.guide_observables(MODEL, data, method, samples=2000, steps=10, certificate_samples=500)
    x = torch.tensor([[0.0], [0.5], [1.0]])
    assert run.guidance is not None
    assert bool((run.guidance(x, 0.1, x) > 0).all())


def test_kind_errors() -> None:
    flow = lw.VelocityModel(lambda x, t: 0.3 * x, (1,))
    with pytest.raises(lw.LeastworkError, match="pass a DiffusionModel"):
        match_reward(flow, lambda x: x[:, 0])
    with pytest.raises(lw.NonFiniteError, match="reward of endpoints"):
        match_reward(MODEL, lambda x: torch.full_like(x[:, 0], torch.nan), rounds=1, choices=Choices(steps=5))

"""Reinforce adjoint matching: a linear tilt of a Gaussian, which its fixed point solves exactly, and what it refuses.

A check at z = 5 gives a false alarm in 1.7 million; seeds are fixed.
"""

from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.observable_guidance.methods import RewardMatching
from leastwork.observable_guidance.ram import match_reward
from leastwork.sampling.choices import Choices
from leastwork.systems.gaussian import Gaussian

SCHEDULE = lw.VPSchedule()
MODEL = Gaussian(0.5, 0.6, 1).model(SCHEDULE)


def _first(x: Any) -> torch.Tensor:
    return x[:, 0]


def _reward(x: Any) -> torch.Tensor:
    return 1.5 * x[:, 0].detach()


def _nan(x: Any) -> torch.Tensor:
    return torch.full_like(x[:, 0], torch.nan)


@pytest.mark.slow
def test_a_linear_tilt_of_a_gaussian_is_met() -> None:
    """q = N(m + s² a, s²), with a reward that has no gradient: r is looked up, so that autograd sees nothing.

    The sampler is of second order: an error of its variance would be taken for reward, and its endpoints are few.
    """
    choices = {"solver": "multistep", "steps": 40}
    fit = match_reward(
        MODEL, _reward, rounds=16, endpoints=512, updates=20, choices=Choices(**choices),
        seed=1,
    )  # fmt: skip
    ens = lw.sample(MODEL, 4000, fit.guidance, seed=2, **choices)
    mean = ens.mean(_first)
    assert abs(mean.value - (0.5 + 0.36 * 1.5)) < 5 * mean.stderr + 0.1  # z = 5, and 0.1 for 16 short rounds
    assert fit.network_evaluations == 16 * (512 * 41 + 512 * 16)
    assert fit.history[-1].objective < fit.history[0].objective


def test_one_round_points_to_where_the_reward_is() -> None:
    """It learns h = ∇E_P[r | x_t] = a α s²/(α² s² + σ²), which is positive."""
    data = lw.Experiment(lw.Observable(lambda x: x.detach(), names=("x",)), values=[0.6])
    method = RewardMatching(rounds=1)
    told: list[dict[str, float]] = []
    run = lw.guide_observables(
        MODEL, data, method, samples=2000, steps=10, certificate_samples=500,
        on_metrics=lambda step, values: told.append(dict(values)),
    )  # fmt: skip
    assert [one["matching rewards/iteration"] for one in told if "matching rewards/work" in one] == [1]
    x = torch.tensor([[0.0], [0.5], [1.0]])
    assert run.guidance is not None
    h = run.guidance(x, 0.1, x)
    assert isinstance(h, torch.Tensor)
    assert bool((h > 0).all())


def test_divergence_is_told_and_its_remedy_helps() -> None:
    """r = −200 (x − 1)² differs by a hundred nats; the learning rate that the error names improves on no guidance."""

    def steep(x: Any) -> torch.Tensor:
        return -200 * (x[:, 0] - 1).square()

    few: dict[str, Any] = {"rounds": 4, "endpoints": 256, "points": 256, "choices": Choices(steps=10)}
    with pytest.raises(lw.LeastworkError, match=r"diverges: in round 4 .* a smaller learning_rate, such as 0\.0003"):
        match_reward(MODEL, steep, **few)
    fit = match_reward(MODEL, steep, learning_rate=3e-4, **few)
    assert fit.history[-1].objective < 0.5 * fit.history[0].objective


def test_kind_errors() -> None:
    flow = lw.VelocityModel(lambda x, t: 0.3 * x, (1,))
    with pytest.raises(
        lw.LeastworkError,
        match="a score in plain coordinates, which a VelocityModel has not: take the method least-work",
    ):
        match_reward(flow, _first)
    with pytest.raises(lw.NonFiniteError, match="reward of endpoints"):
        match_reward(MODEL, _nan, rounds=1, choices=Choices(steps=5))

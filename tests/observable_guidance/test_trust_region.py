"""Trust-region log-variance: tilts of Gaussians and of a mixture with exact answers, and what it refuses.

A check at z = 5 gives a false alarm in 1.7 million; seeds are fixed.
"""

import math
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.networks.value import ValueNetwork
from leastwork.observable_guidance.methods import TrustRegion
from leastwork.observable_guidance.trust_region import bounded_fraction, match_variance
from leastwork.sampling.choices import Choices
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import two_states

SCHEDULE = lw.VPSchedule()
MODEL = Gaussian(0.5, 0.6, 1).model(SCHEDULE)


def _first(x: Any) -> torch.Tensor:
    return x[:, 0]


def _reward(x: Any) -> torch.Tensor:
    return 1.5 * x[:, 0].detach()


def _right(x: Any) -> torch.Tensor:
    return (x[:, 0] > 0).double()


def _nan(x: Any) -> torch.Tensor:
    return torch.full_like(x[:, 0], torch.nan)


def test_a_step_of_a_gaussian_has_the_fraction_of_its_bound() -> None:
    """ln w ~ N(·, v): w^β shifts its mean by βv, a divergence of ½ β² v; midpoints of quantiles in place of draws."""
    quantiles = torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)
    fraction, spent = bounded_fraction(3.0 * quantiles, 0.1)
    assert fraction == pytest.approx(math.sqrt(0.2) / 3.0, rel=1e-3)
    assert spent == pytest.approx(0.1, rel=1e-6)
    assert bounded_fraction(0.3 * quantiles, 0.1) == (1.0, pytest.approx(0.045, rel=2e-3))


def test_a_step_on_kept_paths_moves_towards_the_target() -> None:
    """The bound of one step from Q₀ = P allows β = √(2ε)/(a s) of the tilt a x of N(m, s²), and V points along it."""
    fit = match_variance(
        MODEL, _reward, network=ValueNetwork(1, width=8), rounds=2, paths=256, batch_size=128, updates=10,
        choices=Choices(steps=12, solver="exponential"),
    )  # fmt: skip
    assert fit.network_evaluations == 2 * 256 * 13
    assert fit.history[1].objective < fit.history[0].objective
    x = torch.tensor([[0.0], [0.5], [1.0]])
    h = fit.guidance(x, 0.1, x)
    assert isinstance(h, torch.Tensor)
    assert bool((h > 0).all())


@pytest.mark.slow
def test_a_linear_tilt_of_a_gaussian_is_met() -> None:
    """q = N(m + s² a, s²) and ln Z = a m + ½ a² s², with a reward that has no gradient."""
    choices = {"solver": "exponential", "steps": 40}
    fit = match_variance(MODEL, _reward, rounds=16, updates=12, paths=512, choices=Choices(**choices), seed=1)
    ens = lw.sample(MODEL, 4000, fit.guidance, seed=2, **choices)
    mean = ens.mean(_first)
    assert abs(mean.value - (0.5 + 0.36 * 1.5)) < 5 * mean.stderr + 0.02  # z = 5, and 0.02 for the bias of 40 steps
    assert float((ens.log_weight + _reward(ens.x)).var()) < 0.05


@pytest.mark.slow
def test_populations_of_a_mixture_are_met() -> None:
    """e^r is 9 in the right well and 1 in the left: half and half become 0.9 and 0.1."""
    model = two_states(1, (0.5, 0.5), separation=2.0, std=0.25).model(SCHEDULE)
    choices = {"solver": "exponential", "steps": 50, "t_grid": "balanced"}
    fit = match_variance(
        model, lambda x: math.log(9.0) * _right(x), rounds=24, updates=12, paths=512, seed=1,
        choices=Choices(**choices),
    )  # fmt: skip
    right = lw.sample(model, 4000, fit.guidance, seed=2, **choices).mean(_right)
    assert abs(right.value - 0.9) < 5 * right.stderr + 0.02  # z = 5, and 0.02 for 40 short steps


def test_it_is_a_method_with_settings_of_its_own() -> None:
    data = lw.Experiment(lw.Observable(lambda x: x.detach(), names=("x",)), values=[0.6])
    run = lw.guide_observables(
        MODEL, data, TrustRegion(rounds=1), samples=2000, steps=10, certificate_samples=500, batch_size=512
    )
    assert run.network_evaluations == 2000 * 11 + 1024 * 11
    with pytest.raises(lw.LeastworkError, match="gamma= is a setting of 'scheduled'"):
        lw.guide_observables(MODEL, data, "trust-region", gamma=0.1)
    with pytest.raises(lw.LeastworkError, match=r"bound=0\.0 .*0\.0001 nats or more"):
        TrustRegion(bound=0.0)


def test_kind_errors() -> None:
    flow = lw.VelocityModel(lambda x, t: 0.3 * x, (1,))
    with pytest.raises(
        lw.LeastworkError,
        match="a score in plain coordinates, which a VelocityModel has not: take the method least-work",
    ):
        match_variance(flow, _first)
    with pytest.raises(lw.LeastworkError, match="without memory"):
        match_variance(MODEL, _first, choices=Choices(solver="multistep"))
    with pytest.raises(lw.LeastworkError, match="denoised=False"):
        match_variance(MODEL, _first, network=ValueNetwork(1, denoised=True))
    with pytest.raises(lw.NonFiniteError, match="weight of a path"):
        match_variance(MODEL, _nan, rounds=1, paths=64, choices=Choices(steps=5, solver="exponential"))

"""Drift control where the answer is known: linear tilts of a Gaussian, which its bases solve, and a mixture.

A check at z = 5 gives a false alarm in 1.7 million; seeds are fixed.
"""

from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.sampling.drift_control import control, drift_control
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import two_states

SCHEDULE = lw.VPSchedule()
CHOICES = {"steps": 60, "particles": 256, "dtype": torch.float64}


def _itself(x: Any) -> torch.Tensor:
    return x


def test_a_linear_tilt_of_a_gaussian_leaves_all_weights_equal() -> None:
    """q = N(m + s² a, s²) and ln Z = a·m + ½ a² s²; b along ∇r solves the Poisson equation, so that ESS = 1."""
    model = Gaussian(0.5, 0.6, 2).model(SCHEDULE)
    ens = drift_control(model, 1024, lambda x: 1.5 * x[:, 0], seed=1, **CHOICES)
    assert ens.log_tilt is not None
    log_w = ens.log_weight + ens.log_tilt
    assert float(log_w.std()) < 0.05  # the last step to t = 0 alone is not controlled
    mean = ens.mean(_itself, "target")
    expected = torch.tensor([0.5 + 0.36 * 1.5, 0.5], dtype=torch.float64)
    assert bool(((mean.value - expected).abs() < 5 * mean.stderr + 0.02).all())  # z = 5, and an error of order Δt
    assert abs(float(ens.log_z.value) - (0.75 + 0.5 * 2.25 * 0.36)) < 0.03


def test_the_error_of_the_normaliser_falls_with_the_step() -> None:
    model = Gaussian(0.5, 0.6, 1).model(SCHEDULE)
    exact = 0.75 + 0.5 * 2.25 * 0.36
    errors = [
        abs(drift_control(model, 512, lambda x: 1.5 * x[:, 0], **{**CHOICES, "steps": steps}).log_z.value - exact)
        for steps in (15, 60)
    ]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("probes", [None, 2])
def test_a_mixture_gets_the_populations_of_its_tilt(probes: int | None) -> None:
    p = two_states(2, (0.7, 0.3), separation=2.0, std=0.4)
    q = p.tilted(-1.5, [1.0, 0.0])
    ens = drift_control(p.model(SCHEDULE), 6 * 256, lambda x: 1.5 * x[:, 0], probes=probes, seed=2, **CHOICES)

    def populations(x: Any) -> torch.Tensor:
        return q.populations(x)

    found = ens.mean(populations, "target")
    assert bool(((found.value - q.weights).abs() < 5 * found.stderr + 0.02).all())
    assert abs(float(ens.log_z.value) - p.log_normaliser(-1.5, [1.0, 0.0])) < 5 * float(ens.log_z.stderr) + 0.05


def test_control_removes_what_its_responses_span() -> None:
    draw = torch.Generator().manual_seed(0)
    h = torch.randn(50, 3, generator=draw, dtype=torch.float64)
    w = torch.softmax(torch.randn(50, generator=draw, dtype=torch.float64), dim=0)
    theta = control(2.0 - h @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), h, w)
    torch.testing.assert_close(theta, torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))


def test_kind_errors() -> None:
    flow = lw.VelocityModel(lambda x, t: 0.3 * x, (1,))
    with pytest.raises(lw.LeastworkError, match="guide it by guide_observables with process='ode'"):
        drift_control(flow, 1024, lambda x: x[:, 0])
    with pytest.raises(lw.LeastworkError, match="has no gradient"):
        drift_control(Gaussian(0.5, 0.6, 1).model(SCHEDULE), 1024, lambda x: x[:, 0] > 0)

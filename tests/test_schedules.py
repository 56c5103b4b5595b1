"""Schedules against their definitions, derivatives by automatic differentiation."""

import pytest
import torch

import leastwork as lw
from leastwork.schedules import diffusion_squared, drift

SCHEDULES = [lw.VPSchedule(0.1, 20.0), lw.CosineSchedule(), lw.VESchedule(0.01, 50.0), lw.LinearSchedule()]
TIMES = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_derivatives_and_coefficients(schedule) -> None:
    t = TIMES.clone().requires_grad_()
    (alpha_dot,) = torch.autograd.grad((schedule.alpha(t) * torch.ones_like(t) + 0 * t).sum(), t)
    (sigma_dot,) = torch.autograd.grad(schedule.sigma(t).sum(), t)
    torch.testing.assert_close(schedule.alpha_dot(TIMES), alpha_dot, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(schedule.sigma_dot(TIMES), sigma_dot, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(drift(schedule, TIMES), alpha_dot / schedule.alpha(TIMES), rtol=1e-12, atol=1e-14)
    s = TIMES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(schedule.log_snr(s).sum(), s)
    # g² = −σ² d(log-SNR)/dt, an identity that the definition does not use
    torch.testing.assert_close(
        diffusion_squared(schedule, TIMES), -(schedule.sigma(TIMES) ** 2) * slope, rtol=1e-9, atol=0
    )


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_log_snr_and_its_inverse(schedule) -> None:
    log_snr = schedule.log_snr(TIMES)
    torch.testing.assert_close(
        log_snr, 2 * (schedule.alpha(TIMES) / schedule.sigma(TIMES)).log(), rtol=1e-10, atol=1e-12
    )
    torch.testing.assert_close(schedule.time_of(log_snr), TIMES, rtol=1e-10, atol=1e-12)


def test_variance_is_preserved() -> None:
    for schedule in SCHEDULES[:2]:
        total = schedule.alpha(TIMES) ** 2 + schedule.sigma(TIMES) ** 2
        torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: lw.VPSchedule(-1.0, 20.0),
        lambda: lw.VPSchedule(t_min=0.5, t_max=0.5),
        lambda: lw.VESchedule(2.0, 1.0),
        lambda: lw.LinearSchedule(t_min=-0.1),
    ],
)
def test_bad_parameters_are_refused(make) -> None:
    with pytest.raises(lw.LeastworkError):
        make()

"""Schedules against their definitions, derivatives by automatic differentiation."""

import pytest
import torch

import leastwork as lw
from leastwork.schedules.base import Schedule, diffusion_squared, drift
from leastwork.schedules.files import describe_schedule, schedule_from

SCHEDULES = [
    lw.VPSchedule(0.1, 20.0), lw.CosineSchedule(), lw.VESchedule(0.01, 50.0), lw.LinearSchedule(),
    lw.EDMSchedule(0.002, 80.0, 0.5),
]  # fmt: skip
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


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_the_usable_interval(schedule) -> None:
    """Finite and monotonic on it; only f, g² and the log-SNR diverge, and only at t_max where α is zero there."""
    t = torch.linspace(schedule.t_min, schedule.t_max, 1001, dtype=torch.float64)
    for part in (schedule.alpha(t), schedule.sigma(t), schedule.alpha_dot(t), schedule.sigma_dot(t)):
        assert part.dtype == torch.float64
        assert bool(torch.isfinite(part).all())
    assert bool((schedule.sigma(t).diff() > 0).all())
    assert bool((schedule.log_snr(t).diff() < 0).all())
    assert bool((diffusion_squared(schedule, t[:-1]) > 0).all())
    assert isinstance(schedule, Schedule)


def test_alpha_is_exactly_zero_where_it_should_be() -> None:
    """Solvers tell the singular start by it."""
    one = torch.ones((), dtype=torch.float64)
    for schedule in (lw.CosineSchedule(), lw.LinearSchedule()):
        assert schedule.alpha(one) == 0
        assert schedule.sigma(one) == 1
        assert schedule.log_snr(one) == -torch.inf
        assert schedule.time_of(schedule.log_snr(one)) == 1
        assert torch.isinf(drift(schedule, one))


def test_vp_is_precise_near_the_data() -> None:
    """σ² = 1 − α² = β₀t + O(t²), without cancellation."""
    t = torch.tensor([1e-12, 1e-9], dtype=torch.float64)
    torch.testing.assert_close(lw.VPSchedule(0.1, 20.0).sigma(t) ** 2, 0.1 * t, rtol=1e-6, atol=0)


def test_forward_process_carries_the_moments() -> None:
    """dα/dt = fα and dσ²/dt = 2fσ² + g², by differences."""
    h = 1e-6
    for schedule in SCHEDULES:
        f, g_squared = drift(schedule, TIMES), diffusion_squared(schedule, TIMES)
        slope = (schedule.alpha(TIMES + h) - schedule.alpha(TIMES - h)) / (2 * h)
        torch.testing.assert_close(slope, f * schedule.alpha(TIMES), rtol=1e-6, atol=1e-8)
        slope = (schedule.sigma(TIMES + h) ** 2 - schedule.sigma(TIMES - h) ** 2) / (2 * h)
        torch.testing.assert_close(slope, 2 * f * schedule.sigma(TIMES) ** 2 + g_squared, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("schedule", [type(s) for s in SCHEDULES])
@pytest.mark.parametrize(("t_min", "t_max"), [(-0.1, 1.0), (0.5, 0.5), (0.6, 0.4), (0.0, 1.1), (float("nan"), 1.0)])
def test_bad_intervals_are_refused(schedule, t_min: float, t_max: float) -> None:
    with pytest.raises(lw.LeastworkError, match="t_min"):
        schedule(t_min=t_min, t_max=t_max)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lw.VPSchedule(0.0, 20.0), "beta_min"),
        (lambda: lw.VPSchedule(3.0, 2.0), "beta_min"),
        (lambda: lw.VPSchedule(float("nan"), 2.0), "beta_min"),
        (lambda: lw.VPSchedule("0.1", 20.0), "beta_min='0.1' cannot be used: give VPSchedule a number"),  # type: ignore[arg-type]
        (lambda: lw.VPSchedule(0.1, float("inf")), "beta_max < ∞, not 0.1, inf"),
        (lambda: lw.VESchedule(0.01, float("inf")), "sigma_max < ∞, not 0.01, inf"),
        (lambda: lw.EDMSchedule(rho="7"), "rho='7' cannot be used: give EDMSchedule a number"),  # type: ignore[arg-type]
        (lambda: lw.LinearSchedule(t_max="1"), "t_max='1'"),  # type: ignore[arg-type]
        (lambda: lw.VESchedule(0.0, 1.0), "sigma_min"),
        (lambda: lw.VESchedule(1.0, 1.0), "sigma_min"),
    ],
)
def test_bad_rates_are_named(make, words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        make()


def test_a_constant_rate_is_a_vp_schedule() -> None:
    schedule = lw.VPSchedule(2.0, 2.0)
    torch.testing.assert_close(schedule.alpha(TIMES), torch.exp(-TIMES), rtol=1e-14, atol=0)
    torch.testing.assert_close(schedule.time_of(schedule.log_snr(TIMES)), TIMES, rtol=1e-10, atol=1e-12)


EDM = lw.EDMSchedule(0.002, 80.0, 0.5)


def test_edm_keeps_the_size_of_the_data_and_has_karras_levels_at_even_times() -> None:
    total = EDM.alpha(TIMES) ** 2 + EDM.sigma(TIMES) ** 2 / 0.5**2
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-12, atol=0)
    i, n = torch.arange(18, dtype=torch.float64), 18
    high, low = 80.0 ** (1 / 7), 0.002 ** (1 / 7)
    levels = (high + i / (n - 1) * (low - high)) ** 7  # Karras et al., equation 5
    torch.testing.assert_close(EDM.level(torch.linspace(1, 0, 18, dtype=torch.float64)), levels, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        EDM.times(levels.float()), torch.linspace(1, 0, 18, dtype=torch.float64), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(EDM.standardised().level(TIMES), EDM.level(TIMES) / 0.5, rtol=1e-12, atol=0)
    assert schedule_from(describe_schedule(EDM)) == EDM


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lw.EDMSchedule(80.0, 0.002), "exchange them"),
        (lambda: lw.EDMSchedule(1.0, 1.0), "0 < sigma_min < sigma_max"),
        (lambda: lw.EDMSchedule(0.0, 80.0), "leave out σ = 0"),
        (lambda: lw.EDMSchedule(sigma_max=float("inf")), "0 < sigma_min < sigma_max"),
        (lambda: lw.EDMSchedule(rho=0.0), "positive finite rho"),
        (lambda: lw.EDMSchedule(rho=-7.0), "positive finite rho"),
        (lambda: lw.EDMSchedule(sigma_data=float("nan")), "positive finite sigma_data"),
        (lambda: EDM.times([80.0, 1.0, 0.0]), "last denoising step leads"),
        (lambda: EDM.times([100.0]), r"σ = 100 is outside \[0.002, 80\]"),
    ],
)
def test_levels_that_cannot_be_used_are_refused_in_one_sentence(make, words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)

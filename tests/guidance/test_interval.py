"""Interval guidance: exact for Gaussians and linear coordinates, where it takes the least work; its tails, its file."""

import math
from pathlib import Path

import pytest
import torch
from scipy.special import log_ndtr

import leastwork as lw
from leastwork.errors import LeastworkError
from leastwork.guidance.base import Guidance
from leastwork.guidance.files import load_guidance, save_guidance
from leastwork.guidance.interval import IntervalGuidance, log_share
from leastwork.models.predictions import Moments
from leastwork.sampling.work import certify, least_work, log_odds
from leastwork.systems.gaussian import Gaussian

Z = 5.0  # a correct test fails once in 1.7 million
FIRST = lw.Observable(lambda x: x[:, :1], names=("x1",))
GAUSSIAN = Gaussian(0.5, 0.8, dim=2)
SCHEDULE = lw.VPSchedule()
LOWER, UPPER = 2.5, 3.0


def exact_probability() -> float:
    return sum(sign * math.exp(log_ndtr((end - 0.5) / 0.8)) for sign, end in ((1, UPPER), (-1, LOWER)))


def interval(success: float = 0.99) -> IntervalGuidance:
    return IntervalGuidance(FIRST, LOWER, UPPER, log_odds(exact_probability(), success), SCHEDULE)


def tracked(x: torch.Tensor, t: float) -> tuple[torch.Tensor, torch.Tensor]:
    x = x.requires_grad_()
    return x, GAUSSIAN.model(SCHEDULE).as_prediction("data", x, t)  # type: ignore[return-value]


def pushed(guidance: Guidance, x: torch.Tensor, t: float) -> torch.Tensor:
    at, denoised = tracked(x.clone(), t)
    h = guidance(at, t, denoised)
    assert isinstance(h, torch.Tensor)
    return h


@pytest.mark.parametrize("t", [0.01, 0.2, 0.6, 1.0])
def test_the_share_is_that_of_the_conditional_law(t: float) -> None:
    """x_0 given x_t is normal with mean D and variance σ²s²/(α²s² + σ²)."""
    x, denoised = tracked(torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double() * 2, t)
    mean, spread, _ = interval().moments(x, t, denoised)
    m = Moments.at(SCHEDULE, t)
    exact = m.sigma * 0.8 / math.sqrt(m.alpha**2 * 0.64 + m.sigma**2)
    assert torch.allclose(mean, denoised[:, 0].detach(), atol=1e-6)
    assert torch.allclose(spread, torch.full_like(spread, exact), rtol=1e-5)


@pytest.mark.parametrize("t", [0.05, 0.4])
def test_guidance_is_the_gradient_of_its_value(t: float) -> None:
    guidance, step = interval(), 1e-6
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(1)).double() + 1
    h = pushed(guidance, x, t)
    for k in range(2):
        move = torch.zeros(2).double()
        move[k] = step
        up, down = (guidance.value(a, t, d) for a, d in (tracked(x.clone() + move, t), tracked(x.clone() - move, t)))
        assert torch.allclose(h[:, k], (up - down) / (2 * step), rtol=1e-4, atol=1e-6)


def test_a_gaussian_in_an_interval_takes_the_least_work() -> None:
    """Doob's transform itself: the dissipation that is left is that of the steps, and the free energy is known."""
    p, success = exact_probability(), 0.99
    guidance = interval(success)
    ensemble = lw.sample(GAUSSIAN.model(SCHEDULE), 4_000, guidance, steps=400, t_grid="log-snr", seed=3)
    assert isinstance(ensemble.x, torch.Tensor)
    inside = ((ensemble.x[:, 0] >= LOWER) & (ensemble.x[:, 0] <= UPPER)).double()
    certificate = certify(ensemble.work, ensemble.log_weight, guidance.log_odds * inside)
    assert certificate.efficiency.value > 0.95
    assert certificate.work.value > certificate.bound.value - Z * certificate.bound.stderr
    assert certificate.work.value == pytest.approx(least_work(p, success), abs=0.1)
    share = lw.Estimate.from_samples(inside)
    assert share.value > success - 0.03  # the border is met in steps
    found = lw.Estimate.from_samples(ensemble.log_weight.double().exp() * inside)
    assert abs(found.value - p) < Z * found.stderr + 0.01 * p  # that of 400 steps


def test_the_share_is_exact_far_out() -> None:
    mean = torch.tensor([-40.0, -3.0, 0.2, 5.0, 60.0], dtype=torch.float64)
    log_pi, slope = log_share(-1.0, 1.0, mean, torch.ones_like(mean))
    for m, found, steep in zip(mean.tolist(), log_pi.tolist(), slope.tolist(), strict=True):
        near = -(abs(m) - 1)  # by symmetry, the lower tail
        wanted = log_ndtr(near) + math.log1p(-math.exp(log_ndtr(near - 2) - log_ndtr(near))) if abs(m) > 1 else None
        if wanted is not None:
            assert found == pytest.approx(wanted, rel=1e-10)
        up, down = (
            log_share(-1.0, 1.0, torch.tensor([m + d], dtype=torch.float64), torch.ones(1).double())[0]
            for d in (1e-5, -1e-5)
        )
        assert steep == pytest.approx(float(up - down) / 2e-5, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("spread", [1e2, 1e5, 1e9, 1e20])
def test_a_thin_interval_is_its_width_times_the_density(spread: float) -> None:
    mean, s = torch.tensor([0.7 * spread], dtype=torch.float64), torch.tensor([spread], dtype=torch.float64)
    log_pi, slope = log_share(-1.0, 1.0, mean, s)
    assert float(log_pi) == pytest.approx(math.log(2 / spread) - 0.5 * 0.49 - 0.5 * math.log(2 * math.pi), abs=1e-4)
    assert float(slope) == pytest.approx(-0.7 / spread, rel=1e-4)


@pytest.mark.parametrize(("lower", "upper"), [(-math.inf, 0.3), (0.3, math.inf)])
def test_one_end_may_be_open(lower: float, upper: float) -> None:
    mean = torch.tensor([-9.0, 0.0, 9.0], dtype=torch.float64)
    log_pi, slope = log_share(lower, upper, mean, torch.ones_like(mean))
    sign = 1 if lower == -math.inf else -1
    assert torch.allclose(log_pi, torch.special.log_ndtr(sign * (0.3 - mean)), rtol=1e-10)
    assert bool((sign * slope <= 0).all())
    assert bool(slope.isfinite().all())


def test_far_from_the_interval_nothing_is_pushed() -> None:
    t = 0.05
    assert float(pushed(interval(), torch.tensor([[-6.0, 0.0]]).double(), t).abs().max()) < 1e-6


def test_what_cannot_be_an_interval_is_refused() -> None:
    with pytest.raises(LeastworkError, match="exchange them"):
        IntervalGuidance(FIRST, 1.0, 1.0, 3.0, SCHEDULE)
    with pytest.raises(LeastworkError, match="one coordinate"):
        IntervalGuidance(lw.Observable(lambda x: x, names=("a", "b")), 0.0, 1.0, 3.0, SCHEDULE)
    with pytest.raises(LeastworkError, match="log_odds"):
        IntervalGuidance(FIRST, 0.0, 1.0, 0.0, SCHEDULE)
    x = torch.zeros(1, 2)
    with pytest.raises(LeastworkError, match="no gradient"):
        interval()(x, 0.5, x)


def test_it_is_saved_by_the_name_of_its_coordinate(tmp_path: Path) -> None:
    save_guidance(interval(), tmp_path)
    back = load_guidance(tmp_path, observable=FIRST)
    t = 0.3
    x = torch.tensor([[1.5, 0.0]]).double()
    assert torch.equal(pushed(interval(), x, t), pushed(back, x, t))

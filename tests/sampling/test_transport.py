"""The probability-flow ODE both ways: inverse of itself, and the exact map of a Gaussian."""

import math

import pytest
import torch

import leastwork as lw
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import two_states

SCHEDULES = [lw.VPSchedule(0.1, 20.0), lw.CosineSchedule(), lw.LinearSchedule()]
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


def quantiles(n: int) -> torch.Tensor:
    """Points of equal probability of the standard normal, (n, 1): an ensemble without sampling error."""
    p = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.special.ndtri(p)[:, None]


@each_schedule
@pytest.mark.parametrize("grid", ["uniform", "log-snr"])
def test_data_return_from_the_noise(schedule, grid: str) -> None:
    for model, x in (
        (Gaussian(0.7, 0.5, 1).model(schedule), 0.7 + 0.5 * quantiles(101)),
        (two_states(1, (0.4, 0.6), 2.0, 0.5).model(schedule), 1 + 0.5 * quantiles(101)),
    ):
        back = lw.transport(model, lw.transport(model, x, t_grid=grid), forward=False, t_grid=grid)
        assert float((back - x).abs().max()) < 1e-3


@each_schedule
def test_gaussian_data_encode_to_the_prior(schedule) -> None:
    """The flow keeps quantiles: z = α₁m + s₁/s₀ (x − α₀m), with s² = α²s² + σ² at t_max and t_min."""
    model = Gaussian(0.7, 0.5, 1).model(schedule)
    ends = torch.tensor([schedule.t_min, schedule.t_max], dtype=torch.float64)
    alpha, sigma = schedule.alpha(ends), schedule.sigma(ends)
    std = (alpha**2 * 0.25 + sigma**2).sqrt()
    normal = quantiles(1001)
    x = alpha[0] * 0.7 + std[0] * normal
    noise = lw.transport(model, x, steps=400, t_grid="log-snr")
    exact = alpha[1] * 0.7 + std[1] * normal
    assert float((noise - exact).abs().max()) < 0.02
    assert abs(float(noise.mean())) < 0.01
    assert abs(float(noise.std()) - 1) < 0.01


def test_second_order() -> None:
    model = Gaussian(0.7, 0.5, 1).model(lw.VPSchedule(t_min=1e-2))
    x = 0.7 + 0.5 * quantiles(9)
    reference = lw.transport(model, x, steps=1600)
    errors = [float((lw.transport(model, x, steps=n) - reference).abs().max()) for n in (50, 100, 200)]
    assert math.log2(errors[0] / errors[2]) / 2 > 1.8


def test_units_and_dtype() -> None:
    """Data units in, network units at t_max out: a shift and a scale do not change the noise."""
    plain = Gaussian(0.0, 1.0, 2).model(lw.VPSchedule())
    scaled = lw.DiffusionModel(plain.net, plain.schedule, "data", (2,), shift=5.0, scale=0.1)
    x = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    noise = lw.transport(plain, x)
    assert noise.dtype == torch.float32
    torch.testing.assert_close(lw.transport(scaled, 5 + 0.1 * x), noise, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(lw.transport(scaled, noise, forward=False), 5 + 0.1 * x, rtol=1e-3, atol=1e-3)


def test_tuples_and_no_graph() -> None:
    weight = torch.nn.Parameter(torch.tensor(-1.0))
    model = lw.DiffusionModel(lambda x, t: (weight * x[0], weight * x[1]), lw.VPSchedule(), "score", ((2,), (3, 3)))
    first, second = lw.transport(model, (torch.ones(4, 2), torch.ones(4, 3, 3)))
    assert first.shape == (4, 2)
    assert second.shape == (4, 3, 3)
    assert not first.requires_grad
    torch.testing.assert_close(first, torch.ones(4, 2))  # the standard normal stays where it is


def test_training_mode_is_restored() -> None:
    class Net(torch.nn.Module):
        def forward(self, x, t):
            assert not self.training
            return 0 * x

    net = Net()
    lw.transport(lw.VelocityModel(net, (1,)), torch.ones(2, 1), steps=2)
    assert net.training


@pytest.mark.parametrize("x", [torch.zeros(4, 2), torch.zeros(4), (torch.zeros(4, 1), torch.zeros(4, 1))])
def test_another_event_shape_is_refused(x) -> None:
    with pytest.raises(lw.LeastworkError, match="event shape"):
        lw.transport(Gaussian().model(lw.VPSchedule()), x)

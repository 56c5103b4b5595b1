"""The wrapped normal distribution against its definition, from narrow to nearly uniform."""

import math

import pytest
import torch

from leastwork.geometry.torus import (
    circular_mean,
    log_wrapped_normal,
    noise_on_circle,
    uniform_angles,
    wrap,
    wrapped_score,
)

GRID = 2 * math.pi * torch.arange(400, dtype=torch.float64) / 400


def by_many_windings(delta: torch.Tensor, sigma: float) -> torch.Tensor:
    turned = delta[:, None] + 2 * math.pi * torch.arange(-60, 61, dtype=torch.float64)
    return (-0.5 * (turned / sigma).square()).logsumexp(dim=1) - math.log(sigma * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("sigma", [0.01 * math.pi, 0.5, 2.0, 2.5066, 2.5067, math.pi, 6.0])
def test_density_and_score_are_those_of_the_sum_over_windings(sigma: float) -> None:
    delta = GRID.clone().requires_grad_()
    known = by_many_windings(wrap(delta), sigma)
    (slope,) = torch.autograd.grad(known.sum(), delta)
    width = torch.tensor(sigma, dtype=torch.float64)
    assert torch.allclose(log_wrapped_normal(GRID, width), known.detach(), rtol=1e-12, atol=1e-12)
    assert float((wrapped_score(GRID, width) - slope).abs().max()) < 1e-12 * max(float(slope.abs().max()), 1.0)
    mass = torch.exp(log_wrapped_normal(GRID, width)).mean() * 2 * math.pi
    assert abs(float(mass) - 1) < 1e-12


@pytest.mark.parametrize("sigma", [5.0, 8.0, 20.0])
def test_the_score_keeps_its_digits_where_it_nearly_vanishes(sigma: float) -> None:
    first = -2 * math.exp(-0.5 * sigma**2) * GRID.sin()
    found = wrapped_score(GRID, torch.tensor(sigma, dtype=torch.float64))
    assert float((found - first).abs().max()) < 1e-5 * float(first.abs().max())


def test_widths_of_both_kinds_at_once() -> None:
    sigma = torch.tensor([0.3, 4.0], dtype=torch.float64)
    both = wrapped_score(torch.tensor([1.0, 1.0], dtype=torch.float64), sigma)
    for i in (0, 1):
        assert both[i] == wrapped_score(torch.tensor(1.0, dtype=torch.float64), sigma[i])


def test_noise_that_turns_round_is_averaged_over_its_windings() -> None:
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(noise_on_circle(noise, 0.1), noise, atol=1e-12)
    assert float(noise_on_circle(noise, 8.0).abs().max()) < 1e-12


def test_angles_of_a_circle() -> None:
    x = torch.tensor([3.0, 3.2, -3.1])
    assert wrap(x).tolist() == pytest.approx([3.0, 3.2 - 2 * math.pi, -3.1], abs=1e-6)
    assert float(circular_mean(x).abs()) == pytest.approx(3.128, abs=1e-3)
    assert circular_mean(x[:, None], torch.tensor([1.0, 0.0, 0.0])).tolist() == pytest.approx([3.0])
    u = uniform_angles(torch.randn(10_000, generator=torch.Generator().manual_seed(0)).double())
    assert abs(float(u.mean())) < 5 * math.pi / math.sqrt(3) / 100  # 6e-7 false alarms each
    assert abs(float(u.cos().mean())) < 5 * math.sqrt(0.5) / 100

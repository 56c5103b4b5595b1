"""Quadrature, sampling and regions of densities on the plane."""

import math

import pytest
import torch

from leastwork.errors import LeastworkError
from leastwork.kernels.region import Ball
from leastwork.systems.muller_brown import SADDLE, TEMPERATURE, muller_brown, potential
from leastwork.systems.plane import PlaneDensity


def normal(points: int = 200) -> PlaneDensity:
    return PlaneDensity(
        lambda x: -0.5 * ((x - x.new_tensor([0.5, -0.2])) ** 2).sum(dim=1), (-8.0, -8.0), (8.0, 8.0), points
    )


def test_quadrature_is_exact_for_a_gaussian() -> None:
    density = normal()
    assert math.isclose(density.log_normaliser, math.log(2 * math.pi), abs_tol=1e-9)
    mean = density.mean(lambda x: torch.cat([x, x**2], dim=1))
    torch.testing.assert_close(mean, torch.tensor([0.5, -0.2, 1.25, 1.04], dtype=torch.float64), atol=1e-9, rtol=0)


def test_a_discs_probability_is_rayleighs() -> None:
    density = normal(1600)
    inside = density.probability(Ball((0.5, -0.2), 1.0))
    assert abs(inside - (1 - math.exp(-0.5))) < 1e-3  # the grid's resolution of the edge


def test_samples_have_the_densitys_moments() -> None:
    x = normal().sample(20_000, torch.Generator().manual_seed(0))
    assert x.shape == (20_000, 2)
    assert bool(((x.mean(dim=0) - x.new_tensor([0.5, -0.2])).abs() < 5 / math.sqrt(20_000)).all())  # z = 5
    assert bool(((x.var(dim=0) - 1).abs() < 5 * math.sqrt(2 / 20_000) + 0.16**2 / 12 * 0.1).all())


def test_log_prob_is_normalised_and_ends_at_the_edge() -> None:
    density = muller_brown(400)
    total = density.log_prob(density.grid).exp().sum() * density.cell.prod()
    assert abs(float(total) - 1) < 1e-9
    assert density.log_prob(torch.tensor([[9.0, 0.0]])).item() == -math.inf


def test_muller_brown_is_stationary_at_its_saddle_and_negligible_at_its_edge() -> None:
    x = torch.tensor([SADDLE], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(potential(x).sum(), x)
    assert float(gradient.abs().max()) < 1.0  # of curvatures above 490: the saddle to within 0.002
    density = muller_brown(400)
    grid, low, high = density.grid, torch.tensor(density.low), torch.tensor(density.high)
    edge = ((grid < low + 0.05) | (grid > high - 0.05)).any(dim=1)
    assert float(density.weights[edge].sum()) < 1e-6
    assert math.isclose(density.log_normaliser, muller_brown(800).log_normaliser, abs_tol=1e-6)
    assert TEMPERATURE == 20.0


def test_kind_errors() -> None:
    with pytest.raises(LeastworkError, match="no area"):
        PlaneDensity(lambda x: x[:, 0], (0.0, 0.0), (0.0, 1.0))
    with pytest.raises(LeastworkError, match="finite floor"):
        PlaneDensity(lambda x: torch.log(x[:, 0]), (-1.0, -1.0), (1.0, 1.0))

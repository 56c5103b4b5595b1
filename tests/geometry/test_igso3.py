import math

import pytest
import torch

from leastwork.geometry import igso3
from leastwork.geometry.rotations import exp, log

SIGMAS = (0.02, 0.1, 0.5, 1.0, 1.49, 1.51, 2.33)


def tensor(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def series(theta: torch.Tensor, sigma: float, terms: int = 2000) -> torch.Tensor:
    """The sum over l, whatever it takes."""
    order = torch.arange(terms, dtype=torch.float64)
    weight = (2 * order + 1) * torch.exp(-0.5 * order * (order + 1) * sigma**2)
    return (weight * torch.sin((order + 0.5) * theta[:, None])).sum(dim=1) / torch.sin(theta / 2)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_density_integrates_to_one(sigma: float):
    theta = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    density = igso3.log_density(theta, tensor(sigma)).exp() * (1 - theta.cos()) / math.pi
    assert abs(float(torch.trapezoid(density, theta)) - 1) < 1e-10


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.49, 1.51, 2.33])
def test_density_is_the_sum_over_characters(sigma: float):
    theta = torch.linspace(0.01, min(3.1, 5 * sigma), 200, dtype=torch.float64)
    assert (igso3.log_density(theta, tensor(sigma)) - series(theta, sigma).log()).abs().max() < 1e-8


@pytest.mark.parametrize("sigma", SIGMAS)
def test_score_is_the_gradient_in_the_body_frame(sigma: float):
    random = torch.Generator().manual_seed(0)
    mean = exp(torch.randn(3, generator=random, dtype=torch.float64))
    offset = 1.5 * sigma * torch.randn(50, 3, generator=random, dtype=torch.float64)
    offset = offset[offset.norm(dim=1) < 3.0]
    rotation, along = mean @ exp(offset), torch.randn(offset.shape, generator=random, dtype=torch.float64)

    def log_p(s: float) -> torch.Tensor:
        away = log(mean.mT @ rotation @ exp(s * along))
        return igso3.log_density(away.norm(dim=1), tensor(sigma))

    step = 1e-4 * sigma
    found = (igso3.score(offset, tensor(sigma)) * along).sum(dim=1)
    expected = (log_p(step) - log_p(-step)) / (2 * step)
    assert ((found - expected).abs() / (1 / sigma + expected.abs())).max() < 1e-5


def test_score_vanishes_at_the_mean_and_at_half_a_turn():
    offset = torch.tensor([[0.0, 0, 0], [math.pi, 0, 0]], dtype=torch.float64)
    assert igso3.score(offset, tensor(0.7)).abs().max() < 1e-9


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.2, 2.0])
def test_noise_has_the_moments_of_brownian_motion(sigma: float):
    n = 40_000
    start = exp(torch.tensor([0.3, -1.0, 0.2], dtype=torch.float64)).expand(n, 3, 3)
    rotation, score = igso3.noised(start, sigma, torch.Generator().manual_seed(0))
    trace = (start.mT @ rotation).diagonal(dim1=1, dim2=2).sum(dim=1)
    # χ_1 is an eigenfunction, E tr = 3 e^{−σ²}; a score has mean zero. z = 5, false alarms below 10⁻⁵
    assert abs(float(trace.mean()) - 3 * math.exp(-(sigma**2))) < 5 * float(trace.std()) / math.sqrt(n)
    assert (score.mean(dim=0).abs() < 5 * score.std(dim=0) / math.sqrt(n)).all()


def test_two_motions_add_their_variances():
    n = 40_000
    random = torch.Generator().manual_seed(1)
    once, _ = igso3.noised(torch.eye(3, dtype=torch.float64).expand(n, 3, 3), 0.6, random)
    twice, _ = igso3.noised(once, 0.8, random)
    theta = log(twice).norm(dim=1)
    grid = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    density = igso3.log_density(grid, tensor(1.0)).exp() * (1 - grid.cos()) / math.pi
    share = torch.trapezoid(density[grid <= 1.5], grid[grid <= 1.5])
    found = float((theta < 1.5).double().mean())
    assert abs(found - float(share)) < 5 * math.sqrt(float(share * (1 - share)) / n) + 1e-3

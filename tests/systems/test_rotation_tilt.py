"""A tilt of one rotation: V by characters against plain averages, and guidance by it against the second law."""

import math

import pytest
import torch

import leastwork as lw
from leastwork.geometry import igso3
from leastwork.geometry.rotations import exp
from leastwork.systems.rotation_tilt import RotationTilt

TILT = RotationTilt(strength=2.0)


def test_value_is_the_average_over_where_a_rotation_came_from():
    # E[e^r | R_t] for the law p(R_0) f(R_0ᵀR_t; σ_R): average over R_0 ~ p, weighted. z = 5.
    random, turned = torch.Generator().manual_seed(0), 0.8
    start, _ = igso3.noised(torch.eye(3, dtype=torch.float64).expand(200_000, 3, 3), TILT.angle, random)
    r = TILT.strength * 0.5 * (start.diagonal(dim1=1, dim2=2).sum(dim=1) - 1)
    for angle in (0.3, 1.0, 2.0):
        there = exp(torch.tensor([angle, 0.0, 0.0], dtype=torch.float64))
        away = igso3.offset_between(start, there).norm(dim=1)
        weight = igso3.log_density(away, torch.tensor(turned, dtype=torch.float64)).exp()
        tilted = weight * (r - TILT.log_z).exp()
        ratio = float(tilted.mean() / weight.mean())
        error = float((tilted - ratio * weight).std()) / float(weight.mean()) / math.sqrt(len(r))
        value, _ = TILT.value_and_slope(torch.tensor([angle], dtype=torch.float64), turned)
        assert abs(ratio - math.exp(float(value))) < 5 * error


def test_slope_is_the_derivative():
    theta = torch.linspace(0.2, 2.8, 9, dtype=torch.float64)
    (above, _), (below, _) = (TILT.value_and_slope(theta + s, 0.5) for s in (1e-5, -1e-5))
    _, slope = TILT.value_and_slope(theta, 0.5)
    assert ((above - below) / 2e-5 - slope).abs().max() < 1e-6


def test_data_have_the_tilted_averages():
    x = TILT.mixture.sample(100_000, torch.Generator().manual_seed(1))
    cosine, weight = TILT.cosine(x), TILT.log_tilt(x).exp()
    z = lw.Estimate.from_samples(weight)
    assert abs(z.value - math.exp(TILT.log_z)) < 5 * z.stderr
    mean = float((weight * cosine).sum() / weight.sum())
    assert abs(mean - TILT.mean_cosine) < 0.01


@pytest.mark.parametrize("steps", [50])
def test_weights_of_tilted_rotations_are_unbiased(steps: int):
    ensemble = lw.sample(TILT.model, 4096, TILT, steps=steps, seed=1)
    weight = lw.Estimate.from_samples(ensemble.log_weight.exp())
    assert abs(weight.value - 1) < 5 * weight.stderr
    certificate = lw.certify(ensemble.work, ensemble.log_weight, TILT.log_tilt(ensemble.x))
    assert certificate.work.value > TILT.least_work - 5 * certificate.work.stderr - 0.02  # the second law
    assert certificate.dissipation.value > -5 * certificate.dissipation.stderr


@pytest.mark.slow
def test_exact_guidance_of_rotations_is_efficient():
    ensemble = lw.sample(TILT.model, 8192, TILT, steps=250, seed=1)
    certificate = lw.certify(ensemble.work, ensemble.log_weight, TILT.log_tilt(ensemble.x))
    assert certificate.efficiency.value > 0.95
    assert abs(certificate.log_z.value - TILT.log_z) < 5 * certificate.log_z.stderr + 0.01  # discretised model
    cosine = ensemble.mean(TILT.cosine, under="guided")
    assert abs(float(cosine.value) - TILT.mean_cosine) < 5 * float(cosine.stderr) + 0.01


def test_narrow_data_are_refused():
    with pytest.raises(lw.LeastworkError, match=r"at least 0\.15"):
        RotationTilt(1.0, angle=0.05)

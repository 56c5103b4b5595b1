"""Means and standard errors against closed forms, and their coverage."""

import math

import pytest
import torch

from leastwork.estimate import Estimate


def test_plain_and_weighted_means() -> None:
    values = torch.tensor([1.0, 2.0, 4.0])
    plain = Estimate.from_samples(values)
    assert plain.value == pytest.approx(7 / 3)
    assert plain.stderr == pytest.approx(float(values.double().std()) / math.sqrt(3))
    weighted = Estimate.from_log_weights(values, torch.tensor([0.0, 0.0, -math.inf]))
    assert weighted.value == pytest.approx(1.5)
    assert Estimate.from_log_weights(values, torch.full((3,), 800.0)).value == pytest.approx(7 / 3)
    assert Estimate.from_samples(torch.stack([values, 2 * values], dim=1)).value.tolist() == pytest.approx(
        [7 / 3, 14 / 3]
    )
    assert math.isnan(Estimate.from_samples(torch.ones(1)).stderr)


@pytest.mark.slow
def test_standard_errors_cover() -> None:
    """1,000 repeats: the spread equals the standard error within the 10⁻⁶ range of χ²(999)/999, about 0.79 to 1.24."""
    random = torch.Generator().manual_seed(0)
    z = []
    for _ in range(1000):
        x = torch.randn(2000, generator=random, dtype=torch.float64)
        found = Estimate.from_log_weights(x, 0.5 * x)  # normal with mean 1/2 under the weights
        z.append((found.value - 0.5) / found.stderr)
    assert 0.79 < float(torch.tensor(z).var()) < 1.24

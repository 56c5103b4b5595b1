"""Means and standard errors against closed forms, and their coverage."""

import math

import pytest
import torch

from leastwork.errors import LeastworkError
from leastwork.statistics.estimate import Estimate


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


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_several_quantities_at_once() -> None:
    samples = normal(500, 3)
    found = Estimate.from_samples(samples)
    for k in range(3):
        alone = Estimate.from_samples(samples[:, k])
        assert math.isclose(found.value[k], alone.value, rel_tol=1e-12)
        assert math.isclose(found.stderr[k], alone.stderr, rel_tol=1e-12)


def test_sums_are_in_float64() -> None:
    samples = 1000 + normal(10_000).float()
    assert Estimate.from_samples(samples) == Estimate.from_samples(samples.double())
    assert Estimate.from_samples(torch.tensor([True, True, False, False])).value == 0.5
    assert Estimate.from_samples(torch.zeros(5, 2)).value.dtype == torch.float64


def test_weights_are_known_up_to_a_factor_of_any_size() -> None:
    samples, log_weight = normal(300), normal(300, seed=1)
    first = Estimate.from_log_weights(samples, log_weight)
    for offset in (-2000.0, 2000.0):
        second = Estimate.from_log_weights(samples, log_weight + offset)
        assert math.isclose(first.value, second.value, rel_tol=1e-9)
        assert math.isclose(first.stderr, second.stderr, rel_tol=1e-9)


def test_weighted_mean_of_a_shifted_normal() -> None:
    """N(0, 1) reweighted to N(m, 1): mean m, n·stderr² = e^{m²}(1 + m²); the mean at z = 5."""
    m, n = 0.6, 200_000
    x = normal(n)
    found = Estimate.from_log_weights(x, m * x)
    assert abs(found.value - m) < 5 * found.stderr
    assert math.isclose(found.stderr, math.sqrt(math.exp(m**2) * (1 + m**2) / n), rel_tol=0.05)


def test_influence_is_centred() -> None:
    influence = normal(1000)
    first, second = Estimate.from_influence(1.0, influence), Estimate.from_influence(1.0, influence + 50)
    assert math.isclose(first.stderr, second.stderr, rel_tol=1e-9)


def test_printing() -> None:
    assert repr(Estimate(1.23456, 0.0123)) == "1.235 ± 0.012"
    assert repr(Estimate(torch.tensor([1.0, 2.0]), torch.tensor([0.1, 0.2]))) == "[1 ± 0.1, 2 ± 0.2]"


@pytest.mark.parametrize("kind", ["plain", "weighted", "log"])
def test_share_of_repeats_within_a_standard_error(kind: str) -> None:
    """Of 4000 repeats (68.27 ± 5·0.74) %, less 1 % that finite n = 1000 may cost: a false alarm in 1.7 million."""
    repeats, n, m = 4000, 1000, 0.5
    inside = 0
    for row in normal(repeats, n, seed=2):
        if kind == "plain":
            found, exact = Estimate.from_samples(row**2), 1.0
        elif kind == "weighted":
            found, exact = Estimate.from_log_weights(row, m * row), m
        else:
            w = torch.exp(m * row)
            found, exact = Estimate.from_influence(w.mean().log(), w / w.mean()), 0.5 * m**2
        inside += abs(found.value - exact) < found.stderr
    assert abs(inside / repeats - 0.6827) < 5 * math.sqrt(0.6827 * 0.3173 / repeats) + 0.01


def test_groups_count_as_one_sample_each() -> None:
    """Samples that come in copies are as good as one of each; a single group has no error to tell."""
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    log_weight = 0.3 * x[:, 0]
    copies, copied_weight = x.repeat_interleave(4, dim=0), log_weight.repeat_interleave(4)
    for single, grouped in (
        (Estimate.from_samples(x), Estimate.from_samples(copies, group=4)),
        (Estimate.from_log_weights(x, log_weight), Estimate.from_log_weights(copies, copied_weight, group=4)),
    ):
        torch.testing.assert_close(grouped.value, single.value)
        torch.testing.assert_close(grouped.stderr, single.stderr)
    alone = Estimate.from_samples(x[:, 0], group=50)
    assert math.isfinite(alone.value)
    assert math.isnan(alone.stderr)
    with pytest.raises(LeastworkError, match="50 samples do not divide into groups of 7"):
        Estimate.from_samples(x, group=7)

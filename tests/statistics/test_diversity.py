"""The Vendi score, the distance to the guides, MMD and W₁ against exact answers."""

import math

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.density import kernel_density
from leastwork.statistics.discrepancy import maximum_mean_discrepancy, wasserstein
from leastwork.statistics.diversity import (
    guides_apart,
    nearest_guide,
    novelty,
    relative_diversity,
    typical_distance,
    vendi_score,
)

Z = 5.0  # a correct test fails once in 1.7 million


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 7, 300])
def test_vendi_counts_samples_that_are_alike_once_and_different_ones_each(n: int) -> None:
    alike = vendi_score(normal(1, 3).expand(n, 3), bandwidth=0.1)
    different = vendi_score(1e4 * torch.arange(n)[:, None].expand(n, 3), bandwidth=0.1)
    assert alike.value == pytest.approx(1, abs=1e-9)
    assert different.value == pytest.approx(n, rel=1e-9)
    if n > 1:
        assert alike.stderr == pytest.approx(0, abs=1e-6)
        assert different.stderr == pytest.approx(0, abs=1e-6)


def test_vendi_of_groups_is_exp_of_their_entropy() -> None:
    """Of shares (1/6, 2/6, 3/6); drawn at random, ln V has the variance of −ln share."""
    shares = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) / 6
    x = torch.tensor([0.0, 50.0, 50.0, 99.0, 99.0, 99.0]).repeat(50)[:, None]
    found = vendi_score(x, bandwidth=1.0)
    entropy = float(-(shares * shares.log()).sum())
    variance = float((shares * (shares.log() + entropy).square()).sum())
    assert found.value == pytest.approx(math.exp(entropy), rel=1e-9)
    assert found.stderr == pytest.approx(math.exp(entropy) * math.sqrt(variance / 299), rel=1e-6)


def test_vendi_of_two_samples_follows_from_their_similarity() -> None:
    k = math.exp(-0.5)
    entropy = -sum(v * math.log(v) for v in ((1 + k) / 2, (1 - k) / 2))
    assert vendi_score(torch.tensor([[0.0], [2.0]]), bandwidth=2.0).value == pytest.approx(math.exp(entropy))


def test_weights_are_worth_repetition() -> None:
    x, times = normal(20, 2), torch.arange(20) % 3
    repeated = vendi_score(x.repeat_interleave(times, dim=0), bandwidth=0.5)
    weighted = vendi_score(x, bandwidth=0.5, log_weight=times.log() + 7)
    assert weighted.value == pytest.approx(repeated.value, rel=1e-9)
    a, b = normal(30, 4, seed=1), normal(20, 4, seed=2)
    expected = wasserstein(a, b.repeat_interleave(times, dim=0))
    assert torch.allclose(wasserstein(a, b, log_weight_b=times.log() - 2), expected, atol=1e-12)
    assert torch.allclose(wasserstein(b, a, log_weight_a=times.log() - 2), expected, atol=1e-12)


def test_vendi_error_is_the_scatter_between_repeats() -> None:
    """The scatter of 60 repeats is known to 9 %, and five times that is allowed."""
    found = [vendi_score(normal(150, 2, seed=seed), bandwidth=1.0) for seed in range(60)]
    scatter = float(torch.tensor([f.value for f in found]).std())
    stated = float(torch.tensor([f.stderr for f in found]).square().mean().sqrt())
    assert scatter / stated == pytest.approx(1, abs=0.45)


def test_vendi_uses_evenly_spaced_samples_with_their_weights() -> None:
    x = normal(900, 2)
    some = vendi_score(x, 0.5, log_weight=x[:, 0], max_samples=300)
    assert some.value == pytest.approx(vendi_score(x[::3], 0.5, log_weight=x[::3, 0]).value, rel=1e-12)
    assert vendi_score(x[:1000].float(), 0.5, max_samples=300).value > 10


def test_vendi_does_not_mind_how_a_molecule_lies() -> None:
    x = normal(40, 6, 3)
    turned = x.flip(2) * torch.tensor([1.0, 1.0, -1.0]) + 5.0
    both = torch.cat([x, turned])
    alone = vendi_score(x, 1.0, AlignedKernel()).value
    assert vendi_score(both, 1.0, AlignedKernel()).value == pytest.approx(alone, rel=1e-6)
    assert vendi_score(both, 1.0).value > 1.5 * alone


def test_relative_diversity_tells_collapse_from_the_right_distribution() -> None:
    for d in (2, 10):
        reference, fresh, guides = normal(500, d, seed=1), normal(500, d, seed=2), normal(15, d, seed=3)
        collapsed = guides[torch.arange(500) % 15] + 0.1 * normal(500, d, seed=4)
        right, copied = relative_diversity(fresh, reference), relative_diversity(collapsed, reference)
        assert abs(right.value - 1) < Z * right.stderr
        assert copied.value < 0.75
    narrow = relative_diversity(0.5 * fresh, reference, bandwidth=typical_distance(reference) / 2)
    assert narrow.value < 0.5


def test_relative_diversity_compares_equal_numbers() -> None:
    reference = normal(400, 2)
    b = typical_distance(reference) / 2
    expected = vendi_score(reference[:100], b).value / vendi_score(reference[::4], b).value
    assert relative_diversity(reference[:100], reference).value == pytest.approx(expected)


def test_typical_distance_is_the_median_over_pairs() -> None:
    x = normal(51, 3)
    pairs = torch.nn.functional.pdist(x)
    assert typical_distance(x) == pytest.approx(float(pairs.median()), rel=1e-9)


def test_nearest_guide_is_a_minimum_over_guides_in_the_geometry_of_the_kernel() -> None:
    guides, x = normal(9, 5, 3), normal(30, 5, 3, seed=1)
    flat = kernel_density(guides, bandwidth=1.0)
    expected = torch.cdist(x.flatten(1), guides.flatten(1)).amin(dim=1)
    assert torch.allclose(nearest_guide(x, flat), expected, atol=1e-6)
    turned = guides.flip(2) * torch.tensor([1.0, 1.0, -1.0]) + 5.0
    assert float(nearest_guide(turned, kernel_density(guides, AlignedKernel(), 1.0)).max()) < 1e-6
    assert float(nearest_guide(turned, flat).min()) > 1
    assert len(nearest_guide(x[:0], flat)) == 0
    apart = guides_apart(flat)
    assert apart.tolist() == pytest.approx(
        [float(nearest_guide(guides[i : i + 1], kernel_density(guides[torch.arange(9) != i], bandwidth=1.0)))
         for i in range(9)], rel=1e-6,
    )  # fmt: skip


def test_novelty_is_small_for_copies_and_near_one_for_new_draws() -> None:
    density = kernel_density(normal(200, 2))
    copies = novelty(density.points[:100] + 1e-3 * normal(100, 2, seed=1), density)
    fresh = novelty(normal(5000, 2, seed=2), density)
    assert copies.ratio.value < 0.05
    assert abs(fresh.ratio.value - 1) < Z * fresh.ratio.stderr
    assert fresh.guides.value == pytest.approx(float(guides_apart(density).quantile(0.5)))


def gaussian_mmd(shift: float, std: float, b: float, d: int) -> float:
    """MMD² of N(0, I) and N(shift e, std² I)."""

    def mean(variance: float, distance: float) -> float:
        return (b**2 / (b**2 + variance)) ** (d / 2) * math.exp(-0.5 * distance**2 / (b**2 + variance))

    return mean(2, 0) + mean(2 * std**2, 0) - 2 * mean(1 + std**2, shift)  # fmt: skip


@pytest.mark.parametrize(("shift", "std", "n", "m"), [(0.0, 1.0, 300, 300), (1.0, 1.0, 200, 400), (0.0, 0.7, 300, 200)])
def test_discrepancy_of_two_gaussians(shift: float, std: float, n: int, m: int) -> None:
    """The mean of 60 repeats: unbiased, with an error that is not too small."""
    away = torch.tensor([shift, 0.0, 0.0], dtype=torch.float64)
    found = [
        maximum_mean_discrepancy(normal(n, 3, seed=i), away + std * normal(m, 3, seed=10_000 + i), bandwidth=1.5)
        for i in range(60)
    ]
    value, stderr = (torch.tensor([getattr(f, part) for f in found]) for part in ("value", "stderr"))
    exact = gaussian_mmd(shift, std, 1.5, 3)
    assert abs(float(value.mean()) - exact) < Z * float(value.std()) / math.sqrt(60)
    assert float(value.std() / stderr.square().mean().sqrt()) == pytest.approx(0.9, abs=0.45)
    assert float(((value - exact) / stderr).abs().max()) < Z


def test_weights_bring_one_gaussian_to_another() -> None:
    """N(0, 1) with weights e^{ax} is N(a, 1)."""
    x, y = normal(600, 1, seed=1), normal(600, 1, seed=2) + 0.8
    plain = maximum_mean_discrepancy(x, y, 1.0)
    weighted = maximum_mean_discrepancy(x, y, 1.0, log_weight_x=0.8 * x[:, 0] + 3)
    other_way = maximum_mean_discrepancy(y, x, 1.0, log_weight_y=0.8 * x[:, 0])
    assert plain.value > Z * plain.stderr
    assert abs(weighted.value) < Z * weighted.stderr
    assert weighted.value == pytest.approx(other_way.value, abs=1e-12)
    assert weighted.stderr == pytest.approx(other_way.stderr, rel=1e-9)


def test_discrepancy_is_the_mean_over_pairs_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(40, 2), normal(30, 2, seed=1)
    xx, yy, xy = (torch.exp(-0.5 * torch.cdist(*pair).square()) for pair in ((x, x), (y, y), (x, y)))
    exact = (xx.sum() - 40) / (40 * 39) + (yy.sum() - 30) / (30 * 29) - 2 * xy.mean()
    whole = maximum_mean_discrepancy(x, y, 1.0)
    monkeypatch.setattr("leastwork.statistics.discrepancy._PAIRS", 100)
    parts = maximum_mean_discrepancy(x, y, 1.0)
    assert whole.value == pytest.approx(float(exact), abs=1e-12)
    assert (parts.value, parts.stderr) == pytest.approx((whole.value, whole.stderr), rel=1e-9)


def test_wasserstein_of_shifted_samples_is_the_shift() -> None:
    x, shift = normal(500, 3), torch.tensor([0.0, 0.3, -2.0], dtype=torch.float64)
    assert torch.allclose(wasserstein(x, x + shift), shift.abs(), atol=1e-12)
    assert wasserstein(x[:, 1], x[:, 1] + 0.3).item() == pytest.approx(0.3)
    assert wasserstein(x, 2 * x).tolist() == pytest.approx(x.abs().mean(dim=0).tolist())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: vendi_score(normal(3, 1), 0.0), LeastworkError, "must be a finite number > 0"),
        (lambda: vendi_score(normal(0, 1), 1.0), LeastworkError, "no samples to compare"),
        (lambda: vendi_score(normal(3, 1), 1.0, log_weight=torch.zeros(2)), LeastworkError, "pass one for each"),
        (lambda: vendi_score(normal(3, 1), 1.0, max_samples=0), LeastworkError, "at least 1"),
        (lambda: vendi_score(torch.tensor([[0.0], [math.nan]]), 1.0), NonFiniteError, "sample 1 is NaN"),
        (lambda: vendi_score(normal(2, 1), 1.0, log_weight=torch.full((2,), -math.inf)), NonFiniteError, "log_weight"),
        (lambda: typical_distance(normal(1, 2)), LeastworkError, "at least two"),
        (lambda: guides_apart(kernel_density(normal(1, 2), bandwidth=1.0)), LeastworkError, "no other"),
        (lambda: novelty(normal(0, 2), kernel_density(normal(3, 2))), LeastworkError, "no samples"),
        (lambda: maximum_mean_discrepancy(normal(3, 1), normal(1, 1), 1.0), LeastworkError, "y has fewer than two"),
        (lambda: maximum_mean_discrepancy(normal(0, 1), normal(3, 1), 1.0), LeastworkError, "x has fewer than two"),
        (lambda: maximum_mean_discrepancy(normal(3, 1), normal(3, 1), math.nan), LeastworkError, "bandwidth"),
        (
            lambda: maximum_mean_discrepancy(normal(3, 1), normal(3, 1), 1.0, log_weight_y=torch.zeros(3, 1)),
            LeastworkError,
            "log_weight_y has shape",
        ),
        (lambda: wasserstein(normal(3, 1), normal(3, 2)), LeastworkError, "cannot be compared"),
        (lambda: wasserstein(normal(0), normal(3)), LeastworkError, "cannot be compared"),
        (lambda: wasserstein(torch.tensor([0.0, math.inf]), normal(3)), NonFiniteError, "sample 1 of a"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call()

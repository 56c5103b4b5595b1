"""The pass has the probability asked for and exact draws; the gap and its guides lie where they are said to."""

import math

import pytest
import torch

from leastwork.errors import LeastworkError
from leastwork.kernels.density import kernel_density
from leastwork.statistics.estimate import Estimate
from leastwork.systems.moons import Moons
from leastwork.systems.thin_region import Slab, moons_gap, two_well

Z = 5.0  # a correct test fails once in 1.7 million


def draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("probability", [1e-1, 1e-2, 1e-3, 1e-4, 1e-9])
def test_the_pass_has_the_probability_asked_for(probability: float) -> None:
    mixture, region, p = two_well(probability)
    h, s = float(mixture.means[1, 0]), 0.3 * math.sqrt(2)
    exact = 0.5 * (math.erfc((h - region.half_width) / s) - math.erfc((h + region.half_width) / s))
    assert p == probability
    assert exact == pytest.approx(p, rel=1e-12)
    assert mixture.dim == 10


def test_draws_of_the_mixture_hit_the_pass_as_often_as_they_should() -> None:
    mixture, region, p = two_well(1e-2, dim=3)
    hits = Estimate.from_samples(region(mixture.sample(100_000, draws(0))).double())
    assert abs(hits.value - p) < Z * hits.stderr


def test_conditional_draws_are_those_of_the_mixture_that_hit() -> None:
    """Kolmogorov's statistic √n sup|F_n − F| exceeds 2.8 once in 3 million."""
    well = two_well(1e-3)
    h, s, n = float(well.mixture.means[1, 0]), 0.3, 20_000
    x = well.conditional_sample(n, draws(1))
    assert bool(well.region(x).all())

    def cumulative(v: torch.Tensor) -> torch.Tensor:
        return 0.5 * (torch.special.ndtr((v - h) / s) + torch.special.ndtr((v + h) / s))

    first = x[:, 0].sort().values
    low = cumulative(torch.tensor(-0.1, dtype=torch.float64))
    gap = (cumulative(first) - low) / well.probability - torch.arange(n) / n
    assert math.sqrt(n) * float(gap.abs().max()) < 2.8
    rest = Estimate.from_samples(torch.cat([x[:, 1:], x[:, 1:].square()], dim=1))
    expected = torch.tensor([0.0, 0.09], dtype=torch.float64).repeat_interleave(9)
    assert bool(((rest.value - expected).abs() < Z * rest.stderr).all())


def test_conditional_draws_far_out_stay_inside() -> None:
    well = two_well(1e-12, dim=2)
    x = well.conditional_sample(10_000, draws(2))
    assert float(x[:, 0].abs().max()) <= 0.1 + 1e-12
    assert abs(float(x[:, 0].mean())) < 0.01


@pytest.mark.parametrize(("probability", "dim"), [(0.2, 10), (0.0, 10), (math.nan, 10), (1e-3, 0)])
def test_a_pass_that_cannot_be_is_refused(probability: float, dim: int) -> None:
    with pytest.raises(LeastworkError, match="two_well needs"):
        two_well(probability, dim)


def test_the_curve_of_the_gap_is_where_either_moon_is_as_likely() -> None:
    moons = Moons()
    gap = moons_gap(moons)
    assert torch.allclose(moons.is_upper(gap.curve), torch.full((len(gap.curve),), 0.5, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(gap.curve, -gap.curve.flip(0), atol=1e-12)
    assert float(moons.log_prob(gap.curve).max()) < math.log(0.03 * 0.63)
    assert float(gap.curve.diff(dim=0).norm(dim=1).max()) < 0.02


def test_membership_is_the_distance_to_the_curve() -> None:
    gap = moons_gap(half_width=0.05)
    x = torch.rand(2000, 2, generator=draws(3), dtype=torch.float64) - 0.5
    pieces = torch.linspace(0, 1, 51, dtype=torch.float64)[:, None, None]
    fine = (gap.curve[:-1] + pieces * gap.curve.diff(dim=0)).reshape(-1, 2)
    distance = torch.cdist(x, fine).amin(dim=1)
    clear = (distance - 0.05).abs() > 1e-4
    assert torch.equal(gap(x)[clear], (distance <= 0.05)[clear])
    assert 0 < int(gap(x.float()).sum()) < 2000
    assert len(gap(x[:0])) == 0


def test_guides_are_spread_along_the_gap_and_depend_on_the_seed_only() -> None:
    gap = moons_gap()
    guides = gap.guides(15, seed=4)
    assert torch.equal(guides, gap.guides(15, seed=4))
    assert not torch.equal(guides, gap.guides(15, seed=5))
    assert bool(gap(guides).all())
    nearest = torch.cdist(guides, gap.curve).argmin(dim=1)
    assert bool((nearest.diff() >= 0).all())
    assert float(torch.cdist(guides, guides).fill_diagonal_(9.0).amin(dim=1).max()) < 0.2
    assert kernel_density(guides).bandwidth < 0.15


def test_probability_of_the_gap_is_the_share_of_the_draws() -> None:
    moons, gap = Moons(), moons_gap()
    hits = Estimate.from_samples(gap(moons.sample(50_000, draws(6))).double())
    assert abs(gap.probability(moons, points=100) - hits.value) < Z * hits.stderr


@pytest.mark.parametrize("changes", [{"reach": 0.6}, {"reach": 0.0}, {"half_width": 0.5}, {"half_width": math.nan}])
def test_a_gap_that_cannot_be_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(LeastworkError, match="leave the gap"):
        moons_gap(**changes)
    with pytest.raises(LeastworkError, match="at least one"):
        moons_gap().guides(0)


def test_descriptions_name_their_numbers() -> None:
    assert "0.08" in moons_gap().description
    assert "0.35" in moons_gap().description
    assert Slab(0.1).description == "A = {x: |x_1| < 0.1}"

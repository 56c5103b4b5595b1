"""Learning to guide into a region: the tilt, the rounds of guided paths, and what they are worth."""

import math
from collections.abc import Callable

import pytest
import torch

import leastwork as lw
from leastwork.errors import LeastworkError
from leastwork.guidance.learned import LearnedGuidance
from leastwork.path_guidance.least_work import RegionFit, learn_region
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import sample
from leastwork.sampling.work import certify, least_work, log_odds
from leastwork.systems.thin_region import TwoWell, two_well

Z = 5  # standard errors; false alarms below 10⁻⁶ a comparison
LAW = {"steps": 60, "t_grid": "log-snr"}


def test_a_tilt_by_the_log_odds_has_the_wanted_share_and_the_least_work() -> None:
    p, s = 0.02, 0.7
    odds = log_odds(p, s)
    z = 1 - p + p * math.exp(odds)
    assert p * math.exp(odds) / z == pytest.approx(s)
    kl = s * odds - math.log(z)  # of p·e^{L 1_A}/Z from p
    assert least_work(p, s) == pytest.approx(kl)
    assert least_work(p, 1.0) == pytest.approx(-math.log(p))
    assert least_work(p, p) == pytest.approx(0.0)


@pytest.fixture(scope="module")
def well() -> TwoWell:
    return two_well(0.02, dim=1)


def fit(well: TwoWell, budget: int = 1_500_000, steps: int = 60) -> tuple[lw.DiffusionModel, lw.Ensemble, RegionFit]:
    model = well.mixture.model(lw.VPSchedule())
    law = {**LAW, "steps": steps}
    own = sample(model, 5000, seed=1, **law)
    points = well.conditional_sample(12, torch.Generator().manual_seed(5)).float()
    return (
        model,
        own,
        learn_region(model, well.region, points, own, budget=budget, focus=True, choices=Choices.of(law)),
    )


@pytest.mark.slow
def test_it_goes_into_a_region_and_knows_its_probability(well: TwoWell) -> None:
    model, own, found = fit(well)
    assert own.network_evaluations < found.network_evaluations <= 1_500_000
    drawn = sample(model, 8192, found.guidance, seed=2, **LAW)
    inside = well.region(drawn.x).double()
    assert float(inside.mean()) > 0.85
    probability = (drawn.log_weight.exp() * inside).double()
    stderr = float(probability.std()) / math.sqrt(len(drawn))
    count = well.region(sample(model, 100_000, seed=3, **LAW).x).double()
    error = float(count.std()) / math.sqrt(len(count))
    assert abs(float(probability.mean() - count.mean())) < Z * math.hypot(stderr, error)
    assert abs(found.probability.value - float(count.mean())) < Z * math.hypot(found.probability.stderr, error)
    certificate = certify(drawn.work, drawn.log_weight, found.log_odds * inside)
    assert certificate.efficiency.value > 0.7  # 60 steps; exact h is no better than 0.8
    bound = least_work(float(count.mean()), float(inside.mean()))
    assert certificate.work.value > bound - Z * (certificate.work.stderr + float(inside.std()) / math.sqrt(8192) * 10)
    rounds = [one for one in found.history if one.variance is not None]
    assert rounds[-1].success > 0.5


@pytest.mark.slow
def test_the_same_seed_gives_the_same_guidance(well: TwoWell, brief: Callable[[float], None]) -> None:
    brief(0.05)
    fits = [fit(well, budget=260_000, steps=10)[2] for _ in range(2)]
    x = torch.randn(5, 1, generator=torch.Generator().manual_seed(0))
    guidances = [found.guidance for found in fits]
    assert isinstance(guidances[0], LearnedGuidance)
    assert isinstance(guidances[1], LearnedGuidance)
    assert torch.equal(guidances[0].value(x, 0.3, x), guidances[1].value(x, 0.3, x))
    assert fits[0].log_odds == fits[1].log_odds


def test_a_budget_that_is_too_small_says_how_much_it_takes(well: TwoWell) -> None:
    with pytest.raises(LeastworkError, match=r"budget=120000 is too small for 60 steps: give at least \d+ network"):
        fit(well, budget=120_000)

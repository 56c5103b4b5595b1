"""Learning to guide into a region: the tilt, the stages, the descent, and what they are worth against exact answers."""

import math

import pytest
import torch

import leastwork as lw
from leastwork.errors import LeastworkError
from leastwork.fit.region import _descend, _Task, learn_region, least_work, log_odds, part_of_the_way
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.value_network import ValueNetwork
from leastwork.progress import no_progress
from leastwork.sampling import sample
from leastwork.systems.thin_region import two_well
from leastwork.work import certify, kish_ess

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


def test_a_part_of_the_way_keeps_a_quarter_of_the_samples_effective() -> None:
    """For normal ln w of variance v, the effective share of w^τ is e^{−τ²v}."""
    log_w = 3 * torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = part_of_the_way(log_w)
    assert share == pytest.approx(math.sqrt(math.log(4)) / 3, rel=0.02)
    assert kish_ess(share * log_w).value == pytest.approx(0.25, abs=1e-6)


def test_guidance_that_wastes_more_than_none_would_is_not_descended() -> None:
    """The way down from there is to do nothing."""
    away = two_well(0.02, dim=1)
    model = away.mixture.model(lw.VPSchedule())
    network = ValueNetwork(1, seed=3).standardise(sample(model, 1000, seed=1, **LAW).x)
    for scale, worse in ((0.0, False), (3.0, True)):
        torch.nn.init.constant_(network.head.bias, scale)
        task = _Task(model, lambda x: x[:, 0], away.region, 0.5, 0, 1000, 1024, 10, no_progress, LAW)
        after, _, descents, _ = _descend(task, network, 0.02, rounds=1)
        assert (len(descents) == 1) is worse
        assert (descents[0].dissipation > 1.1 * least_work(0.5, 0.02)) is worse
        assert (after is network) is worse


@pytest.fixture(scope="module")
def well():
    return two_well(0.02, dim=1)


def test_it_goes_into_a_region_in_stages_and_knows_its_probability(well) -> None:
    model = well.mixture.model(lw.VPSchedule())
    own = sample(model, 6000, seed=1, **LAW)
    fit = learn_region(
        model, lambda x: -(x[:, 0].abs()), well.region, own, samples=6000, paths=4096, rounds=2, iterations=600, **LAW
    )
    assert fit.history[0].strength is not None  # by the kernel first
    assert fit.history[-1].strength is None  # then A
    assert own.network_evaluations < fit.network_evaluations
    drawn = sample(model, 8192, fit.guidance, seed=2, **LAW)
    inside = well.region(drawn.x).double()
    assert float(inside.mean()) > 0.85
    probability = (drawn.log_weight.exp() * inside).double()
    stderr = float(probability.std()) / math.sqrt(len(drawn))
    count = well.region(sample(model, 100_000, seed=3, **LAW).x).double()
    spread = math.hypot(stderr, float(count.std()) / math.sqrt(len(count)))
    assert abs(float(probability.mean() - count.mean())) < Z * spread
    certificate = certify(drawn.work, drawn.log_weight, fit.log_odds * inside)
    assert certificate.efficiency.value > 0.7  # 60 steps; exact h is no better than 0.8
    bound = least_work(float(count.mean()), float(inside.mean()))
    assert certificate.work.value > bound - Z * (certificate.work.stderr + float(inside.std()) / math.sqrt(8192) * 10)


def test_the_same_seed_gives_the_same_guidance() -> None:
    near = two_well(0.1, dim=1)  # one stage
    model = near.mixture.model(lw.VPSchedule())
    own = sample(model, 12_000, seed=1, **LAW)
    choices = {"samples": 12_000, "paths": 1024, "rounds": 1, "iterations": 100, **LAW}
    fits = [learn_region(model, lambda x: -(x[:, 0].abs()), near.region, own, **choices) for _ in range(2)]
    x = torch.randn(5, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(*(fit.guidance.value(x, 0.3) for fit in fits))
    assert fits[0].log_odds == fits[1].log_odds
    assert [stage.strength for stage in fits[0].history] == [None, None]  # A at once, and a refinement
    assert isinstance(fits[0].guidance, LearnedGuidance)


def test_a_kernel_that_leads_nowhere_is_told(well) -> None:
    model = well.mixture.model(lw.VPSchedule())
    own = sample(model, 3000, seed=1, **LAW)
    with pytest.raises(LeastworkError, match=r"stalls with .* of the samples in the region: give more guides"):
        learn_region(model, lambda x: 0 * x[:, 0], lambda x: x[:, 0] > 50, own, samples=3000, iterations=60, **LAW)

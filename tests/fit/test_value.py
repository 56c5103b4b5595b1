"""V learned from noised samples against the exact Doob transform of mixtures."""

import math

import pytest
import torch

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.fit.losses import knows_clean, loss_of_clean
from leastwork.fit.noised import pool_of
from leastwork.fit.value import LearningError, ValueFit, fit_value
from leastwork.guidance.learned import LearnedGuidance
from leastwork.networks.value import ValueNetwork
from leastwork.schedules.gaussian import VPSchedule
from leastwork.systems.mixtures import GaussianMixture, two_states

SCHEDULE = VPSchedule()
MODEL = two_states(1, (0.5, 0.5), separation=2.0, std=0.3).model(SCHEDULE)


def problem(n: int, seed: int = 0) -> tuple[GaussianMixture, GaussianMixture, torch.Tensor, torch.Tensor]:
    p = two_states(1, (0.5, 0.5), separation=2.0, std=0.3)
    q = p.reweighted([0.2, 0.8])
    x0 = p.sample(n, torch.Generator().manual_seed(seed))
    return p, q, x0.float(), p.log_ratio(q, x0)


def error(guidance: LearnedGuidance, p: GaussianMixture, q: GaussianMixture) -> float:
    """∫½g²E_q|h − h*|² dt over the same with h*, in steps of the log-SNR."""
    exact, random = p.doob(q, SCHEDULE), torch.Generator().manual_seed(9)
    wasted = spent = 0.0
    for log_snr in torch.linspace(-8, 8, 33, dtype=torch.float64):
        t = float(SCHEDULE.time_of(log_snr))
        alpha, sigma = (float(f(torch.tensor(t, dtype=torch.float64))) for f in (SCHEDULE.alpha, SCHEDULE.sigma))
        x = q.noised(alpha, sigma).sample(4000, random).float()
        with torch.no_grad():
            h, best = guidance(x, t, x), exact(x, t, x)
        wasted += sigma**2 * float((h - best).square().mean())
        spent += sigma**2 * float(best.square().mean())
    return wasted / spent


def test_learned_guidance_is_near_the_exact_one() -> None:
    p, q, x0, r = problem(10_000)
    fit = fit_value(ValueNetwork(1).standardise(x0), MODEL, x0, r, iterations=400)
    assert error(LearnedGuidance(fit.network, SCHEDULE), p, q) < 0.08
    assert min(check.validation for check in fit.history) < 1
    assert all(math.isfinite(check.training) for check in fit.history)


def test_a_state_of_a_thousandth_is_learned_from_few_samples() -> None:
    """The target has 3 % of it; where it lies, V is ln 30 with little noise, and beside it about 0."""
    p = two_states(1, (0.999, 0.001), separation=2.0, std=0.3)
    x0 = p.sample(20_000, torch.Generator().manual_seed(1))
    there = x0[:, 0] > 0
    r = torch.where(there, math.log(30.0), 0.0)
    assert 10 < int(there.sum()) < 40
    fit = fit_value(ValueNetwork(1).standardise(x0.float()), MODEL, x0.float(), r, iterations=300, noised=50_000)
    time = SCHEDULE.time_of(torch.tensor(4.0, dtype=torch.float64))
    at = [f(time).float() for f in (SCHEDULE.alpha, SCHEDULE.sigma)]
    with torch.no_grad():
        value = fit.network(at[0] * torch.tensor([[-1.0], [1.0]]), *at)
    assert abs(float(value[0])) < 0.3
    assert abs(float(value[1]) - math.log(30.0)) < 1.5  # from about twenty samples; −1.4 if all are seen equally often


def test_a_constant_in_the_tilt_changes_nothing_and_nothing_overflows() -> None:
    _, _, x0, r = problem(2000)
    network = ValueNetwork(1, width=16)
    one = fit_value(network, MODEL, x0, r, iterations=40)
    two = fit_value(network, MODEL, x0, r + 1000, iterations=40)
    for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_same_seed_same_network_and_the_global_generator_is_left_alone() -> None:
    _, _, x0, r = problem(2000)
    state = torch.random.get_rng_state()
    one, two = (fit_value(ValueNetwork(1, width=16), MODEL, x0, r, iterations=30, seed=4) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_network_given_is_not_changed() -> None:
    _, _, x0, r = problem(2000)
    network = ValueNetwork(1, width=16)
    fit_value(network, MODEL, x0, r, iterations=30)
    assert float(network.head.weight.detach().abs().max()) == 0


def quick_fit(x0: torch.Tensor, r: torch.Tensor, seed: int) -> ValueFit:
    return fit_value(ValueNetwork(1, width=16), MODEL, x0, r, iterations=60, learning_rate=0.01, seed=seed)


def test_noise_is_not_learned_and_the_history_is_kept() -> None:
    _, _, x0, _ = problem(2000)
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with pytest.raises(LearningError, match="does not beat h = 0 on held-out samples") as caught:
        quick_fit(x0, noise, seed=0)
    history = caught.value.history
    assert [check.iteration for check in history] == list(range(3, 61, 3))[: len(history)]
    assert all(check.evidence < 4 for check in history)


def test_remedies_of_what_is_not_learned_help() -> None:
    _, _, x0, r = problem(2000)
    with pytest.raises(LearningError, match="learn it from more samples, as a guided run draws with a larger samples="):
        quick_fit(x0[:60], r[:60], seed=0)
    assert quick_fit(x0, r, seed=0).history[-1].evidence > 4

    class Steep(ValueNetwork):
        def value_and_gradient(self, *given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            value, slope = super().value_and_gradient(*given)
            return self.size * value, self.size * slope

        size = 1.0

    Steep.size = 1e18
    with pytest.raises(LearningError, match=r"does not beat h = 0 .* 4\): learn .* so that V is of order one"):
        fit_value(Steep(1, width=16), MODEL, x0, r, iterations=40)
    Steep.size = 1.0
    fit_value(Steep(1, width=16), MODEL, x0, r, iterations=40)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.3, 1.0])
def test_noise_is_refused_nineteen_times_of_twenty(size: float) -> None:
    _, _, x0, _ = problem(2000)
    refused = 0
    for seed in range(20):
        noise = torch.randn(2000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        try:
            quick_fit(x0, size * noise, seed)
        except LearningError:
            refused += 1
    assert refused >= 19


@pytest.mark.parametrize("weight", [0.51, 0.57])
def test_weak_tilts_are_learned(weight: float) -> None:
    """Of 0.0002 and 0.01 nats: the noise of the loss shrinks with the tilt."""
    p, _, x0, _ = problem(2000)
    fit = quick_fit(x0, p.log_ratio(p.reweighted([1 - weight, weight]), x0.double()), seed=0)
    assert fit.history[-1].validation < 1
    assert fit.history[-1].evidence > 10


def test_a_few_heavy_samples_that_sit_together_are_evidence_enough() -> None:
    """Seven of 7000, one of them held out: the mean of the loss could not tell this from noise."""
    x0 = torch.randn(7000, 1, generator=torch.Generator().manual_seed(2))
    x0[:7] = 6.0 + 0.1 * x0[:7]
    r = torch.where(x0[:, 0] > 5, 6.0, 0.0).double()
    fit = fit_value(ValueNetwork(1).standardise(x0), MODEL, x0, r, iterations=120)
    assert fit.history[-1].evidence > 10


def test_tilts_that_are_not_finite_are_counted() -> None:
    _, _, x0, r = problem(2000)
    r[7], r[9] = math.nan, math.inf
    with pytest.raises(NonFiniteError, match=r"2 of 2000 samples, the first at index 7"):
        fit_value(ValueNetwork(1), MODEL, x0, r, iterations=10)
    with pytest.raises(LeastworkError, match=r"shape \(5,\) for 2000"):
        fit_value(ValueNetwork(1), MODEL, x0, r[:5], iterations=10)


@pytest.mark.slow
def test_samples_of_a_guided_model_learn_what_is_missing() -> None:
    """From q′ = 0.35/0.65 with its exact-enough V₀ learned first, to q = 0.2/0.8."""
    p, q, x0, _ = problem(10_000)
    halfway = p.reweighted([0.35, 0.65])
    start = ValueNetwork(1).standardise(x0)
    first = fit_value(start, MODEL, x0, p.log_ratio(halfway, x0), iterations=250).network
    x1 = halfway.sample(10_000, torch.Generator().manual_seed(3))
    fit = fit_value(first, MODEL, x1.float(), halfway.log_ratio(q, x1), reference=first, iterations=250)
    before, after = (error(LearnedGuidance(network, SCHEDULE), p, q) for network in (first, fit.network))
    assert after < 0.1 < before


def test_many_inputs_are_told_v_without_noise() -> None:
    """The term alone teaches r to a fiftieth of its variance, and only networks of D with many inputs are told it."""
    _, _, x0, r = problem(4000)
    x0, clean = x0.float(), (r - r.mean()).float()
    network, pool = ValueNetwork(1, denoised=True).standardise(x0), pool_of(x0, torch.ones(len(x0)), MODEL)
    every, random = torch.arange(len(x0)), torch.Generator().manual_seed(0)
    assert not knows_clean(network, pool)
    chain = pool_of(torch.randn(20, 48, generator=random), torch.ones(20), MODEL)
    assert knows_clean(ValueNetwork(48, invariant=True, denoised=True), chain)
    assert not knows_clean(ValueNetwork(48, invariant=True), chain)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        loss_of_clean(network, pool, every, clean, SCHEDULE, random).backward()
        optimiser.step()
    time = SCHEDULE.time_of(torch.tensor(9.0, dtype=torch.float64))
    with torch.no_grad():
        value = network(x0, SCHEDULE.alpha(time).float(), SCHEDULE.sigma(time).float())
    assert float((value - clean).var()) < 0.02 * float(clean.var())

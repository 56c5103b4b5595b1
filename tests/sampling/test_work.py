"""The ledger: unbiased weights, the second law, and the exact answer of linear guidance.

Every statistical check is at z = 5: a false alarm in 1.7 million, with fixed seeds.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import leastwork as lw
from leastwork.guidance.base import Composable, Scaled
from leastwork.sampling.work import certify, kish_ess, step_cost
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import two_states

SCHEDULE = lw.VPSchedule(0.1, 20.0)


@dataclass(frozen=True)
class Push(Composable):
    """A bad guidance: a constant push, a pull to a point, or a wave that knows nothing of any target."""

    kind: str
    strength: float

    through_network = False

    def __call__(self, x, t, denoised):
        match self.kind:
            case "constant":
                return torch.full_like(x, self.strength)
            case "pull":
                return self.strength * (1.0 - denoised)
            case _:
                return self.strength * torch.sin(5 * x)


BAD = [Push("constant", 0.3), Push("pull", 0.4), Push("wave", 0.4)]


def test_step_cost_is_the_ratio_of_two_gaussians() -> None:
    random = torch.Generator().manual_seed(0)
    shift, noise = torch.randn(2, 7, 3, generator=random, dtype=torch.float64)
    c = 0.37
    kl, log_ratio = step_cost(shift, noise, c)
    guided, plain = Normal(shift, c), Normal(torch.zeros_like(shift), c)
    landed = shift + c * noise
    torch.testing.assert_close(kl, kl_divergence(guided, plain).sum(dim=1))
    torch.testing.assert_close(log_ratio, (plain.log_prob(landed) - guided.log_prob(landed)).sum(dim=1))


@pytest.mark.parametrize("solver", ["euler", "exponential", "multistep"])
@pytest.mark.parametrize("guidance", BAD, ids=lambda g: g.kind)
def test_weights_are_unbiased(solver: str, guidance: Push) -> None:
    model = two_states(1, (0.4, 0.6), 2.0, 0.3).model(SCHEDULE)
    ens = lw.sample(model, 6000, guidance, solver=solver, steps=40, t_grid="log-snr", seed=1)
    assert 0.3 <= float(ens.work.mean()) <= 2
    weight = lw.Estimate.from_samples(ens.log_weight.exp())
    assert abs(weight.value - 1) < 5 * weight.stderr
    # ⟨ln dP/dQ⟩ = −W, an average that the KL of the kernels did not use
    balance = lw.Estimate.from_samples(ens.log_weight + ens.work)
    assert abs(balance.value) < 5 * balance.stderr


@pytest.mark.parametrize("steps", [20, 50, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("dimension", [1, 10])
@pytest.mark.parametrize("kappa", [1.0, 0.5])
def test_weighted_means_are_the_models_own(steps: int, dimension: int, kappa: float) -> None:
    """E_Q[φ dP/dQ], not normalised, on the same grid, at W ≤ 2."""
    model = two_states(dimension, (0.4, 0.6), 2.0, 0.3).model(SCHEDULE)
    strength = {1.0: 0.3, 0.5: 0.12}[kappa] / math.sqrt(dimension)
    choices = {"steps": steps, "kappa": kappa, "t_grid": "log-snr"}
    guided = lw.sample(model, 5000, Push("constant", strength), seed=2, **choices)
    own = lw.sample(model, 5000, seed=3, **choices)
    assert 0.02 < float(guided.work.mean()) <= 2
    for phi in (lambda x: x[:, 0], lambda x: x.square().sum(dim=1), lambda x: (x[:, 0] > 0).double()):
        a = lw.Estimate.from_samples(phi(guided.x).double() * guided.log_weight.exp())
        b = own.mean(phi)
        assert abs(a.value - b.value) < 5 * math.hypot(a.stderr, b.stderr)


@pytest.mark.parametrize("steps", [20, 50, pytest.param(200, marks=pytest.mark.slow)])
def test_weighted_means_on_prinz(steps: int) -> None:
    model = lw.load_model("prinz")
    guided = lw.sample(model, 5000, Push("constant", 0.4), solver="euler", steps=steps, seed=4)
    own = lw.sample(model, 5000, solver="euler", steps=steps, seed=5)
    assert 0.1 < float(guided.work.mean()) <= 2
    for phi in (lambda x: x[:, 0], lambda x: x[:, 0] ** 2, lambda x: (x[:, 0] > 0.5).double()):
        a = lw.Estimate.from_samples(phi(guided.x).double() * guided.log_weight.exp())
        b = own.mean(phi)
        assert abs(a.value - b.value) < 5 * math.hypot(a.stderr, b.stderr)


@pytest.mark.parametrize("guidance", [*BAD, BAD[0] + BAD[2], -1.0 * BAD[1]], ids=["1", "2", "3", "1+3", "-2"])
def test_second_law(guidance) -> None:
    """dissipation = KL(guided ‖ target) ≥ 0 for any guidance and any target, and W ≥ bound."""
    model = two_states(2, (0.4, 0.6), 2.0, 0.3).model(SCHEDULE)
    ens = lw.sample(model, 4000, guidance, steps=40, t_grid="log-snr", seed=6)
    for tilt in (0.0, 0.7, -0.7):
        certificate = certify(ens.work, ens.log_weight, tilt * ens.x[:, 0])
        assert certificate.dissipation.value > 5 * certificate.dissipation.stderr
        assert abs(certificate.bound.value + certificate.dissipation.value - certificate.work.value) < 1e-12
        assert 0 < certificate.ess.value < 1


@cache
def scaled_doob(strength: float, steps: int):
    """h = εh* for the mean of N(0.5, 0.3²) moved to 0.2; data N, r = −λx exactly."""
    gaussian = Gaussian(0.5, 0.3, 1)
    tilt = gaussian.for_mean(0.2)
    guidance = Scaled(gaussian.doob(tilt, SCHEDULE), strength)
    ens = lw.sample(gaussian.model(SCHEDULE), 2000, guidance, steps=steps, seed=8, dtype=torch.float64)
    return certify(ens.work, ens.log_weight, tilt(ens.x), ens.x, torch.tensor([0.2]), torch.tensor([0.3]))


def test_exact_guidance_dissipates_nothing_as_steps_grow() -> None:
    lost = [scaled_doob(1.0, steps).dissipation for steps in (25, 100, 400)]
    assert lost[0].value > lost[1].value > lost[2].value
    assert lost[2].value < 5e-4
    best = scaled_doob(1.0, 400)
    assert best.efficiency.value > 0.999
    assert best.ess.value > 0.999
    assert abs(best.work.value - 0.5) < 0.01  # KL(N(0.2, 0.3²) ‖ N(0.5, 0.3²)) = ½
    assert best.on_target


@pytest.mark.parametrize("strength", [0.5, pytest.param(0.8, marks=pytest.mark.slow), 1.5])
def test_scaled_guidance_follows_the_law(strength: float) -> None:
    certificate = scaled_doob(strength, 400)
    law = 1 - (1 - strength) ** 2 / strength**2
    assert abs(certificate.efficiency.value - law) < 5 * certificate.efficiency.stderr + 0.005
    assert not certificate.on_target
    assert abs(certificate.miss.value[0] - (1 - strength)) < 5 * certificate.miss.stderr[0] + 0.01


def test_nothing_to_do_has_no_efficiency() -> None:
    model = Gaussian(0.5, 0.3, 1).model(SCHEDULE)
    ens = lw.sample(model, 5000, BAD[0], steps=50)
    for tilt in (torch.zeros(5000), torch.full((5000,), 3.0)):
        certificate = certify(ens.work, ens.log_weight, tilt)
        assert math.isnan(certificate.efficiency.value)
        assert certificate.dissipation.value > 0


def test_few_effective_samples_are_flagged() -> None:
    model = Gaussian(0.5, 0.3, 1).model(SCHEDULE)
    ens = lw.sample(model, 2000, Push("constant", 1.0), steps=50)
    assert certify(ens.work, ens.log_weight, ens.x[:, 0]).biased_high
    assert not scaled_doob(1.0, 100).biased_high


def test_a_path_that_went_astray_is_seen() -> None:
    log_weight = torch.randn(1000, generator=torch.Generator().manual_seed(0)).double()
    usual = certify(torch.ones(1000), log_weight, torch.zeros(1000)).worst_path
    assert 0.001 < usual < 0.05
    log_weight[3] -= 100
    assert certify(torch.ones(1000), log_weight, torch.zeros(1000)).worst_path > 0.85
    assert certify(torch.ones(10), torch.zeros(10), torch.zeros(10)).worst_path == pytest.approx(0.1)


def test_kish_fraction() -> None:
    assert kish_ess(torch.zeros(7)).value == 1
    assert abs(kish_ess(torch.tensor([0.0, -1000.0])).value - 0.5) < 1e-12
    random = torch.Generator().manual_seed(9)
    log_normal = 0.5 * torch.randn(200_000, generator=random, dtype=torch.float64)
    found = kish_ess(log_normal)
    assert abs(found.value - math.exp(-0.25)) < 5 * found.stderr


@pytest.mark.slow
def test_standard_errors_of_the_certificate_cover() -> None:
    """200 repeats: the spread of each figure is its standard error, within the 10⁻⁶ range of χ²(199)/199."""
    found = []
    gaussian, tilt = Gaussian(0.5, 0.3, 1), Gaussian(0.5, 0.3, 1).for_mean(0.2)
    guidance = Scaled(gaussian.doob(tilt, SCHEDULE), 0.7)
    for seed in range(200):
        ens = lw.sample(gaussian.model(SCHEDULE), 2000, guidance, steps=50, seed=100 + seed)
        c = certify(ens.work, ens.log_weight, tilt(ens.x))
        found.append([(e.value, e.stderr) for e in (c.dissipation, c.efficiency, c.ess, c.log_z)])
    values, errors = torch.tensor(found, dtype=torch.float64).unbind(dim=2)
    ratio = values.var(dim=0) / errors.square().mean(dim=0)
    assert bool(((ratio > 0.58) & (ratio < 1.6)).all()), ratio


def test_log_tilt_offset_does_not_matter() -> None:
    model = Gaussian(0.5, 0.3, 1).model(SCHEDULE)
    ens = lw.sample(model, 4000, BAD[0], steps=50)
    first = certify(ens.work, ens.log_weight, ens.x[:, 0])
    second = certify(ens.work, ens.log_weight, ens.x[:, 0] + 700)
    assert abs(first.efficiency.value - second.efficiency.value) < 1e-6
    assert replace(first, log_z=second.log_z).ess.value == first.ess.value

"""The Gaussian's closed forms against quadrature, autograd and a simulated chain."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.integrate import quad

import leastwork as lw
from leastwork.errors import LeastworkError, NoPathWeightsError
from leastwork.models.predictions import Moments
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process
from leastwork.sampling.solvers import Euler, Exponential, Heun
from leastwork.sampling.work import certify
from leastwork.schedules.gaussian import CosineSchedule, LinearSchedule, VESchedule, VPSchedule
from leastwork.statistics.estimate import Estimate
from leastwork.systems.gaussian import Gaussian, QuadraticTilt, exact_chain

Z = 5.0  # a correct test fails once in 1.7 million
SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(), LinearSchedule()]


def table(data, schedule, steps=100, solver=None, spacing="uniform", kappa=1.0):
    process = Process(data.model(schedule), kappa)
    return (solver or Euler()).steps(process, time_grid(process, steps, spacing))


def simulate(data, schedule, steps, tilt, guidance, n=100_000):
    """(x_0, ½Σ|δ|²/c², ln dP/dQ) of n guided paths, float64."""
    generator = torch.Generator().manual_seed(0)
    model = data.model(schedule)
    x = model.prior_scale * torch.randn(n, data.dim, generator=generator, dtype=torch.float64)
    work, log_weight = torch.zeros(n, dtype=torch.float64), torch.zeros(n, dtype=torch.float64)
    for i, t in enumerate(steps.times[:-1].tolist()):
        denoised = model.denoise(x, t)
        z = torch.randn(n, data.dim, generator=generator, dtype=torch.float64)
        shift = steps.e[i] * guidance(x, t, denoised)
        cost = shift.square().sum(1) / (2 * steps.c[i] ** 2)
        work += cost
        log_weight -= (shift * z).sum(1) / steps.c[i] + cost
        x = steps.a[i] * x + steps.b[i] * denoised + shift + steps.c[i] * z
    return model.denoise(x, float(steps.times[-1])), work, log_weight


def test_linear_tilt_reaches_the_mean():
    data = Gaussian(0.3, 0.5, dim=2)
    tilt = data.for_mean(-0.4, direction=(0.6, 0.8))
    mean, variance = data.tilted(tilt)
    assert float(mean @ torch.tensor([0.6, 0.8], dtype=torch.float64)) == pytest.approx(-0.4)
    assert variance == 0.25


@pytest.mark.parametrize("mean", [0.0, 0.7])
@pytest.mark.parametrize("wanted", [0.2, 3.0])
def test_quadratic_tilt_reaches_the_second_moment(mean, wanted):
    data = Gaussian(mean, 0.5, dim=3)
    tilted_mean, variance = data.tilted(data.for_second_moment(wanted))
    assert float(tilted_mean.square().sum()) + 3 * variance == pytest.approx(wanted)


def test_tilted_density_normaliser_and_kl_against_quadrature():
    data, tilt = Gaussian(0.3, 0.8), QuadraticTilt(linear=1.2, quadratic=-0.6)

    def log_p(x):
        return -0.5 * ((x - 0.3) / 0.8) ** 2 - math.log(0.8 * math.sqrt(2 * math.pi))

    def r(x):
        return -1.2 * x + 0.3 * x**2

    def integral(fn):
        return quad(fn, -20, 20, points=[-2.0, 0.0, 2.0], epsabs=1e-12, limit=400)[0]

    z = integral(lambda x: math.exp(log_p(x) + r(x)))
    mean = integral(lambda x: x * math.exp(log_p(x) + r(x))) / z
    second = integral(lambda x: x**2 * math.exp(log_p(x) + r(x))) / z
    cost = integral(lambda x: (r(x) - math.log(z)) * math.exp(log_p(x) + r(x))) / z
    exact_mean, exact_variance = data.tilted(tilt)
    assert data.log_normaliser(tilt) == pytest.approx(math.log(z), rel=1e-9)
    assert float(exact_mean) == pytest.approx(mean, rel=1e-9)
    assert exact_variance == pytest.approx(second - mean**2, rel=1e-9)
    assert data.kl(tilt) == pytest.approx(cost, rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_model_score_is_the_gradient_of_the_marginal(schedule):
    data = Gaussian(0.4, 0.7, dim=2)
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    mean, variance = data.marginal(Moments.at(schedule, 0.3))
    (gradient,) = torch.autograd.grad((-0.5 * (x - mean).square() / variance).sum(), x)
    torch.testing.assert_close(data.model(schedule).score(x.detach(), 0.3), gradient)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
def test_doob_is_the_gradient_of_the_value(schedule, t):
    data, tilt = Gaussian(0.4, 0.7), QuadraticTilt(linear=-0.8, quadratic=0.5)
    m = Moments.at(schedule, t)
    grid = torch.linspace(-7, 7, 20_001, dtype=torch.float64)
    x = torch.tensor([[-0.5], [0.2], [1.4]], dtype=torch.float64, requires_grad=True)
    log_prior = -0.5 * ((grid - 0.4) / 0.7) ** 2 - 0.5 * ((x - m.alpha * grid) / m.sigma) ** 2
    value = torch.logsumexp(log_prior + tilt(grid[:, None]), 1) - torch.logsumexp(log_prior, 1)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    h = data.doob(tilt, schedule)(x.detach(), t, x.detach())
    torch.testing.assert_close(h, gradient, rtol=1e-8, atol=1e-10)
    half = data.doob(tilt, schedule, strength=0.5)(x.detach(), t, x.detach())
    torch.testing.assert_close(half, 0.5 * h)


def test_quadratic_tilt_reaches_the_variance():
    data = Gaussian(0.7, 0.5, dim=2)
    assert data.tilted(data.for_variance(0.04))[1] == pytest.approx(0.04)
    assert data.tilted(data.for_variance(1.5))[1] == pytest.approx(1.5)


CASES = [
    (VPSchedule(), Euler(), "uniform", 1.0),
    (VPSchedule(), Exponential(order=1), "log-snr", 0.4),
    (LinearSchedule(), Euler(), "uniform", 1.0),
    (VESchedule(), Exponential(order=1), "uniform", 1.0),
]


@pytest.mark.parametrize(("schedule", "solver", "spacing", "strength"), CASES)
def test_ledger_against_a_simulated_chain(schedule, solver, spacing, strength):
    data, tilt = Gaussian(0.5, 0.4, dim=2), QuadraticTilt(linear=1.5, quadratic=0.8, direction=(0.6, 0.8))
    steps = table(data, schedule, 30, solver, spacing)
    guidance = data.doob(tilt, schedule, strength)
    exact = exact_chain(data, schedule, steps, tilt, *guidance.coefficients(steps.times[:-1]))
    x, work, log_weight = simulate(data, schedule, steps, tilt, guidance)

    def agrees(samples, value):
        return abs(samples.mean() - value) < Z * samples.std() / len(samples) ** 0.5

    log_w = log_weight + tilt(x)
    w = torch.exp(log_w - exact.log_normaliser)
    assert agrees(work, exact.work)
    assert agrees(w, 1.0)
    assert agrees(w**2, 1 / exact.ess)
    assert agrees(log_w, exact.log_normaliser - exact.dissipation)
    assert agrees(torch.exp(log_weight), 1.0)
    for k in range(2):
        assert agrees(x[:, k], exact.mean[k])
        assert agrees((x[:, k] - exact.mean[k]) ** 2, exact.variance[k])


@pytest.mark.parametrize("spacing", ["uniform", "log-snr"])
@pytest.mark.parametrize("solver", [Euler(), Exponential(order=1)], ids=["euler", "exponential"])
def test_ledger_against_the_sampler(solver, spacing):
    data, schedule, n = Gaussian(0.5, 0.4, dim=2), VPSchedule(), 8000
    tilt = QuadraticTilt(linear=1.0, quadratic=0.8, direction=(0.6, 0.8))
    guidance = 0.6 * data.doob(tilt, schedule)
    ens = lw.sample(
        data.model(schedule), n, guidance, solver=solver, steps=40, t_grid=spacing, seed=2, dtype=torch.float64
    )
    steps = table(data, schedule, 40, solver, spacing)
    coefficients = data.doob(tilt, schedule, strength=0.6).coefficients(steps.times[:-1])
    exact = exact_chain(data, schedule, steps, tilt, *coefficients)
    log_tilt = tilt(ens.x)
    found = certify(ens.work, ens.log_weight, log_tilt)
    for estimate, value in [
        (found.work, exact.work),
        (found.dissipation, exact.dissipation),
        (found.bound, exact.bound),
        (found.efficiency, exact.efficiency),
        (found.log_z, exact.log_normaliser),
        (found.ess, exact.ess),
        (Estimate.from_samples(ens.x[:, 1]), float(exact.mean[1])),
        (Estimate.from_samples((ens.x[:, 1] - exact.mean[1]) ** 2), float(exact.variance[1])),
    ]:
        assert abs(estimate.value - value) < Z * estimate.stderr


def test_any_affine_guidance_has_a_ledger():
    data, tilt = Gaussian(0.0, 1.0), QuadraticTilt(linear=0.5)
    schedule = VPSchedule()
    steps = table(data, schedule, 20)
    offset, slope = torch.full((20, 1), -0.3, dtype=torch.float64), torch.full((20, 1), 0.1, dtype=torch.float64)
    exact = exact_chain(data, schedule, steps, tilt, offset, slope)
    _, work, _ = simulate(data, schedule, steps, tilt, lambda x, t, d: -0.3 + 0.1 * x, n=100_000)
    assert abs(work.mean() - exact.work) < Z * work.std() / 100_000**0.5


@pytest.mark.parametrize("schedule", [VPSchedule(), LinearSchedule()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("spacing", ["uniform", "log-snr"])
@pytest.mark.parametrize("solver", [Euler(), Exponential(order=1)], ids=repr)
def test_doob_becomes_reversible_as_steps_grow(schedule, spacing, solver):
    data = Gaussian(0.5, 0.3)
    tilt = data.for_mean(0.2)
    ledgers = [
        exact_chain(data, schedule, table(data, schedule, n, solver, spacing), tilt) for n in (25, 100, 400, 1600)
    ]
    waste = [1 - ledger.efficiency for ledger in ledgers]
    assert all(later < earlier / 2 for earlier, later in pairwise(waste))
    assert waste[-1] < 2e-3
    last = ledgers[-1]
    assert last.work == pytest.approx(data.kl(tilt), rel=0.02)
    assert last.log_normaliser == pytest.approx(data.log_normaliser(tilt), rel=0.01)
    assert last.ess > 0.998
    assert float(last.mean) == pytest.approx(0.2, abs=1e-3)
    assert last.variance.sqrt().item() == pytest.approx(0.3, rel=0.01)


@pytest.mark.parametrize("strength", [0.3, 0.7, 1.5])
def test_a_scaled_doob_obeys_the_second_law(strength):
    data, schedule = Gaussian(0.5, 0.3), LinearSchedule()
    tilt = data.for_mean(0.2)
    steps = table(data, schedule, 400)
    coefficients = data.doob(tilt, schedule, strength).coefficients(steps.times[:-1])
    ledger = exact_chain(data, schedule, steps, tilt, *coefficients)
    assert ledger.dissipation > 0
    mean, variance = float(ledger.mean), float(ledger.variance)
    reached = 0.5 * ((mean - 0.5) ** 2 / 0.09 + variance / 0.09 - 1 - math.log(variance / 0.09))  # KL(samples ‖ model)
    assert ledger.bound - 1e-3 < reached < ledger.work + 1e-3  # up to the model's own discretisation
    assert ledger.efficiency == pytest.approx(1 - (1 - strength) ** 2 / strength**2, abs=1e-3)


def test_coordinates_add():
    one, three, schedule = Gaussian(0.2, 0.6), Gaussian(0.2, 0.6, dim=3), VPSchedule()
    tilt = QuadraticTilt(quadratic=0.7)
    a = exact_chain(one, schedule, table(one, schedule), tilt)
    b = exact_chain(three, schedule, table(three, schedule), tilt)
    assert b.work == pytest.approx(3 * a.work)
    assert b.dissipation == pytest.approx(3 * a.dissipation)
    assert b.ess == pytest.approx(a.ess**3)


def test_without_guidance_nothing_is_spent_and_efficiency_is_undefined():
    data, schedule = Gaussian(), VPSchedule()
    steps = table(data, schedule)
    none = torch.zeros(100, 1, dtype=torch.float64)
    ledger = exact_chain(data, schedule, steps, QuadraticTilt(), none, none)
    assert ledger.work == 0
    assert ledger.dissipation == pytest.approx(0, abs=1e-12)
    assert math.isnan(ledger.efficiency)
    assert ledger.ess == pytest.approx(1)


def test_second_moment_of_weights_that_diverges_gives_no_effective_sample():
    data, schedule = Gaussian(0.0, 1.0), VPSchedule()
    steps = table(data, schedule)
    none = torch.zeros(100, 1, dtype=torch.float64)
    ledger = exact_chain(data, schedule, steps, QuadraticTilt(quadratic=-0.6), none, none)  # E e^{2r} needs μ > −½
    assert ledger.ess == 0
    assert math.isfinite(ledger.log_normaliser)
    ledger = exact_chain(data, schedule, steps, QuadraticTilt(quadratic=-1.5), none, none)  # nor has E e^r
    assert ledger.log_normaliser == math.inf
    assert ledger.ess == 0


def test_refusals():
    data, schedule = Gaussian(), VPSchedule()
    with pytest.raises(NoPathWeightsError):
        exact_chain(data, schedule, table(data, schedule, solver=Exponential(order=2)), QuadraticTilt())
    with pytest.raises(NoPathWeightsError):
        exact_chain(data, schedule, table(data, schedule, solver=Heun()), QuadraticTilt())
    with pytest.raises(NoPathWeightsError):
        exact_chain(data, schedule, table(data, schedule, kappa=0.0), QuadraticTilt())
    with pytest.raises(LeastworkError, match="both"):
        exact_chain(data, schedule, table(data, schedule), QuadraticTilt(), torch.zeros(100, 1))
    with pytest.raises(LeastworkError, match="unit vector"):
        QuadraticTilt(1.0, direction=(1.0, 1.0))
    with pytest.raises(LeastworkError, match="normalisable"):
        data.tilted(QuadraticTilt(quadratic=-1.0))
    with pytest.raises(LeastworkError, match="coordinates"):
        data.tilted(QuadraticTilt(1.0, direction=(0.6, 0.8)))
    with pytest.raises(LeastworkError, match="std > 0"):
        Gaussian(0.0, 0.0)
    with pytest.raises(LeastworkError, match="positive"):
        data.for_second_moment(-1.0)
    with pytest.raises(LeastworkError, match="positive"):
        data.for_variance(0.0)

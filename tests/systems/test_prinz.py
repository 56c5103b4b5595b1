"""Prinz's potential against scipy's quadrature and minimisers, and against its own samples."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq

from leastwork.errors import InfeasibleError, LeastworkError, NonFiniteError
from leastwork.models.predictions import Moments
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process
from leastwork.sampling.solvers import Euler
from leastwork.schedules.gaussian import LinearSchedule, VPSchedule
from leastwork.systems.line import LineDensity, LineDoob, kl_histogram, maximum_entropy
from leastwork.systems.prinz import PRINZ_BARRIERS, position, potential, prinz, prinz_biased, well_populations

Z = 5.0  # a correct test fails once in 1.7 million
SCHEDULE = VPSchedule(0.1, 20.0)


def v(x):
    hills = 0.8 * np.exp(-80 * x**2) + 0.2 * np.exp(-80 * (x - 0.5) ** 2) + 0.5 * np.exp(-40 * (x + 0.5) ** 2)
    return 4 * (x**8 + hills)


def slope(x):
    hills = (
        0.8 * 160 * x * np.exp(-80 * x**2)
        + 0.2 * 160 * (x - 0.5) * np.exp(-80 * (x - 0.5) ** 2)
        + 0.5 * 80 * (x + 0.5) * np.exp(-40 * (x + 0.5) ** 2)
    )
    return 4 * (8 * x**7 - hills)


def integral(fn, low=-1.6, high=1.6):
    return quad(fn, low, high, points=[-0.75, -0.5, -0.2, 0.0, 0.2, 0.5, 0.75], limit=500, epsabs=1e-13)[0]


def boltzmann(bias):
    z = integral(lambda x: math.exp(-v(x) - bias * math.tanh(3 * x)))
    return lambda x: math.exp(-v(x) - bias * math.tanh(3 * x)) / z


def test_potential():
    x = torch.linspace(-1.2, 1.2, 25, dtype=torch.float64)
    torch.testing.assert_close(potential(x[:, None]), torch.from_numpy(v(x.numpy())))


def test_barriers_are_where_the_slope_vanishes_and_the_curvature_is_negative():
    for top, centre in zip(PRINZ_BARRIERS, (-0.5, 0.0, 0.5), strict=True):
        assert top == pytest.approx(brentq(slope, centre - 0.05, centre + 0.05, xtol=1e-15), abs=1e-12)
        assert slope(top - 1e-3) > 0 > slope(top + 1e-3)


@pytest.mark.parametrize(("density", "bias"), [(prinz(), 0.0), (prinz_biased(), 1.0), (prinz_biased(bias=2.0), 2.0)])
def test_averages_normaliser_and_populations(density, bias):
    p = boltzmann(bias)
    assert float(density.mean(position)) == pytest.approx(integral(lambda x: x * p(x)), abs=1e-11)
    at = torch.tensor([[0.3]], dtype=torch.float64)
    assert float(density.log_prob(at)) == pytest.approx(math.log(p(0.3)), abs=1e-11)
    edges = (-1.6, *PRINZ_BARRIERS, 1.6)
    exact = [quad(p, a, b, epsabs=1e-13)[0] for a, b in pairwise(edges)]
    wells = [density.probability(max(a, -1.5), min(b, 1.5)) for a, b in pairwise(edges)]
    assert wells == pytest.approx(exact, abs=1e-6)
    assert density.mean(well_populations).tolist() == pytest.approx(exact, abs=3e-3)  # a node is in a well or not


def test_the_bias_moves_the_population_to_the_left():
    assert prinz().probability(0.0, 1.5) == pytest.approx(0.598, abs=1e-3)
    assert prinz_biased().probability(0.0, 1.5) == pytest.approx(0.238, abs=1e-3)
    assert float(prinz().mean(position)) == pytest.approx(0.09595, abs=1e-5)
    assert float(prinz_biased().mean(position)) == pytest.approx(-0.28476, abs=1e-5)


def test_kl_of_the_biased_density():
    p, q = boltzmann(0.0), boltzmann(1.0)
    assert prinz().kl(prinz_biased()) == pytest.approx(integral(lambda x: p(x) * math.log(p(x) / q(x))), abs=1e-10)


def test_samples_are_exact():
    density, n = prinz(), 100_000
    x = density.sample(n, torch.Generator().manual_seed(0))
    assert x.shape == (n, 1)
    assert abs(x.mean() - density.mean(position)) < Z * x.std() / n**0.5
    wells = well_populations(x)
    expected = torch.tensor([density.probability(a, b) for a, b in wells_edges()], dtype=torch.float64)
    assert bool(((wells.mean(0) - expected).abs() < Z * wells.std(0) / n**0.5).all())
    deviation = (density.cdf(x[:, 0]).sort().values - (torch.arange(n) + 0.5) / n).abs().max()
    assert deviation < 3.6 / n**0.5  # Kolmogorov: exceeded with probability 2e^{−2·3.6²} < 10⁻¹¹


def wells_edges():
    edges = (-1.5, *PRINZ_BARRIERS, 1.5)
    return list(pairwise(edges))


def test_well_populations_are_indicators_that_sum_to_one():
    x = torch.tensor([[-0.9], [-0.3], [0.3], [0.9]])
    assert torch.equal(well_populations(x), torch.eye(4))


def test_maximum_entropy_of_the_position():
    truth, model = prinz(), prinz_biased()
    wanted = float(truth.mean(position))
    optimum = maximum_entropy(model, position, [wanted])
    p = boltzmann(1.0)

    def excess(slope):
        return integral(lambda x: (x - wanted) * math.exp(-slope * x) * p(x))

    exact = brentq(excess, -5, 5, xtol=1e-13)
    assert float(optimum.lambdas) == pytest.approx(exact, abs=1e-8)
    assert float(optimum.density.mean(position)) == pytest.approx(wanted, abs=1e-11)
    # at the optimum KL(q ‖ p) = −λ o − ln Z
    log_z = math.log(integral(lambda x: math.exp(-exact * x) * p(x)))
    assert optimum.kl == pytest.approx(-exact * wanted - log_z, abs=1e-9)
    assert optimum.kl == pytest.approx(0.29337, abs=1e-5)
    assert truth.kl(optimum.density) == pytest.approx(0.02211, abs=1e-5)
    # Pythagoras: KL(truth ‖ model) = KL(truth ‖ optimum) + KL(optimum ‖ model)
    assert truth.kl(model) == pytest.approx(truth.kl(optimum.density) + optimum.kl, abs=1e-10)


def test_maximum_entropy_of_redundant_observables_takes_the_least_lambda():
    truth, model = prinz(), prinz_biased()
    wanted = truth.mean(well_populations)
    optimum = maximum_entropy(model, well_populations, wanted)
    torch.testing.assert_close(optimum.density.mean(well_populations), wanted, rtol=0, atol=1e-10)
    assert float(optimum.lambdas.sum()) == pytest.approx(0, abs=1e-8)  # a common constant changes nothing
    closer = maximum_entropy(model, position, [float(truth.mean(position))])
    assert truth.kl(optimum.density) < truth.kl(closer.density)


def test_maximum_entropy_refuses_what_cannot_be():
    with pytest.raises(InfeasibleError, match="no reweighting"):
        maximum_entropy(prinz(), position, [1.7])
    with pytest.raises(LeastworkError, match="one per column"):
        maximum_entropy(prinz(), well_populations, [0.5, 0.5])


@pytest.mark.parametrize("t", [1e-3, 0.05, 0.3, 0.8, 1.0])
def test_denoiser_and_score(t):
    density, m = prinz_biased(), Moments.at(SCHEDULE, t)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(5, 1, generator=generator, dtype=torch.float64)
    x = (m.alpha * density.sample(5, generator) + m.sigma * noise).requires_grad_()
    (score,) = torch.autograd.grad(density.log_prob_noised(x, m.alpha, m.sigma).sum(), x)
    z = x.detach()
    torch.testing.assert_close(density.model(SCHEDULE, tabulated=False).score(z, t), score, rtol=1e-6, atol=1e-8)
    p = boltzmann(1.0)
    for value, d in zip(z[:, 0].tolist(), density.denoise(z, m.alpha, m.sigma)[:, 0].tolist(), strict=True):

        def kernel(x0, value=value):
            return p(x0) * math.exp(-0.5 * ((value - m.alpha * x0) / m.sigma) ** 2)

        near, width = value / m.alpha, 12 * m.sigma / m.alpha
        low, high = max(-1.6, near - width), min(1.6, near + width)
        top = quad(lambda x0: x0 * kernel(x0), low, high, epsabs=0, limit=500)[0]
        assert d == pytest.approx(top / quad(kernel, low, high, epsabs=0, limit=500)[0], abs=1e-7)


def test_denoiser_where_nothing_of_the_data_is_left():
    density = prinz()
    d = density.model(LinearSchedule()).denoise(torch.tensor([[-2.0], [0.0], [3.0]]), 1.0)
    torch.testing.assert_close(d, density.mean(position).float().expand(3, 1))


@pytest.mark.parametrize("t", [1e-3, 0.02, 0.2, 0.9])
def test_doob_is_the_gradient_of_the_value(t):
    density, m = prinz_biased(), Moments.at(SCHEDULE, t)
    tilt = lambda x: 1.5 * x[:, 0] - 0.4 * x[:, 0] ** 2  # noqa: E731
    x = torch.tensor([[-0.7], [0.1], [0.6]], dtype=torch.float64, requires_grad=True)
    grid = torch.linspace(-1.6, 1.6, 6001, dtype=torch.float64)
    joint = -potential(grid[:, None]) - torch.tanh(3 * grid) - 0.5 * ((x - m.alpha * grid) / m.sigma) ** 2
    value = torch.logsumexp(joint + tilt(grid[:, None]), 1) - torch.logsumexp(joint, 1)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    z = x.detach()
    exact = LineDoob(density, tilt, SCHEDULE, tabulated=False)
    torch.testing.assert_close(exact(z, t, z), gradient, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(LineDoob(density, tilt, SCHEDULE)(z, t, z), gradient, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        LineDoob(density, tilt, SCHEDULE, strength=0.2)(z, t, z), 0.2 * gradient, atol=1e-3, rtol=1e-3
    )
    assert not exact.through_network


@pytest.mark.parametrize("t", [1e-3, 0.05, 0.5, 1.0])
def test_table_agrees_with_the_quadrature_inside_and_outside(t):
    density, m = prinz_biased(), Moments.at(SCHEDULE, t)
    reach = 1.5 * m.alpha + 9 * m.sigma
    x = torch.linspace(-reach, reach, 501, dtype=torch.float64)[:, None]
    table, exact = density.model(SCHEDULE), density.model(SCHEDULE, tabulated=False)
    torch.testing.assert_close(table.denoise(x, t), exact.denoise(x, t), rtol=0, atol=1e-4)
    assert table.denoise(x.float(), t).dtype == torch.float32


def test_table_can_be_differentiated():
    density, m = prinz_biased(), Moments.at(SCHEDULE, 0.3)
    x = torch.tensor([[-0.4], [0.5], [20.0]], dtype=torch.float64, requires_grad=True)
    (by_table,) = torch.autograd.grad(density.model(SCHEDULE).denoise(x, 0.3).sum(), x)
    (by_rule,) = torch.autograd.grad(density.denoise(x, m.alpha, m.sigma).sum(), x)
    torch.testing.assert_close(by_table, by_rule, rtol=0.02, atol=0.01)


def test_a_grid_too_coarse_for_the_noise_is_refused():
    model = prinz().model(LinearSchedule())
    with pytest.raises(LeastworkError, match="points=299"):
        model.denoise(torch.zeros(1, 1), 1e-3)
    prinz(points=3001).model(LinearSchedule()).denoise(torch.zeros(1, 1), 1e-3)
    with pytest.raises(LeastworkError, match="positive"):
        prinz().denoise(torch.zeros(1, 1), 1.0, 0.0)


def test_rescaled_units():
    density = prinz_biased()
    half = density.rescaled(0.5)
    assert float(half.mean(position)) == pytest.approx(2 * float(density.mean(position)))
    z = torch.tensor([[0.6]], dtype=torch.float64)
    assert float(half.log_prob(z)) == pytest.approx(float(density.log_prob(0.5 * z)) + math.log(0.5))


def test_guided_chain_obeys_the_second_law_and_meets_the_target():
    density, n = prinz_biased(), 8_000
    optimum = maximum_entropy(density, position, [float(prinz().mean(position))])
    tilt = lambda x: -float(optimum.lambdas) * x[:, 0]  # noqa: E731
    model, guidance = density.model(SCHEDULE), LineDoob(density, tilt, SCHEDULE)
    process = Process(model)
    steps = Euler().steps(process, time_grid(process, 100, "log-snr"))
    generator = torch.Generator().manual_seed(0)
    x = process.prior(torch.randn(n, 1, generator=generator, dtype=torch.float64))
    log_weight = torch.zeros(n, dtype=torch.float64)
    for i, t in enumerate(steps.times[:-1].tolist()):
        denoised = model.denoise(x, t)
        shift = steps.e[i] * guidance(x, t, denoised)
        z = torch.randn(n, 1, generator=generator, dtype=torch.float64)
        log_weight -= ((shift * z) / steps.c[i] + shift.square() / (2 * steps.c[i] ** 2))[:, 0]
        x = steps.a[i] * x + steps.b[i] * denoised + shift + steps.c[i] * z
    x = model.denoise(x, float(steps.times[-1]))
    weight = log_weight.exp()
    assert abs(weight.mean() - 1) < Z * weight.std() / n**0.5
    log_w = log_weight + tilt(x)
    dissipation = float(torch.logsumexp(log_w, 0) - math.log(n) - log_w.mean())
    work = -float(log_weight.mean())
    assert 0 < dissipation < 0.05 * work
    assert work == pytest.approx(optimum.kl, rel=0.05)
    assert kl_histogram(x, optimum.density) < 0.01


def test_histogram_divergence():
    density, n = prinz(), 200_000
    x = density.sample(n, torch.Generator().manual_seed(0))
    # 2n KL follows χ² with about as many degrees of freedom as occupied bins
    assert kl_histogram(x, density) < (100 + Z * math.sqrt(200)) / (2 * n)
    exact = density.kl(prinz_biased())
    assert kl_histogram(prinz_biased().sample(n, torch.Generator().manual_seed(0)), density) == pytest.approx(
        exact, abs=0.02
    )


def test_histogram_of_two_bins_by_hand():
    density = LineDensity(lambda x: 0 * x[:, 0], 0.0, 1.0)
    x = torch.tensor([0.1, 0.2, 0.3, 0.9])
    expected = 0.5 * math.log(0.5 / (3 / 4.5)) + 0.5 * math.log(0.5 / (1 / 4.5))  # the outside counts half a sample
    assert kl_histogram(x, density, bins=2, interval=(0.0, 1.0)) == pytest.approx(expected, abs=1e-3)


def test_histogram_loses_nothing_and_takes_weights():
    density, n = prinz(), 100_000
    x = density.sample(n, torch.Generator().manual_seed(0))
    strayed = x.clone()
    strayed[: n // 10] = 50.0
    assert kl_histogram(strayed, density) == pytest.approx(-math.log(0.9), abs=0.01)
    y = prinz_biased().sample(n, torch.Generator().manual_seed(1))
    log_weight = density.log_prob(y) - prinz_biased().log_prob(y)
    assert kl_histogram(y, density, log_weight=log_weight + 7.0) < 0.005
    x[3] = math.nan
    with pytest.raises(NonFiniteError, match="sample 3"):
        kl_histogram(x, density)


def test_a_density_needs_an_interval():
    with pytest.raises(LeastworkError, match="low < high"):
        LineDensity(lambda x: x[:, 0], 1.0, 0.0)

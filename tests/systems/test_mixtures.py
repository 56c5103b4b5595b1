"""Mixtures against autograd, quadrature and their own samples."""

import math

import pytest
import torch
from scipy.integrate import quad

import leastwork as lw
from leastwork.errors import InfeasibleError, LeastworkError
from leastwork.models.predictions import Moments
from leastwork.sampling.work import certify
from leastwork.schedules.gaussian import CosineSchedule, LinearSchedule, VESchedule, VPSchedule
from leastwork.statistics.estimate import Estimate
from leastwork.systems.mixtures import GaussianMixture, two_states

Z = 5.0  # a correct test fails once in 1.7 million
SCHEDULES = [VPSchedule(), CosineSchedule(), VESchedule(), LinearSchedule()]
LINE = GaussianMixture([0.2, 0.5, 0.3], [[-1.0], [0.3], [1.5]], [0.2, 0.5, 0.3])


def plane():
    generator = torch.Generator().manual_seed(3)
    means = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    return GaussianMixture([0.1, 0.2, 0.3, 0.4], means, [0.2, 0.4, 0.6, 0.8])


def density(mixture, x):
    parts = zip(mixture.weights.tolist(), mixture.means[:, 0].tolist(), mixture.stds.tolist(), strict=True)
    return sum(w * math.exp(-0.5 * ((x - m) / s) ** 2) / (s * math.sqrt(2 * math.pi)) for w, m, s in parts)


def integral(fn):
    return quad(fn, -8, 8, points=[-1.0, 0.3, 1.5], limit=500, epsabs=1e-12)[0]


def test_log_prob_is_the_sum_over_components():
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)
    expected = torch.tensor([math.log(density(LINE, value)) for value in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(LINE.log_prob(x[:, None]), expected)


def test_log_prob_survives_far_away_and_in_many_dimensions():
    far = two_states(256, (0.5, 0.5), 2.0, 0.1)
    x = torch.full((2, 256), 30.0, dtype=torch.float64)
    assert bool(torch.isfinite(far.log_prob(x)).all())
    assert bool(torch.isfinite(far.score(x)).all())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("t", [0.02, 0.4, 0.9])
def test_score_and_denoiser_against_autograd(schedule, t):
    mixture, m = plane(), Moments.at(schedule, t)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    noised = GaussianMixture(
        mixture.weights, m.alpha * mixture.means, (m.alpha**2 * mixture.stds**2 + m.sigma**2).sqrt()
    )
    (score,) = torch.autograd.grad(noised.log_prob(x).sum(), x)
    z = x.detach()
    torch.testing.assert_close(noised.score(z), score)
    tweedie = (z + m.sigma**2 * score) / m.alpha
    torch.testing.assert_close(mixture.denoise(z, m.alpha, m.sigma), tweedie, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(mixture.model(schedule).score(z, t), score, rtol=1e-6, atol=1e-8)


def test_samples_follow_the_mixture():
    mixture, n = plane(), 100_000
    x = mixture.sample(n, torch.Generator().manual_seed(0))
    deviation = (x.mean(0) - mixture.mean).abs() / (x.std(0) / n**0.5)
    assert bool((deviation < Z).all())
    share = mixture.populations(x)
    assert bool(((share.mean(0) - mixture.weights).abs() < Z * share.std(0) / n**0.5).all())


@pytest.mark.parametrize("linear", [-2.0, 0.7])
def test_linear_tilt_against_quadrature(linear):
    target = LINE.tilted(linear, [1.0])
    z = integral(lambda x: density(LINE, x) * math.exp(-linear * x))
    assert LINE.log_normaliser(linear, [1.0]) == pytest.approx(math.log(z), rel=1e-9)
    for x in (-1.2, 0.1, 0.8, 2.0):
        assert density(target, x) == pytest.approx(density(LINE, x) * math.exp(-linear * x) / z, rel=1e-9)


def test_linear_tilt_in_several_dimensions_is_the_density_times_the_exponential():
    mixture, a, linear = plane(), torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64), 0.8
    x = mixture.sample(50, torch.Generator().manual_seed(0))
    expected = -linear * x @ a - mixture.log_normaliser(linear, a)
    torch.testing.assert_close(mixture.log_ratio(mixture.tilted(linear, a), x), expected)


@pytest.mark.parametrize("wanted", [-3.0, 0.0, 1.4])
def test_tilt_for_mean(wanted):
    mixture, a = plane(), [0.5, -1.0, 2.0]
    target = mixture.tilted(mixture.tilt_for_mean(wanted, a), a)
    assert float(target.mean @ torch.tensor(a, dtype=torch.float64)) == pytest.approx(wanted, abs=1e-10)


def test_kl_against_quadrature_and_samples():
    target = LINE.reweighted([0.6, 0.3, 0.1])
    exact = integral(lambda x: density(target, x) * math.log(density(target, x) / density(LINE, x)))
    assert LINE.kl(target) == pytest.approx(exact, rel=1e-8)
    estimate = LINE.estimate_kl(target, 100_000, torch.Generator().manual_seed(0))
    assert abs(estimate.value - exact) < Z * estimate.stderr


def test_kl_of_narrow_states_is_resolved():
    narrow = two_states(1, (0.5, 0.5), 10.0, 0.01)
    expected = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)  # no overlap: the populations' own KL
    assert narrow.kl(narrow.reweighted([0.8, 0.2])) == pytest.approx(expected, rel=1e-9)


def test_a_state_may_be_emptied():
    states = two_states(1, (0.5, 0.5), 10.0, 0.1)
    target = states.reweighted([0.0, 1.0])
    x = torch.tensor([[-5.0], [5.0]], dtype=torch.float64)
    assert bool(torch.isfinite(states.log_ratio(target, x)).all())
    assert states.kl(target) == pytest.approx(math.log(2), rel=1e-9)


def test_kl_of_two_states_does_not_depend_on_the_dimension():
    line, space = two_states(1, (0.15, 0.85), 1.5, 0.4), two_states(30, (0.15, 0.85), 1.5, 0.4)
    exact = line.kl(line.reweighted([0.5, 0.5]))
    assert space.kl(space.reweighted([0.5, 0.5])) == pytest.approx(exact, rel=1e-9)
    estimate = space.estimate_kl(space.reweighted([0.5, 0.5]), 100_000, torch.Generator().manual_seed(0))
    assert abs(estimate.value - exact) < Z * estimate.stderr


def test_kl_along_an_oblique_line():
    means = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 2.0]], dtype=torch.float64)
    p = GaussianMixture([0.3, 0.7], means, 0.6)
    q = p.tilted(0.5, means[1] - means[0])
    estimate = p.estimate_kl(q, 100_000, torch.Generator().manual_seed(0))
    assert abs(estimate.value - p.kl(q)) < Z * estimate.stderr
    assert p.kl(p) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("t", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("target", [LINE.tilted(0.9, [1.0]), LINE.reweighted([0.5, 0.1, 0.4])], ids=["tilt", "weights"])
def test_doob_is_the_gradient_of_the_value(schedule, t, target):
    m = Moments.at(schedule, t)
    grid = torch.linspace(-6, 6, 20_001, dtype=torch.float64)
    x = torch.tensor([[-0.9], [0.2], [1.1]], dtype=torch.float64, requires_grad=True)
    doob = LINE.doob(target, schedule)
    joint = LINE.log_prob(grid[:, None]) - 0.5 * ((x - m.alpha * grid) / m.sigma) ** 2
    value = torch.logsumexp(joint + doob.log_tilt(grid[:, None]), 1) - torch.logsumexp(joint, 1)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    z = x.detach()
    torch.testing.assert_close(doob(z, t, z), gradient, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(LINE.doob(target, schedule, 0.3)(z, t, z), 0.3 * doob(z, t, z))
    assert doob(z.float(), t, z.float()).dtype == torch.float32


def test_single_precision_loses_little_at_little_noise():
    mixture, schedule = two_states(64, (0.85, 0.15), 2.0, 0.1), VPSchedule()
    doob = mixture.doob(mixture.reweighted([0.4, 0.6]), schedule)
    # half way between the states, where h is largest
    x = 0.02 * torch.randn(100, 64, generator=torch.Generator().manual_seed(0))
    h = doob(x.double(), 1e-3, x.double())
    torch.testing.assert_close(doob(x, 1e-3, x).double(), h, rtol=1e-5, atol=1e-5)
    model = mixture.model(schedule)
    torch.testing.assert_close(model.denoise(x, 1e-3).double(), model.denoise(x.double(), 1e-3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dim", [1, 256])
def test_guided_paths_carry_the_weights_of_the_model(dim):
    mixture, schedule, n = two_states(dim, (0.85, 0.15), 2.0, 0.3), VPSchedule(), 2000
    target = mixture.reweighted([0.47, 0.53])
    doob = mixture.doob(target, schedule)
    guided = lw.sample(mixture.model(schedule), n, doob, steps=50, seed=1)
    free = lw.sample(mixture.model(schedule), n, steps=50, seed=2)
    weights = Estimate.from_samples(guided.log_weight.exp())
    assert abs(weights.value - 1) < Z * weights.stderr
    reweighted, plain = (ens.mean(lambda x: mixture.populations(x)[:, 1], under="model") for ens in (guided, free))
    assert abs(reweighted.value - plain.value) < Z * math.hypot(reweighted.stderr, plain.stderr)
    found = certify(guided.work, guided.log_weight, doob.log_tilt(guided.x))
    assert found.dissipation.value > 0
    assert found.efficiency.value > 0.8
    assert found.ess.value > 0.8


def test_log_tilt_is_normalised():
    doob = LINE.doob(LINE.reweighted([0.6, 0.3, 0.1]), VPSchedule())
    w = doob.log_tilt(LINE.sample(100_000, torch.Generator().manual_seed(0))).exp()
    assert abs(w.mean() - 1) < Z * w.std() / 100_000**0.5


def test_two_states():
    states = two_states(4, (0.15, 0.85), separation=3.0, std=0.5)
    assert states.dim == 4
    assert (states.means[1] - states.means[0]).tolist() == [3.0, 0.0, 0.0, 0.0]
    assert states.weights.tolist() == [0.15, 0.85]


def test_refusals():
    with pytest.raises(LeastworkError, match="weights"):
        GaussianMixture([1.0], [[0.0], [1.0]], 1.0)
    with pytest.raises(LeastworkError, match="positive"):
        GaussianMixture([1.0, -0.1], [[0.0], [1.0]], 1.0)
    with pytest.raises(LeastworkError, match="on one line"):
        plane().kl(plane())
    with pytest.raises(LeastworkError, match="agree"):
        plane().kl(LINE)
    with pytest.raises(LeastworkError, match="direction"):
        LINE.tilted(1.0, [1.0, 0.0])
    with pytest.raises(LeastworkError, match="zero"):
        LINE.tilt_for_mean(1.0, [0.0])
    with pytest.raises(InfeasibleError, match="too far"):
        LINE.tilt_for_mean(1e12, [1.0])
    with pytest.raises(LeastworkError, match="two populations"):
        two_states(1, (0.2, 0.3, 0.5), 1.0, 0.1)

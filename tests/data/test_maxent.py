"""The maximum-entropy fit against closed forms: normal distributions, for which λ = (C + Σ)⁻¹ (m − o)."""

import math
import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from leastwork.data.dual import Dual
from leastwork.data.experiment import Experiment
from leastwork.data.maxent import LogTilt, MaxEnt, fit_lambdas
from leastwork.errors import InfeasibleError, LeastworkError, LeastworkWarning, NonFiniteError
from leastwork.observables import circular, component, evaluate, smooth_interval, stack
from leastwork.observables.function import Observable

FALSE_ALARM = math.erfc(5 / math.sqrt(2))  # two-sided, z = 5: 5.7e-7


def data(*values: float | None, errors: Any = 0.0, **bounds: Any) -> Experiment:
    """K data of the first K coordinates, a, b, c, …"""
    count = len(values)
    return Experiment(stack(*(component(k, "abcdefgh"[k]) for k in range(count))), list(values), errors, **bounds)


def normal(n: int, count: int, seed: int = 0) -> Tensor:
    return torch.randn(n, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadrature(mean: list[float], covariance: list[list[float]], nodes: int = 60) -> tuple[Tensor, Tensor]:
    """A normal distribution as weighted samples: points (nodes^K, K) and ln weights, by the Gauss–Hermite rule."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[x] * len(mean))], axis=1)
    log_w = sum(g.ravel() for g in np.meshgrid(*[np.log(w)] * len(mean)))
    return torch.tensor(grid @ np.linalg.cholesky(covariance).T + mean), torch.tensor(log_w)


def close(a: Tensor, b, atol: float) -> bool:
    return torch.allclose(a, torch.as_tensor(b, dtype=torch.float64), rtol=0, atol=atol)


def test_normal_closed_form() -> None:
    m, s, o = 0.7, 2.0, 1.9
    x, log_w = quadrature([m], [[s**2]], nodes=100)
    fit = fit_lambdas(x, data(o), log_w)
    assert fit.converged
    assert close(fit.lambdas, [(m - o) / s**2], 1e-8)
    assert close(fit.predicted, [o], 1e-9)
    assert close(fit.target, [o], 1e-15)
    assert close(fit.model_mean, [m], 1e-12)
    assert close(fit.model_std, [s], 1e-12)
    assert fit.kl == pytest.approx((m - o) ** 2 / (2 * s**2), abs=1e-9)
    assert fit.log_z == pytest.approx(-fit.kl, abs=1e-9)


def test_normal_closed_form_with_correlated_errors() -> None:
    mean, covariance = [0.5, -1.0], [[1.0, 0.4], [0.4, 2.0]]
    sigma, o = [[0.5, -0.2], [-0.2, 0.3]], [1.2, 0.1]
    x, log_w = quadrature(mean, covariance)
    fit = fit_lambdas(x, data(*o, errors=sigma), log_w)
    lambdas = np.linalg.solve(np.add(covariance, sigma), np.subtract(mean, o))
    assert close(fit.lambdas, lambdas, 1e-8)
    assert close(fit.target, o + np.array(sigma) @ lambdas, 1e-8)
    assert close(fit.predicted, fit.target, 1e-9)
    assert fit.kl == pytest.approx(0.5 * lambdas @ np.array(covariance) @ lambdas, abs=1e-8)


def test_sample_exact_residual() -> None:
    x = normal(5000, 3)
    observed = torch.cat([x, x[:, :1].sigmoid(), 1e4 * x[:, 1:2].square() - 3e5], dim=1)
    experiment = data(0.3, -0.2, 0.1, 0.6, -2.9e5)
    fit = fit_lambdas(observed, experiment)
    assert close(fit.predicted / fit.model_std, experiment.values / fit.model_std, 1e-12)
    assert close(fit.predicted[:4], experiment.values[:4], 1e-9)
    assert fit.iterations <= 15
    weight = torch.softmax(-(observed - fit.reference) @ fit.lambdas, dim=0)
    assert close(weight @ observed[:, :4], experiment.values[:4], 1e-9)


def test_log_tilt_matches_the_fit() -> None:
    x = normal(4000, 2)
    observable = stack(component(0, "a"), smooth_interval(0.0, None, 0.1, index=1, name="b"))
    experiment = Experiment(observable, [0.4, 0.7], [0.1, 0.0])
    observed = evaluate(observable, x)
    fit = fit_lambdas(observed, experiment)
    tilt = fit.log_tilt(observable)
    r = tilt(x)
    assert isinstance(tilt, LogTilt)
    assert r.shape == (4000,)
    log_z = float(torch.logsumexp(r, dim=0)) - math.log(4000)
    w = torch.softmax(r, dim=0)
    assert fit.log_z == pytest.approx(log_z, abs=1e-12)
    assert fit.kl == pytest.approx(float(w @ r) - log_z, abs=1e-12)
    assert fit.ess == pytest.approx(1 / (4000 * float(w @ w)), rel=1e-12)
    assert close(w @ observed, fit.target, 1e-12)
    assert tilt(x.float()).dtype == torch.float32
    with pytest.raises(LeastworkError, match="pass the experiment's observable"):
        fit.log_tilt(component(0, "z"))


def test_nothing_to_do() -> None:
    x = normal(100, 2)
    fit = fit_lambdas(x, data(*x.mean(dim=0).tolist()))
    assert close(fit.lambdas, [0, 0], 1e-12)
    assert fit.ess == pytest.approx(1)
    assert fit.kl == pytest.approx(0, abs=1e-12)


def test_held_out_data_are_predicted_only() -> None:
    x = normal(3000, 2)
    x[:, 1] += 0.5 * x[:, 0]
    fit = fit_lambdas(x, data(0.5, 100.0, errors=[[0.0, 0.0], [0.0, 1.0]], held_out=[False, True]))
    alone = fit_lambdas(x[:, :1], data(0.5))
    assert close(fit.lambdas, [alone.lambdas.item(), 0.0], 1e-12)
    assert fit.lambdas[1] == fit.stderr[1] == 0
    w = torch.softmax(-x[:, 0] * alone.lambdas, dim=0)
    assert close(fit.predicted, w @ x, 1e-12)
    assert close(fit.target, [0.5, fit.predicted[1].item()], 1e-15)


def test_weights_stand_for_repetition() -> None:
    x = normal(300, 2)
    times = torch.arange(300) % 4 + 1
    experiment = data(0.2, -0.3, errors=[0.1, 0.0])
    weighted = fit_lambdas(x, experiment, times.double().log() + 7.0)
    repeated = fit_lambdas(x.repeat_interleave(times, dim=0), experiment)
    for key in ("lambdas", "target", "predicted", "model_mean", "model_std"):
        assert close(getattr(weighted, key), getattr(repeated, key), 1e-10)
    assert weighted.log_z == pytest.approx(repeated.log_z, abs=1e-10)


# Bounds


def test_inactive_bounds() -> None:
    x = normal(1000, 3)
    fit = fit_lambdas(x, data(None, None, None, lower=[-1, None, -1], upper=[None, 1, 1]))
    assert fit.lambdas.tolist() == [0, 0, 0]
    assert fit.stderr.tolist() == [0, 0, 0]
    assert fit.iterations == 0
    assert close(fit.target, x.mean(dim=0), 1e-12)


@pytest.mark.parametrize("error", [0.0, 0.3])
@pytest.mark.parametrize(
    ("bounds", "value"),
    [
        ({"upper": [-0.4]}, -0.4),
        ({"lower": [0.3]}, 0.3),
        ({"lower": [0.2], "upper": [0.5]}, 0.2),
        ({"lower": [-0.5], "upper": [-0.2]}, -0.2),
    ],
)
def test_active_bound_is_a_value(bounds, value: float, error: float) -> None:
    x = normal(1000, 1)
    bounded, exact = fit_lambdas(x, data(None, errors=error, **bounds)), fit_lambdas(x, data(value, errors=error))
    assert close(bounded.lambdas, exact.lambdas, 1e-10)
    assert close(bounded.target, exact.target, 1e-10)
    assert close(bounded.stderr, exact.stderr, 1e-10)
    assert bounded.lambdas.sign() == (-1 if value > 0 else 1)


def kkt_miss(fit: MaxEnt, experiment: Experiment) -> Tensor:
    """By how much E − Σλ misses the subgradient of the support function, in σ_O."""
    lower, upper = experiment.interval
    met = fit.predicted - experiment.covariance @ fit.lambdas
    end = torch.where(fit.lambdas > 0, upper, torch.where(fit.lambdas < 0, lower, met.clamp(lower, upper)))
    return (met - end) / fit.model_std


@pytest.mark.parametrize("seed", range(20))
def test_many_bounds_meet_the_optimality_conditions(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    count = 8
    x = normal(2000, count, seed) @ torch.randn(count, count, generator=generator, dtype=torch.float64)
    std = x.std(dim=0)
    centre = 0.3 * std * torch.randn(count, generator=generator, dtype=torch.float64)
    width = std * torch.rand(count, generator=generator, dtype=torch.float64)
    kind = torch.randint(0, 4, (count,), generator=generator)
    kind[0] = 0
    nan = torch.tensor(math.nan, dtype=torch.float64)
    experiment = data(
        *torch.where(kind == 0, centre, nan).tolist(),
        errors=0.2 * std,
        lower=torch.where((kind == 1) | (kind == 3), centre - width, nan),
        upper=torch.where((kind == 2) | (kind == 3), centre + width, nan),
    )
    fit = fit_lambdas(x, experiment)
    assert kkt_miss(fit, experiment).abs().max() < 1e-9
    assert (fit.lambdas[kind == 1] <= 0).all()
    assert (fit.lambdas[kind == 2] >= 0).all()
    assert fit.iterations <= 15


# Redundant and contradictory data


def populations(x: Tensor) -> Tensor:
    """Three smooth states along one coordinate; they sum to one."""
    return torch.softmax(torch.cat([-3 * x, torch.ones_like(x), 3 * x], dim=1), dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_redundant_populations(dtype: torch.dtype) -> None:
    x = normal(2000, 1)
    p = populations(x.to(dtype)).double()
    fit = fit_lambdas(p, data(0.5, 0.2, 0.3))
    assert close(fit.predicted, [0.5, 0.2, 0.3], 1e-9 if dtype == torch.float64 else 1e-7)
    assert abs(float((fit.model_std**2 * fit.lambdas).sum())) < 1e-6  # minimum norm of λ σ_O
    two = fit_lambdas(p[:, :2], data(0.5, 0.2))
    r, r_two = p @ fit.lambdas, p[:, :2] @ two.lambdas
    assert close(r - r.mean(), r_two - r_two.mean(), 1e-5)
    assert fit.kl == pytest.approx(two.kl, abs=1e-6)


def test_symmetric_populations_get_symmetric_lambdas() -> None:
    x = normal(2000, 1)
    fit = fit_lambdas(populations(torch.cat([x, -x])), data(0.4, 0.2, 0.4))
    assert fit.lambdas[0] == pytest.approx(float(fit.lambdas[2]), abs=1e-9)


def test_one_datum_in_two_units() -> None:
    x = normal(2000, 1)
    fit = fit_lambdas(torch.cat([x, 10 * x], dim=1), data(0.5, 5.0))
    alone = fit_lambdas(x, data(0.5))
    assert close(fit.lambdas, [alone.lambdas.item() / 2, alone.lambdas.item() / 20], 1e-9)


def test_contradictory_populations() -> None:
    p = populations(normal(2000, 1))
    observed = torch.cat([p, normal(2000, 1, seed=1)], dim=1)
    with pytest.raises(InfeasibleError, match="contradict each other") as caught:
        fit_lambdas(observed, data(0.5, 0.3, 0.3, 0.0))
    message = str(caught.value)
    assert all(f"'{name}'" in message for name in "abc")
    assert "'d'" not in message
    assert "is 1 in every sample but 1.1 by the data" in message


def test_contradiction_with_errors_is_shared_out() -> None:
    p = populations(normal(2000, 1))
    fit = fit_lambdas(p, data(0.5, 0.3, 0.3, errors=0.1))
    assert close(fit.predicted.sum(), 1.0, 1e-12)
    assert close(fit.predicted, fit.target, 1e-9)


def test_constant_observable() -> None:
    x = normal(500, 2)
    x[:, 1] = 3.0
    exact = fit_lambdas(x, data(0.2, 3.0))
    assert exact.lambdas[1] == 0
    assert close(exact.predicted, [0.2, 3.0], 1e-9)
    with pytest.warns(LeastworkWarning, match="'b' is 3.5, where all 500 samples have 3, which no weights"):
        measured = fit_lambdas(x, data(0.2, 3.5, errors=[0.0, 0.1]))
    assert close(measured.target, [0.2, 3.0], 1e-9)
    with pytest.raises(InfeasibleError, match="'b'"):
        fit_lambdas(x, data(0.2, 3.5))


# Data that cannot be met


@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        (data(0.0, 7.5), "its value 7.5"),
        (data(0.0, -7.5), "its value -7.5"),
        (data(0.0, None, lower=[None, 8]), "its lower bound 8"),
        (data(0.0, None, upper=[None, -8]), "its upper bound -8"),
    ],
)
def test_single_datum_out_of_reach(experiment: Experiment, said: str) -> None:
    x = normal(1000, 2)
    with pytest.raises(InfeasibleError) as caught:
        fit_lambdas(x, experiment)
    message = str(caught.value)
    low, high = x[:, 1].min(), x[:, 1].max()
    assert message.startswith(f"the 1000 samples reach [{low:.6g}, {high:.6g}] in 'b'")
    assert said in message
    assert "guide in stages" in message


def test_value_on_the_edge_of_reach() -> None:
    with pytest.raises(InfeasibleError, match="'a'"):
        fit_lambdas((normal(100, 1) > 0).double(), data(1.0))


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_joint_infeasibility(error: float) -> None:
    """E[x]² > E[x²] breaks Jensen's inequality, though each value is within reach; the third datum has no part."""
    x = normal(2000, 2)
    observed = torch.stack([x[:, 0], x[:, 0].square(), x[:, 1]], dim=1)
    with pytest.raises(InfeasibleError, match="meets these data together") as caught:
        fit_lambdas(observed, data(1.0, 0.5, 0.1, errors=[0.0, 0.0, error]))
    assert "'a' = 1 (samples reach" in str(caught.value)
    assert "'b' = 0.5 (samples reach" in str(caught.value)
    fit_lambdas(observed, data(1.0, 0.5, 0.1, errors=[0.5, 0.5, error]))


def test_joint_infeasibility_of_bounds() -> None:
    x = normal(2000, 1)
    with pytest.raises(InfeasibleError, match=r"'a' >= 1 \(samples reach"):
        fit_lambdas(torch.cat([x, x.square()], dim=1), data(None, None, lower=[1.0, None], upper=[None, 0.5]))


def test_out_of_reach_with_errors_is_solved_with_a_warning() -> None:
    x = normal(1000, 1)
    few = pytest.warns(LeastworkWarning, match=r"effective samples of 1000 .* guide in stages, draw more samples")
    unit = pytest.warns(
        LeastworkWarning, match=r"'a' is 10, where .*, and 1, as of a unit ten times another, would lie"
    )
    with few, unit:
        fit = fit_lambdas(x, data(10.0, errors=0.5))
    assert close(fit.predicted, 10.0 + 0.25 * fit.lambdas, 1e-9)
    assert fit.ess < 0.01


# Sampling error


@pytest.mark.parametrize(("error", "width"), [(0.0, 1.0), (0.7, 1.0), (0.0, 1.3)])
def test_sampling_error_of_lambda(error: float, width: float) -> None:
    """200 fits to 2000 samples each: Σ z² follows χ² of 200; false alarms 5.7e-7 each."""
    o, n, repeats = 0.5, 2000, 200
    generator = torch.Generator().manual_seed(11)
    exact = -o / (1 + error**2)
    z_scores = []
    for _ in range(repeats):
        x = width * torch.randn(n, 1, generator=generator, dtype=torch.float64)
        log_weight = 0.5 * (1 / width**2 - 1) * x[:, 0] ** 2
        fit = fit_lambdas(x, data(o, errors=error), log_weight)
        z_scores.append(float((fit.lambdas - exact) / fit.stderr))
    total = float(np.square(z_scores).sum())
    assert chi2.ppf(FALSE_ALARM / 2, repeats) < total < chi2.isf(FALSE_ALARM / 2, repeats)


def test_sampling_error_is_the_spread_of_the_influence() -> None:
    x = normal(1000, 3)
    experiment = data(0.3, -0.2, 0.1, errors=[0.0, 0.3, 0.1])
    fit = fit_lambdas(x, experiment)
    w = torch.softmax(-x @ fit.lambdas, dim=0)
    centred = x - fit.predicted
    hessian = (centred * w[:, None]).T @ centred + experiment.covariance
    influence = 1000 * w[:, None] * centred @ torch.linalg.inv(hessian)
    assert close(fit.stderr, influence.std(dim=0) / math.sqrt(1000), 1e-10)


# The dual and its derivatives


def test_gradient_and_hessian_are_derivatives_of_the_dual() -> None:
    rng = np.random.default_rng(0)
    z, sigma = rng.standard_normal((3, 500)), np.array([[0.5, 0.1, 0.0], [0.1, 0.3, 0.0], [0.0, 0.0, 0.0]])
    ends = np.array([0.2, -0.4, 0.3])
    dual = Dual(z, np.full(500, -math.log(500)), ends, ends, sigma)
    at = np.array([0.4, -0.6, 0.2])

    def value(lambdas):
        return dual.value(lambdas, dual.tilt(lambdas))

    def gradient(lambdas):
        return dual.gradient(lambdas, dual.tilt(lambdas)) + ends

    h = 1e-5
    steps = h * np.eye(3)
    slope = np.array([(value(at + d) - value(at - d)) / (2 * h) for d in steps])
    curvature = np.array([(gradient(at + d) - gradient(at - d)) / (2 * h) for d in steps])
    np.testing.assert_allclose(gradient(at), slope, rtol=0, atol=1e-9)
    np.testing.assert_allclose(dual.hessian(dual.tilt(at)), curvature, rtol=0, atol=1e-9)


def test_the_maximum_is_a_maximum() -> None:
    x = normal(1000, 2)
    o, sigma = torch.tensor([0.3, -0.1], dtype=torch.float64), torch.tensor([0.0, 0.2], dtype=torch.float64)
    best = fit_lambdas(x, data(*o.tolist(), errors=sigma)).lambdas

    def dual(lambdas: Tensor) -> float:
        return float(-torch.logsumexp(-(x - o) @ lambdas, 0) + math.log(1000) - 0.5 * (sigma * lambdas).square().sum())

    for k in range(2):
        for step in (-1e-3, 1e-3):
            other = best.clone()
            other[k] += step
            assert dual(other) < dual(best)


# What is refused


@pytest.mark.parametrize(
    ("observed", "log_weight", "kind", "message"),
    [
        (normal(10, 3), None, LeastworkError, r"observed has shape \(10, 3\) for 2 data"),
        (normal(1, 2), None, LeastworkError, "draw at least two"),
        (normal(10, 2), torch.zeros(9), LeastworkError, r"log_weight has shape \(9,\) for 10 samples"),
        (normal(10, 2), torch.full((10,), math.nan), NonFiniteError, "log_weight is nan at index 0"),
        (
            torch.tensor([[0.0, 1.0], [1.0, math.nan]]),
            None,
            NonFiniteError,
            "'b' is NaN or infinite for 1 of 2 samples",
        ),
    ],
)
def test_bad_samples_are_refused(observed, log_weight, kind, message) -> None:
    with pytest.raises(kind, match=message):
        fit_lambdas(observed, data(0.0, 0.0), log_weight)


def test_large_problem_converges_quickly() -> None:
    count = 40
    x = normal(20_000, count)
    shift = 0.2 * torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fit = fit_lambdas(x, Experiment(stack(*(component(k) for k in range(count))), shift))
    assert fit.iterations <= 15
    assert close(fit.predicted, shift, 1e-9)


# Doubt


def test_a_constant_in_single_precision_meets_its_datum() -> None:
    x = torch.stack([torch.linspace(-1, 1, 1000), torch.full((1000,), 0.146)], dim=1)  # float32, as models draw
    fit = fit_lambdas(x, data(0.1, 0.146, errors=[0.05, 0.0]))
    assert fit.lambdas[1] == 0
    with pytest.raises(InfeasibleError, match=r"no weighting of them gives its value 0\.1461"):
        fit_lambdas(x, data(0.1, 0.1461, errors=[0.05, 0.0]))


def test_one_sample_that_decides_is_named() -> None:
    x = torch.linspace(0.6, 2.4, 4000, dtype=torch.float64)[:, None]
    x[1234] = 0.01
    message = r"one sample decides λ: sample 1234, where 'a' is 1e\+12, makes 100\.0% of its variance"
    with pytest.warns(LeastworkWarning, match=message):
        fit_lambdas(x**-6, data(0.05, errors=0.01))
    fit_lambdas(normal(1000, 1), data(0.2))  # nothing is said of a normal one


def test_a_datum_with_a_large_error_is_not_doubted() -> None:
    fit_lambdas(normal(1000, 1), data(10.0, errors=5.0))


def test_an_average_that_one_sample_makes_is_still_met() -> None:
    x = torch.linspace(0.6, 2.4, 4000, dtype=torch.float64)[:, None]
    x[1234] = 0.01
    observed = torch.cat([x**-6, torch.linspace(-1, 1, 4000, dtype=torch.float64)[:, None]], dim=1)
    data = Experiment(Observable(lambda x: x, names=("a", "b")), values=[0.05, 0.1], errors=[0.01, 0.0])
    with pytest.warns(LeastworkWarning, match="one sample decides λ: sample 1234"):
        fit = fit_lambdas(observed, data)
    weight = torch.softmax(fit.log_tilt_of(observed), dim=0)
    torch.testing.assert_close(weight @ observed, fit.target, rtol=0, atol=1e-9)
    assert fit.target.tolist() == pytest.approx([0.05 + 1e-4 * fit.lambdas[0].item(), 0.1])


def test_a_few_samples_that_make_half_of_the_variance_are_named() -> None:
    observed = torch.linspace(-1, 1, 4000, dtype=torch.float64)[:, None]
    observed[[5, 70]] = torch.tensor([[1e6], [2e6]], dtype=torch.float64)
    data = Experiment(Observable(lambda x: x, names="a"), values=[0.1], errors=[0.1])
    with pytest.warns(LeastworkWarning, match=r"a few samples decide λ: sample 70, .* 80\.0%|one sample decides λ"):
        fit_lambdas(observed, data)


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (57.2957, "", "degrees instead of radians"),
        (1000.0, "", "a thousand times"),
        (70.0, "", "a fraction instead|percent"),
        (4.2, "kcal/mol", "1.004, as of kJ instead of kcal"),
    ],
)
def test_the_unit_that_may_be_meant_is_named(value: float, unit: str, told: str) -> None:
    observed = torch.linspace(0.6, 1.2, 1000, dtype=torch.float64)[:, None]
    data = Experiment(Observable(lambda x: x, ("a",), unit), values=[value], errors=[0.1])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fit_lambdas(observed, data)
    assert any(re.search(told, str(w.message)) for w in said)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        (0, 60.0, "0.5, as of the cosine of an angle in degrees"),
        (1, -150.0, "-0.5, as of the sine of an angle in degrees"),
        (0, 2.0, "-0.4161, as of the cosine of an angle in radians"),
        (1, -3.0, "-0.1411, as of the sine of an angle in radians"),
    ],
)
def test_an_angle_given_for_its_cosine_or_sine_is_named(column: int, value: float, told: str) -> None:
    observable = circular([0], ["phi"])
    observed = observable(normal(1000, 1))
    of = [column == 0, column == 1]
    values = [value if mine else None for mine in of]
    bounds: dict[str, Any] = {"lower": [None if mine else -1.0 for mine in of], "held_out": [not mine for mine in of]}
    with pytest.warns(LeastworkWarning, match=told):
        fit_lambdas(observed, Experiment(observable, values, abs(value) / 20, **bounds))
    with pytest.raises(InfeasibleError, match=told):
        fit_lambdas(observed, Experiment(observable, values, 0.0, **bounds))
    upper = [abs(value) if mine else None for mine in of]
    with pytest.warns(LeastworkWarning, match="as of the (co)?sine of an angle in"):
        fit_lambdas(observed, Experiment(observable, None, 0.1, upper=upper, **bounds))


@pytest.mark.parametrize(
    ("unit", "bounds", "said"),
    [
        ("nm", {"upper": [5.0, 4.0]}, r"'a' and 1 more, whose bound 5 lies far .* \[0.3, 2.4\].* 0.5, as of a length"),
        ("nm", {"upper": [5.0, 0.5]}, None),  # one acts, which speaks for the unit
        ("nm", {"upper": [2.5, 2.6]}, None),  # idle, and right
        ("nm^-6", {"lower": [4.0**-6, 5.0**-6]}, "would lie there: check their unit"),
        ("Å", {"lower": [0.05, 0.06]}, "0.5, as of a length ten times another"),
        ("", {"upper": [50.0, 40.0]}, "0.5, as of percent instead of a fraction"),
        ("Hz", {"upper": [50.0, 40.0]}, None),
    ],
)
def test_bounds_in_another_unit_are_doubted_though_all_samples_meet_them(unit: str, bounds: Any, said: str) -> None:
    x = torch.linspace(0.3, 2.4, 200, dtype=torch.float64)[:, None].expand(-1, 2)
    x = x**-6 if unit == "nm^-6" else x
    experiment = Experiment(Observable(lambda x: x, ("a", "b"), unit), errors=0.0, **bounds)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fit_lambdas(x, experiment)
    told = [str(one.message) for one in found if "bounds do nothing" in str(one.message)]
    assert len(told) == (said is not None)
    assert said is None or re.search(said, told[0])


def test_a_constant_in_float32_agrees_with_its_exact_datum() -> None:
    """Observables come in float64 from states in float32: 0.146 nm is then 0.14600000530481339 nm in every sample."""
    x = normal(500, 2)
    x[:, 1] = torch.tensor(0.146, dtype=torch.float32)
    fit = fit_lambdas(x, data(0.2, 0.146))
    assert fit.lambdas[1] == 0
    with pytest.raises(InfeasibleError, match=r"no weighting of them gives its value 0\.14601"):
        fit_lambdas(x, data(0.2, 0.14601))

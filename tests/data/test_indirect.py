"""Data on functions of averages, against the exact fixed point of a Gaussian."""

import math
import warnings

import pytest
import torch
from scipy.optimize import brentq, root
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.fixed_point import fit_indirect
from leastwork.data.functions import LinearModel, Scaled, q_factor
from leastwork.data.histogram import distribution
from leastwork.data.indirect import Indirect
from leastwork.data.mixture import join
from leastwork.data.nuisance import fit_with_nuisance
from leastwork.errors import ConfigError, LeastworkError, NonFiniteError
from leastwork.observables import Observable, component, stack
from leastwork.support.random import generator

GRID = torch.linspace(-9, 9, 181, dtype=torch.float64)
WEIGHT = -0.5 * GRID.square()
X = Observable(lambda x: x, names=("O",))


def normal(mean: float, sigma: float) -> Tensor:
    """Nodes whose weights, WEIGHT, are those of a normal distribution to 10⁻¹²."""
    return (mean + sigma * GRID)[:, None]


R2, TIME, RATE = 20.0, 0.012, 80.0


def intensity_ratio(m: Tensor, eta: Tensor) -> Tensor:
    """I_para/I_dia of a mean rate of relaxation Γ (Battiste & Wagner, Biochemistry 39, 5355, 2000)."""
    return R2 * torch.exp(-m * TIME) / (R2 + m)


def uptake(m: Tensor, eta: Tensor) -> Tensor:
    """Exchange of one amide at three times, from the mean of ln P in the EX2 limit."""
    return 1 - torch.exp(-RATE * torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64) * torch.exp(-m))


@pytest.mark.parametrize("error", [0.0, 0.02, 0.3])
def test_pre_ratio_ends_at_the_exact_fixed_point(error: float) -> None:
    mean, sigma, value = 40.0, 12.0, 0.45
    data = Indirect(X, intensity_ratio, ("PRE",), values=[value], errors=[error])
    fit = fit_indirect(normal(mean, sigma), data, WEIGHT)

    def ratio(m: float) -> float:
        return R2 * math.exp(-m * TIME) / (R2 + m)

    def slope(m: float) -> float:
        return -ratio(m) * (TIME + 1 / (R2 + m))

    def miss(m: float) -> float:  # ΣΛ = f(m) − y, with m = μ − σ² f′Λ
        return ratio(m) - value - error**2 * (mean - m) / (sigma**2 * slope(m))

    exact = brentq(miss, 0.0, 80.0, xtol=1e-13, rtol=1e-14)
    assert fit.averages.value.item() == pytest.approx(exact, abs=1e-6)
    assert fit.lambdas.value.item() == pytest.approx((mean - exact) / sigma**2, abs=1e-6)
    assert fit.maxent.target.item() == pytest.approx(ratio(exact), abs=1e-6)
    assert fit.predicted.value.item() == pytest.approx(ratio(exact), abs=1e-9)


def test_uptake_at_three_times_ends_at_the_exact_fixed_point() -> None:
    mean, sigma = 4.0, 1.5
    values, errors = torch.tensor([0.3, 0.9, 0.99], dtype=torch.float64), torch.tensor([0.05, 0.1, 0.03])
    data = Indirect(X, uptake, ("0.1", "1", "10"), values=values, errors=errors)
    fit = fit_indirect(normal(mean, sigma), data, WEIGHT)

    def miss(place: list[float]) -> list[float]:
        m = torch.tensor([place[0]], dtype=torch.float64, requires_grad=True)
        found = uptake(m, m)
        slope = [float(torch.autograd.grad(one, m, retain_graph=True)[0]) for one in found]
        pull = [float(v - o) / float(e) ** 2 for v, o, e in zip(found.detach(), values, errors, strict=True)]
        return [place[0] - mean + sigma**2 * sum(s * p for s, p in zip(slope, pull, strict=True))]

    exact = float(root(miss, [3.0], tol=1e-13).x[0])
    assert fit.averages.value.item() == pytest.approx(exact, abs=1e-6)
    assert fit.lambdas.value.item() == pytest.approx((mean - exact) / sigma**2, abs=1e-6)
    assert torch.allclose(fit.maxent.target, uptake(fit.averages.value, WEIGHT), atol=1e-9)


def test_the_linearised_data_are_what_was_stated() -> None:
    data = Indirect(X, intensity_ratio, ("PRE",), values=[0.45], errors=[0.02], unit="1")
    fit = fit_indirect(normal(40, 12), data, WEIGHT)
    assert fit.experiment.values.tolist() == [0.45]
    assert fit.experiment.covariance.sqrt().item() == pytest.approx(0.02)
    at_mean = fit.experiment.observable(fit.averages.value[:, None])
    assert at_mean.item() == pytest.approx(fit.predicted.value.item(), abs=1e-12)


def test_scale_and_offset_agree_with_the_fit_of_its_own() -> None:
    x = torch.randn(3000, 5, generator=generator(0, "nuisance"), dtype=torch.float64)
    x = x @ (torch.eye(5, dtype=torch.float64) + 0.3) + torch.tensor([1.0, 2.0, 2.5, 4.0, 1.5])
    names = tuple("abcde")
    values = 40 * (x.mean(dim=0) + torch.tensor([0.2, -0.1, 0.3, 0.0, -0.2])) + 7
    seen = Observable(lambda x: x, names=names)
    known = fit_with_nuisance(x, Experiment(seen, values, 3.0), ["g"] * 5)
    data = Indirect(
        seen, lambda m, eta: eta[0] * m + eta[1], names, values, 3.0, parameters={"scale": 1.0, "offset": 0.0}
    )
    fit = fit_indirect(x, data)
    assert fit.parameters["scale"].value == pytest.approx(known.scales["g"].value, rel=1e-6)
    assert fit.parameters["scale"].stderr == pytest.approx(known.scales["g"].stderr, rel=1e-5)
    assert fit.parameters["offset"].value == pytest.approx(known.offsets["g"].value, rel=1e-6)
    assert fit.parameters["offset"].stderr == pytest.approx(known.offsets["g"].stderr, rel=1e-5)
    assert torch.allclose(fit.lambdas.value, known.maxent.lambdas, atol=1e-6)


@pytest.mark.slow
def test_errors_of_lambda_are_those_of_fits_to_fresh_samples() -> None:
    """200 fits; a standard deviation of 200 numbers is within 25 % but for one time in 10⁶."""
    random = generator(1, "fresh samples")
    data = Indirect(X, intensity_ratio, ("PRE",), values=[0.3], errors=[0.05])
    fits = [
        fit_indirect(40 + 12 * torch.randn(500, 1, generator=random, dtype=torch.float64), data) for _ in range(200)
    ]
    for of in ("lambdas", "averages", "predicted"):
        found = torch.tensor([getattr(fit, of).value.item() for fit in fits])
        said = torch.tensor([getattr(fit, of).stderr.item() for fit in fits])
        assert found.std().item() == pytest.approx(said.mean().item(), rel=0.25)


def test_bounds_on_functions_may_be_idle() -> None:
    idle = fit_indirect(normal(40, 12), Indirect(X, intensity_ratio, ("PRE",), upper=[0.9]), WEIGHT)
    assert idle.lambdas.value.item() == 0
    acts = fit_indirect(normal(40, 12), Indirect(X, intensity_ratio, ("PRE",), lower=[0.5]), WEIGHT)
    assert acts.predicted.value.item() == pytest.approx(0.5, abs=1e-9)


def test_what_is_refused() -> None:
    two = {"s": 1.0, "t": 1.0}
    few = Indirect(X, lambda m, eta: (eta[0] * m + eta[1]) * torch.ones(2), ("a", "b"), [1, 2], 0.1, parameters=two)
    with pytest.raises(LeastworkError, match=r"2 fitted values of a, b for 2 unknowns \(s, t\), which then agree"):
        fit_indirect(normal(1, 1), few, WEIGHT)
    wrong = Indirect(X, lambda m, eta: torch.zeros(3), ("a",), [1], 0.1)
    with pytest.raises(LeastworkError, match=r"the function of a returns shape \(3,\): return a tensor \(1,\)"):
        fit_indirect(normal(0, 1), wrong, WEIGHT)
    with pytest.raises(NonFiniteError, match="'a' is nan at averages"):
        fit_indirect(normal(-1, 0.1), Indirect(X, lambda m, eta: m.log(), ("a",), [1], 0.1), WEIGHT)
    same = Indirect(X, lambda m, eta: (eta[0] + eta[1]) * m * torch.ones(3), ("a", "b", "c"), [1, 2, 1.5], 0.1,
                    parameters={"s": 1.0, "t": 1.0})  # fmt: skip
    with pytest.raises(LeastworkError, match="the unknowns s, t cannot be told apart"):
        fit_indirect(normal(1, 0.1), same, WEIGHT)
    turned = Indirect(X, lambda m, eta: eta[0] * m * torch.ones(2), ("a", "b"), [-1, -1.1], 0.1,
                      parameters={"s": 1.0}, positive=("s",))  # fmt: skip
    with pytest.raises(LeastworkError, match=r"'s' comes out as -1\.05, which must be positive"):
        fit_indirect(normal(1, 0.1), turned, WEIGHT)


def test_couplings_of_a_fitted_tensor() -> None:
    """Eight bonds of a rigid molecule have the couplings of its tensor exactly, and λ = 0."""
    columns = torch.randn(1, 40, generator=generator(2, "bonds"), dtype=torch.float64)
    tensor = torch.tensor([5.0, -3.0, 2.0, 8.0, 1.0], dtype=torch.float64)
    couplings = columns.reshape(8, 5) @ tensor
    seen = Observable(lambda x: x, names=tuple(f"c{i}" for i in range(40)))
    names = tuple(f"D{i}" for i in range(8))
    five = dict.fromkeys(("A1", "A2", "A3", "A4", "A5"), 0.0)
    samples = columns + 0.1 * torch.randn(400, 40, generator=generator(3, "motion"), dtype=torch.float64)
    fit = fit_indirect(
        samples - samples.mean(dim=0) + columns, Indirect(seen, LinearModel(), names, couplings, 0.5, parameters=five)
    )
    assert [fit.parameters[name].value for name in five] == pytest.approx(tensor.tolist(), abs=1e-8)
    assert fit.maxent.kl == pytest.approx(0, abs=1e-12)
    assert q_factor(fit.predicted.value, couplings) < 1e-9


def test_techniques_share_an_unknown_and_keep_their_own() -> None:
    """Joined data are those of one function of all averages."""
    x = torch.randn(2000, 6, generator=generator(4, "mixture"), dtype=torch.float64) + torch.arange(1.0, 7.0)
    first = Observable(lambda x: x[:, :3], names=("a", "b", "c"))
    last = Observable(lambda x: x[:, 3:], names=("d", "e", "f"))
    y = torch.tensor([2.2, 4.1, 6.3, 8.5, 10.2, 6.1], dtype=torch.float64)
    scaled = Scaled(scales=(0, 0, 0), offsets=(None,) * 3)
    partly = Scaled(scales=(0, 0, None), offsets=(None,) * 3)
    parts = [
        Indirect(first, scaled, first.names, y[:3], 0.5, parameters={"s": 1.0}),
        Indirect(last, partly, last.names, y[3:], 0.4, parameters={"s": 1.0}),
        Experiment(component(0, "plain"), [1.1], [0.2]),
    ]
    both = Scaled(scales=(0,) * 5 + (None,) * 2, offsets=(None,) * 7)
    seen = stack(first, last, component(0, "plain"))
    values, errors = [*y.tolist(), 1.1], [0.5] * 3 + [0.4] * 3 + [0.2]
    whole = fit_indirect(seen(x), Indirect(seen, both, seen.names, values, errors, parameters={"s": 1.0}))
    joined = join(parts)
    fit = fit_indirect(joined.observable(x), joined)
    assert fit.parameters["s"].value == pytest.approx(whole.parameters["s"].value, rel=1e-10)
    assert torch.allclose(fit.lambdas.value, whole.lambdas.value, atol=1e-9)


def test_a_distribution_moves_the_histogram_of_the_samples() -> None:
    x = torch.randn(5000, 1, generator=generator(5, "histogram"), dtype=torch.float64)
    data = distribution(Observable(lambda x: x, names="d", unit="nm"), [-6, -1, 0, 1, 6], counts=[100, 300, 400, 200])
    fit = fit_indirect(data.observable(x), data)
    assert fit.predicted.value.sum().item() == pytest.approx(1, abs=1e-9)
    assert torch.allclose(fit.predicted.value, data.values, atol=0.01)
    narrow = distribution(Observable(lambda x: x, names="d", unit="nm"), [-1, 0, 1], counts=[3, 4])
    with pytest.raises(LeastworkError, match=r"% of the model's samples lie beyond the bins of 'd', -1 to 1 nm"):
        fit_indirect(narrow.observable(x), narrow)


@pytest.mark.parametrize(
    ("edges", "choices", "message"),
    [
        ([0, 1], {"counts": [1]}, "give at least three, rising"),
        ([0, 1, 2], {}, "needs either counts or populations"),
        ([0, 1, 2], {"counts": [1, 2, 3]}, "give one for each of 2 bins"),
        ([0, 1, 2], {"populations": [0.5, 0.2], "errors": [0.1, 0.1]}, "sum to 0.7: they must sum to 1"),
        ([0, 1, 2], {"populations": [0.5, 0.5]}, "have no errors"),
    ],
)
def test_distributions_that_are_none(edges: list[float], choices: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        distribution(X, edges, **choices)


def test_a_rate_that_one_near_contact_makes_is_named() -> None:
    rates = torch.full((200, 1), 20.0, dtype=torch.float64) + torch.linspace(-5, 5, 200, dtype=torch.float64)[:, None]
    rates[17] = 1e15
    data = Indirect(X, intensity_ratio, ("I",), values=[0.4], errors=[0.05])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fit_indirect(rates, data)
    assert any("sample 17, where 'O' is 1e+15, makes 100.0% of its average" in str(one.message) for one in said)

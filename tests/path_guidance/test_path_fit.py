"""Fitting path guidance: it finds the region, counts honestly, and refuses what it cannot judge."""

import math
from dataclasses import replace

import pytest
import torch

import leastwork as lw
from leastwork.errors import NoPathWeightsError
from leastwork.kernels.density import kernel_density
from leastwork.kernels.flat import FeatureKernel
from leastwork.path_guidance.published import Form, fit_path, loss_form, transported_form
from leastwork.sampling.choices import Choices
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import derive_seed
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import two_states

STATES = two_states(2, (0.3, 0.7), separation=2.0, std=0.3)
MODEL = STATES.model(lw.VPSchedule())
LAW = {"steps": 25}
CHOICES = Choices.of(LAW)


def between(x: torch.Tensor) -> torch.Tensor:
    """A: |x_1| < 0.3, between the states, which hold 1 % of it."""
    return x[:, 0].abs() < 0.3


def guides() -> torch.Tensor:
    x = STATES.sample(4000, torch.Generator().manual_seed(0)).float()
    return x[between(x)][:12]


def drift(parameters):
    """A constant push along the first coordinate."""

    class Push:
        through_network = False

        def __call__(self, x, t, denoised):
            h = torch.zeros_like(x)
            h[:, 0] = parameters[0]
            return h

    return Push()


@pytest.mark.parametrize("published", [lambda density: transported_form(MODEL, density, CHOICES),
                                       lambda density: loss_form(MODEL, density)])  # fmt: skip
def test_a_fit_reaches_the_region(published) -> None:
    own = float(between(lw.sample(MODEL, 4096, **LAW).x).float().mean())
    assert own < 0.03
    form = replace(published(kernel_density(guides())), calls=24)
    fit = fit_path(MODEL, between, form, gamma=1e-3, n=256, seed=1, choices=CHOICES)
    assert fit.success.value > 0.6
    fresh = lw.sample(MODEL, 2048, fit.guidance, seed=9, **LAW)
    for found, values in ((fit.success, between(fresh.x).double()), (fit.cost, fresh.work)):
        there = Estimate.from_samples(values)
        assert abs(there.value - found.value) < 5 * math.hypot(there.stderr, found.stderr)
    assert len(fit.history) <= 24


def test_the_objective_is_its_formula_on_a_seed_of_its_own() -> None:
    fit = fit_path(MODEL, between, Form(drift, [0.5], [(-2.0, 2.0)], 12), gamma=0.01, n=300, seed=3, choices=CHOICES)
    best = min(trial.objective for trial in fit.history)
    for purpose, found in (("path fit", best), ("path held-out", fit.objective.value)):
        ens = lw.sample(MODEL, 300, drift(fit.parameters), seed=derive_seed(3, purpose), **LAW)
        wanted = float((1 - between(ens.x).double()).mean() + 0.01 * ens.work.mean())
        assert found == pytest.approx(wanted, rel=1e-5)
    assert fit.objective.value == pytest.approx(1 - fit.success.value + 0.01 * fit.cost.value)
    assert fit.history[0].parameters == pytest.approx((0.5,))
    assert fit.network_evaluations == (len(fit.history) + 1) * 300 * 26
    assert all(-2 <= trial.parameters[0] <= 2 for trial in fit.history)


def test_a_price_on_work_lowers_it() -> None:
    """A = {x_1 > 1} of the standard normal, by a constant push: the dearer work is, the weaker the push."""
    model = Gaussian(0.0, 1.0, 1).model(lw.VPSchedule())

    def above(x: torch.Tensor) -> torch.Tensor:
        return x[:, 0] > 1

    cheap, dear = (
        fit_path(model, above, Form(drift, [0.5], [(0.0, 4.0)], 25), gamma=gamma, n=512, choices=CHOICES)
        for gamma in (1e-3, 0.3)
    )
    assert cheap.success.value > 0.95
    assert dear.cost.value < 0.5 * cheap.cost.value
    assert dear.parameters[0] < cheap.parameters[0]


def test_explosions_count_as_infinite() -> None:
    def net(x, t):
        return torch.where(x.abs() > 8, torch.full_like(x, math.nan), -x)

    model = lw.DiffusionModel(net, lw.VPSchedule(), "score", (1,))

    def above(x: torch.Tensor) -> torch.Tensor:
        return x[:, 0] > 1

    fit = fit_path(model, above, Form(drift, [0.1], [(0.0, 50.0)], 15), gamma=0.0, n=200, choices=CHOICES)
    assert any(math.isinf(trial.objective) and math.isnan(trial.success) for trial in fit.history)
    assert math.isfinite(fit.objective.value)
    with pytest.raises(lw.LeastworkError, match="no parameters tried give finite samples"):
        fit_path(model, above, Form(drift, [45.0], [(40.0, 50.0)], 3), n=100, choices=CHOICES)


def test_the_ode_has_an_action_and_heun_neither() -> None:
    options, form = {"gamma": 0.01, "n": 64}, Form(drift, [0.5], [(0.0, 1.0)], 2)
    fit = fit_path(MODEL, between, form, **options, choices=Choices(process="ode", steps=5))
    assert fit.cost.value > 0
    with pytest.raises(NoPathWeightsError, match="gamma=0"):
        fit_path(MODEL, between, form, **options, choices=Choices(solver="heun", steps=5))
    free = fit_path(MODEL, between, form, **{**options, "gamma": 0.0}, choices=Choices(solver="heun", steps=5))
    assert math.isnan(free.cost.value)
    assert math.isfinite(free.objective.value)


def test_features_see_data_units() -> None:
    """φ = x_1 in data units: the transported form steers it in a model with units of its own."""
    model = lw.DiffusionModel(MODEL.net, MODEL.schedule, "data", (2,), shift=5.0, scale=0.5)

    def there(x: torch.Tensor) -> torch.Tensor:
        return between((x - 5) / 0.5)

    density = kernel_density(5 + 0.5 * guides(), FeatureKernel(lambda x: x[:, :1]))
    fit = fit_path(
        model, there, replace(transported_form(model, density, CHOICES), calls=12), gamma=1e-3, n=256, choices=CHOICES
    )
    assert fit.success.value > 0.5


@pytest.mark.parametrize(
    ("start", "bounds", "calls", "options", "message"),
    [
        ([0.5, 0.5], [(0, 1)], 10, {}, "start has 2 parameters and bounds has 1 pairs"),
        ([2.0], [(0, 1)], 10, {}, "must lie within finite bounds"),
        ([0.5], [(0, math.inf)], 10, {}, "must lie within finite bounds"),
        ([0.5], [(0, 1)], 10, {"gamma": -1.0}, "gamma=-1.0"),
        ([0.5], [(0, 1)], 0, {}, "calls=0"),
    ],
)
def test_what_cannot_be_searched_is_refused(start, bounds, calls, options, message: str) -> None:
    with pytest.raises(lw.LeastworkError, match=message):
        fit_path(MODEL, between, Form(drift, start, bounds, calls), **options)

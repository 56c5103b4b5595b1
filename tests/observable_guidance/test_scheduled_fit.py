"""The schedule's fit: exact gradients, improvement, honest final figures."""

import math
from dataclasses import replace

import pytest
import torch

import leastwork as lw
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.models.units import Affine
from leastwork.networks.perceptron import Perceptron
from leastwork.observable_guidance.objective import Objective
from leastwork.observable_guidance.scheduled import fit_schedule
from leastwork.observable_guidance.search import gaussian_process_search
from leastwork.sampling.choices import Choices

X = lw.Observable(lambda x: torch.stack([x[:, 0], x[:, 0] ** 2], dim=1), names=("x", "x²"))
NORMAL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), "score", (1,))


def objective(model=NORMAL, **changes) -> Objective:
    parts = {
        "model": model,
        "observable": X,
        "target": torch.tensor([0.5, 1.2], dtype=torch.float64),
        "spread": torch.tensor([1.0, 1.4], dtype=torch.float64),
        "fitted": torch.tensor([0, 1]),
        "gamma": 1e-2,
    }
    how = {name: changes.pop(name) for name in ("process", "solver", "steps", "t_grid") if name in changes}
    return Objective(**{**parts, **changes}, choices=Choices.of({"steps": 20, **how}))


@pytest.mark.parametrize("jacobian", [False, True])
@pytest.mark.parametrize("process", ["sde", "ode"])
def test_gradient_against_differences(jacobian: bool, process: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = Perceptron(1, width=8, depth=2).double()
    model = lw.DiffusionModel(net, lw.VPSchedule(), "v", (1,), scale=0.7)
    J = objective(model, process=process)
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.8, 1.3))
    guidance = ScheduledGuidance(X, torch.tensor([-0.5, 0.2], dtype=torch.float64), a, b, jacobian, Affine(scale=0.7))
    value, gradient = J.value_and_gradient(guidance, (a, b), 1500, seed=3)
    assert value.value == pytest.approx(J.value(replace(guidance, strength=0.8, decay=1.3), 1500, 3).value, rel=1e-6)
    for k, name in enumerate(("strength", "decay")):
        at = [0.8, 1.3][k]
        ends = [
            J.value(replace(guidance, **{"strength": 0.8, "decay": 1.3, name: at + e}), 1500, 3).value
            for e in (1e-4, -1e-4)
        ]
        assert float(gradient[k]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-4, abs=1e-9)


def test_only_fitted_data_count() -> None:
    guidance = ScheduledGuidance(X, torch.tensor([-0.5, 0.0]), 1.0, 1.0)
    both = objective().value(guidance, 1000, 0).value
    one = objective(fitted=torch.tensor([0])).value(guidance, 1000, 0).value
    other = objective(fitted=torch.tensor([1])).value(guidance, 1000, 0).value
    work = objective(gamma=0.0).value(guidance, 1000, 0).value
    assert both == pytest.approx(0.5 * (one + other), rel=1e-6)
    assert work < both


def test_the_fit_improves_and_reports_fresh_samples() -> None:
    J = objective(fitted=torch.tensor([0]), gamma=1e-3)
    start = ScheduledGuidance(X, torch.tensor([-0.5, 0.0]), 1.0, 1.0)
    fit = fit_schedule(J, start, n=2000, seed=5)
    best = min(trial.objective for trial in fit.history if trial.samples == 2000)
    assert fit.objective.value != best  # another seed
    assert fit.objective.value < J.value(start, 2000, 99).value
    assert fit.objective.value < 5e-3
    assert fit.network_evaluations > 25 * 1024 * 21
    scanned = [trial for trial in fit.history if trial.samples == 1024]
    assert len(scanned) == 25


def test_explosions_are_recorded_and_all_of_them_are_an_error() -> None:
    def net(x, t):
        return torch.where(x.abs() > 8, torch.full_like(x, float("nan")), -x)

    model = lw.DiffusionModel(net, lw.VPSchedule(), "score", (1,))
    start = ScheduledGuidance(X, torch.tensor([-2.0, 0.0]), 1.0, 1.0)
    fit = fit_schedule(objective(model, fitted=torch.tensor([0])), start, n=500)
    assert any(math.isinf(trial.objective) for trial in fit.history)
    assert math.isfinite(fit.objective.value)
    hopeless = lw.DiffusionModel(lambda x, t: x * float("nan"), lw.VPSchedule(), "score", (1,))
    with pytest.raises(lw.LeastworkError, match="exploded at every schedule"):
        fit_schedule(objective(hopeless), start, n=500)


def test_gaussian_process_search() -> None:
    start = ScheduledGuidance(X, torch.tensor([-0.5, 0.0]), 1.0, 1.0)
    J = objective(fitted=torch.tensor([0]), steps=10)
    fit = fit_schedule(J, start, n=300, search=gaussian_process_search(calls=6))
    assert len(fit.history) == 6
    assert min(trial.objective for trial in fit.history) == pytest.approx(J.value(fit.guidance, 300, _fit_seed()).value)


def _fit_seed() -> int:
    from leastwork.support.random import derive_seed

    return derive_seed(0, "schedule fit")


@pytest.mark.parametrize("solver", ["exponential", "multistep"])
def test_gradient_of_other_solvers_against_differences(solver: str) -> None:
    """N(0.2, 0.5²) in float64: the gradient also runs through the guidance that a multistep solver recalls."""
    from leastwork.systems.gaussian import Gaussian

    class Exact(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dtype = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64), requires_grad=False)
            self.fn = Gaussian(0.2, 0.5).model(lw.VPSchedule()).net

        def forward(self, x, t):
            return self.fn(x, t)

    J = objective(lw.DiffusionModel(Exact(), lw.VPSchedule(), "data", (1,)), solver=solver, t_grid="log-snr")
    a, b = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.6, 0.9))
    guidance = ScheduledGuidance(X, torch.tensor([-0.5, 0.2], dtype=torch.float64), a, b)
    _, gradient = J.value_and_gradient(guidance, (a, b), 1100, seed=4)  # two pieces
    for k, (name, at) in enumerate((("strength", 0.6), ("decay", 0.9))):
        plain = {"strength": 0.6, "decay": 0.9}
        up, down = (J.value(replace(guidance, **{**plain, name: at + e}), 1100, 4).value for e in (1e-4, -1e-4))
        assert float(gradient[k]) == pytest.approx((up - down) / 2e-4, rel=1e-5, abs=1e-10)


def test_the_objective_is_its_formula() -> None:
    """J = (1/K) Σ ((⟨O_k⟩ − target_k)/σ_k)² + γW, from the samples of ``sample`` at one seed."""
    guidance = ScheduledGuidance(X, torch.tensor([-0.5, 0.2]), 0.7, 0.5)
    ens = lw.sample(NORMAL, 2000, guidance, steps=20, seed=8)
    mean = X(ens.x).double().mean(dim=0)
    wanted = ((mean - torch.tensor([0.5, 1.2])) / torch.tensor([1.0, 1.4])).square().mean() + 0.01 * ens.work.mean()
    assert objective().value(guidance, 2000, 8).value == pytest.approx(float(wanted), rel=1e-4)


def test_standard_error_of_the_objective() -> None:
    """200 seeds: their spread is the standard error, within the 10⁻⁶ range of χ²(199)/199."""
    guidance = ScheduledGuidance(X, torch.tensor([-0.5, 0.2]), 0.7, 0.5)
    found = [objective(steps=10).value(guidance, 256, seed) for seed in range(200)]
    values, errors = (torch.tensor([getattr(e, k) for e in found], dtype=torch.float64) for k in ("value", "stderr"))
    ratio = float(values.var() / errors.square().mean())
    assert 0.58 < ratio < 1.6


def test_the_final_objective_is_of_a_seed_of_its_own() -> None:
    from leastwork.support.random import derive_seed

    J = objective(fitted=torch.tensor([0]), steps=10)
    fit = fit_schedule(J, ScheduledGuidance(X, torch.tensor([-0.5, 0.0]), 1.0, 1.0), n=300, seed=6)
    assert fit.objective == J.value(fit.guidance, 300, derive_seed(6, "schedule held-out"))
    assert fit.objective != J.value(fit.guidance, 300, derive_seed(6, "schedule fit"))
    assert all(trial.strength > 0 for trial in fit.history)
    assert fit.seconds > 0


def test_a_search_is_told_inf_where_samples_explode() -> None:
    told = []

    def search(value):
        told.extend(value(math.log(a), 0.0) for a in (0.1, 100.0))
        return math.log(0.1), 0.0

    def net(x, t):
        return torch.where(x.abs() > 8, torch.full_like(x, float("nan")), -x)

    model = lw.DiffusionModel(net, lw.VPSchedule(), "score", (1,))
    start = ScheduledGuidance(X, torch.tensor([-2.0, 0.0]), 1.0, 1.0)
    fit = fit_schedule(objective(model), start, n=200, search=search)
    assert math.isfinite(told[0])
    assert told[1] == math.inf
    assert [trial.objective for trial in fit.history] == told
    assert fit.guidance.strength == pytest.approx(0.1)

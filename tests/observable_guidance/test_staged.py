"""From data to least-work guidance, near and far, against mixtures with exact answers."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

import leastwork as lw
from leastwork.data.experiment import Experiment
from leastwork.errors import InfeasibleError, LeastworkError, LeastworkWarning, NonFiniteError
from leastwork.fit.budget import least_budget
from leastwork.fit.value import LearningError
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.velocity import VelocityModel
from leastwork.observable_guidance.approach import part_way
from leastwork.observable_guidance.least_work import learn_guidance
from leastwork.observable_guidance.stages import LeastWorkFit
from leastwork.observables import Observable, evaluate
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import sample
from leastwork.sampling.work import Certificate, certify
from leastwork.schedules.gaussian import VESchedule, VPSchedule
from leastwork.statistics.estimate import Estimate
from leastwork.systems.mixtures import GaussianMixture, two_states

Z = 5  # standard errors; false alarms below 10⁻⁶ a comparison


@pytest.fixture(autouse=True)
def _brief(request: pytest.FixtureRequest, brief: Callable[[float], None]) -> None:
    """Few steps on labels, but where it is asked how good a fit is."""
    if "slow" not in request.keywords:
        brief(0.2)


def problem(dim: int, before: float, after: float) -> tuple[GaussianMixture, DiffusionModel, Experiment]:
    mixture = two_states(dim, (1 - before, before), separation=2.0, std=0.3)
    right = Observable(lambda x: mixture.populations(x)[:, 1], names="right")
    return mixture, mixture.model(VPSchedule()), Experiment(right, values=[after])


def judge(model: DiffusionModel, data: Experiment, fit: LeastWorkFit, n: int, steps: int) -> Certificate:
    """Fresh samples, judged by the data's own values."""
    ens = sample(model, n, fit.guidance, steps=steps, t_grid=fit.times, seed=991)
    observed = evaluate(data.observable, ens.x)
    tilt = (fit.maxent.reference - observed) @ fit.maxent.lambdas
    return certify(ens.work, ens.log_weight, tilt, observed, data.values, fit.maxent.model_std)


@pytest.mark.slow
def test_near_data_take_one_stage_and_little_work() -> None:
    _, model, data = problem(1, 0.5, 0.8)
    fit = learn_guidance(model, data, budget=1_000_000, iterations=300, choices=Choices(steps=50))
    certificate = judge(model, data, fit, 10_000, 50)
    assert [stage.fraction for stage in fit.history] == [1.0]
    assert len(fit.history[0].polishes) == 1
    assert fit.history[0].labels is not None
    assert fit.network_evaluations <= 1_000_000
    assert certificate.efficiency.value > 0.8  # an exact h on 50 steps has 0.88
    assert fit.maxent.target.tolist() == [0.8]
    # λ from about 15,000 effective samples: its share of the miss is 0.01 σ_O
    assert float(certificate.miss.value.abs()) < Z * (0.01**2 + float(certificate.miss.stderr) ** 2) ** 0.5


def test_one_seed_is_one_fit_and_the_global_generator_is_left_alone() -> None:
    _, model, data = problem(2, 0.5, 0.7)
    state = torch.random.get_rng_state()
    one, two = (
        learn_guidance(model, data, budget=200_000, iterations=20, rounds=1, choices=Choices(steps=10))
        for _ in range(2)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    for a, b in zip(one.guidance.network.parameters(), two.guidance.network.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_data_that_the_model_meets_need_no_guidance() -> None:
    _, model, _ = problem(1, 0.5, 0.5)
    right = Observable(lambda x: x[:, 0], names="x")
    fit = learn_guidance(model, Experiment(right, upper=[3.0]), budget=200_000, choices=Choices(steps=10))
    assert fit.history == ()
    assert float(fit.maxent.lambdas.abs().max()) == 0
    guided = sample(model, 32, fit.guidance, steps=10)
    assert float(guided.work.abs().max()) == 0


def test_averages_that_the_model_has_anyway_need_no_guidance() -> None:
    """The sampling error of the model's own averages is no reason to guide it."""
    _, model, data = problem(1, 0.5, 0.5)
    own = sample(model, 8192, steps=100, seed=3)
    near = replace(data, values=evaluate(data.observable, own.x).mean(dim=0) + 0.005)  # 0.9 standard errors off
    fit = learn_guidance(model, near, own=own, budget=200_000, choices=Choices(steps=100))
    assert fit.history == ()
    assert fit.maxent.target.tolist() == near.values.tolist()
    assert float(sample(model, 32, fit.guidance, steps=10).work.abs().max()) == 0


def test_own_samples_are_used_and_counted_once() -> None:
    _, model, data = problem(1, 0.5, 0.7)
    own = sample(model, 3000, steps=10, seed=17)
    fit = learn_guidance(model, data, own=own, budget=200_000, iterations=20, rounds=0, choices=Choices(steps=10))
    judged = 8 * (3000 // 7) // 64 * 64  # held-out samples, each at eight noise levels
    assert fit.network_evaluations == own.network_evaluations + 8 * (2560 + judged)  # eight for each noised state
    assert fit.history[0].polishes == ()


def test_own_samples_of_another_law_are_counted_and_not_used() -> None:
    _, model, data = problem(1, 0.5, 0.5)
    choices = {"process": "ode", "steps": 20}
    own = sample(model, 8192, seed=3, **choices)
    near = replace(data, values=evaluate(data.observable, own.x).mean(dim=0))
    fit = learn_guidance(model, near, own=own, budget=491_520, choices=Choices.of(choices))
    assert fit.network_evaluations == own.network_evaluations + 8192 * 21  # what 35 % of the budget pays for


def test_part_way_moves_values_and_binding_bounds_only() -> None:
    three = Observable(lambda x: x, names=("a", "b", "c"))
    data = Experiment(three, values=[1.0, None, None], lower=[None, 2.0, None], upper=[None, None, 9.0])
    half = part_way(data, torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64), 0.5)
    assert half.values[0] == 0.5
    assert half.lower[1] == 1.0
    assert half.upper[2] == 9.0


def test_a_process_without_weights_is_fitted_on_the_sde() -> None:
    _, model, data = problem(1, 0.5, 0.6)
    fit = learn_guidance(
        model,
        data,
        budget=600_000,
        iterations=20,
        rounds=1,
        choices=Choices(process="ode", solver="multistep", steps=10),
    )
    assert len(fit.history[0].polishes) == 1


def test_a_network_of_the_users_own_is_learned_but_not_polished() -> None:
    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return alpha * self.slope * x[:, 0]

    _, model, data = problem(1, 0.5, 0.6)
    fit = learn_guidance(model, data, network=Linear(), budget=200_000, iterations=50, choices=Choices(steps=10))
    assert isinstance(fit.guidance.network, Linear)
    assert float(fit.guidance.network.slope.detach()) > 0
    assert fit.history[0].polishes == ()


@pytest.mark.filterwarnings("ignore:at t = 1, where samples begin as noise alone")
def test_memory_at_the_noisy_end_is_warned_of() -> None:
    mixture, _, data = problem(1, 0.5, 0.9)
    model = mixture.model(VESchedule(0.01, 1.0))
    with pytest.warns(LeastworkWarning, match="V at t_max"):
        learn_guidance(model, data, budget=200_000, iterations=150, rounds=0, choices=Choices(steps=20))


def test_what_cannot_be_done_is_refused() -> None:
    _, _, data = problem(1, 0.5, 0.8)
    with pytest.raises(LeastworkError, match="VelocityModel"):
        learn_guidance(VelocityModel(lambda x, t: x, event_shape=(1,)), data)


def test_data_out_of_reach_are_told_how_near_the_model_comes() -> None:
    _, model, data = problem(1, 0.5, 0.8)
    with (
        pytest.warns(LeastworkWarning, match="'right' is 1.5, where the samples reach"),
        pytest.raises(InfeasibleError, match=r"reach \[\S+, 1\] in 'right', so no weighting .* its value 1\.5"),
    ):
        learn_guidance(model, replace(data, values=[1.5]), budget=200_000, iterations=10, choices=Choices(steps=10))


def test_observables_that_are_not_finite_are_counted() -> None:
    _, model, _ = problem(1, 0.5, 0.5)
    broken = Observable(lambda x: torch.where(x[:, 0] > 0, x[:, 0], torch.nan), names="broken")
    own = sample(model, 3000, steps=10, seed=5)
    bad = (~(own.x[:, 0] > 0)).nonzero()[:, 0]
    message = f"'broken' is NaN or infinite for {len(bad)} of 3000 samples, the first at index {int(bad[0])}"
    with pytest.raises(NonFiniteError, match=message):
        learn_guidance(model, Experiment(broken, values=[1.0]), own=own, choices=Choices(steps=10))


def test_an_observable_that_is_noise_is_refused_with_its_history() -> None:
    _, model, _ = problem(1, 0.5, 0.5)
    noise = Observable(lambda x: torch.sin(1e6 * x[:, 0]), names="noise")
    with pytest.raises(LearningError, match="does not beat h = 0") as caught:
        learn_guidance(model, Experiment(noise, values=[0.3]), budget=200_000, iterations=60, choices=Choices(steps=10))
    assert len(caught.value.history) > 0


def test_data_in_another_unit_are_warned_of_before_anything_is_spent_on_them() -> None:
    """As those of reweighting; the error that follows is of the 14 evaluations that this budget leaves."""
    _, model, _ = problem(1, 0.5, 0.8)
    data = Experiment(Observable(lambda x: x[:, 0], names="d", unit="nm"), values=[12.0], errors=[0.5])
    choices = Choices(steps=8)
    own = sample(model, 400, steps=8)
    budget = least_budget(len(choices.sampler(model).steps))
    with (
        pytest.warns(LeastworkWarning, match="'d' is 12, .* and 1.2, as of a unit ten times another, would lie there"),
        pytest.raises(LeastworkError, match="budget"),
    ):
        learn_guidance(model, data, own=own, budget=budget, iterations=5, choices=choices)


@pytest.mark.slow
def test_few_effective_samples_on_the_way_are_no_cause_for_warnings() -> None:
    _, model, data = problem(1, 0.02, 0.6)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeastworkWarning)
        fit = learn_guidance(model, data, budget=1_500_000, iterations=200, choices=Choices(steps=25))
    assert len(fit.history) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dim", "before", "after", "below"), [(1, 0.5, 0.8, 0.015), (2, 0.5, 0.8, 0.015), (30, 0.15, 0.53, 0.024)]
)
def test_near_the_ceiling_of_the_grid(dim: int, before: float, after: float, below: float) -> None:
    mixture, model, data = problem(dim, before, after)
    fit = learn_guidance(model, data, choices=Choices(steps=200))
    certificate = judge(model, data, fit, 20_000, 200)
    doob = mixture.doob(mixture.reweighted([1 - after, after]), VPSchedule())
    exact = sample(model, 20_000, doob, steps=200, seed=991)
    ceiling = certify(exact.work, exact.log_weight, doob.log_tilt(exact.x))
    assert certificate.efficiency.value > max(0.95, ceiling.efficiency.value - below)
    assert fit.network_evaluations <= 5_010_000
    assert float(certificate.miss.value.abs()) < Z * (0.01**2 + float(certificate.miss.stderr) ** 2) ** 0.5


def test_a_budget_that_pays_for_no_stages_goes_to_the_data_at_once() -> None:
    """Weights of the guided samples stay exact: their mean is Z, which the model's own populations give."""
    mixture, model, data = problem(1, 0.02, 0.5)
    with pytest.warns(
        LeastworkWarning, match=r"pays for no stage.*learned at once from \d+ effective.*give at least 1220702"
    ):
        fit = learn_guidance(model, data, budget=200_000, iterations=200, choices=Choices(steps=30))
    assert [stage.fraction for stage in fit.history] == [1.0]
    assert fit.network_evaluations <= 200_000
    ens = sample(model, 4000, fit.guidance, steps=30, t_grid=fit.times, seed=4)
    tilt = -evaluate(data.observable, ens.x) @ fit.maxent.lambdas
    z = Estimate.from_samples((ens.log_weight + tilt).exp())
    exact = mixture.sample(1_000_000, torch.Generator().manual_seed(0))
    wanted = Estimate.from_samples((-evaluate(data.observable, exact) @ fit.maxent.lambdas).exp())
    assert abs(z.value - wanted.value) < Z * (z.stderr**2 + wanted.stderr**2) ** 0.5 + 0.05 * wanted.value  # steps
    assert judge(model, data, fit, 4000, 30).efficiency.value > 0.5


@pytest.mark.filterwarnings("ignore:one sample decides")
def test_without_effective_samples_a_small_budget_is_refused_at_once() -> None:
    _, model, data = problem(1, 0.0005, 0.5)
    with pytest.raises(LeastworkError, match=r"ends 0% of the way.*\d samples are effective: give at least 1220702"):
        learn_guidance(model, data, budget=200_000, iterations=200, choices=Choices(steps=30))


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 30])
def test_a_rare_state_is_reached_in_stages(dim: int) -> None:
    _, model, data = problem(dim, 0.001, 0.5)
    fit = learn_guidance(model, data, choices=Choices(steps=200))
    certificate = judge(model, data, fit, 20_000, 200)
    ens = sample(model, 20_000, fit.guidance, steps=200, t_grid=fit.times, seed=77)
    print(ens.mean(data.observable), certificate)  # the figures of docs/learning.md, with pytest -s
    assert len(fit.history) > 1
    assert abs(float(ens.mean(data.observable).value) - 0.5) < 0.02
    assert certificate.efficiency.value > 0.9
    assert certificate.ess.value > 0.5


@pytest.mark.slow
def test_prinz_with_one_observable() -> None:
    from leastwork.observables import component
    from leastwork.systems.prinz import position, prinz

    model = lw.load_model("prinz")
    assert isinstance(model, DiffusionModel)
    data = Experiment(component(0, name="x"), values=[float(prinz().mean(position))])
    fit = learn_guidance(model, data, choices=Choices(steps=200))
    certificate = judge(model, data, fit, 100_000, 200)
    assert certificate.efficiency.value > 0.98
    assert certificate.ess.value > 0.99
    assert float(certificate.miss.value.abs()) < 0.03
    assert fit.network_evaluations <= 5_010_000

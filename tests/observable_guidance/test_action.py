"""Least action: the exact control of a linear flow, exact gradients, averages met, and the moons."""

import math

import pytest
import torch

import leastwork as lw
from leastwork.guidance.control import ControlGuidance
from leastwork.networks.control import ControlNetwork
from leastwork.observable_guidance.least_action import learn_control
from leastwork.observable_guidance.responses import end_and_action
from leastwork.observables import component, smooth_interval, stack
from leastwork.sampling.choices import Choices
from leastwork.sampling.flow_density import with_flow_weights
from leastwork.sampling.process import Process
from leastwork.sampling.stepping import Carry

RATE = 0.7
LINEAR = lw.VelocityModel(lambda x, t: RATE * x, event_shape=(2,))
QUICK = {"samples": 4096, "rounds": 4, "iterations": 6, "batch": 256, "meeting_samples": 8192}


def small() -> ControlNetwork:
    return ControlNetwork(2, width=16, depth=2)


def test_linear_flow_has_the_control_of_the_closed_form() -> None:
    """x_0 = e^{−c} x_1 + ∫ e^{−ct} h dt.

    To move E[x_0] by Δ at least cost h = Δ e^{−ct}/G, the same everywhere, with ∫ ½h² dt = Δ²/2G and
    G = ∫ e^{−2ct} dt = (1 − e^{−2c})/2c.
    """
    shift = 0.3
    data = lw.Experiment(component(0), values=[shift])
    fit = learn_control(LINEAR, data, network=small(), **QUICK, choices=Choices(solver="heun", steps=12))
    lever = (1 - math.exp(-2 * RATE)) / (2 * RATE)
    assert fit.action.value == pytest.approx(0.5 * shift**2 / lever, rel=0.02)
    assert abs(fit.miss.value) < 5 * fit.miss.stderr + 2e-3
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(1)) * math.exp(-0.5 * RATE)
    for t in (0.1, 0.5, 0.9):
        found = fit.guidance(x, t, x)
        wanted = torch.tensor([shift * math.exp(-RATE * t) / lever, 0.0])
        assert float((found - wanted).square().mean().sqrt()) < 0.05 * float(wanted[0])
    assert fit.history[0].stage == "match"
    assert fit.history[-1].stage == "descend"
    assert fit.network_evaluations > 4096 * 24


def test_two_correlated_observables_at_once() -> None:
    """Least action ½ Δᵀ G⁻¹ Δ."""
    both = lw.Observable(lambda x: torch.stack([x[:, 0], x[:, 0] + 0.5 * x[:, 1]], dim=1), names=("a", "b"))
    data = lw.Experiment(both, values=[0.2, 0.1])
    fit = learn_control(
        LINEAR,
        data,
        network=small(),
        **QUICK | {"rounds": 3, "iterations": 0},
        choices=Choices(solver="heun", steps=12),
    )
    assert bool((fit.miss.value.abs() < 5 * fit.miss.stderr + 2e-3).all())
    lever = (1 - math.exp(-2 * RATE)) / (2 * RATE)
    gram = lever * torch.tensor([[1.0, 1.0], [1.0, 1.25]], dtype=torch.float64)
    shift = torch.tensor([0.2, 0.1], dtype=torch.float64)
    least = 0.5 * float(shift @ torch.linalg.solve(gram, shift))
    assert fit.action.value == pytest.approx(least, rel=0.03)


@pytest.mark.parametrize("solver", ["euler", "heun", "multistep"])
def test_gradient_through_checkpoints_against_differences(solver: str) -> None:
    flow = lw.VelocityModel(lambda x, t: torch.sin(2 * x) + t * x, (2,))
    draw = torch.Generator().manual_seed(2)
    network = ControlNetwork(2, width=6, depth=2).with_head(torch.randn(2, 7, generator=draw)).double()
    sampler = Choices(process="ode", solver=solver, steps=7).sampler(flow, ControlGuidance(network))
    start = Process(flow, 0.0).prior(torch.randn(30, 2, generator=draw, dtype=torch.float64))
    weight = network.first.weight

    def value() -> torch.Tensor:
        x, action = end_and_action(sampler, Carry(start))
        return action.mean() + x.square().mean()

    (gradient,) = torch.autograd.grad(value(), weight)
    with torch.no_grad():
        for i, j in ((0, 0), (3, 1)):
            ends = []
            for step in (1e-5, -2e-5):
                weight[i, j] += step
                ends.append(float(value()))
            weight[i, j] += 1e-5
            assert float(gradient[i, j]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-9)


def test_the_same_seed_gives_the_same_control_and_the_global_generator_rests() -> None:
    data = lw.Experiment(component(0), values=[0.2])
    before = torch.get_rng_state()
    quick = QUICK | {"samples": 500, "rounds": 2, "iterations": 2, "meeting_samples": 1024}
    one, two = (
        learn_control(LINEAR, data, network=small(), seed=4, **quick, choices=Choices(steps=5)) for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.guidance.network.head.weight, two.guidance.network.head.weight)
    assert one.history == two.history


def test_a_bound_that_is_met_costs_nothing() -> None:
    data = lw.Experiment(component(0), upper=[1.0])
    fit = learn_control(LINEAR, data, network=small(), **QUICK, choices=Choices(steps=5))
    assert fit.action.value == 0
    assert fit.history == ()


def test_the_target_has_the_errors_of_the_data() -> None:
    """With error σ the averages are o + σ²λ, half way for σ = σ_O."""
    data = lw.Experiment(component(0), values=[0.4], errors=[math.exp(-RATE)])
    fit = learn_control(LINEAR, data, network=small(), **QUICK, choices=Choices(steps=8, solver="heun"))
    assert float(fit.maxent.target) == pytest.approx(0.2, abs=0.05)
    assert abs(float(fit.miss.value)) < 5 * float(fit.miss.stderr) + 2e-3


def test_complaints() -> None:
    data = lw.Experiment(component(0), values=[0.2])
    with pytest.raises(lw.LeastworkError, match="for a VelocityModel"):
        learn_control(lw.load_model("moons"), data)
    with pytest.raises(lw.LeastworkError, match="at least 1"):
        learn_control(LINEAR, data, rounds=0)
    step = lw.Observable(lambda x: (x[:, 0] > 0).float() + 0 * x[:, 0], "step")
    with pytest.raises(lw.LeastworkError, match="gradient of an observable is zero"):
        learn_control(LINEAR, lw.Experiment(step, values=[0.6]), **QUICK, choices=Choices(steps=4))


@pytest.mark.slow
def test_moons() -> None:
    """Misses below 0.02 σ_O beyond five standard errors, two data at once; weights that undo the control."""
    model = lw.load_model("moons-cnf")
    law = {"process": "ode", "solver": "heun", "steps": 25}
    both = stack(component(0, "x"), smooth_interval(0.0, None, width=0.15, index=1, name="upper"))
    own = lw.sample(model, 20_000, seed=7, **law)
    observed = both(own.x).double()
    wanted = observed.mean(dim=0) + torch.tensor([0.2, -0.3]) * observed.std(dim=0)
    fit = learn_control(
        model, lw.Experiment(both, values=wanted.tolist()), own=own, seed=1, choices=Choices(solver="heun", steps=25)
    )
    assert bool((fit.miss.value.abs() < 0.02 + 5 * fit.miss.stderr).all())
    ens = lw.sample(model, 4_000, fit.guidance, process="ode", solver="heun", steps=60, seed=3)
    one = lw.Estimate.from_samples(with_flow_weights(ens, model, fit.guidance, steps=30).log_weight.exp())
    assert abs(one.value - 1) < 5 * one.stderr

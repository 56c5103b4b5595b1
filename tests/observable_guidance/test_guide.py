"""guide_observables on a Gaussian, where λ is known."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.systems.gaussian import Gaussian

MODEL = Gaussian(0.5, 0.3, 1).model(lw.VPSchedule())
OBSERVABLE = lw.Observable(lambda x: torch.cat([x, x**2], dim=1), names=("x", "x²"))
DATA = lw.Experiment(OBSERVABLE, values=[0.4, 0.25], errors=[0.0, 0.0], held_out=[False, True])
SMALL = {"steps": 50, "samples": 8000, "certificate_samples": 8000}


def test_scheduled() -> None:
    run = lw.guide_observables(MODEL, DATA, "scheduled", seed=3, fit_samples=1000, **SMALL)
    assert abs(run.lambdas.value[0] - 0.1 / 0.09) < 5 * run.lambdas.stderr[0] + 0.05  # z = 5, and the steps' bias
    assert run.lambdas.value[1] == 0  # held out
    c = run.certificate
    assert c.samples == 8000
    assert c.on_target
    assert abs(c.miss.value[0]) < 0.05
    assert 0 < c.efficiency.value <= 1
    assert c.bound.value < c.work.value
    guided = run.sample(8000, seed=11)
    target = guided.mean(OBSERVABLE, under="target")
    assert abs(target.value[0] - 0.4) < 5 * target.stderr[0] + 5 * 0.3 / math.sqrt(8000)
    model = guided.mean(OBSERVABLE, under="model")
    own = run.model_samples.mean(OBSERVABLE)
    assert bool(((model.value - own.value).abs() < 5 * (model.stderr**2 + own.stderr**2).sqrt()).all())
    with pytest.raises(lw.LeastworkError, match="used for the fit"):
        run.sample(10, seed=3)


@pytest.mark.slow
def test_least_work_spends_little_more_than_it_must(tmp_path: Path, brief: Callable[[float], None]) -> None:
    brief(0.3)
    run = lw.guide_observables(MODEL, DATA, seed=3, budget=1_000_000, iterations=300, **SMALL)
    assert run.method == "least-work"
    assert run.lambdas.value[1] == 0  # held out
    c = run.certificate
    assert c.efficiency.value > 0.9
    assert c.on_target
    kl = 0.5 * (0.1 / 0.3) ** 2
    of_lambda = 2 * kl * float(run.lambdas.stderr[0] / run.lambdas.value[0].abs())
    assert abs(c.bound.value - kl) < 5 * math.hypot(c.bound.stderr, of_lambda) + 0.03 * kl  # z = 5, and the steps' bias
    lw.save_guidance(run.guidance, tmp_path / "g")
    again = lw.sample(MODEL, 500, lw.load_guidance(tmp_path / "g"), seed=7, steps=50)
    assert torch.equal(again.x, lw.sample(MODEL, 500, run.guidance, seed=7, steps=50).x)


def test_loss_is_the_gradient_of_the_tilt_at_the_denoised_estimate() -> None:
    run = lw.guide_observables(MODEL, DATA, "loss", **SMALL)
    x = torch.randn(5, 1, requires_grad=True)
    end = MODEL.denoise(x, 0.4)
    (expected,) = torch.autograd.grad(run.log_tilt(end).sum(), x)
    torch.testing.assert_close(run.guidance(x, 0.4, MODEL.denoise(x, 0.4)), expected)


def test_reweight() -> None:
    run = lw.guide_observables(MODEL, DATA, "reweight", **SMALL)
    assert run.guidance is None
    assert run.certificate.work.value == 0
    assert math.isnan(run.certificate.efficiency.value)
    fresh = run.sample(8000, seed=4)
    mean = fresh.mean(OBSERVABLE, under="target")
    # λ's own sampling error moves the mean by σ²·stderr(λ)
    assert abs(mean.value[0] - 0.4) < 5 * math.hypot(float(mean.stderr[0]), 0.09 * float(run.lambdas.stderr[0]))


def test_the_ode_has_no_certificate() -> None:
    run = lw.guide_observables(MODEL, DATA, "scheduled", process="ode", fit_samples=64, **SHORT)
    assert run.sample(100, seed=9).action.shape == (100,)
    with pytest.raises(lw.NoPathWeightsError):
        run.certificate  # noqa: B018


def test_kind_errors() -> None:
    with pytest.raises(lw.LeastworkError, match="method='schedule'"):
        lw.guide_observables(MODEL, DATA, "schedule")
    with pytest.raises(lw.LeastworkError, match="x"):
        lw.guide_observables(MODEL, lw.Experiment(OBSERVABLE, values=[99.0, 0.1]), "scheduled", **SMALL)
    with pytest.raises(lw.LeastworkError):
        lw.Experiment(OBSERVABLE, values=[0.1])


def test_a_distant_target_warns() -> None:
    far = lw.Experiment(OBSERVABLE, values=[1.45, 2.0], held_out=[False, True])
    with pytest.warns(lw.LeastworkWarning, match="trusted"):
        lw.guide_observables(MODEL, far, "reweight", **SMALL)


SHORT = {"steps": 20, "samples": 2000, "certificate_samples": 1000, "t_grid": "log-snr"}


def test_held_out_data_do_not_enter() -> None:
    """Neither λ, nor the schedule, nor ``on_target`` knows the value of a datum that is held out."""
    runs = []
    for held in (0.25, 7.0):
        data = lw.Experiment(OBSERVABLE, values=[0.4, held], held_out=[False, True])
        runs.append(lw.guide_observables(MODEL, data, "scheduled", fit_samples=64, **SHORT))
    first, second = runs
    assert torch.equal(first.lambdas.value, second.lambdas.value)
    assert first.guidance.strength == second.guidance.strength
    assert first.guidance.decay == second.guidance.decay
    assert first.certificate.on_target == second.certificate.on_target
    # its place in the target is what the target distribution gives it
    assert torch.equal(first.maxent.target, second.maxent.target)
    assert torch.equal(first.certificate.miss.value, second.certificate.miss.value)


def test_a_seed_repeats_a_run_and_another_does_not() -> None:
    first, second, other = (
        lw.guide_observables(MODEL, DATA, "scheduled", seed=s, fit_samples=64, **SHORT) for s in (0, 0, 1)
    )
    assert torch.equal(first.lambdas.value, second.lambdas.value)
    assert (first.guidance.strength, first.guidance.decay) == (second.guidance.strength, second.guidance.decay)
    assert first.certificate.dissipation == second.certificate.dissipation
    assert not torch.equal(first.lambdas.value, other.lambdas.value)


def test_the_certificate_is_of_fresh_samples() -> None:
    """None of the model's own, none of the fit's, and the split W = bound + dissipation holds on them."""
    run = lw.guide_observables(MODEL, DATA, "reweight", seed=0, **SHORT)
    fresh, own = run.certificate_ensemble, run.model_samples
    assert len(fresh) == 1000
    assert not torch.isin(fresh.x, own.x).any()
    scheduled = lw.guide_observables(MODEL, DATA, "scheduled", seed=0, fit_samples=500, **SHORT)
    c = scheduled.certificate
    assert abs(c.work.value - c.bound.value - c.dissipation.value) < 1e-12
    assert scheduled.certify(scheduled.certificate_ensemble).work == c.work
    assert c.miss.value.shape == c.miss.stderr.shape == (2,)
    assert 0 < c.ess.value <= 1
    with pytest.raises(lw.NoPathWeightsError, match="no log-tilt of a target"):
        scheduled.certify(lw.sample(MODEL, 10, steps=5))


def test_an_exact_target_costs_at_least_its_divergence() -> None:
    """The mean of N(0.5, 0.3²) moved by 0.1 costs KL = (0.1/0.3)²/2 nats; the bound meets it at z = 5.

    λ's sampling error, 1.4 % at 5000 samples, moves the bound by twice that; another 2 % are left to the steps.
    """
    choices = {**SHORT, "samples": 5000, "fit_samples": 2000, "certificate_samples": 5000, "steps": 60}
    run = lw.guide_observables(MODEL, DATA, "scheduled", seed=2, **choices)
    kl = 0.5 * (0.1 / 0.3) ** 2
    bound = run.certificate.bound
    assert abs(bound.value - kl) < 5 * math.hypot(bound.stderr, 0.035 * kl) + 0.02 * kl
    assert run.certificate.work.value > bound.value


def test_a_flow_is_guided_by_the_ode_only() -> None:
    flow = lw.VelocityModel(lambda x, t: 0.3 * x, (1,))
    data = lw.Experiment(lw.Observable(lambda x: x), values=[0.3])
    with pytest.raises(lw.LeastworkError, match="process='ode'"):
        lw.guide_observables(flow, data, "scheduled")
    choices = {key: value for key, value in SHORT.items() if key != "t_grid"}
    run = lw.guide_observables(flow, data, "scheduled", process="ode", fit_samples=2000, **choices)
    mean = run.sample(2000, seed=5).mean(lambda x: x[:, 0])
    # λ was fitted to 2000 samples, too; the guidance is to within 0.1 σ of the target
    assert abs(mean.value - 0.3) < 5 * mean.stderr + 0.1 * math.exp(-0.3)


def test_columns_and_names_must_agree() -> None:
    one_name = lw.Observable(lambda x: torch.cat([x, x**2], dim=1), names=("x",))
    with pytest.raises(lw.LeastworkError, match="2 columns for 1 name"):
        lw.guide_observables(MODEL, lw.Experiment(one_name, values=[0.4]), "reweight", **SHORT)
    with pytest.raises(lw.LeastworkError):
        lw.Experiment(one_name, values=[0.4, 0.3])


def test_what_no_weighting_reaches_is_infeasible() -> None:
    with pytest.raises(lw.InfeasibleError, match="'x'"):
        lw.guide_observables(MODEL, lw.Experiment(OBSERVABLE, values=[99.0, 0.1]), "reweight", **SHORT)

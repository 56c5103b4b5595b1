"""guide_observables on a Gaussian, where λ is known."""

import math

import pytest
import torch

import leastwork as lw
from leastwork.systems.gaussian import Gaussian

MODEL = Gaussian(0.5, 0.3, 1).model(lw.VPSchedule())
OBSERVABLE = lw.Observable(lambda x: torch.cat([x, x**2], dim=1), names=("x", "x²"))
DATA = lw.Experiment(OBSERVABLE, values=[0.4, 0.25], errors=[0.0, 0.0], held_out=[False, True])
SMALL = {"steps": 50, "samples": 8000, "fit_samples": 2000, "certificate_samples": 8000}


def test_scheduled() -> None:
    run = lw.guide_observables(MODEL, DATA, "scheduled", seed=3, **SMALL)
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
    run = lw.guide_observables(MODEL, DATA, process="ode", **{**SMALL, "fit_samples": 500})
    assert run.sample(100, seed=9).action.shape == (100,)
    with pytest.raises(lw.NoPathWeightsError):
        run.certificate  # noqa: B018


def test_kind_errors() -> None:
    with pytest.raises(lw.LeastworkError, match="method='schedule'"):
        lw.guide_observables(MODEL, DATA, "schedule")
    with pytest.raises(lw.LeastworkError, match="x"):
        lw.guide_observables(MODEL, lw.Experiment(OBSERVABLE, values=[99.0, 0.1]), **SMALL)
    with pytest.raises(lw.LeastworkError):
        lw.Experiment(OBSERVABLE, values=[0.1])


def test_a_distant_target_warns() -> None:
    far = lw.Experiment(OBSERVABLE, values=[1.45, 2.0], held_out=[False, True])
    with pytest.warns(lw.LeastworkWarning, match="trusted"):
        lw.guide_observables(MODEL, far, "reweight", **SMALL)

"""Observables without a gradient: any function of NumPy, for the methods that do not differentiate it."""

import numpy as np
import pytest
import torch

import leastwork as lw
from leastwork.observables import evaluate, smooth_interval, stack
from leastwork.observables.function import Observable

SHARE = Observable(lambda x: x.numpy()[:, 0] > 1, names="share", differentiable=False)
MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))


@pytest.mark.slow
def test_the_default_method_meets_the_average_of_a_step_function() -> None:
    data = lw.Experiment(SHARE, values=[0.3])
    run = lw.guide_observables(MODEL, data, steps=30, samples=1000, budget=250_000, iterations=200, seed=0)
    reached = evaluate(SHARE, run.sample(4000, seed=5).x).mean().item()
    assert abs(reached - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5 + 0.02  # one in 10⁴, and what a small fit may miss


def test_reweighting_takes_it_beside_others() -> None:
    both = stack(SHARE, smooth_interval(0.0, None, 0.1))
    assert not both.differentiable
    run = lw.guide_observables(MODEL, lw.Experiment(both, values=[0.2, 0.5], errors=0.01), "reweight", samples=500)
    assert run.maxent.converged


@pytest.mark.parametrize("method", ["scheduled", "loss", "adjoint-matching"])
def test_methods_that_differentiate_it_refuse_it(method: str) -> None:
    with pytest.raises(lw.LeastworkError, match=rf"method='{method}' differentiates .* share are declared"):
        lw.guide_observables(MODEL, lw.Experiment(SHARE, values=[0.3]), method, samples=500, steps=5)


def test_the_control_of_a_flow_refuses_it() -> None:
    flow = lw.VelocityModel(lambda x, t: -x, event_shape=(1,))
    with pytest.raises(lw.LeastworkError, match=r"the control of a VelocityModel differentiates .* method='reweight'"):
        lw.guide_observables(flow, lw.Experiment(SHARE, values=[0.3]), samples=500, steps=5, process="ode")


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (lambda n: ["a"] * n, "no array of numbers"),
        (lambda n: np.ones(n + 1), "one row per sample"),
        (lambda n: np.ones(n, dtype=complex), "complex"),
        (lambda n: np.where(np.arange(n) == 3, np.nan, 0.0), r"'O' is NaN .* index 3"),
    ],
)
def test_what_it_returns_is_looked_at(returned, told: str) -> None:  # pyright: ignore[reportMissingParameterType]
    black = Observable(lambda x: returned(len(x)), differentiable=False)
    with pytest.raises(lw.LeastworkError, match=told):
        evaluate(black, torch.zeros(8, 1))


def test_lists_and_integers_are_numbers() -> None:
    assert Observable(lambda x: [1] * len(x), differentiable=False)(torch.zeros(2, 1)).tolist() == [[1.0], [1.0]]

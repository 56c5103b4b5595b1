"""All methods on one Gaussian: each is there, judged by the same target, and a refusal is a row and not an end."""

import math

import pytest
import torch

import leastwork as lw
from leastwork.observable_guidance.compare import COMPARED, compare
from leastwork.systems.gaussian import Gaussian

MODEL = Gaussian(0.5, 0.3, 1).model(lw.VPSchedule())
DATA = lw.Experiment(
    lw.Observable(lambda x: torch.cat([x, x**2], dim=1), names=("x", "x²")), values=[0.6, 0.45], held_out=[False, True]
)
CHOICES = {"steps": 25, "n": 2048, "samples": 2000, "fit": {"fit_samples": 200}}


def test_methods_that_learn_nothing_meet_the_same_target() -> None:
    rows = {
        row.method: row
        for row in compare(MODEL, DATA, ("reweight", "smc", "driftlite", "loss", "scheduled"), **CHOICES)
    }
    assert [row.reason for row in rows.values()] == [""] * 5
    for row in rows.values():
        assert row.miss is not None
        assert row.miss.value.shape == (2,)
        assert abs(row.miss.value[0]) < 5 * math.hypot(float(row.miss.stderr[0]), 1 / math.sqrt(2000)) + 0.05  # z = 5
        assert row.ess is not None
        assert 0 < row.ess.value <= 1
        # a product with the Jacobian a step counts as one more
        assert row.sample_evaluations == (51 if row.method in ("loss", "driftlite") else 26)
    assert rows["reweight"].work is None
    assert rows["smc"].work is None
    for guided in (rows["loss"], rows["scheduled"]):
        assert guided.efficiency is not None
        assert guided.efficiency.value <= 1
    assert rows["scheduled"].fit_evaluations > rows["loss"].fit_evaluations == 26 * 2000


def test_a_refusal_is_a_row() -> None:
    flow = lw.VelocityModel(lambda x, t: 0.3 * x, (1,))
    choices = {**CHOICES, "process": "ode", "steps": 10}
    rows = {row.method: row for row in compare(flow, DATA, ("smc", "adjoint-matching", "loss"), **choices)}
    assert "a model without a score has none" in rows["smc"].reason
    assert "VelocityModel" in rows["adjoint-matching"].reason
    assert rows["loss"].reason == ""


def test_kind_errors() -> None:
    with pytest.raises(lw.LeastworkError, match="'magic' is not a method"):
        next(compare(MODEL, DATA, ("magic",)))  # type: ignore[arg-type]
    with pytest.raises(lw.LeastworkError, match="n=2048"):
        next(compare(MODEL, DATA, COMPARED, n=1100))

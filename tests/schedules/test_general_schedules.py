"""Schedules from functions and from tables, against closed forms."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.schedules.base import Schedule, diffusion_squared
from leastwork.schedules.files import describe_schedule, schedule_from
from leastwork.systems.gaussian import Gaussian

TIMES = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
CLOSED = [lw.VPSchedule(0.1, 20.0), lw.CosineSchedule(), lw.VESchedule(0.01, 50.0), lw.LinearSchedule()]


def parts(schedule: Schedule, t: Tensor = TIMES) -> dict[str, Tensor]:
    names = ("alpha", "sigma", "alpha_dot", "sigma_dot", "log_snr")
    return {name: getattr(schedule, name)(t) for name in names}


def table(schedule: Schedule, n: int) -> lw.TabulatedSchedule:
    t = torch.linspace(max(schedule.t_min, 1e-3), 0.999, n, dtype=torch.float64)
    return lw.TabulatedSchedule(t.tolist(), schedule.alpha(t).tolist(), schedule.sigma(t).tolist())


@pytest.mark.parametrize("closed", CLOSED, ids=lambda s: type(s).__name__)
def test_functions_give_the_closed_form(closed) -> None:
    schedule = lw.FunctionSchedule(lambda t: closed.alpha(t) + 0 * t, closed.sigma)
    assert isinstance(schedule, Schedule)
    for name, value in parts(closed).items():
        torch.testing.assert_close(parts(schedule)[name], value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(schedule.time_of(closed.log_snr(TIMES)), TIMES, rtol=1e-9, atol=1e-12)
    one = torch.tensor(0.37, dtype=torch.float64)
    for name, value in parts(closed, one).items():  # a single time, asked twice, and between others
        for _ in range(2):
            torch.testing.assert_close(parts(schedule, one)[name], value, rtol=1e-10, atol=1e-12)


def test_a_constant_alpha_has_no_slope() -> None:
    schedule = lw.FunctionSchedule(torch.ones_like, lambda t: 0.1 + t)
    assert float(schedule.alpha_dot(TIMES).abs().max()) == 0


def test_an_end_without_signal() -> None:
    schedule = lw.FunctionSchedule(lambda t: 1 - t, lambda t: t)
    assert schedule.time_of(torch.tensor([-math.inf], dtype=torch.float64)).item() == 1
    model = Gaussian(0.7, 0.5, 2).model(schedule)
    same = Gaussian(0.7, 0.5, 2).model(lw.LinearSchedule())
    torch.testing.assert_close(lw.sample(model, 20, steps=10).x, lw.sample(same, 20, steps=10).x)


@pytest.mark.parametrize("closed", CLOSED, ids=lambda s: type(s).__name__)
def test_tables_pass_through_their_points_and_have_consistent_slopes(closed) -> None:
    schedule = table(closed, 60)
    knots = torch.tensor(schedule.times, dtype=torch.float64)
    torch.testing.assert_close(schedule.alpha(knots), closed.alpha(knots), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(schedule.sigma(knots), closed.sigma(knots), rtol=1e-12, atol=1e-12)
    t, step = torch.linspace(0.02, 0.98, 333, dtype=torch.float64), 1e-6
    for value, slope in ((schedule.alpha, schedule.alpha_dot), (schedule.sigma, schedule.sigma_dot)):
        measured = (value(t + step) - value(t - step)) / (2 * step)
        torch.testing.assert_close(slope(t), measured, rtol=1e-4, atol=1e-5)
    assert bool((schedule.log_snr(t).diff() < 0).all())
    assert bool((diffusion_squared(schedule, t) >= 0).all())
    torch.testing.assert_close(schedule.time_of(schedule.log_snr(t)), t, rtol=1e-9, atol=1e-9)


def test_interpolation_is_of_second_order_or_better() -> None:
    closed = lw.VPSchedule(0.1, 20.0)
    inner = torch.linspace(0.2, 0.9, 501, dtype=torch.float64)
    errors = [float((table(closed, n).log_snr(inner) - closed.log_snr(inner)).abs().max()) for n in (50, 100, 200)]
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(slopes) > 1.9
    assert errors[-1] < 1e-3


def test_files() -> None:
    schedule = table(lw.CosineSchedule(), 20)
    described = json.loads(json.dumps(describe_schedule(schedule)))
    assert schedule_from(described) == schedule
    function = lw.FunctionSchedule(lambda t: 1 - t, lambda t: t)
    with pytest.raises(lw.ConfigError, match=r"schedule.table\(\)"):
        describe_schedule(function)
    assert describe_schedule(function.table())["name"] == "TabulatedSchedule"
    for name, value in parts(lw.LinearSchedule(), TIMES).items():
        torch.testing.assert_close(parts(function.table())[name], value, rtol=2e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: lw.FunctionSchedule(lambda t: t, lambda t: 1 - t), "positive|functions of 1 - t"),
        (lambda: lw.FunctionSchedule(lambda t: t, lambda t: 1.1 - t), "functions of 1 - t"),
        (lambda: lw.FunctionSchedule(lambda t: 0.5 - t, lambda t: t), "must be positive"),
        (lambda: lw.FunctionSchedule(lambda t: 1 - t, lambda t: t / 0), "must be positive"),
        (lambda: lw.FunctionSchedule(lambda t: 1.0, lambda t: t), "alpha_of.* returns a float: .*torch.ones_like"),  # type: ignore[arg-type]
        (lambda: lw.FunctionSchedule(lambda t: np.cos(t), lambda t: t), "alpha_of.* raised RuntimeError"),  # type: ignore[arg-type]
        (lambda: lw.FunctionSchedule(lambda t: 1 - t, lambda t: t.item()), "sigma_of.* raised RuntimeError"),  # type: ignore[arg-type]
        (lambda: lw.FunctionSchedule(lambda t: 1 - t, lambda t: t[:3]), r"sigma_of.* of shape \(3,\) for t of shape"),
        (lambda: lw.FunctionSchedule(lambda t: 1 - t, lambda t: t.detach()), "sigma_of.* has no derivative"),
        (
            lambda: lw.FunctionSchedule(lambda t: torch.as_tensor(np.interp(t.detach(), [0, 1], [1, 0])), lambda t: t),
            "alpha_of.* has no derivative, .*TabulatedSchedule",
        ),
        (lambda: lw.TabulatedSchedule(["a", "b"], [1.0, 0.1], [0.1, 1.0]), "times of a tabulated schedule: .*list of"),  # type: ignore[list-item]
        (lambda: lw.TabulatedSchedule([0.0, 1.0], [[1.0, 0.1]], [0.1, 1.0]), "alphas of a tabulated schedule"),  # type: ignore[list-item]
        (lambda: lw.TabulatedSchedule([0.0, 1.0], [1.0], [0.1, 1.0]), "two or more rising times"),
        (lambda: lw.TabulatedSchedule([0.0, 1.0], [1.0, 0.0], [0.1, 1.0]), "leave out the ends"),
        (lambda: lw.TabulatedSchedule([0.0, 1.0], [0.1, 1.0], [1.0, 0.1]), "sort it"),
        (lambda: lw.TabulatedSchedule([0.0, 2.0], [1.0, 0.1], [0.1, 1.0]), "t_max"),
    ],
)
def test_what_is_no_schedule_is_refused(make, words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        make()

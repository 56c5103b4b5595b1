"""The error of a finite number of steps, against chains of a Gaussian whose moments are known exactly."""

import math

import pytest
import torch

import leastwork as lw
from leastwork.sampling.choices import Choices
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process
from leastwork.sampling.solvers import as_solver
from leastwork.sampling.step_error import step_check, warn_of_steps
from leastwork.systems.frame_mixture import two_poses
from leastwork.systems.gaussian import Gaussian, exact_chain

SCHEDULE, DATA = lw.VPSchedule(), Gaussian(0.5, 0.6)
MODEL = DATA.model(SCHEDULE)
TILT = DATA.for_mean(0.0)


def both(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, x.square()], dim=1)


def second_moment(solver: str, steps: int, grid: str) -> float:
    """E[x²] of the chain's samples, by the recursion of the moments of (x, D of the step before)."""
    process = Process(MODEL)
    s = as_solver(solver).steps(process, time_grid(process, steps, grid))
    alpha, sigma = SCHEDULE.alpha(s.times), SCHEDULE.sigma(s.times)
    k = alpha * 0.36 / (alpha**2 * 0.36 + sigma**2)
    d = 0.5 * (1 - k * alpha)
    mean, cov = torch.zeros(2, dtype=torch.float64), torch.diag(torch.stack([sigma[0] ** 2, 0 * sigma[0]]))
    for i in range(len(s)):
        move = torch.stack([torch.stack([s.a[i] + s.b[i] * k[i], s.b_previous[i]]), torch.stack([k[i], 0 * k[i]])])
        mean = move @ mean + torch.stack([s.b[i], s.b[i] ** 0]) * d[i]
        cov = move @ cov @ move.T
        cov[0, 0] += s.c[i] ** 2
    return float((k[-1] * mean[0] + d[-1]) ** 2 + k[-1] ** 2 * cov[0, 0])


def covered(solver: str, grid: str, steps: int, repeats: int) -> int:
    """How many repeats are within 2.6 standard errors, 99 %, of the exact error, or within a tenth of it."""
    exact = second_moment(solver, steps, grid) - second_moment(solver, 64 * steps, grid)
    hits = 0
    for seed in range(repeats):
        found = step_check(MODEL, lambda x: x.square(), solver=solver, t_grid=grid, steps=steps, seed=seed)
        assert found.observables is not None
        away = abs(found.observables.value.item() - exact)
        hits += away < 2.6 * found.observables.stderr.item() + 0.1 * abs(exact)
    return hits


CASES = [("exponential", "log-snr", 50), ("euler", "uniform", 50), ("multistep", "signal", 20)]


@pytest.mark.parametrize(("solver", "grid", "steps"), CASES)
def test_the_estimate_covers_the_exact_error(solver: str, grid: str, steps: int) -> None:
    assert covered(solver, grid, steps, 8) >= 7


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "grid", "steps"), CASES)
def test_the_estimate_covers_the_exact_error_in_95_of_100(solver: str, grid: str, steps: int) -> None:
    assert covered(solver, grid, steps, 100) >= 95


def test_the_same_noise_tells_more_than_samples_of_their_own() -> None:
    found = step_check(MODEL, lambda x: x[:, 0], steps=50, paths=512)
    assert found.observables is not None
    assert found.observables.stderr.item() < 0.1 * 0.6 * math.sqrt(2 / 512)
    assert found.network_evaluations == 512 * (51 + 101)


def test_the_error_of_ln_z_is_that_of_the_chains() -> None:
    """Guided or not, ln⟨w⟩ is ln Z of the discretised chain, known exactly for first-order steps (z = 5)."""
    law = {"solver": "exponential", "t_grid": "log-snr", "steps": 30}
    process = Process(MODEL)
    exact = [
        exact_chain(DATA, SCHEDULE, as_solver("exponential").steps(process, time_grid(process, n, "log-snr")), TILT)
        for n in (30, 60)
    ]
    found = step_check(MODEL, None, DATA.doob(TILT, SCHEDULE), log_tilt=TILT, paths=4096, **law)
    assert found.log_z is not None
    assert found.observables is None
    wanted = 2 * (exact[0].log_normaliser - exact[1].log_normaliser)
    assert abs(found.log_z.value - wanted) < 5 * found.log_z.stderr
    assert found.log_z.stderr < 0.02


def test_too_few_steps_are_warned_of() -> None:
    bad = step_check(MODEL, both, solver="exponential", t_grid="log-snr", steps=8)
    assert bad.large.tolist() == [False, True]
    with pytest.warns(lw.LeastworkWarning, match="8 steps are too few for the averages of square"):
        warn_of_steps(bad, ("x", "square"))
    good = step_check(MODEL, both)
    assert not good.matters
    warn_of_steps(good, ("x", "square"))


def test_nothing_in_a_region_has_no_free_energy() -> None:
    found = step_check(MODEL, None, log_tilt=lambda x: (x[:, 0] > 99).double().log(), steps=5, paths=8)
    assert found.log_z is None
    with pytest.raises(lw.LeastworkError, match="paths=1"):
        step_check(MODEL, both, paths=1)


@pytest.mark.parametrize("schedule", [lw.CosineSchedule(), lw.LinearSchedule(), lw.VESchedule(0.01, 50.0)], ids=type)
def test_every_schedule_has_a_check(schedule) -> None:
    found = step_check(DATA.model(schedule), both, paths=64, steps=30)
    assert not found.matters


def test_flows_odes_and_frames_have_one_too() -> None:
    flow = lw.VelocityModel(lambda x, t: torch.cos(3 * t) * x, (2,))
    assert not step_check(flow, both, process="ode", paths=64, steps=20).matters
    assert not step_check(MODEL, both, process="ode", paths=64, steps=30).matters
    frames = two_poses(2).model()
    found = step_check(frames, lambda x: x[0].flatten(1)[:, :2], paths=32, steps=10)
    assert found.observables is not None
    assert found.observables.stderr.isfinite().all()
    assert Choices().sampler(frames).steps.turns is not None

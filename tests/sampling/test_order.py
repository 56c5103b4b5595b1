"""Orders of the solvers, as slopes of log error on problems solved in closed form."""

import math
from functools import cache

import pytest
import torch

import leastwork as lw
from leastwork.models.predictions import Moments, from_data
from leastwork.sampling.choices import Choices
from leastwork.sampling.grids import time_grid
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.process import Process
from leastwork.sampling.solvers import as_solver
from leastwork.sampling.solvers.exponential import Exponential
from leastwork.sampling.stepping import Carry, advance
from leastwork.systems.frame_mixture import two_poses
from leastwork.systems.gaussian import Gaussian

SCHEDULE = lw.VPSchedule(0.1, 20.0, t_min=1e-2)
GAUSSIAN = Gaussian(0.7, 0.5, 1)
LADDER = (40, 80, 160, 320)


def slope(errors: list[float]) -> float:
    x = torch.tensor([math.log(1 / n) for n in LADDER], dtype=torch.float64)
    y = torch.tensor(errors, dtype=torch.float64).log()
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / (x * x).sum())


def end_of_ode(model, solver: str, steps: int, x: torch.Tensor, grid: str = "uniform") -> torch.Tensor:
    sampler = Choices("ode", solver, steps, grid).sampler(model)
    carry = Carry(x)
    for step in sampler.steps.table():
        carry, _ = advance(sampler, step, carry, None)
    return carry.x


@pytest.mark.parametrize(
    ("solver", "low", "high"),
    [("euler", 0.8, 1.2), ("exponential", 0.8, 1.3), ("heun", 1.8, 2.4), ("multistep", 1.8, 2.6)],
)
def test_ode_order(solver: str, low: float, high: float) -> None:
    model = GAUSSIAN.model(SCHEDULE)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    ends = torch.tensor([1.0, 1e-2], dtype=torch.float64)
    alpha = SCHEDULE.alpha(ends)
    std = (alpha**2 * 0.5**2 + SCHEDULE.sigma(ends) ** 2).sqrt()
    exact = alpha[1] * 0.7 + std[1] / std[0] * (x - alpha[0] * 0.7)  # the flow keeps quantiles
    errors = [float((end_of_ode(model, solver, n, x) - exact).abs().max()) for n in LADDER]
    assert low <= slope(errors) <= high


@pytest.mark.parametrize(
    ("solver", "low", "high"),
    [("euler", 0.8, 1.2), ("exponential", 0.8, 1.3), ("heun", 1.8, 2.4), ("multistep", 1.8, 2.6)],
)
@pytest.mark.parametrize("schedule", [lw.EDMSchedule(0.01, 80.0, 0.5), SCHEDULE], ids=["edm", "vp"])
def test_ode_order_on_karras_grid(solver: str, low: float, high: float, schedule) -> None:
    model = GAUSSIAN.model(schedule)
    x = schedule.sigma(torch.ones((), dtype=torch.float64)) * torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    ends = torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)
    alpha, sigma = schedule.alpha(ends), schedule.sigma(ends)
    std = (alpha**2 * 0.5**2 + sigma**2).sqrt()
    exact = alpha[1] * 0.7 + std[1] / std[0] * (x - alpha[0] * 0.7)
    errors = [float((end_of_ode(model, solver, n, x, "karras") - exact).abs().max()) for n in LADDER]
    assert low <= slope(errors) <= high


@pytest.mark.parametrize(("solver", "low"), [("euler", 0.9), ("heun", 1.8), ("multistep", 1.8)])
def test_order_for_a_velocity_model(solver: str, low: float) -> None:
    flow = lw.VelocityModel(lambda x, t: torch.cos(3 * t) * x, (1,))
    x = torch.ones(1, 1, dtype=torch.float64)
    exact = math.exp(-math.sin(3.0) / 3)
    errors = [abs(float(end_of_ode(flow, solver, n, x)) - exact) for n in LADDER]
    assert low <= slope(errors) <= low + 0.35


@cache
def moments_of_sde(solver: str, steps: int) -> tuple[float, float]:
    """Mean and variance at t_min of the discretised SDE, exact: D is affine in x, D = p + q x."""
    process = Process(GAUSSIAN.model(SCHEDULE), 1.0)
    s = as_solver(solver).steps(process, time_grid(process, steps))
    covariance = torch.diag(torch.tensor([float(SCHEDULE.sigma(s.times[0])) ** 2, 0.0], dtype=torch.float64))
    state = torch.zeros(2, dtype=torch.float64)  # (x, y of the step before)
    for i in range(steps):
        alpha, sigma = float(SCHEDULE.alpha(s.times[i])), float(SCHEDULE.sigma(s.times[i]))
        q = alpha * 0.25 / (alpha**2 * 0.25 + sigma**2)
        p = 0.7 * (1 - q * alpha)
        move = torch.tensor([[s.a[i] + s.b[i] * q, s.b_previous[i]], [q, 0.0]], dtype=torch.float64)
        state = move @ state + torch.tensor([s.b[i] * p, p], dtype=torch.float64)
        covariance = move @ covariance @ move.T
        covariance[0, 0] += s.c[i] ** 2
    return float(state[0]), float(covariance[0, 0])


@pytest.mark.parametrize(
    ("solver", "low", "high"), [("euler", 0.8, 1.3), ("exponential", 0.8, 1.2), ("multistep", 1.5, 2.6)]
)
def test_weak_order_of_the_sde(solver: str, low: float, high: float) -> None:
    # the exact process forgets its start by a factor α(1)σ… ≈ 10⁻⁵ only: compare with a fine ladder's limit
    fine = moments_of_sde("multistep", 5_000)
    errors = [abs(moments_of_sde(solver, n)[1] - fine[1]) for n in LADDER]
    assert low <= slope(errors) <= high
    alpha, sigma = (float(v(torch.tensor(1e-2, dtype=torch.float64))) for v in (SCHEDULE.alpha, SCHEDULE.sigma))
    assert abs(fine[0] - alpha * 0.7) < 1e-3
    assert abs(fine[1] - (alpha**2 * 0.25 + sigma**2)) < 1e-3


@pytest.mark.parametrize("solver", ["euler", "heun", "exponential", "multistep"])
@pytest.mark.parametrize("schedule", [lw.LinearSchedule(), lw.CosineSchedule()], ids=["linear", "cosine"])
@pytest.mark.parametrize("process", ["sde", "ode"])
def test_singular_start(solver: str, schedule, process: str) -> None:
    """Where α(t_max) = 0 the first step is exponential: finite, and the right distribution (z = 5 on the mean)."""
    model = GAUSSIAN.model(schedule)
    ens = lw.sample(model, 3000, process=process, solver=solver, steps=400, seed=7)
    mean = ens.mean(lambda x: x[:, 0])
    assert abs(mean.value - 0.7) < 5 * mean.stderr + 0.005
    assert abs(float(ens.x.std()) - 0.5) < 5 * 0.5 / math.sqrt(6000) + 0.015  # first-order solvers keep a bias


def test_time_grids() -> None:
    process = Process(GAUSSIAN.model(lw.LinearSchedule()), 1.0)
    grid = time_grid(process, 10, "log-snr")
    assert len(grid) == 11
    assert (grid[0], grid[-1]) == (1.0, 1e-3)
    widths = lw.LinearSchedule().log_snr(grid)[1:].diff()
    torch.testing.assert_close(widths, widths[:1].expand_as(widths), rtol=1e-6, atol=0)
    own = torch.tensor([1.0, 0.5, 0.1], dtype=torch.float64)
    assert torch.equal(time_grid(process, 99, own), own)
    for bad in (torch.tensor([0.1, 0.5]), torch.tensor([1.0, 0.0]), torch.tensor([0.5])):
        with pytest.raises(lw.LeastworkError, match="t_grid"):
            time_grid(process, 2, bad)
    with pytest.raises(lw.LeastworkError, match="log-snr"):
        time_grid(process, 10, "quadratic")
    with pytest.raises(lw.LeastworkError, match="steps=0"):
        time_grid(process, 0)
    with pytest.raises(lw.LeastworkError, match="'multistep'"):
        as_solver("rk4")


def test_the_balanced_grid_spends_half_of_its_steps_where_signal_and_noise_are_alike() -> None:
    schedule = lw.VPSchedule()
    process = Process(GAUSSIAN.model(schedule), 1.0)
    even, fine = (schedule.log_snr(time_grid(process, 400, kind)) for kind in ("log-snr", "balanced"))
    assert fine[[0, -1]].tolist() == even[[0, -1]].tolist()
    width = float(even[-1] - even[0])
    share = fine.sigmoid()
    progress = 0.5 * (fine - fine[0]) / width + 0.5 * (share - share[0]) / (share[-1] - share[0])
    torch.testing.assert_close(progress, torch.linspace(0, 1, 401, dtype=torch.float64), atol=1e-4, rtol=0)
    inside = (fine.abs() < 3).sum() / 400
    assert inside > 0.5 * (6 / width) + 0.45


def test_karras_grid_is_uniform_in_a_power_of_the_noise() -> None:
    for schedule, rho in ((lw.VPSchedule(), 7.0), (lw.EDMSchedule(0.002, 80.0, 0.5, 3.0), 3.0)):
        times = time_grid(Process(GAUSSIAN.model(schedule), 1.0), 17, "karras")
        assert (times[0], times[-1]) == (schedule.t_max, schedule.t_min)
        root = (schedule.sigma(times) / schedule.alpha(times)) ** (1 / rho)
        torch.testing.assert_close(root, torch.linspace(float(root[0]), float(root[-1]), 18).double())
    leap = time_grid(Process(GAUSSIAN.model(lw.CosineSchedule()), 1.0), 17, "karras")
    assert bool((leap.diff() < 0).all())


@pytest.mark.parametrize("schedule", [lw.VPSchedule(), lw.CosineSchedule(), lw.VESchedule(0.01, 50.0)], ids=type)
def test_the_signal_grid_is_denser_where_basins_and_structures_form(schedule) -> None:
    times = time_grid(Process(GAUSSIAN.model(schedule), 1.0), 50, "signal")
    assert (times[0], times[-1]) == (schedule.t_max, schedule.t_min)
    if isinstance(schedule, lw.CosineSchedule):
        times = times[1:]  # α(t_max) = 0: one step leaps to the first finite log-SNR
    ratio = schedule.sigma(times) / schedule.alpha(times)
    parts = schedule.log_snr(times), 1 / (1 + ratio**2), 1 / (1 + 3 * ratio)
    even = [(part - part[0]) / (part[-1] - part[0]) for part in parts]
    gone = 0.2 * even[0] + 0.4 * even[1] + 0.4 * even[2]
    torch.testing.assert_close(gone, torch.linspace(0, 1, len(times), dtype=torch.float64), atol=1e-4, rtol=0)


def test_what_is_used_where_nothing_is_asked_for() -> None:
    flow = lw.VelocityModel(lambda x, t: x, (1,))
    frames = two_poses(2).model()
    for model, solver, grid in [
        (GAUSSIAN.model(SCHEDULE), "multistep", "signal"),
        (frames, "euler", "uniform"),
        (flow, "multistep", "uniform"),
    ]:
        process = "ode" if model is flow else "sde"
        usual, named = (one.sampler(model) for one in (Choices(process), Choices(process, solver, 100, grid)))
        assert torch.equal(usual.steps.times, named.steps.times)
        assert torch.equal(usual.steps.b, named.steps.b)
    plain = Choices(solver="euler").sampler(GAUSSIAN.model(SCHEDULE)).steps
    assert torch.equal(plain.times, time_grid(Process(GAUSSIAN.model(SCHEDULE), 1.0), 100))


def test_a_chain_that_starts_in_the_middle_recalls_nothing() -> None:
    sampler = Choices(steps=20).sampler(GAUSSIAN.model(SCHEDULE))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    step = sampler.steps.table()[10]
    first_order = Choices(solver="exponential", steps=20).sampler(GAUSSIAN.model(SCHEDULE)).steps.table()[10]
    torch.testing.assert_close(
        advance(sampler, step, Carry(x), x)[0].x, advance(sampler, first_order, Carry(x), x)[0].x
    )


def test_forward_and_backward() -> None:
    """The probability-flow ODE encodes data as noise and returns them within 10⁻³ at 100 steps."""
    random = torch.Generator().manual_seed(3)
    for schedule in (lw.VPSchedule(), lw.CosineSchedule(), lw.LinearSchedule()):
        model = GAUSSIAN.model(schedule)
        x = 0.7 + 0.5 * torch.randn(1000, 1, generator=random, dtype=torch.float64)
        for grid in ("uniform", "log-snr"):
            noise = lw.transport(model, x, steps=100, t_grid=grid)
            assert abs(float(noise.std()) - 1) < 0.15
            back = lw.transport(model, noise, forward=False, steps=100, t_grid=grid)
            assert float((back - x).abs().max()) < 1e-3
    with pytest.raises(lw.LeastworkError, match="event shape"):
        lw.transport(model, torch.zeros(4, 2))


def test_noise_streams_do_not_depend_on_the_batch() -> None:
    whole = BlockNoise(5, 0, 3000, (2,))
    part = BlockNoise(5, 1500, 2100, (2,))
    for _ in range(3):
        assert torch.equal(whole.draw()[1500:2100], part.draw())


@pytest.mark.parametrize("predicts", ["velocity", "v"])
@pytest.mark.parametrize("solver", ["euler", "multistep"])
def test_singular_start_of_other_predictions(predicts: str, solver: str) -> None:
    """A flow-matching network is asked at t = 1, where D = E[x_0] although α = 0 (z = 5 on the mean)."""
    schedule = lw.LinearSchedule()

    def net(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        m = Moments.at(schedule, float(t))
        slope, offset = GAUSSIAN.denoiser(m)
        return from_data(predicts, slope * x + offset, x, m)

    model = lw.DiffusionModel(net, schedule, predicts, (1,))
    x = torch.ones(1, 1, dtype=torch.float64)
    assert abs(float(model.denoise(x, 1.0)) - 0.7) < 1e-12
    for process in ("sde", "ode"):
        ens = lw.sample(model, 3000, process=process, solver=solver, steps=200, t_grid="log-snr", seed=9)
        same = lw.sample(
            GAUSSIAN.model(schedule), 3000, process=process, solver=solver, steps=200, t_grid="log-snr", seed=9
        )
        torch.testing.assert_close(ens.x, same.x, rtol=1e-3, atol=1e-4)
        mean = ens.mean(lambda x: x[:, 0])
        assert abs(mean.value - 0.7) < 5 * mean.stderr + 0.005
        assert abs(float(ens.x.std()) - 0.5) < 5 * 0.5 / math.sqrt(6000) + 0.01


@pytest.mark.parametrize("kappa", [0.5, 1.0, 2.0])
def test_the_exponential_kernel_is_the_conditional_law(kappa: float) -> None:
    """Where D is constant (the data are one point) the first-order kernel is exact in a single step."""
    point = lw.DiffusionModel(lambda x, t: torch.full_like(x, 0.7), SCHEDULE, "data", (1,))
    for steps in (1, 7):
        s = Choices("sde", "exponential", steps, kappa=kappa).sampler(point).steps
        alpha, sigma = SCHEDULE.alpha(s.times), SCHEDULE.sigma(s.times)
        mean, variance = alpha[0] * 0.7, sigma[0] ** 2
        for i in range(steps):
            mean, variance = s.a[i] * mean + s.b[i] * 0.7, s.a[i] ** 2 * variance + s.c[i] ** 2
        torch.testing.assert_close(mean, alpha[-1] * 0.7, rtol=1e-10, atol=0)
        torch.testing.assert_close(variance, sigma[-1] ** 2, rtol=1e-10, atol=0)


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0])
def test_guidance_is_a_shift_of_the_score(kappa: float) -> None:
    """In every solver h weighs as the score does: s → s + h moves D by σ²h/α; with noise no step recalls it."""
    process = Process(GAUSSIAN.model(SCHEDULE), kappa)
    times = time_grid(process, 50)
    lever = (SCHEDULE.sigma(times) ** 2 / SCHEDULE.alpha(times))[:-1]
    for solver in ("euler", "heun", "exponential", "multistep"):
        s = as_solver(solver).steps(process, times)
        if kappa > 0:
            torch.testing.assert_close(s.e, (s.b + s.b_previous) * lever, rtol=1e-10, atol=0)
            assert not s.e_previous.any()
        else:
            torch.testing.assert_close(s.e, s.b * lever, rtol=1e-10, atol=0)
            torch.testing.assert_close(s.e_previous[1:], s.b_previous[1:] * lever[:-1], rtol=1e-10, atol=0)
        assert s.has_density == (kappa > 0 and solver != "heun")
        assert len(s) == 50
        torch.testing.assert_close(s.dt.sum(), times[0] - times[-1])


def test_exponential_solvers_keep_the_mean_and_multistep_the_variance() -> None:
    """The prior N(0, σ²) and the process agree up to α(1)² = 4·10⁻⁵ of the data, and κ = 1 forgets that."""
    alpha, sigma = (float(v(torch.tensor(1e-2, dtype=torch.float64))) for v in (SCHEDULE.alpha, SCHEDULE.sigma))
    for steps in LADDER[2:]:
        found = {solver: moments_of_sde(solver, steps) for solver in ("euler", "exponential", "multistep")}
        error = {solver: abs(variance - alpha**2 * 0.25 - sigma**2) for solver, (_, variance) in found.items()}
        assert error["multistep"] < 0.25 * error["exponential"]
        assert abs(found["euler"][0] - alpha * 0.7) > 1e-3
        for solver in ("exponential", "multistep"):
            assert abs(found[solver][0] - alpha * 0.7) < 1e-5


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(lw.LeastworkError, match="order=3"):
        Exponential(order=3)
    assert as_solver(Exponential(order=1)) == Exponential(order=1)

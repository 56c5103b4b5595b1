"""Steering: unbiased normalisers, weights that telescope, systems that are independent, ancestors by the rule.

A check at z = 5 gives a false alarm in 1.7 million; seeds are fixed.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import torch

import leastwork as lw
from leastwork.guidance.learned import LearnedGuidance
from leastwork.networks.value import ValueNetwork
from leastwork.sampling.grids import time_grid
from leastwork.sampling.process import Process
from leastwork.sampling.solvers import as_solver
from leastwork.sampling.steer import DenoisedTilt, LearnedValue, systematic_ancestors
from leastwork.support.random import generator
from leastwork.systems.gaussian import Gaussian, QuadraticTilt, exact_chain
from leastwork.systems.mixtures import two_states

SCHEDULE = lw.VPSchedule()
DATA, TILT = Gaussian(0.5, 0.6), QuadraticTilt(linear=-2.0, quadratic=0.5)
GAUSSIAN = DATA.model(SCHEDULE)
CHOICES = {"steps": 20, "particles": 64, "dtype": torch.float64}
GRID = {"euler": "uniform", "exponential": "log-snr", "multistep": "log-snr"}
"""Where 20 steps of each solver go best: guided weights of the exponential ones have heavy tails on uniform steps."""


def ratio(ens: lw.Ensemble, log_z: float) -> lw.Estimate:
    """Ẑ/Z over the systems."""
    assert ens.log_tilt is not None
    return lw.Estimate.from_samples(torch.exp(ens.log_weight + ens.log_tilt - log_z), group=ens.ledger.group)


@dataclass(frozen=True)
class Shifted:
    """A look-ahead that is wrong on purpose, and differs from step to step."""

    def __call__(self, x, t, denoised):
        return 0.7 * x[:, 0] + 3 * math.cos(40 * t)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("solver", ["euler", "exponential"])
def test_the_normaliser_is_unbiased(solver: str, strength: float, threshold: float) -> None:
    """Z of the discretised chain is known exactly here, at 20 coarse steps."""
    process, choices = Process(GAUSSIAN), {**CHOICES, "solver": solver, "t_grid": GRID[solver]}
    steps = as_solver(solver).steps(process, time_grid(process, 20, GRID[solver]))
    log_z = exact_chain(DATA, SCHEDULE, steps, TILT).log_normaliser
    guidance = DATA.doob(TILT, SCHEDULE, strength) if strength else None
    ens = lw.steer(GAUSSIAN, 200 * 64, TILT, guidance, threshold=threshold, seed=3, **choices)
    found = ratio(ens, log_z)
    assert abs(found.value - 1) < 5 * found.stderr < 0.15
    assert abs(ens.log_z.value - log_z) < 5 * ens.log_z.stderr


def test_workers_draw_the_same_samples() -> None:
    def drawn(executor: ThreadPoolExecutor | None = None) -> lw.Ensemble:
        return lw.steer(GAUSSIAN, 5 * 64, TILT, batch_size=128, executor=executor, **CHOICES)

    with ThreadPoolExecutor(2) as pool:
        alone, found = drawn(), drawn(pool)
    assert found.x.equal(alone.x)
    assert found.log_weight.equal(alone.log_weight)


def test_the_look_ahead_does_not_change_the_answer() -> None:
    process = Process(GAUSSIAN)
    steps = as_solver("euler").steps(process, time_grid(process, CHOICES["steps"]))
    log_z = exact_chain(DATA, SCHEDULE, steps, TILT).log_normaliser
    choices = {**CHOICES, "solver": "euler"}
    good = lw.steer(GAUSSIAN, 400 * 64, TILT, seed=5, **choices)
    odd = lw.steer(GAUSSIAN, 400 * 64, TILT, look_ahead=Shifted(), seed=5, **choices)
    for ens in (good, odd):
        found = ratio(ens, log_z)
        assert abs(found.value - 1) < 5 * found.stderr
    assert good.log_z.stderr < odd.log_z.stderr


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("solver", ["euler", "multistep"])
def test_mixtures_under_imperfect_guidance(solver: str, guided: bool, dim: int) -> None:
    """The tilt r = ln q/p takes a population from 0.2 to 0.7; Z of the chain is that of plain samples of it."""
    p = two_states(dim, (0.8, 0.2), separation=2.0, std=0.4)
    q = p.reweighted([0.3, 0.7])
    model, doob = p.model(SCHEDULE), p.doob(q, SCHEDULE, strength=0.5)
    choices = {"steps": 20, "dtype": torch.float64, "solver": solver, "t_grid": GRID[solver]}
    own = lw.sample(model, 20_000, seed=1, **choices)
    plain = lw.Estimate.from_samples(doob.log_tilt(own.x).exp())
    guidance = doob if guided else None
    ens = lw.steer(model, 200 * 64, doob.log_tilt, guidance, threshold=0.9, seed=2, particles=64, **choices)
    found = ratio(ens, math.log(plain.value))
    assert abs(found.value - 1) < 5 * math.hypot(found.stderr, plain.stderr / plain.value)
    right = lw.Estimate.from_log_weights((own.x[:, 0] > 0).double(), doob.log_tilt(own.x))
    mean = ens.mean(lambda x: (x[:, 0] > 0).double(), under="target")
    assert abs(mean.value - right.value) < 5 * math.hypot(mean.stderr, right.stderr)
    first, again = ens.mean(lambda x: x[:, 0], under="model"), lw.Estimate.from_samples(own.x[:, 0])
    assert abs(first.value - again.value) < 5 * math.hypot(first.stderr, again.stderr)


def test_without_resampling_the_weights_are_those_of_plain_sampling() -> None:
    """All potentials but the last cancel, and the paths are those of ``sample``."""
    doob = DATA.doob(TILT, SCHEDULE, 0.7)
    for solver in ("euler", "multistep"):
        plain = lw.sample(GAUSSIAN, 256, doob, steps=20, seed=4, solver=solver, dtype=torch.float64)
        ens = lw.steer(GAUSSIAN, 256, TILT, doob, threshold=0.0, seed=4, solver=solver, **CHOICES)
        assert torch.equal(ens.x, plain.x)
        torch.testing.assert_close(ens.log_weight, plain.log_weight, rtol=0, atol=1e-10)
        torch.testing.assert_close(ens.log_tilt, TILT(plain.x))
        assert ens.network_evaluations == plain.network_evaluations


def test_at_doobs_transform_with_its_value_all_weights_agree() -> None:
    """With many steps, φ = V and h = ∇V, nothing is left to weigh."""
    doob, mean_variance = DATA.doob(TILT, SCHEDULE), DATA.tilted(TILT)

    def value(x, t, denoised):
        def log_density(mean: float, variance: float):
            v = alpha**2 * variance + sigma**2
            return -0.5 * (x[:, 0] - alpha * mean) ** 2 / v - 0.5 * math.log(v)

        alpha, sigma = float(SCHEDULE.alpha(torch.tensor(t))), float(SCHEDULE.sigma(torch.tensor(t)))
        target = log_density(float(mean_variance[0]), mean_variance[1])
        return target - log_density(DATA.mean, DATA.std**2)

    choices = {**CHOICES, "steps": 200}
    ens = lw.steer(GAUSSIAN, 1024, TILT, doob, look_ahead=value, threshold=0.9, seed=1, **choices)
    log_w = ens.log_weight + ens.log_tilt
    assert log_w.std() < 0.06
    assert abs(float(log_w.mean()) - DATA.log_normaliser(TILT)) < 0.05


@pytest.mark.parametrize("solver", ["euler", "multistep"])
def test_neither_batch_size_nor_n_matters(solver: str) -> None:
    choices = {**CHOICES, "particles": 100, "solver": solver, "threshold": 0.9, "seed": 7}
    whole = lw.steer(GAUSSIAN, 2000, TILT, batch_size=2000, **choices)
    for n, batch_size in ((2000, 50), (2000, 350), (1100, 1024)):
        other = lw.steer(GAUSSIAN, n, TILT, batch_size=batch_size, **choices)
        torch.testing.assert_close(other.x, whole.x[:n], rtol=0, atol=1e-12)
        torch.testing.assert_close(other.log_weight, whole.log_weight[:n], rtol=0, atol=1e-12)
    assert len(whole.x.unique(dim=0)) == 2000  # noise after the last resampling
    assert not torch.equal(lw.steer(GAUSSIAN, 2000, TILT, **{**choices, "seed": 8}).x, whole.x)


def test_after_resampling_every_particle_carries_the_mean() -> None:
    """At threshold 1 each step resamples: within a system ln w differs by the last step's part alone."""
    seen: list[torch.Tensor] = []

    def watch(x, t, denoised):
        seen.append(TILT(denoised).double())
        return seen[-1]

    ens = lw.steer(GAUSSIAN, 128, TILT, look_ahead=watch, threshold=1.0, seed=0, **CHOICES)
    uniforms = torch.rand(2, 20, generator=generator(0, "resampling"), dtype=torch.float64)
    level, kept = torch.zeros(2, 1), torch.zeros(2, 64)
    for i, potential in enumerate(seen):
        gain = potential.view(2, 64) - kept
        level = level + torch.logsumexp(gain, dim=1, keepdim=True) - math.log(64)
        chosen = systematic_ancestors(torch.softmax(gain, dim=1), uniforms[:, i])
        kept = potential.view(2, 64).gather(1, chosen)
    torch.testing.assert_close(ens.log_weight, (level - kept).flatten())


@pytest.mark.parametrize("n", [1, 7, 1024])
def test_offspring_are_n_times_the_weight_rounded(n: int) -> None:
    random = torch.Generator().manual_seed(n)
    share = torch.softmax(4 * torch.randn(500, n, generator=random, dtype=torch.float64), dim=1)
    share[:, n // 2 + 1 :: 3] = 0
    share = share / share.sum(dim=1, keepdim=True)
    u = torch.rand(500, generator=random, dtype=torch.float64)
    ancestors = systematic_ancestors(share, u)
    counts = torch.zeros_like(share).scatter_add(1, ancestors, torch.ones_like(share))
    wanted = n * share
    assert bool((counts >= (wanted - 1e-9).floor()).all())
    assert bool((counts <= (wanted + 1e-9).ceil()).all())
    assert bool((counts[share == 0] == 0).all())


def test_offspring_are_unbiased() -> None:
    share = torch.softmax(torch.randn(1, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64), dim=1)
    u = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000  # every uniform once
    ancestors = systematic_ancestors(share.expand(10_000, 50), u)
    counts = torch.zeros(10_000, 50).scatter_add(1, ancestors, torch.ones(10_000, 50)).double().mean(dim=0)
    torch.testing.assert_close(counts, 50 * share[0], rtol=0, atol=2e-4)


def test_rounding_at_the_ends() -> None:
    share = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
    for u in (0.0, 0.999):
        uniform = torch.full((2,), u, dtype=torch.float64)
        assert systematic_ancestors(share, uniform).tolist() == [[1, 1, 1, 1], [0, 1, 2, 3]]
    last = torch.full((1,), 1 - 2.0**-53, dtype=torch.float64)
    most = torch.cat([torch.full((1, 1023), 1 / 1023, dtype=torch.float64), torch.zeros(1, 1)], dim=1)
    assert int(systematic_ancestors(most, last).max()) == 1022


def test_errors_come_from_independent_systems() -> None:
    """Over 60 runs of 8 systems the estimates of ln Z scatter as their standard errors say."""
    runs = [lw.steer(GAUSSIAN, 8 * 32, TILT, seed=s, **{**CHOICES, "particles": 32}) for s in range(60)]
    values = torch.tensor([run.log_z.value for run in runs])
    claimed = torch.tensor([run.log_z.stderr for run in runs]).square().mean().sqrt()
    assert 0.7 < float(claimed / values.std()) < 1.35
    alone = lw.steer(GAUSSIAN, 64, TILT, seed=0, **CHOICES)
    for estimate in (alone.log_z, alone.ess, alone.mean(lambda x: x[:, 0], under="target"), alone.mean(lambda x: x)):
        assert math.isnan(float(estimate.stderr))
        assert math.isfinite(float(estimate.value))


def test_look_aheads() -> None:
    model = lw.DiffusionModel(lambda x, t: -x, SCHEDULE, predicts="score", event_shape=(2,), shift=1.0, scale=2.0)
    network = ValueNetwork(2, seed=1)
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(0))
    guidance = LearnedGuidance(network, SCHEDULE)
    x, denoised = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), torch.ones(5, 2)
    assert DenoisedTilt(lambda x: x.sum(dim=1), model)(x, 0.5, denoised).tolist() == [6.0] * 5
    assert torch.equal(LearnedValue(guidance)(x, 0.5, denoised), guidance.value(x, 0.5, denoised))
    ens = lw.steer(model, 256, lambda x: x[:, 0], guidance, look_ahead=LearnedValue(guidance), particles=64, steps=5)
    assert ens.x.shape == (256, 2)


def test_states_of_two_tensors_and_training_mode() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = torch.nn.Dropout(0.5)
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, t):
            return tuple(-self.drop(leaf) for leaf in x)

    model = lw.DiffusionModel(Net(), SCHEDULE, predicts="score", event_shape=((2,), (3, 3)))
    for dtype in (torch.float32, torch.float64):
        choices = {"particles": 64, "steps": 50, "dtype": dtype, "threshold": 1.0, "seed": 1}
        ens = lw.steer(model, 64 * 50, lambda x: x[0][:, 0] + x[1][:, 1, 2], **choices)
        assert (ens.x[0].shape, ens.x[1].shape) == ((3200, 2), (3200, 3, 3))
        for leaf in ((0, 0), (1, 1, 2)):
            mean = ens.mean(lambda x, i=leaf: x[i[0]][(slice(None), *i[1:])], under="target")
            assert abs(mean.value - 1) < max(5 * mean.stderr, 0.25)
    assert model.net.training


def test_a_store_remembers_the_groups(tmp_path) -> None:
    from leastwork.sampling.storage import save_ensemble

    ens = lw.steer(GAUSSIAN, 256, TILT, **CHOICES)
    back = save_ensemble(ens, tmp_path / "e.zarr").load()
    assert back.ledger.group == 64
    assert back.log_z == ens.log_z
    with pytest.raises(lw.NoPathWeightsError, match="no law of their own"):
        _ = back.work


@pytest.mark.parametrize(
    ("n", "choices", "words"),
    [
        (100, {}, "less than one system of 1024: draw n=1024"),
        (3000, {}, "whole number of systems of 1024: draw n=3072 or 2048"),
        (1024, {"particles": 0}, "at least 1"),
        (1024, {"threshold": 1.5}, "effective fraction"),
        (1024, {"solver": "heun"}, "no density"),
        (1024, {"process": "ode"}, "no density"),
    ],
)
def test_what_is_refused(n: int, choices: dict, words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        lw.steer(GAUSSIAN, n, TILT, **choices)


def test_what_is_not_finite_or_not_one_each_is_named() -> None:
    def far(x):
        return torch.where(x[:, 0] > 0, 0.0, -math.inf)

    def early(x, t, denoised):
        return torch.where(torch.arange(len(x)) == 70, math.nan, 0.0) if t < 0.5 else torch.zeros(len(x))

    with pytest.raises(lw.NonFiniteError, match=r"the log-tilt is not finite at the end.*finite floor"):
        lw.steer(GAUSSIAN, 128, far, look_ahead=Shifted(), **CHOICES)
    with pytest.raises(lw.NonFiniteError, match=r"the look-ahead is not finite before step 1. of 20 .*for sample 70"):
        lw.steer(GAUSSIAN, 128, TILT, look_ahead=early, solver="euler", **CHOICES)
    with pytest.raises(lw.LeastworkError, match=r"shape \(128, 1\) for 128 samples"):
        lw.steer(GAUSSIAN, 128, lambda x: x, **CHOICES)


def test_a_flow_is_sent_to_what_guides_it() -> None:
    flow, data = lw.VelocityModel(lambda x, t: x, (2,)), lw.Experiment(lw.Observable(lambda x: x[:, :1]), values=[0.1])
    for process in ("sde", "ode"):
        with pytest.raises(
            lw.LeastworkError, match=r"a model without a score has none: .*guide_observables and process='ode'"
        ):
            lw.steer(flow, 1024, lambda x: x[:, 0], process=process, steps=5)  # type: ignore[arg-type]  (checked)
    assert lw.guide_observables(flow, data, "loss", process="ode", steps=5, samples=100).method == "loss"

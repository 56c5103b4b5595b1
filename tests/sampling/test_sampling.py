"""The sampling loop: seeds, batches, resuming, what raises, and what is left alone."""

import math
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch

import leastwork as lw
from leastwork.guidance.base import Composable
from leastwork.guidance.scheduled import ScheduledGuidance
from leastwork.models.units import Affine
from leastwork.networks.perceptron import Perceptron
from leastwork.sampling.choices import Choices
from leastwork.systems.gaussian import Gaussian, QuadraticTilt, exact_chain

NORMAL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), "score", (2,))
X = lw.Observable(lambda x: x[..., 0], names=("x",))


def scheduled(strength: float = 0.5, jacobian: bool = False) -> ScheduledGuidance:
    return ScheduledGuidance(X, torch.tensor([-1.0]), strength, 1.0, jacobian)


@dataclass(frozen=True)
class Broken(Composable):
    """NaN for sample 7 of every batch once t < 0.5."""

    through_network = False

    def __call__(self, x, t, denoised):
        h = torch.zeros_like(x)
        if t < 0.5:
            h[7] = float("nan")
        return h


def test_the_seed_decides_and_the_batch_size_does_not() -> None:
    first = lw.sample(NORMAL, 2500, scheduled(), steps=20, seed=1)
    again = lw.sample(NORMAL, 2500, scheduled(), steps=20, seed=1)
    other = lw.sample(NORMAL, 2500, scheduled(), steps=20, seed=2)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.log_weight, again.log_weight)
    assert not torch.equal(first.x, other.x)
    for size in (100, 1024, 1500):
        pieces = lw.sample(NORMAL, 2500, scheduled(), steps=20, seed=1, batch_size=size)
        assert float((pieces.x - first.x).abs().max()) <= 1e-5
        assert float((pieces.log_weight - first.log_weight).abs().max()) <= 1e-4
    shorter = lw.sample(NORMAL, 700, scheduled(), steps=20, seed=1)
    assert float((shorter.x - first.x[:700]).abs().max()) <= 1e-5


def test_no_global_state_is_touched() -> None:
    before = torch.random.get_rng_state()
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
    before = torch.random.get_rng_state()

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net

        def forward(self, x, t):
            return self.inner(x)

    model = lw.DiffusionModel(Wrapped().train(), lw.VPSchedule(), "v", (2,))
    first = lw.sample(model, 50, scheduled(jacobian=True), steps=5)
    assert torch.equal(first.x, lw.sample(model, 50, scheduled(jacobian=True), steps=5).x)  # dropout is off
    assert model.net.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not first.x.requires_grad
    assert all(p.grad is None for p in model.parameters())


def test_streaming_and_resuming_are_bit_identical(tmp_path) -> None:
    whole = lw.sample(NORMAL, 2500, scheduled(), steps=10, batch_size=600)
    choices = {"steps": 10, "batch_size": 600, "out": tmp_path / "e.zarr"}

    def kill(info) -> None:
        if info.start == 1200 and info.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lw.sample(NORMAL, 2500, scheduled(), callback=kill, **choices)
    with pytest.raises(lw.LeastworkError, match="interrupted run"):
        lw.sample(NORMAL, 2500, scheduled(), **choices)
    with pytest.raises(lw.LeastworkError, match="other settings"):
        lw.sample(NORMAL, 2500, scheduled(0.6), resume=True, **choices)  # another guidance
    with pytest.raises(lw.LeastworkError, match="other settings"):
        lw.sample(NORMAL, 2500, scheduled(), resume=True, **{**choices, "steps": 11})
    seen = []
    stored = lw.sample(NORMAL, 2500, scheduled(), resume=True, callback=lambda i: seen.append(i.start), **choices)
    assert set(seen) == {1200, 1800, 2400}  # the finished batches are kept
    loaded = stored.load()
    assert len(stored) == 2500
    assert torch.equal(loaded.x, whole.x)
    assert torch.equal(loaded.log_weight, whole.log_weight)
    torch.testing.assert_close(loaded.ledger.step_work.value, whole.ledger.step_work.value)
    torch.testing.assert_close(loaded.ledger.step_work.stderr, whole.ledger.step_work.stderr)
    assert torch.equal(torch.cat(list(stored.chunks(999))), whole.x)
    with pytest.raises(lw.LeastworkError, match="exists"):
        lw.sample(NORMAL, 2500, scheduled(), **choices)


def test_xarray_opens_the_store(tmp_path) -> None:
    import xarray

    lw.sample(NORMAL, 100, scheduled(), steps=5, out=tmp_path / "e.zarr")
    data = xarray.open_zarr(tmp_path / "e.zarr")
    assert dict(data.sizes) == {"sample": 100, "x_dim_0": 2, "step": 5, "edge": 6, "batch": 1, "moment": 2}
    with pytest.raises(lw.LeastworkError, match="not an ensemble"):
        lw.open_ensemble(tmp_path / "nothing")


def test_what_is_not_finite_is_named() -> None:
    def net(x, t):
        y = -x.clone()
        if t < 0.3:
            y[3] = float("inf")
        return y

    model = lw.DiffusionModel(net, lw.VPSchedule(), "score", (2,))
    with pytest.raises(lw.NonFiniteError, match=r"network's output is not finite at step 9 of 10 .* sample 3"):
        lw.sample(model, 50, steps=10, solver="euler")
    with pytest.raises(lw.NonFiniteError, match=r"guidance is not finite at step 7 of 10 .* sample 7"):
        lw.sample(NORMAL, 150, Broken(), steps=10, batch_size=100, seed=0, solver="euler")


def test_who_has_weights() -> None:
    ode = lw.sample(NORMAL, 100, scheduled(), process="ode", steps=10)
    assert float(ode.action.mean()) > 0
    with pytest.raises(lw.NoPathWeightsError, match=r"process='sde'"):
        ode.log_weight  # noqa: B018
    with pytest.raises(lw.NoPathWeightsError, match="no path measure"):
        ode.mean(lambda x: x[:, 0], under="model")
    heun = lw.sample(NORMAL, 100, scheduled(), solver="heun", steps=10)
    with pytest.raises(lw.NoPathWeightsError, match="Heun"):
        heun.work  # noqa: B018
    sde = lw.sample(NORMAL, 100, scheduled(), steps=10)
    with pytest.raises(lw.LeastworkError, match="no kinetic action"):
        sde.action  # noqa: B018
    with pytest.raises(lw.LeastworkError, match="have no log-tilt of a target"):
        sde.mean(lambda x: x[:, 0], under="target")
    with pytest.raises(lw.LeastworkError, match="under='truth'"):
        sde.mean(lambda x: x[:, 0], under="truth")
    flow = lw.VelocityModel(lambda x, t: x, (2,))
    with pytest.raises(lw.LeastworkError, match="no SDE"):
        lw.sample(flow, 10)
    assert float(lw.sample(flow, 10, scheduled(), process="ode", steps=5).action.mean()) > 0


def test_action_of_a_constant_push() -> None:
    """∫ ½|v|² dt of a velocity model under h = v is ½|v|², by any solver."""

    @dataclass(frozen=True)
    class Constant(Composable):
        through_network = False

        def __call__(self, x, t, denoised):
            return torch.full_like(x, 0.5)

    flow = lw.VelocityModel(lambda x, t: torch.zeros_like(x), (2,))
    for solver in ("euler", "heun", "multistep"):
        ens = lw.sample(flow, 10, Constant(), process="ode", solver=solver, steps=8)
        torch.testing.assert_close(ens.action, torch.full((10,), 0.25, dtype=torch.float64))
        plain = lw.sample(flow, 10, process="ode", solver=solver, steps=8)
        torch.testing.assert_close(ens.x - plain.x, torch.full((10, 2), 0.5))


def test_guidances_compose() -> None:
    one, two = scheduled(0.5), scheduled(0.25)
    together = lw.sample(NORMAL, 200, one + 2.0 * two, steps=10)
    torch.testing.assert_close(together.x, lw.sample(NORMAL, 200, scheduled(1.0), steps=10).x)
    halved = lw.sample(NORMAL, 200, 0.5 * (one + 2.0 * two), steps=10)
    torch.testing.assert_close(halved.x, lw.sample(NORMAL, 200, scheduled(0.5), steps=10).x)


def test_scheduled_guidance_is_its_formula() -> None:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    square = lw.Observable(lambda x: torch.stack([x[:, 0] ** 2, x[:, 1]], dim=1), names=("a", "b"))
    lambdas, scale = torch.tensor([0.3, -0.7]), 2.0
    model = lw.DiffusionModel(lambda x, t: 0.5 * x, lw.VPSchedule(), "data", (2,), scale=scale)
    denoised = model.denoise(x, 0.4)
    eta = 1.5 * torch.exp(torch.tensor(-0.8 * 0.4, dtype=torch.float64))
    grad_at_d = torch.stack([0.3 * 2 * (scale * denoised[:, 0]) * scale, torch.full((5,), -0.7 * scale)], dim=1)
    plain = ScheduledGuidance(square, lambdas, 1.5, 0.8, False, Affine(scale=scale))(x, 0.4, denoised)
    torch.testing.assert_close(plain, (-eta * grad_at_d), rtol=1e-6, atol=0)
    tracked = x.clone().requires_grad_()
    through = ScheduledGuidance(square, lambdas, 1.5, 0.8, True, Affine(scale=scale))(tracked, 0.4, 0.5 * tracked)
    torch.testing.assert_close(through.detach(), -eta * 0.5 * grad_at_d, rtol=1e-6, atol=0)


def test_states_of_two_tensors() -> None:
    @dataclass(frozen=True)
    class Pair(Composable):
        through_network = False

        def __call__(self, x, t, denoised):
            return (torch.full_like(x[0], 0.2), torch.zeros_like(x[1]))

    model = lw.DiffusionModel(lambda x, t: (-x[0], -x[1]), lw.VPSchedule(), "score", ((2,), (1, 3)))
    ens = lw.sample(model, 8000, Pair(), steps=40)
    assert ens.x[1].shape == (8000, 1, 3)
    weight = lw.Estimate.from_samples(ens.log_weight.exp())
    assert abs(weight.value - 1) < 5 * weight.stderr  # z = 5
    back = ens.mean(lambda x: x[0][:, 0], under="model")
    assert abs(back.value) < 5 * back.stderr


def test_centred_models_stay_centred() -> None:
    model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), "score", (4, 3), lw.ZeroCentre())
    ens = lw.sample(model, 4000, steps=40)
    assert float(ens.x.mean(dim=1).abs().max()) < 1e-5
    size = ens.mean(lambda x: x.square().sum(dim=(1, 2)))
    assert abs(size.value - 9) < 5 * size.stderr + 0.1  # 3N − 3 dimensions of variance one, and a first-order bias

    @dataclass(frozen=True)
    class Shove(Composable):
        through_network = False

        def __call__(self, x, t, denoised):
            return torch.ones_like(x)

    assert float(lw.sample(model, 100, Shove(), steps=10).work.max()) < 1e-9  # a pure translation costs nothing


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"n": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"process": "pde"}, "'sde' or 'ode'"),
        ({"process": "ode", "kappa": 0.5}, "no noise"),
        ({"kappa": 0.0}, "must be positive"),
        ({"kappa": float("inf")}, "finite"),
    ],
)
def test_arguments_are_checked(choices, words) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        lw.sample(NORMAL, **{"n": 10, **choices})


SCHEDULE = lw.VPSchedule(0.1, 20.0)
GAUSSIAN = Gaussian(0.5, 0.3, 2)
MODEL = GAUSSIAN.model(SCHEDULE)


@dataclass(frozen=True)
class Constant(Composable):
    """h = c, the same push everywhere; c: a number, an event, or a tuple of these."""

    c: object

    through_network = False

    def __call__(self, x, t, denoised):
        if isinstance(x, tuple):
            return tuple(torch.zeros_like(leaf) + c for leaf, c in zip(x, self.c, strict=True))
        return torch.zeros_like(x) + self.c


@dataclass(frozen=True)
class Explicit(Composable):
    """h written out, for comparison."""

    fn: object

    through_network = False

    def __call__(self, x, t, denoised):
        return self.fn(x, t, denoised)


PUSH = Constant(0.3)


def network_model() -> lw.DiffusionModel:
    """A perceptron with random weights: rounding depends on the batch, as it does in a real network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Perceptron(2, width=32, depth=2)
    return lw.DiffusionModel(net, SCHEDULE, "v", (2,))


@pytest.mark.parametrize("batch_size", [3000, 1024, 1000, 77])
def test_the_batch_size_of_a_network_does_not_matter(batch_size: int) -> None:
    model = network_model()
    reference = lw.sample(model, 2500, PUSH, steps=20)
    ens = lw.sample(model, 2500, PUSH, steps=20, batch_size=batch_size)
    scale = float(reference.x.std())
    assert float((ens.x - reference.x).abs().max()) <= 1e-5 * max(scale, 1)
    torch.testing.assert_close(ens.work, reference.work, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ens.log_weight, reference.log_weight, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ens.ledger.step_work.value, reference.ledger.step_work.value, rtol=1e-5, atol=1e-8)
    again = lw.sample(model, 2500, PUSH, steps=20, batch_size=batch_size)
    assert torch.equal(ens.x, again.x)
    assert torch.equal(ens.log_weight, again.log_weight)


def test_training_mode_is_restored_after_a_failure() -> None:
    net = Perceptron(2, width=8, depth=1).train()
    model = lw.DiffusionModel(net, SCHEDULE, "v", (2,))

    def stop(info):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lw.sample(model, 20, steps=5, callback=stop)
    assert net.training


def test_dtype_is_that_of_the_network_or_as_asked() -> None:
    model = network_model()
    assert lw.sample(model, 4, steps=3).x.dtype == torch.float32
    assert lw.sample(model, 4, steps=3, dtype=torch.float64).x.dtype == torch.float64
    assert model.net.first.weight.dtype == torch.float32  # the user's network is left alone
    assert lw.sample(MODEL, 4, steps=3).work.dtype == torch.float64


def test_the_callback_sees_every_step_of_every_batch() -> None:
    seen = []
    ens = lw.sample(MODEL, 250, PUSH, steps=4, batch_size=100, callback=seen.append)
    assert [(i.start, i.step, i.steps) for i in seen] == [(s, k, 4) for s in (0, 100, 200) for k in (1, 2, 3, 4)]
    assert [i.t for i in seen[:4]] == ens.ledger.times[1:].tolist()
    assert [len(i.x) for i in seen[3::4]] == [100, 100, 50]
    assert torch.equal(torch.cat([i.work for i in seen[3::4]]), ens.work)


def test_progress_counts_every_step() -> None:
    counted = []

    @contextmanager
    def progress(label, total):
        counted.append(total)
        yield lambda count=1: counted.append(-count)

    lw.sample(MODEL, 250, steps=4, batch_size=100, progress=progress)
    assert counted[0] == 12
    assert sum(counted) == 0


def broken(where: float, what: float, batch: int, index: int):
    """A network that fails below a time, in one batch, for one sample; the callback says which batch it is."""
    current = {"start": 0}

    def net(x, t):
        y = MODEL.net(x, t)
        if float(t) < where and current["start"] == batch and len(x) > index:
            y[index] = what
        return y

    return lw.DiffusionModel(net, SCHEDULE, "data", (2,)), lambda info: current.update(start=info.start)


@pytest.mark.parametrize("what", [math.nan, math.inf])
def test_a_failure_in_a_later_batch_is_named(what: float) -> None:
    model, callback = broken(0.55, what, 200, 17)
    with pytest.raises(
        lw.NonFiniteError, match=r"network's output .* step 6 of 10 \(t = 0\.5005 to .*sample 217 and 0"
    ):
        lw.sample(model, 300, steps=10, batch_size=100, callback=callback, solver="euler")


def test_a_failure_of_the_last_denoising_step_is_named() -> None:
    model, callback = broken(0.01, math.nan, 0, 3)
    with pytest.raises(lw.NonFiniteError, match="last denoising step for sample 3 "):
        lw.sample(model, 50, steps=10, callback=callback, solver="euler")


def test_a_weight_that_overflows_is_named() -> None:
    """A push that the state survives and its square in float32 does not."""
    with pytest.raises(lw.NonFiniteError, match="path weight of sample 0"):
        lw.sample(MODEL, 5, Constant(1e22), steps=10)


def test_the_ode_has_an_action_and_no_weights() -> None:
    ens = lw.sample(MODEL, 20, PUSH, process="ode", solver="euler", steps=400)
    for use in (
        lambda: ens.work,
        lambda: ens.log_weight,
        lambda: ens.ess,
        lambda: ens.mean(lambda x: x[:, 0], "model"),
    ):
        with pytest.raises(lw.NoPathWeightsError, match="probability-flow ODE has no path measure"):
            use()
    # ½|½g²h|² with g² = β(t): |h|²/8 ∫β² dt, and Euler's sum of it is the left-hand (noisy) one
    beta = 0.1 + 19.9 * ens.ledger.times[:-1]
    exact = 2 * 0.3**2 / 8 * float((beta**2 * -ens.ledger.times.diff()).sum())
    torch.testing.assert_close(ens.action, torch.full((20,), exact, dtype=torch.float64), rtol=1e-5, atol=0)
    assert not lw.sample(MODEL, 5, process="ode", steps=4).action.any()


def test_the_action_of_the_solvers_agrees() -> None:
    exact = 2 * 0.3**2 / 8 * (20.0**3 - 0.1**3) / (3 * 19.9)
    for solver in ("euler", "heun", "exponential", "multistep"):
        ens = lw.sample(MODEL, 4, PUSH, process="ode", solver=solver, steps=1000, t_grid="uniform", dtype=torch.float64)
        assert math.isclose(float(ens.action.mean()), exact, rel_tol=1e-2)


def test_a_last_step_without_noise_has_no_weights() -> None:
    """The exponential kernel that ends at t = 0 is a delta."""
    schedule = lw.CosineSchedule(t_min=0.0)
    ens = lw.sample(Gaussian(0.5, 0.3, 1).model(schedule), 20, PUSH, solver="exponential", steps=10)
    with pytest.raises(lw.NoPathWeightsError, match="t_grid above t = 0"):
        _ = ens.work
    assert bool(torch.isfinite(ens.x).all())


def test_no_guidance_costs_nothing() -> None:
    ens = lw.sample(MODEL, 30, steps=5)
    assert not ens.work.any()
    assert not ens.log_weight.any()
    assert ens.ess.value == 1


@pytest.mark.parametrize("solver", ["euler", "multistep"])
@pytest.mark.parametrize("jacobian", [False, True])
def test_guidance_through_the_network_is_the_chain_rule(solver: str, jacobian: bool) -> None:
    """O = |x|² on N(0.5, 0.3²): D = kx + d, so ∇ₓO(D) = 2kD, and 2D without the Jacobian."""

    def explicit(x, t, denoised):
        m = MODEL.schedule
        time = torch.tensor(t, dtype=torch.float64)
        alpha, sigma = float(m.alpha(time)), float(m.sigma(time))
        k = alpha * 0.09 / (alpha**2 * 0.09 + sigma**2) if jacobian else 1.0
        return -0.7 * math.exp(-2.0 * t) * 1.5 * 2 * k * denoised

    square = lw.Observable(lambda x: x.square().sum(dim=1))
    guidance = ScheduledGuidance(square, torch.tensor([1.5], dtype=torch.float64), 0.7, 2.0, jacobian)
    choices = {"steps": 30, "dtype": torch.float64, "solver": solver}
    first, second = lw.sample(MODEL, 50, guidance, **choices), lw.sample(MODEL, 50, Explicit(explicit), **choices)
    torch.testing.assert_close(first.x, second.x, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(first.work, second.work, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(first.log_weight, second.log_weight, rtol=1e-9, atol=1e-12)


def test_guidance_through_the_network_of_a_flow() -> None:
    """The straight-line end of u = x is x(1 − t): its slope enters with the Jacobian."""
    flow = lw.VelocityModel(lambda x, t: x, (1,))
    guidance = ScheduledGuidance(lw.Observable(lambda x: x), torch.tensor([1.0]), 1.0, 0.0, True)
    explicit = Explicit(lambda x, t, denoised: torch.full_like(x, -(1 - t)))
    first, second = (lw.sample(flow, 10, g, process="ode", steps=9) for g in (guidance, explicit))
    torch.testing.assert_close(first.x, second.x)


def test_sums_and_multiples_of_guidances() -> None:
    wave = Explicit(lambda x, t, denoised: torch.sin(x) * t)
    square = lw.Observable(lambda x: x.square().sum(dim=1))
    through = ScheduledGuidance(square, torch.tensor([1.0], dtype=torch.float64), 0.1, 1.0, jacobian=True)
    together = PUSH + 0.5 * wave + -2.0 * through
    assert together.through_network
    assert not (PUSH + wave).through_network

    def written_out(x, t, denoised):
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(MODEL.denoise(z, t).square().sum(), z)
        return 0.3 + 0.5 * torch.sin(x) * t + 0.2 * math.exp(-t) * slope

    choices = {"steps": 20, "dtype": torch.float64, "t_grid": "log-snr"}
    first, second = (lw.sample(MODEL, 40, g, **choices) for g in (together, Explicit(written_out)))
    torch.testing.assert_close(first.x, second.x, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(first.work, second.work, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("solver", ["euler", "multistep"])
def test_a_state_of_two_tensors_has_unbiased_weights(solver: str) -> None:
    """N(0, 1) and N(1, 0.25) side by side, both pushed: E_Q[dP/dQ] = 1, and weighted means are the model's."""
    parts = Gaussian(0.0, 1.0).model(SCHEDULE).net, Gaussian(1.0, 0.5).model(SCHEDULE).net
    model = lw.DiffusionModel(lambda x, t: (parts[0](x[0], t), parts[1](x[1], t)), SCHEDULE, "data", ((2,), (1, 3)))
    push = Constant((0.15, torch.tensor([0.3, 0.0, -0.3])))
    choices = {"steps": 40, "t_grid": "log-snr", "solver": solver}
    guided, own = lw.sample(model, 8000, push, seed=1, **choices), lw.sample(model, 8000, seed=2, **choices)
    assert [tuple(leaf.shape) for leaf in guided.x] == [(8000, 2), (8000, 1, 3)]
    assert 0.1 < float(guided.work.mean()) < 2
    weight = lw.Estimate.from_samples(guided.log_weight.exp())
    assert abs(weight.value - 1) < 5 * weight.stderr
    for phi in (lambda x: x[0][:, 0], lambda x: x[1][:, 0, 0], lambda x: x[0][:, 1] * x[1][:, 0, 2]):
        a, b = lw.Estimate.from_samples(phi(guided.x).double() * guided.log_weight.exp()), own.mean(phi)
        assert abs(a.value - b.value) < 5 * math.hypot(a.stderr, b.stderr)
    centre = own.mean(lambda x: x[1].reshape(-1, 3))
    assert bool(((centre.value - 1).abs() < 5 * centre.stderr + 0.02).all())


CENTRED = lw.DiffusionModel(lambda x, t: -x, SCHEDULE, "score", (4, 3), subspace=lw.ZeroCentre())


def test_variances_of_a_centred_model_are_exact() -> None:
    """Variances count 3N − 3 = 9 dimensions, from the prior to the end, at z = 5."""
    radii = []

    def watch(info):
        radii.append(lw.Estimate.from_samples(info.x.square().sum(dim=(1, 2))))
        assert float(info.x.mean(dim=1).abs().max()) < 1e-6

    ens = lw.sample(CENTRED, 4000, solver="euler", steps=100, callback=watch)
    assert CENTRED.dimension == 9
    assert float(ens.x.mean(dim=1).abs().max()) < 1e-6
    steps = Choices(solver="euler", steps=100).sampler(CENTRED).steps
    first = float(steps.a[0] + steps.b[0] * SCHEDULE.alpha(steps.times[0])) ** 2  # D = αx
    assert abs(radii[0].value - 9 * (first + float(steps.c[0]) ** 2)) < 5 * radii[0].stderr
    nothing = torch.zeros(100, 1, dtype=torch.float64)
    exact = exact_chain(Gaussian(0.0, 1.0, 9), SCHEDULE, steps, QuadraticTilt(), nothing, nothing)
    size = ens.mean(lambda x: x.square().sum(dim=(1, 2)))
    assert abs(size.value - float(exact.variance.sum())) < 5 * size.stderr
    assert abs(size.value - 9) < 5 * size.stderr + 0.1  # what Euler's 100 steps leave


def test_work_of_a_centred_model_counts_its_own_dimensions() -> None:
    """A translation costs nothing, and a pull on all 12 coordinates what it costs 9, at z = 5."""
    still = lw.sample(CENTRED, 100, Constant(torch.tensor([1.0, -2.0, 3.0])), steps=20)
    assert float(still.work.max()) < 1e-9
    tilt = QuadraticTilt(quadratic=0.5)
    doob = Gaussian(0.0, 1.0, 12).doob(tilt, SCHEDULE)

    def pull(x, t, denoised):
        assert float(x.mean(dim=1).abs().max()) < 1e-6  # from the prior on
        return doob(x.reshape(-1, 12) + 5.0, t, denoised).reshape(x.shape)  # the subspace must remove the 5

    ens = lw.sample(CENTRED, 10_000, Explicit(pull), solver="euler", steps=50, seed=3)
    exact = exact_chain(Gaussian(0.0, 1.0, 9), SCHEDULE, Choices(solver="euler", steps=50).sampler(CENTRED).steps, tilt)
    work = lw.Estimate.from_samples(ens.work)
    assert abs(work.value - exact.work) < 5 * work.stderr
    weight = lw.Estimate.from_samples(ens.log_weight.exp())
    assert abs(weight.value - 1) < 5 * weight.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"solver": "rk4"}, "'multistep'"),
        ({"t_grid": "quadratic"}, "'log-snr'"),
        ({"t_grid": torch.tensor([0.1, 0.9])}, "decrease"),
        ({"kappa": -1.0}, "positive"),
        ({"kappa": math.nan}, "positive"),
    ],
)
def test_more_arguments_are_checked(change, words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        lw.sample(MODEL, **{"n": 10, **change})


def test_terms_of_a_sum_share_the_networks_graph() -> None:
    one = scheduled(0.5, jacobian=True)
    both = lw.sample(NORMAL, 100, one + one, steps=5)
    torch.testing.assert_close(both.x, lw.sample(NORMAL, 100, scheduled(1.0, jacobian=True), steps=5).x)

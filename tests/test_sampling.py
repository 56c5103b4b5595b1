"""The sampling loop: seeds, batches, resuming, what raises, and what is left alone."""

from dataclasses import dataclass

import pytest
import torch

import leastwork as lw
from leastwork.guidance.base import Composable
from leastwork.guidance.scheduled import ScheduledGuidance

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
    assert dict(data.sizes) == {"sample": 100, "x_dim_0": 2, "step": 5, "edge": 6}
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
        lw.sample(model, 50, steps=10)
    with pytest.raises(lw.NonFiniteError, match=r"guidance is not finite at step 7 of 10 .* sample 7"):
        lw.sample(NORMAL, 150, Broken(), steps=10, batch_size=100, seed=0)


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
    with pytest.raises(lw.LeastworkError, match="know no target"):
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


def test_scheduled_guidance_is_its_formula() -> None:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    square = lw.Observable(lambda x: torch.stack([x[:, 0] ** 2, x[:, 1]], dim=1), names=("a", "b"))
    lambdas, scale = torch.tensor([0.3, -0.7]), 2.0
    model = lw.DiffusionModel(lambda x, t: 0.5 * x, lw.VPSchedule(), "data", (2,), scale=scale)
    denoised = model.denoise(x, 0.4)
    eta = 1.5 * torch.exp(torch.tensor(-0.8 * 0.4, dtype=torch.float64))
    grad_at_d = torch.stack([0.3 * 2 * (scale * denoised[:, 0]) * scale, torch.full((5,), -0.7 * scale)], dim=1)
    plain = ScheduledGuidance(square, lambdas, 1.5, 0.8, False, scale=scale)(x, 0.4, denoised)
    torch.testing.assert_close(plain, (-eta * grad_at_d), rtol=1e-6, atol=0)
    tracked = x.clone().requires_grad_()
    through = ScheduledGuidance(square, lambdas, 1.5, 0.8, True, scale=scale)(tracked, 0.4, 0.5 * tracked)
    torch.testing.assert_close(through.detach(), -eta * 0.5 * grad_at_d, rtol=1e-6, atol=0)


def test_states_of_two_tensors() -> None:
    @dataclass(frozen=True)
    class Pair(Composable):
        through_network = False

        def __call__(self, x, t, denoised):
            return (torch.full_like(x[0], 0.2), torch.zeros_like(x[1]))

    model = lw.DiffusionModel(lambda x, t: (-x[0], -x[1]), lw.VPSchedule(), "score", ((2,), (1, 3)))
    ens = lw.sample(model, 20_000, Pair(), steps=40)
    assert ens.x[1].shape == (20_000, 1, 3)
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

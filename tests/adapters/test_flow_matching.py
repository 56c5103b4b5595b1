"""flow_matching: time that runs the other way, every scheduler, the package's own ODE solver (skipped without it)."""

import pytest
import torch
from closed_form import MIXTURE, own_velocity, reaches_its_target, same_law, states
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters import from_flow_matching
from leastwork.models.predictions import Moments
from leastwork.sampling.noise import BlockNoise

pytest.importorskip("flow_matching", reason="needs the extra flow_matching")
from flow_matching.path import AffineProbPath, CondOTProbPath, MixtureDiscreteProbPath
from flow_matching.path.scheduler import (
    CondOTScheduler,
    CosineScheduler,
    LinearVPScheduler,
    PolynomialConvexScheduler,
    VPScheduler,
)
from flow_matching.solver import ODESolver
from flow_matching.utils import ModelWrapper

SCHEDULERS = [
    CondOTScheduler(),
    CosineScheduler(),
    VPScheduler(0.2, 15.0),
    LinearVPScheduler(),
    PolynomialConvexScheduler(2.0),
]


class Exact(nn.Module):
    """The mixture's own velocity dX/ds."""

    def __init__(self, scheduler) -> None:
        super().__init__()
        self.scheduler = scheduler

    def forward(self, x: Tensor, t: Tensor, **extras) -> Tensor:
        o = self.scheduler((t if t.ndim == 0 else t[0]).double())
        if o.sigma_t == 0:
            return 0 * x
        return own_velocity(x, o.alpha_t, o.sigma_t, o.d_alpha_t, o.d_sigma_t).to(x)


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda s: type(s).__name__)
def test_noise_levels_denoiser_and_velocity_are_exact(scheduler) -> None:
    model = from_flow_matching(Exact(scheduler), AffineProbPath(scheduler), (2,))
    assert isinstance(model, lw.DiffusionModel)
    x = states()
    for t in (0.01, 0.2, 0.5, 0.8, 0.99):
        o = scheduler(torch.tensor(1 - t, dtype=torch.float64))
        time = torch.tensor(t, dtype=torch.float64)
        torch.testing.assert_close(
            model.schedule.log_snr(time), 2 * (o.alpha_t / o.sigma_t).log(), rtol=1e-9, atol=1e-12
        )
        wanted = MIXTURE.denoise(x, float(o.alpha_t), float(o.sigma_t))
        torch.testing.assert_close(model.denoise(x, t), wanted, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.velocity(x, t), -Exact(scheduler)(x, time.new_tensor(1 - t)))
        m = Moments.at(model.schedule, t)
        assert m.alpha_dot == pytest.approx(-float(o.d_alpha_t), rel=1e-9)
        assert m.sigma_dot == pytest.approx(-float(o.d_sigma_t), rel=1e-9)


@pytest.mark.parametrize("predicts", ["data", "noise"])
def test_other_targets_keep_their_sign(predicts: str) -> None:
    scheduler = VPScheduler()

    def net(x: Tensor, t: Tensor) -> Tensor:
        o = scheduler(t[0].double())
        denoised = MIXTURE.denoise(x, float(o.alpha_t), float(o.sigma_t))
        return denoised if predicts == "data" else (x - o.alpha_t * denoised) / o.sigma_t

    model = from_flow_matching(net, scheduler, (2,), predicts=predicts)  # type: ignore[arg-type]
    m = Moments.at(model.schedule, 0.4)  # type: ignore[union-attr]
    x = states()
    torch.testing.assert_close(model.denoise(x, 0.4), MIXTURE.denoise(x, m.alpha, m.sigma), rtol=1e-5, atol=1e-5)  # type: ignore[union-attr]


def test_schedules_with_a_closed_form_are_told_by_name() -> None:
    kinds = [type(from_flow_matching(Exact(s), s, (2,)).schedule) for s in SCHEDULERS]  # type: ignore[union-attr]
    assert kinds == [lw.LinearSchedule, lw.CosineSchedule, lw.VPSchedule, lw.FunctionSchedule, lw.FunctionSchedule]


def test_a_source_of_another_width() -> None:
    model = from_flow_matching(Exact(CondOTScheduler()), CondOTProbPath(), (2,), prior=lw.StandardNormal(2.0))
    assert isinstance(model, lw.DiffusionModel)
    assert model.prior_scale == pytest.approx(2.0)


def test_unknown_paths_and_sources_become_flows() -> None:
    class Uniform:
        def from_noise(self, noise: Tensor) -> Tensor:
            return torch.erf(noise)

        def log_prob(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x))

    net, x = Exact(CondOTScheduler()), states()
    for model in (
        from_flow_matching(net, None, (2,)),
        from_flow_matching(net, CondOTProbPath(), (2,), prior=Uniform()),
    ):
        assert isinstance(model, lw.VelocityModel)
        torch.testing.assert_close(model.velocity(x, 0.3), -net(x, torch.tensor(0.7)), rtol=1e-6, atol=1e-6)
    with pytest.raises(lw.ConfigError, match="only a velocity can be followed"):
        from_flow_matching(net, None, (2,), predicts="data")


class Wrapper(ModelWrapper):
    def forward(self, x: Tensor, t: Tensor, **extras) -> Tensor:
        assert extras == {"label": 3}
        return self.model(torch.cat([x, t[:, None]], dim=1))


@pytest.mark.filterwarnings("ignore:at t = 1, where samples begin as noise alone")  # of a network that is not trained
def test_a_model_wrapper_with_extras_in_training_mode() -> None:
    wrapper = Wrapper(nn.Linear(3, 2))
    model = from_flow_matching(wrapper, CondOTProbPath(), (2,), context={"label": 3})
    assert wrapper.training
    assert len(model.parameters()) == 2
    assert lw.sample(model, 10, steps=5).x.shape == (10, 2)
    assert lw.sample(model, 10, steps=5, dtype=torch.float64).x.dtype == torch.float64


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (MixtureDiscreteProbPath(PolynomialConvexScheduler(1.0)), "discrete states"),
        (3, "AffineProbPath, scheduler, or None"),
    ],
)
def test_paths_that_cannot_be_used(path, words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        from_flow_matching(Exact(CondOTScheduler()), path, (2,))
    with pytest.raises(lw.ConfigError, match="is not a target"):
        from_flow_matching(Exact(CondOTScheduler()), CondOTProbPath(), (2,), predicts="score")  # type: ignore[arg-type]


def test_euler_steps_are_those_of_the_packages_own_solver() -> None:
    """Path by path, from the same noise; only their last Euler step is a denoising step here, which is the same."""
    net = Exact(CondOTScheduler())
    model = from_flow_matching(net, CondOTProbPath(), (2,))
    grid = torch.linspace(0, 1 - 1e-3, 21, dtype=torch.float64)
    ours = lw.sample(model, 100, process="ode", solver="euler", steps=20, t_grid="uniform", seed=3, dtype=torch.float64)
    noise = BlockNoise(3, 0, 100, (2,), torch.float64).draw()
    theirs = ODESolver(net).sample(noise, step_size=None, method="euler", time_grid=torch.cat([grid, grid.new_ones(1)]))
    torch.testing.assert_close(ours.x, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", SCHEDULERS[:4], ids=lambda s: type(s).__name__)
def test_samples_have_the_law_of_the_packages_own(scheduler) -> None:
    net = Exact(scheduler)
    model = from_flow_matching(net, scheduler, (2,))
    noise = torch.randn(3000, 2, generator=torch.Generator().manual_seed(4))
    grid = torch.linspace(0, 0.999, 201)
    theirs = ODESolver(net).sample(noise, step_size=None, method="midpoint", time_grid=grid)
    assert same_law(lw.sample(model, 3000, steps=300, seed=5, t_grid="log-snr").x, theirs)
    assert same_law(lw.sample(model, 3000, process="ode", solver="heun", seed=6, t_grid="log-snr").x, theirs)


@pytest.mark.slow
def test_guidance_reaches_its_target() -> None:
    assert reaches_its_target(from_flow_matching(Exact(CondOTScheduler()), CondOTProbPath(), (2,)))

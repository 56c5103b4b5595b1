"""azula: posterior means and schedules as they are, its own DDIM and DDPM samplers (skipped without the package)."""

import pytest
import torch
from closed_form import MIXTURE, reaches_its_target, same_law, states
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters import from_azula
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.stepping import StepInfo

denoise = pytest.importorskip("azula.denoise", reason="needs the extra azula")
from azula import noise  # noqa: E402
from azula import sample as samplers  # noqa: E402

SCHEDULES = [
    noise.VPSchedule(1e-3, 1e-2),
    noise.VESchedule(1e-2, 30.0),
    noise.CosineSchedule(),
    noise.RectifiedSchedule(),
    noise.DecaySchedule(gamma=0.2),
]


class Exact(denoise.Denoiser):
    """The mixture's own posterior mean."""

    def __init__(self, schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def forward(self, x_t: Tensor, t: Tensor, **kwargs):
        alpha, sigma = self.schedule((t if t.ndim == 0 else t[0]).double())
        return denoise.DiracPosterior(MIXTURE.denoise(x_t, float(alpha), float(sigma)))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_noise_levels_denoiser_and_velocity_are_exact(schedule) -> None:
    model = from_azula(Exact(schedule), (2,))
    x, step = states(), 1e-6
    for t in (0.01, 0.2, 0.5, 0.8, 0.99):
        before, at, after = (schedule(torch.tensor(t + d, dtype=torch.float64)) for d in (-step, 0.0, step))
        alpha, sigma = (float(part) for part in at)
        time = torch.tensor(t, dtype=torch.float64)
        torch.testing.assert_close(
            model.schedule.log_snr(time), 2 * (at[0] / at[1]).log(), rtol=1e-6, atol=1e-9, check_dtype=False
        )
        torch.testing.assert_close(model.denoise(x, t), MIXTURE.denoise(x, alpha, sigma), rtol=1e-5, atol=1e-5)
        alpha_dot, sigma_dot = ((b - a) / (2 * step) for a, b in zip(before, after, strict=True))
        score = MIXTURE.noised(alpha, sigma).score(x)
        wanted = alpha_dot * (x + sigma**2 * score) / alpha - sigma_dot * sigma * score
        torch.testing.assert_close(model.velocity(x, t), wanted, rtol=1e-5, atol=1e-5)


def test_a_preconditioned_network_with_a_label() -> None:
    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x: Tensor, t: Tensor, label: int) -> Tensor:
            return self.layer(torch.cat([x, t.expand(len(x))[:, None]], dim=-1)) + label

    model = from_azula(denoise.KarrasDenoiser(Backbone(), noise.VPSchedule()), (2,), context={"label": 1})
    assert len(model.parameters()) == 2
    assert lw.sample(model, 7, steps=4).x.shape == (7, 2)


def test_ve_schedules_have_a_file_form_and_others_a_table() -> None:
    assert from_azula(Exact(noise.VESchedule(0.01, 30.0)), (2,)).schedule == lw.VESchedule(0.01, 30.0)
    schedule = from_azula(Exact(noise.CosineSchedule()), (2,)).schedule
    assert isinstance(schedule, lw.FunctionSchedule)
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    torch.testing.assert_close(schedule.table().alpha(t), schedule.alpha(t), rtol=1e-5, atol=1e-6)


def test_what_is_no_denoiser_is_refused() -> None:
    with pytest.raises(lw.ConfigError, match="is not an azula Denoiser"):
        from_azula(nn.Linear(2, 2), (2,))
    with pytest.raises(lw.ConfigError, match="schedule=3 is not of azula"):
        from_azula(Exact(SCHEDULES[0]).requires_grad_(False), (2,)) and from_azula(_without_schedule(), (2,))


def _without_schedule():
    class Odd(Exact):
        def forward(self, x_t: Tensor, t: Tensor, **kwargs):
            return denoise.DiracPosterior(x_t)

    return Odd(3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_deterministic_steps_are_those_of_ddim(schedule) -> None:
    """Path by path, from the same noise; theirs ends before the last denoising step."""
    model = from_azula(Exact(schedule), (2,))
    last: list[StepInfo] = []
    lw.sample(
        model,
        50,
        process="ode",
        solver="exponential",
        steps=30,
        t_grid="uniform",
        seed=3,
        dtype=torch.float64,
        callback=last.append,
    )
    x = model.prior_scale * BlockNoise(3, 0, 50, (2,), torch.float64).draw()  # type: ignore[operator]
    theirs = samplers.DDIMSampler(Exact(schedule), steps=30, silent=True, dtype=torch.float64)(x)
    assert isinstance(last[-1].x, Tensor)
    torch.testing.assert_close(last[-1].x, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES[:3], ids=lambda s: type(s).__name__)
def test_samples_have_the_law_of_the_packages_own(schedule) -> None:
    model = from_azula(Exact(schedule), (2,))
    sampler = samplers.DDPMSampler(Exact(schedule), steps=200, silent=True)
    state = torch.get_rng_state()
    torch.manual_seed(4)  # their noise is the global generator's
    theirs = sampler(sampler.init((3000, 2)))
    torch.set_rng_state(state)
    assert same_law(lw.sample(model, 3000, steps=200, solver="exponential", seed=5).x, theirs)
    assert same_law(lw.sample(model, 3000, process="ode", solver="multistep", steps=200, seed=6).x, theirs)


@pytest.mark.slow
def test_guidance_reaches_its_target() -> None:
    assert reaches_its_target(from_azula(Exact(noise.VPSchedule(1e-3, 1e-2)), (2,)))

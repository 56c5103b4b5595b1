"""diffusers: discrete noise levels made continuous, four prediction types, its own loops (skipped without it)."""

import dataclasses
import math

import pytest
import torch
from closed_form import MIXTURE, reaches_its_target, same_law, states
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters import from_diffusers
from leastwork.models.predictions import Moments
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.solvers import Churn
from leastwork.sampling.stepping import Carry, evaluate, move
from leastwork.schedules.files import describe_schedule, schedule_from

diffusers = pytest.importorskip("diffusers", reason="needs the extra diffusers")
COUNT = 200
BETAS = {"num_train_timesteps": COUNT, "beta_start": 5e-4, "beta_end": 0.1, "clip_sample": False}


@dataclasses.dataclass
class Output:
    sample: Tensor

    def __getitem__(self, index: int) -> Tensor:
        assert index == 0
        return self.sample


class Exact(nn.Module):
    """The mixture's own network, of any prediction type; between two timesteps of the table that runs through them."""

    def __init__(self, scheduler) -> None:
        super().__init__()
        self.kind = getattr(scheduler.config, "prediction_type", "flow")
        if self.kind != "flow":
            betas = scheduler.betas.double()
            signal = torch.cumprod(1 - betas, dim=0)
            self.schedule = lw.TabulatedSchedule(
                [(k + 1) / COUNT for k in range(COUNT)], signal.sqrt().tolist(), (1 - signal).sqrt().tolist()
            )

    def forward(self, x: Tensor, timestep: Tensor) -> Output:
        k = float(timestep if timestep.ndim == 0 else timestep[0])
        if self.kind == "flow":
            sigma = k / 1000
            return Output((x - MIXTURE.denoise(x, 1 - sigma, sigma)) / sigma)
        m = Moments.at(self.schedule, (k + 1) / COUNT)
        denoised = MIXTURE.denoise(x, m.alpha, m.sigma)
        noise = (x - m.alpha * denoised) / m.sigma
        answers = {"epsilon": noise, "sample": denoised, "v_prediction": m.alpha * noise - m.sigma * denoised}
        return Output(answers[self.kind])


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_noise_levels_and_denoiser_are_exact_at_every_timestep(betas: str, kind: str) -> None:
    scheduler = diffusers.DDPMScheduler(**BETAS, beta_schedule=betas, prediction_type=kind)
    model = from_diffusers(Exact(scheduler), scheduler, (2,))
    x = states()
    for k in (0, 1, 50, 120, COUNT - 1):
        t, signal = (k + 1) / COUNT, float(scheduler.alphas_cumprod[k])
        m = Moments.at(model.schedule, t)
        assert m.alpha**2 == pytest.approx(signal, rel=1e-5, abs=1e-7)
        assert m.sigma**2 == pytest.approx(1 - signal, rel=1e-3)  # theirs has few digits at k = 0
        torch.testing.assert_close(model.denoise(x, t), MIXTURE.denoise(x, m.alpha, m.sigma), rtol=1e-5, atol=1e-5)
        score = MIXTURE.noised(m.alpha, m.sigma).score(x)
        torch.testing.assert_close(model.score(x, t), score, rtol=1e-5, atol=1e-5)
        wanted = m.alpha_dot / m.alpha * (x + m.sigma**2 * score) - m.sigma * m.sigma_dot * score
        torch.testing.assert_close(model.velocity(x, t), wanted, rtol=1e-4, atol=1e-4)


def test_noise_is_added_as_by_the_scheduler() -> None:
    scheduler = diffusers.DDPMScheduler(**BETAS)
    model = from_diffusers(Exact(scheduler), scheduler, (2,))
    x0, noise = states(seed=1).float(), states(seed=2).float()
    for k in (0, 77, COUNT - 1):
        theirs = scheduler.add_noise(x0, noise, torch.full((len(x0),), k))
        torch.testing.assert_close(model.add_noise(x0, noise, (k + 1) / COUNT), theirs, rtol=1e-5, atol=1e-5)


def test_deterministic_steps_are_those_of_ddim() -> None:
    """Path by path, from the same noise, at the same timesteps; the last step of both is the denoiser's."""
    scheduler = diffusers.DDIMScheduler(**BETAS, timestep_spacing="linspace")
    net = Exact(scheduler)
    model = from_diffusers(net, scheduler, (2,))
    scheduler.set_timesteps(COUNT)
    grid = (scheduler.timesteps.double() + 1) / COUNT
    ours = lw.sample(model, 50, process="ode", solver="exponential", t_grid=grid, seed=3, dtype=torch.float64)
    x = model.prior_scale * BlockNoise(3, 0, 50, (2,), torch.float64).draw()
    assert isinstance(x, Tensor)
    for k in scheduler.timesteps:
        x = scheduler.step(net(x, k).sample, k, x).prev_sample
    torch.testing.assert_close(ours.x, x, rtol=1e-3, atol=1e-3)  # their 1 − ᾱ is in float32


def test_euler_steps_are_those_of_flow_matching() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    net = Exact(scheduler)
    model = from_diffusers(net, scheduler, (2,))
    assert isinstance(model.schedule, lw.LinearSchedule)
    assert model.predicts == "velocity"
    scheduler.set_timesteps(25)
    grid = scheduler.sigmas[:-1].double()
    ours = lw.sample(model, 50, process="ode", solver="exponential", t_grid=grid, seed=3)
    x = BlockNoise(3, 0, 50, (2,)).draw()
    for k in scheduler.timesteps:
        x = scheduler.step(net(x, k).sample, k, x).prev_sample  # type: ignore[arg-type]
    torch.testing.assert_close(ours.x, x, rtol=1e-4, atol=1e-4)


class Raw(nn.Module):
    """F of the mixture, at c_in x and ln σ/4, with the sign of a prediction type."""

    def __init__(self, sigma_data: float, sign: int) -> None:
        super().__init__()
        self.sigma_data, self.sign = sigma_data, sign

    def forward(self, x: Tensor, timestep: Tensor) -> Output:
        level = math.exp(4 * float(timestep if timestep.ndim == 0 else timestep[0]))
        size = math.hypot(level, self.sigma_data)
        denoised = MIXTURE.denoise(size * x, 1.0, level)
        raw = (denoised - self.sigma_data**2 / size * x) / (level * self.sigma_data / size)
        return Output(self.sign * raw)


SVD = {
    "timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": True, "sigma_min": 0.002,
    "sigma_max": 80.0,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # diffusers with numpy 2
@pytest.mark.parametrize(
    ("kind", "options", "sigma_data", "sign"),
    [
        ("EDMEulerScheduler", {}, 0.5, 1),
        ("EDMEulerScheduler", {"prediction_type": "v_prediction", "sigma_data": 1.0, "sigma_max": 50.0}, 1.0, -1),
        ("EDMDPMSolverMultistepScheduler", {"solver_order": 1}, 0.5, 1),
        ("EulerDiscreteScheduler", SVD, 1.0, -1),
    ],
)
def test_paths_of_edm_are_those_of_its_schedulers(kind: str, options, sigma_data: float, sign: int) -> None:
    """First-order steps of the ODE at the scheduler's own levels, from the same noise."""
    scheduler = getattr(diffusers, kind)(**options)
    net = Raw(sigma_data, sign)
    model = from_diffusers(net, scheduler, (2,))
    levels = lw.EDMSchedule(0.002, scheduler.config.sigma_max, sigma_data)
    assert model.schedule == levels.standardised()
    assert model.scale == sigma_data
    scheduler.set_timesteps(20)
    grid = levels.times(scheduler.sigmas[:-1])
    ours = lw.sample(model, 50, process="ode", solver="exponential", t_grid=grid, seed=3, dtype=torch.float64)
    x = scheduler.config.sigma_max * BlockNoise(3, 0, 50, (2,), torch.float64).draw()
    for k in scheduler.timesteps:
        y = net(scheduler.scale_model_input(x, k), k).sample
        x = scheduler.step(y, k, x).prev_sample
    torch.testing.assert_close(ours.x, x.double(), rtol=2e-3, atol=2e-3)
    if kind != "EDMDPMSolverMultistepScheduler":  # which has other levels
        even = torch.linspace(1, 0, 20, dtype=torch.float64)
        torch.testing.assert_close(grid, even, rtol=0, atol=1e-5)


def test_churned_steps_are_those_of_edm() -> None:
    """Their γ is S_churn/N, at most √2 − 1, at every level; their last level, which leads to zero, is raised too."""
    scheduler = diffusers.EDMEulerScheduler()
    net = Raw(0.5, 1)
    model = from_diffusers(net, scheduler, (2,))
    scheduler.set_timesteps(20)
    gamma = 2**0.5 - 1
    times = lw.EDMSchedule().times(scheduler.sigmas[:-1])
    sampler = Choices(solver=Churn(gamma, 0.0, 1.003), t_grid=times).sampler(model)
    carry = Carry(torch.randn(200, 2, generator=torch.Generator().manual_seed(0)))
    step = sampler.steps.table()[8]
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    y, _ = evaluate(sampler, carry.x, step.t)
    after, _ = move(sampler, step, carry, y, None, noise)
    level, follows = float(scheduler.sigmas[8]), float(scheduler.sigmas[9])
    hat, hat_next = level * (1 + gamma), follows * (1 + gamma)
    x = carry.x * math.hypot(hat, 0.5)
    denoised = MIXTURE.denoise(x, 1.0, hat)
    x = denoised + follows / hat * (x - denoised) + 1.003 * math.sqrt(hat_next**2 - follows**2) * noise
    torch.testing.assert_close(after.x * math.hypot(hat_next, 0.5), x, rtol=1e-4, atol=1e-4)


def test_a_last_timestep_without_signal_is_left_out() -> None:
    scheduler = diffusers.DDPMScheduler(**BETAS, rescale_betas_zero_snr=True, prediction_type="v_prediction")
    model = from_diffusers(lambda x, k: Output(x), scheduler, (2,))
    assert model.schedule.t_max == pytest.approx((COUNT - 1) / COUNT)
    assert bool(torch.isfinite(lw.sample(model, 5, steps=5).x).all())


@pytest.mark.filterwarnings("ignore:at t = 1, where samples begin as noise alone")  # of a network that is not trained
def test_a_small_unet_with_class_labels() -> None:
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=6,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        norm_num_groups=4,
        num_class_embeds=3,
    )
    scheduler = diffusers.DDPMScheduler(**BETAS, variance_type="learned_range")
    model = from_diffusers(unet, scheduler, (3, 8, 8), context={"class_labels": torch.tensor([1])})
    ens = lw.sample(model, 4, steps=3)
    assert ens.x.shape == (4, 3, 8, 8)  # the learned variance is left out
    assert lw.sample(model, 2, steps=2, dtype=torch.float64).x.dtype == torch.float64
    with pytest.raises(lw.ConfigError, match=r"channels last.*event_shape=\(3, 8, 8\)"):
        from_diffusers(unet, scheduler, (8, 8, 3))
    with pytest.raises(lw.ConfigError, match="has 4 channels, but the network takes 3"):
        from_diffusers(unet, scheduler, (4, 8, 8))
    with pytest.raises(lw.ConfigError, match="class_labels"):
        from_diffusers(unet, scheduler, (3, 8, 8))


def test_schedules_have_a_file_form() -> None:
    scheduler = diffusers.DDPMScheduler(**BETAS)
    schedule = from_diffusers(Exact(scheduler), scheduler, (2,)).schedule
    assert schedule_from(describe_schedule(schedule)) == schedule


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: 3, "is not of diffusers"),
        (lambda: diffusers.ScoreSdeVeScheduler(), "has no alphas_cumprod"),
        (
            lambda: diffusers.EulerDiscreteScheduler(timestep_type="continuous", prediction_type="v_prediction"),
            "without sigma_min and sigma_max",
        ),
        (lambda: diffusers.DDPMScheduler(prediction_type="energy"), "prediction_type='energy'"),
        (lambda: diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True), "invert_sigmas"),
    ],
)
def test_schedulers_that_cannot_be_used(make, words: str) -> None:
    with pytest.raises(lw.ConfigError, match=words):
        from_diffusers(lambda x, k: Output(x), make(), (2,))


def test_solvers_of_their_own_lead_to_the_same_model() -> None:
    """A multistep or Euler scheduler of the same betas stands for the same training."""
    wanted = from_diffusers(lambda x, k: Output(x), diffusers.DDPMScheduler(**BETAS), (2,)).schedule
    betas = {key: BETAS[key] for key in ("num_train_timesteps", "beta_start", "beta_end")}
    for kind in (diffusers.EulerDiscreteScheduler, diffusers.DPMSolverMultistepScheduler, diffusers.PNDMScheduler):
        assert from_diffusers(lambda x, k: Output(x), kind(**betas), (2,)).schedule == wanted


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_samples_have_the_law_of_ddpm(kind: str) -> None:
    scheduler = diffusers.DDPMScheduler(**BETAS, prediction_type=kind)
    net = Exact(scheduler)
    model = from_diffusers(net, scheduler, (2,))
    random = torch.Generator().manual_seed(4)
    x = torch.randn(3000, 2, generator=random)
    scheduler.set_timesteps(COUNT)
    for k in scheduler.timesteps:
        x = scheduler.step(net(x, k).sample, k, x, generator=random).prev_sample
    assert same_law(lw.sample(model, 3000, steps=COUNT, solver="exponential", seed=5).x, x)
    assert same_law(lw.sample(model, 3000, process="ode", solver="multistep", steps=COUNT, seed=6).x, x)


@pytest.mark.slow
def test_guidance_reaches_its_target() -> None:
    scheduler = diffusers.DDPMScheduler(**BETAS)
    assert reaches_its_target(from_diffusers(Exact(scheduler), scheduler, (2,)))

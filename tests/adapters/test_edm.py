"""EDM: three kinds of networks at their own noise levels, the package's loop, float32 at high levels, bad input."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from closed_form import MIXTURE, POSITION, states
from safetensors.torch import save_file
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters import from_edm, from_k_diffusion
from leastwork.adapters.source import source_of
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.solvers import Churn
from leastwork.sampling.stepping import Carry, evaluate, move
from leastwork.statistics.estimate import Estimate
from leastwork.systems.mixtures import GaussianMixture, two_states

LEVELS = lw.EDMSchedule(0.002, 80.0, 0.5)
TIMES = (0.0, 0.1, 0.4, 0.7, 1.0)


def denoise(x: Tensor, sigma: Tensor, mixture: GaussianMixture = MIXTURE) -> Tensor:
    """D(x, σ) of the mixture, as a precond class of EDM returns it."""
    assert sigma.shape == (len(x),)
    assert bool((sigma == sigma[0]).all())
    return mixture.denoise(x, 1.0, float(sigma[0]))


def raw(sigma_data: float, conditioning: str = "log", mixture: GaussianMixture = MIXTURE):
    """F(c_in x, c_noise) of the mixture."""

    def net(scaled: Tensor, noise_input: Tensor) -> Tensor:
        told = float(noise_input[0])
        level = max(told, 1e-3) if conditioning == "sigma" else math.exp(4 * min(told, 3.0))  # finite, whatever is told
        level = level * sigma_data if conditioning == "relative" else level
        size = math.hypot(level, sigma_data)
        x = scaled * size
        denoised = mixture.denoise(x, 1.0, level)
        return (denoised - (sigma_data / size) ** 2 * x) / (level * sigma_data / size)

    return net


def noise(x: Tensor, sigma: Tensor) -> Tensor:
    return (x - denoise(x, sigma)) / sigma[0]


KINDS = {
    "data": (denoise, {}),
    "raw": (raw(0.5), {"predicts": "raw"}),
    "raw, relative": (raw(0.5, "relative"), {"predicts": "raw", "conditioning": "relative"}),
    "raw, sigma": (raw(0.5, "sigma"), {"predicts": "raw", "conditioning": "sigma"}),
    "noise": (noise, {"predicts": "noise"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_denoiser_and_score_are_exact_at_every_level(kind: str) -> None:
    net, how = KINDS[kind]
    model = from_edm(net, LEVELS, (2,), **how)
    z = states()
    for t in TIMES:
        level = float(LEVELS.level(torch.tensor(t, dtype=torch.float64)))
        size = math.hypot(level, 0.5)
        x = z * size  # network units are σ_d: z = x/√(σ² + σ_d²)
        torch.testing.assert_close(0.5 * model.denoise(z, t), MIXTURE.denoise(x, 1.0, level), rtol=1e-5, atol=1e-5)
        score = size * MIXTURE.noised(1.0, level).score(x)  # ∇_z = n ∇_x
        torch.testing.assert_close(model.score(z, t), score, rtol=1e-4, atol=1e-3 / level)
    torch.testing.assert_close(model.to_data_units(z), 0.5 * z)


def test_euler_steps_are_those_of_edm() -> None:
    """Algorithm 1 of Karras et al. without the correction, 18 levels, path by path; the last step is the denoiser's."""
    model = from_edm(denoise, LEVELS, (2,))
    ours = lw.sample(
        model, 50, process="ode", solver="exponential", t_grid="karras", steps=17, seed=3, dtype=torch.float64
    )
    i = torch.arange(18, dtype=torch.float64)
    levels = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    x = 80 * BlockNoise(3, 0, 50, (2,), torch.float64).draw()
    assert isinstance(x, Tensor)
    for now, after in zip(levels, [*levels[1:], torch.zeros(()).double()], strict=True):
        x = x + (after - now) * (x - denoise(x, now.expand(50))) / now
    torch.testing.assert_close(ours.x, x, rtol=1e-6, atol=1e-6)
    by_levels = lw.sample(
        model, 50, process="ode", solver="exponential", t_grid=LEVELS.times(levels), seed=3, dtype=torch.float64
    )
    torch.testing.assert_close(by_levels.x, ours.x, rtol=1e-9, atol=1e-9)


def both(dim: int, **law) -> tuple[lw.Ensemble, lw.Ensemble, float]:
    """A 30-D mixture as EDM and as VP, guided by its exact Doob's transform, and the KL that has to be spent."""
    mixture = two_states(dim, (0.15, 0.85), separation=2.0, std=0.3)
    target = mixture.reweighted([0.53, 0.47])
    edm = from_edm(lambda x, sigma: denoise(x, sigma, mixture), lw.EDMSchedule(0.002, 80.0, 1.0), (dim,))
    found = []
    for model in (edm, mixture.model(lw.VPSchedule())):
        h = mixture.doob(target, model.schedule)
        ens = lw.sample(model, law["n"], h, steps=law["steps"], seed=law["seed"])
        found.append(replace(ens, log_tilt=h.log_tilt(ens.x)))
    return found[0], found[1], mixture.kl(target)


def apart(a: Estimate, b: Estimate) -> float:
    """Difference in standard errors."""
    return abs(float(a.value) - float(b.value)) / math.hypot(float(a.stderr), float(b.stderr))


@pytest.mark.parametrize(
    "law",
    [
        {"dim": 3, "n": 2000, "steps": 40, "seed": 1},
        pytest.param({"dim": 30, "n": 20_000, "steps": 100, "seed": 1}, marks=pytest.mark.slow),
    ],
)
def test_work_and_weights_are_those_of_the_same_model_as_vp(law) -> None:
    """z = 3, with fixed seeds; the efficiency in 30-D is at least 0.95."""
    edm, vp, kl = both(**law)
    certificates = [lw.certify(ens.work, ens.log_weight, ens.log_tilt) for ens in (edm, vp)]
    for name in ("work", "bound", "log_z"):
        assert apart(getattr(certificates[0], name), getattr(certificates[1], name)) < 3
    left = lambda x: (x[:, 0] < 0).double()  # noqa: E731
    assert apart(edm.mean(left, "model"), vp.mean(left, "model")) < 3
    assert apart(edm.ess, vp.ess) < 3
    if law["dim"] == 30:
        assert float(certificates[0].efficiency.value) > 0.95
        assert certificates[0].bound.value == pytest.approx(kl, abs=5 * float(certificates[0].bound.stderr) + 0.01)


def test_the_same_levels_give_the_same_work_path_by_path() -> None:
    """Exponential steps know only σ/α, and the noise is the same."""
    vp = lw.VPSchedule()
    low, high = (math.exp(-0.5 * float(vp.log_snr(torch.tensor(t, dtype=torch.float64)))) for t in (vp.t_min, vp.t_max))
    edm = lw.EDMSchedule(low, high, 1.0)
    target = MIXTURE.reweighted([0.5, 0.5])
    model = from_edm(denoise, edm, (2,))
    grid = torch.linspace(1, 0, 31, dtype=torch.float64)
    found = [
        lw.sample(one, 200, MIXTURE.doob(target, one.schedule), solver="exponential", t_grid=times, dtype=torch.float64)
        for one, times in (
            (model, grid),
            (MIXTURE.model(vp), vp.time_of(edm.log_snr(grid)).clamp(vp.t_min, vp.t_max)),
        )
    ]
    torch.testing.assert_close(found[0].x, found[1].x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[0].work, found[1].work, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found[0].log_weight, found[1].log_weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["data", "raw", "noise"])
def test_float32_is_accurate_at_high_levels(kind: str) -> None:
    """σ up to 160·16 in float32 and float64, by the same noise; D itself is computed in float64 in both."""
    wide = GaussianMixture([0.2, 0.8], [[-16.0] * 6, [16.0] * 6], 4.0)
    nets = {
        "data": lambda x, sigma: denoise(x, sigma, wide),
        "raw": raw(16.0, "log", wide),
        "noise": lambda x, sigma: (x - denoise(x, sigma, wide)) / sigma[0],
    }
    model = from_edm(nets[kind], lw.EDMSchedule(4e-4 * 16, 160.0 * 16, 16.0), (6,), predicts=kind)  # type: ignore[arg-type]
    unit = GaussianMixture([0.2, 0.8], [[-1.0] * 6, [1.0] * 6], 0.25)
    h = unit.doob(unit.reweighted([0.5, 0.5]), model.schedule)
    for choices in (Choices(steps=50, t_grid="karras"), Choices(solver=Churn(gamma_min=1.0), steps=50)):
        sampler = choices.sampler(model, h)
        random = BlockNoise(2, 0, 100, (6,))
        drawn = [random.draw() for _ in range(51)]
        ends = []
        for dtype in (torch.float64, torch.float32):
            carry, log_weight = Carry(sampler.process.prior(drawn[0].to(dtype))), torch.zeros(100, dtype=torch.float64)
            for step, z in zip(sampler.steps.table(), drawn[1:], strict=True):
                assert float(carry.x.abs().max()) < 8
                carry, cost = move(sampler, step, carry, *evaluate(sampler, carry.x, step.t), z.to(dtype))
                log_weight = log_weight if cost.log_weight is None else log_weight + cost.log_weight
            ends.append((carry.x.double(), log_weight))
        torch.testing.assert_close(*(end[0] for end in ends), rtol=1e-3, atol=2e-3)
        torch.testing.assert_close(*(end[1] for end in ends), rtol=0, atol=5e-3)


class Net(nn.Module):
    """A small network D(x, σ), with a label."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor, sigma: Tensor, label: float = 0.0) -> Tensor:
        return self.linear(torch.cat([x, sigma[:, None].log() / 4], dim=1)) + label


def test_a_wrapped_network_is_saved_and_loaded(tmp_path: Path) -> None:
    model = from_edm(Net(), LEVELS, (2,))
    lw.save_model(model, tmp_path / "model")
    again = lw.load_model(tmp_path / "model", net=from_edm(Net(), LEVELS, (2,)).net)
    assert isinstance(again, lw.DiffusionModel)
    assert again.schedule == model.schedule == LEVELS.standardised()
    z = states().float()
    assert torch.equal(again.denoise(z, 0.3), model.denoise(z, 0.3))
    save_file(model.net.net.state_dict(), tmp_path / "net.safetensors")
    filled = from_edm(Net(), LEVELS, (2,), weights=tmp_path / "net.safetensors", context={"label": 1.0})
    torch.testing.assert_close(filled.denoise(z, 0.3), model.denoise(z, 0.3) + 2.0)  # D/σ_d
    assert not filled.net.training


DATA = MIXTURE.sample(1000, torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: from_edm(raw(0.5), lw.EDMSchedule(0.002, 80.0, 1.0), (2,), predicts="raw"), "sigma_data=0.5"),
        (lambda: from_edm(raw(1.0), LEVELS, (2,), predicts="raw"), "conditioning='log' and sigma_data=1"),
        (lambda: from_edm(raw(0.83), LEVELS, (2,), predicts="raw"), "sigma_data=0.8"),
        (
            lambda: from_edm(raw(0.1, "relative"), lw.EDMSchedule(0.002, 80.0, 0.1), (2,), predicts="raw"),
            "conditioning='relative'",
        ),
        (lambda: from_edm(raw(0.5, "sigma"), LEVELS, (2,), predicts="raw"), "conditioning='sigma'"),
        (lambda: from_edm(raw(0.5), LEVELS, (2,)), "predicts='raw', conditioning='log' and sigma_data=0.5"),
        (lambda: from_edm(denoise, LEVELS, (2,), predicts="raw"), "predicts='data'"),
        (lambda: from_edm(noise, LEVELS, (2,)), "predicts='noise'"),
        (
            lambda: lw.DiffusionModel(lambda x, s: MIXTURE.denoise(x, 1.0, float(s)), LEVELS, "data", (2,)),
            "wrap it by leastwork.adapters.from_edm",
        ),
    ],
)
def test_check_model_knows_how_an_edm_network_is_meant(model, words: str) -> None:
    found = lw.check_model(model(), DATA, samples=1000)["prediction"]
    assert found.status == "fault"
    assert words in found.words
    assert "\n" not in found.words


@pytest.mark.parametrize("kind", KINDS)
def test_check_model_finds_no_fault_with_what_is_right(kind: str) -> None:
    net, how = KINDS[kind]
    report = lw.check_model(from_edm(net, LEVELS, (2,), **how), DATA)
    assert report.ok, str(report)
    assert not report.warnings, str(report)


class Known(Net):
    sigma_data, sigma_min, sigma_max = 0.5, 0.01, 50.0


class Half(Net):
    def forward(self, x: Tensor, sigma: Tensor, label: float = 0.0) -> Tensor:
        return super().forward(x, sigma).bfloat16()


def narrow(x: Tensor, sigma: Tensor) -> Tensor:
    if float(sigma[0]) > 10:
        raise ValueError("sigma is above 10")
    return denoise(x, sigma)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: from_edm(Known(), LEVELS, (2,)), r"σ in \[0.002, 80\], but the network knows \[0.01, 50\]"),
        (lambda: from_edm(Known(), lw.EDMSchedule(0.01, 50.0, 1.0), (2,)), "pass EDMSchedule.*sigma_data=0.5"),
        (lambda: from_edm(narrow, LEVELS, (2,)), "sigma is above 10"),
        (lambda: from_edm(Half(), LEVELS, (2,)), "returns bfloat16, which is too coarse"),
        (lambda: from_edm(Net().half(), LEVELS, (2,)), "is in float16, too coarse"),
        (lambda: from_edm(denoise, lw.VESchedule(), (2,)), "is no EDMSchedule"),
        (lambda: from_edm(denoise, LEVELS, (2,), predicts="score"), "'data', 'raw', 'noise'"),
        (lambda: from_edm(denoise, LEVELS, (2,), conditioning="ln"), "'log', 'relative', 'sigma'"),
        (lambda: from_edm(denoise, LEVELS, (2,), weights="w.safetensors"), "this network is a function"),
        (lambda: from_edm(Net(), LEVELS, (2,), weights="w.safetensors"), "w.safetensors is missing"),
        (lambda: from_edm(Net(), LEVELS, (3,)), "cannot be called as net"),
        (
            lambda: lw.sample(from_edm(denoise, LEVELS, (2,)), 4, t_grid=torch.tensor([80.0, 1.0, 0.0])),
            "become times by",
        ),
        (
            lambda: lw.load_model({"adapter": "edm", "python": "n.py", "event_shape": [2], "sigma_min": 0}),
            "'sigma_min' in 'model' is 0: give the least noise level, above 0",
        ),
        (
            lambda: lw.load_model({"adapter": "edm", "python": "n.py", "event_shape": [2], "rho": -7}),
            "'rho' in 'model' is -7: give the exponent",
        ),
        (lambda: LEVELS.times([80.0, 0.0]), "last denoising step leads"),
        (lambda: from_k_diffusion(denoise, (2,)), "no sigma_min and no sigma_max and no sigma_data"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(call, words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


class KDenoiser(nn.Module):
    """A wrapper of k_diffusion's kind, from which σ is told in the form of the package's samplers."""

    sigma_data = 0.5

    def forward(self, x: Tensor, sigma: Tensor, **extra) -> Tensor:
        return denoise(x, sigma) * extra.get("strength", 1.0)


class Discrete(KDenoiser):
    sigma_min, sigma_max = torch.tensor(0.03), torch.tensor(14.6)


def test_a_denoiser_of_k_diffusion_is_called_as_its_samplers_do() -> None:
    model = from_k_diffusion(KDenoiser(), (2,), sigma_min=0.002, sigma_max=80.0)
    z = states().float()
    torch.testing.assert_close(model.denoise(z, 0.4), from_edm(denoise, LEVELS, (2,)).denoise(z, 0.4))
    with pytest.raises(lw.ConfigError, match="'sigma_data' in 'model' is 0: give the standard deviation"):
        source_of({"adapter": "k_diffusion", "python": "net.py", "event_shape": [2], "sigma_data": 0})
    known = from_k_diffusion(Discrete(), (2,), rho=3.0, context={"strength": 0.5})
    schedule = known.schedule
    assert isinstance(schedule, lw.EDMSchedule)
    assert (schedule.sigma_min, schedule.sigma_max, schedule.rho) == pytest.approx((0.06, 29.2, 3.0))
    with pytest.raises(lw.ConfigError, match="but the network knows"):
        from_k_diffusion(Discrete(), (2,), sigma_max=80.0)


@pytest.mark.slow
def test_guidance_reaches_its_target() -> None:
    """On target by the certificate's own measure; drawn with churn, E_Q[dP/dQ] = 1 within 5 standard errors."""
    data = lw.Experiment(POSITION, values=[float(MIXTURE.mean[0]) - 0.3], errors=[0.0])
    run = lw.guide_observables(from_edm(denoise, LEVELS, (2,)), data, seed=0, budget=1_000_000, steps=50)
    assert run.certificate.on_target
    assert float(run.certificate.efficiency.value) > 0.9
    weight = run.sample(20_000, seed=1, solver=Churn(0.2, 0.05)).log_weight.exp()
    assert abs(float(weight.mean()) - 1) < 5 * float(weight.std()) / 20_000**0.5

"""torchcfm: matchers with and without blur, three ways to call a network, its ODE (skipped without the package)."""

import math

import pytest
import torch
from closed_form import MIXTURE, reaches_its_target, same_law, states
from torch import Tensor, nn

import leastwork as lw
from leastwork.adapters import from_torchcfm
from leastwork.models.predictions import Moments
from leastwork.systems.mixtures import GaussianMixture

matchers = pytest.importorskip("torchcfm.conditional_flow_matching", reason="needs the extra torchcfm")
KINDS = {
    "independent": matchers.ConditionalFlowMatcher,
    "variance preserving": matchers.VariancePreservingConditionalFlowMatcher,
    "target": matchers.TargetConditionalFlowMatcher,
}


class Exact(nn.Module):
    """E[u_t(x_1 | x_0) | x_t] of the matcher, as its regression would find it, from the definitions alone."""

    def __init__(self, kind: str, blur: float) -> None:
        super().__init__()
        self.kind, self.blur = kind, blur

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        s, blur = float(t if t.ndim == 0 else t[0]), self.blur
        if self.kind == "target":
            alpha, std = s, 1 - (1 - blur) * s
            denoised = MIXTURE.denoise(x, alpha, std)
            return (denoised - (1 - blur) * x) / std
        arc = self.kind == "variance preserving"
        a, b = (math.sin(math.pi * s / 2), math.cos(math.pi * s / 2)) if arc else (s, 1 - s)
        a_dot, b_dot = (math.pi / 2 * b, -math.pi / 2 * a) if arc else (1.0, -1.0)
        variance = b * b + blur * blur  # of x_t given x_1: of b x_0 + ς z
        denoised = MIXTURE.denoise(x, a, math.sqrt(variance))
        start = b / variance * (x - a * denoised)  # E[x_0 | x_t]
        return a_dot * denoised + b_dot * start


@pytest.mark.parametrize("blur", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_noise_levels_denoiser_and_velocity_are_exact(kind: str, blur: float) -> None:
    """What the matcher's flow draws is x_1 + ς z: the data of the model."""
    net = Exact(kind, blur)
    model = from_torchcfm(net, KINDS[kind](sigma=blur), (2,))
    assert isinstance(model, lw.DiffusionModel)
    blurred = GaussianMixture(MIXTURE.weights, MIXTURE.means, math.hypot(0.4, blur))
    x = states()
    for t in (0.01, 0.2, 0.5, 0.8, 0.99):
        m = Moments.at(model.schedule, t)
        alpha = math.cos(math.pi * t / 2) if kind == "variance preserving" else 1 - t
        given = (blur + (1 - blur) * t) if kind == "target" else math.hypot(math.sqrt(max(1 - alpha**2, 0)), blur)
        given = math.hypot(t, blur) if kind == "independent" else given
        assert m.alpha == pytest.approx(alpha, rel=1e-9)
        assert m.sigma**2 == pytest.approx(given**2 - blur**2 * alpha**2, rel=1e-9)
        torch.testing.assert_close(model.denoise(x, t), blurred.denoise(x, m.alpha, m.sigma), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.velocity(x, t), -net(torch.tensor(1 - t), x), rtol=1e-5, atol=1e-5)
        score = blurred.noised(m.alpha, m.sigma).score(x)
        torch.testing.assert_close(model.score(x, t), score, rtol=1e-4, atol=1e-5 / m.sigma)


def test_matchers_draw_what_the_schedule_says() -> None:
    """x_t of the package itself, given one datum: mean α x_1, variance σ² + ς²α² (z = 5 on 20,000 draws)."""
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    try:
        for kind, matcher in KINDS.items():
            x0, x1 = torch.randn(20_000, 1), torch.full((20_000, 1), 1.5)
            one = matcher(sigma=0.3)
            time, x, _ = one.sample_location_and_conditional_flow(x0, x1, torch.full((20_000,), 0.6))
            model = from_torchcfm(Exact(kind, 0.3), one, (2,))
            m = Moments.at(model.schedule, 0.4)  # type: ignore[union-attr]
            variance = m.sigma**2 + 0.09 * m.alpha**2
            assert abs(float(x.mean()) - 1.5 * m.alpha) < 5 * math.sqrt(variance / 20_000)
            assert abs(float(x.var()) - variance) < 5 * variance * math.sqrt(2 / 20_000)
            assert float(time[0]) == pytest.approx(0.6)
    finally:
        torch.set_rng_state(torch_state)


def test_other_couplings_and_sources_become_flows() -> None:
    net, x = Exact("independent", 0.0), states()
    for matcher, choices in (
        (matchers.ExactOptimalTransportConditionalFlowMatcher(0.1), {}),
        (matchers.SchrodingerBridgeConditionalFlowMatcher(0.5), {}),
        (matchers.ConditionalFlowMatcher(0.0), {"prior": lw.StandardNormal(2.0)}),
        (None, {}),
    ):
        model = from_torchcfm(net, matcher, (2,), **choices)
        assert isinstance(model, lw.VelocityModel)
        torch.testing.assert_close(model.velocity(x, 0.3), -net(torch.tensor(0.7), x), rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:at t = 1, where samples begin", "ignore:the network denoises nothing")  # random
def test_three_ways_to_call_a_network() -> None:
    from torchcfm.models.models import MLP
    from torchcfm.models.unet import UNetModel

    free = matchers.ConditionalFlowMatcher(0.0)
    mlp = from_torchcfm(MLP(dim=2, w=8, time_varying=True), free, (2,))
    assert mlp.net.call == "concatenated"  # type: ignore[attr-defined]
    assert lw.sample(mlp, 5, steps=3).x.shape == (5, 2)
    unet = from_torchcfm(UNetModel((1, 8, 8), num_channels=32, num_res_blocks=1, channel_mult=[1]), free, (1, 8, 8))
    assert unet.net.call == "t, x"  # type: ignore[attr-defined]
    assert lw.sample(unet, 2, steps=2).x.shape == (2, 1, 8, 8)
    named = from_torchcfm(lambda x, t: x * t, free, (2,))
    assert named.net.call == "x, t"  # type: ignore[attr-defined]
    assert from_torchcfm(lambda a: a[:, :2], free, (2,), call="concatenated").net.call == "concatenated"  # type: ignore[attr-defined]


def test_what_cannot_be_wrapped() -> None:
    with pytest.raises(lw.ConfigError, match="is not a matcher"):
        from_torchcfm(Exact("independent", 0.0), 3, (2,))
    with pytest.raises(lw.ConfigError, match=r"called as net\(torch.cat"):
        from_torchcfm(nn.Linear(2, 2), None, (2,))


def test_a_blurred_schedule_can_be_filed_as_a_table() -> None:
    model = from_torchcfm(Exact("independent", 0.1), matchers.ConditionalFlowMatcher(0.1), (2,))
    schedule = model.schedule  # type: ignore[union-attr]
    assert isinstance(schedule, lw.FunctionSchedule)
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    torch.testing.assert_close(schedule.table().sigma(t), schedule.sigma(t), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("blur", [0.0, 0.1])
@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_law_of_the_packages_own(kind: str, blur: float) -> None:
    """Their networks are integrated by torchdiffeq, from a standard normal at 0 to the data at 1."""
    odeint = pytest.importorskip("torchdiffeq").odeint
    net = Exact(kind, blur)
    model = from_torchcfm(net, KINDS[kind](sigma=blur), (2,))
    noise = torch.randn(3000, 2, generator=torch.Generator().manual_seed(4))
    noise = noise * model.prior_scale  # type: ignore[union-attr]
    theirs = odeint(net, noise, torch.linspace(0, 0.999, 201), method="midpoint")[-1]
    assert same_law(lw.sample(model, 3000, steps=300, seed=5, t_grid="log-snr").x, theirs)
    assert same_law(lw.sample(model, 3000, process="ode", solver="heun", seed=6, t_grid="log-snr").x, theirs)


@pytest.mark.slow
def test_guidance_reaches_its_target() -> None:
    assert reaches_its_target(from_torchcfm(Exact("independent", 0.1), matchers.ConditionalFlowMatcher(0.1), (2,)))

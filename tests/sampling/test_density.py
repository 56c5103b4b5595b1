"""Densities of flows: exact answers, the order of the rule, Hutchinson's estimate, and weights that undo a guidance."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.guidance.base import Scaled
from leastwork.networks.perceptron import Perceptron
from leastwork.sampling.flow_density import flow_weights, log_prob, with_flow_weights
from leastwork.systems.gaussian import Gaussian


class Push:
    """h = slope · x + (1, 1, …)."""

    through_network = False

    def __init__(self, slope: float = 0.0) -> None:
        self.slope = slope

    def __call__(self, x: Tensor, t: float, denoised: Tensor) -> Tensor:
        return self.slope * x + 1


def normal(x: Tensor, mean: float | Tensor, std: float | Tensor) -> Tensor:
    return torch.distributions.Normal(mean, std).log_prob(x).sum(dim=1)


def test_linear_flow_in_data_units() -> None:
    """x_0 = e^{−A} x_1 in network units, times its scales."""
    matrix = torch.tensor([[0.5, 0.3], [-0.2, -0.4]], dtype=torch.float64)
    scale, shift = torch.tensor([2.0, 0.5], dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64)
    flow = lw.VelocityModel(lambda x, t: x @ matrix.T, (2,), lw.StandardNormal(1.3), scale=scale, shift=shift)
    lever = torch.diag(scale) @ torch.matrix_exp(-matrix) * 1.3
    exact = torch.distributions.MultivariateNormal(shift, lever @ lever.T)
    x = torch.randn(50, 2, dtype=torch.float64, generator=_generator(0)) + shift
    assert torch.allclose(log_prob(flow, x, steps=40), exact.log_prob(x), rtol=0, atol=1e-7)
    reversed_time = lw.VelocityModel(
        lambda x, t: -x @ matrix.T, (2,), lw.StandardNormal(1.3), data_at_one=True, scale=scale, shift=shift
    )
    assert torch.allclose(log_prob(reversed_time, x, steps=40), exact.log_prob(x), rtol=0, atol=1e-7)


def test_guided_linear_flow() -> None:
    """dx/dt = x − (½x + 1): generation gives x_0 = e^{−½}(x_1 − 2) + 2."""
    flow = lw.VelocityModel(lambda x, t: x, (3,))
    x = torch.randn(20, 3, dtype=torch.float64, generator=_generator(1))
    shrunk = math.exp(-0.5)
    assert torch.allclose(log_prob(flow, x, Push(0.5), steps=40), normal(x, 2 - 2 * shrunk, shrunk), atol=1e-7)


def test_order_is_four() -> None:
    flow = lw.VelocityModel(lambda x, t: torch.sin(3 * x) * (1 + t) + t * x, (1,))
    x = torch.linspace(-1, 1, 11, dtype=torch.float64)[:, None]
    exact = log_prob(flow, x, steps=640)
    errors = [float((log_prob(flow, x, steps=n) - exact).abs().max()) for n in (20, 40, 80)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(4, abs=0.4)


def test_gaussian_under_a_straight_path() -> None:
    """Its exact velocity depends on time; what the cut ends of the path leave out is below 5·10⁻³ nats."""
    exact = Gaussian(0.4, 0.3).model(lw.LinearSchedule())
    flow = lw.VelocityModel(lambda x, t: exact.velocity(x, float(t)), (1,), t_max=0.999, t_min=1e-3)
    x = torch.tensor([[0.4], [0.9], [-0.3]], dtype=torch.float64)
    assert torch.allclose(log_prob(flow, x, steps=200), normal(x, 0.4, 0.3), atol=5e-3)


def network(d: int) -> lw.VelocityModel:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = Perceptron(d, width=16, depth=2, time_features=1).double().requires_grad_(False)
        for layer in net.hidden:
            layer.weight.mul_(3)
    return lw.VelocityModel(net, (d,))


def test_hutchinson_is_unbiased_and_does_not_depend_on_the_batch() -> None:
    """Five standard errors of 4000 independent probes at one point."""
    flow = network(4)
    x = torch.randn(1, 4, dtype=torch.float64, generator=_generator(2)).expand(4000, 4)
    exact = float(log_prob(flow, x[:1], steps=10))
    found = log_prob(flow, x, steps=10, exact=False, seed=3)
    estimate = lw.Estimate.from_samples(found)
    assert float(found.std()) > 1e-3
    assert abs(estimate.value - exact) < 5 * estimate.stderr
    some = log_prob(flow, x[:300], steps=10, exact=False, seed=3, batch_size=70)
    assert torch.allclose(some, log_prob(flow, x[:300], steps=10, exact=False, seed=3), rtol=0, atol=1e-9)
    many = log_prob(flow, x, steps=10, exact=False, seed=3, probes=16)
    assert float(many.std() / found.std()) == pytest.approx(0.25, rel=0.1)


def test_beyond_sixteen_dimensions_signs_are_the_default() -> None:
    flow = network(17)
    x = torch.randn(3, 17, dtype=torch.float64, generator=_generator(3))
    default = log_prob(flow, x, steps=4)
    assert torch.equal(default, log_prob(flow, x, steps=4, exact=False))
    assert not torch.allclose(default, log_prob(flow, x, steps=4, exact=True), atol=1e-6)


def test_a_state_of_two_tensors() -> None:
    def net(x: tuple[Tensor, Tensor], t: Tensor) -> tuple[Tensor, Tensor]:
        return x[0] * 1.0, x[1] * 0.5

    flow = lw.VelocityModel(net, ((2,), (1, 3)), scale=2.0)
    x = (torch.zeros(4, 2), torch.zeros(4, 1, 3))
    exact = -2.5 * math.log(2 * math.pi) + 2 + 1.5 - 5 * math.log(2)
    assert torch.allclose(log_prob(flow, x, steps=10), torch.tensor(exact, dtype=torch.float64), atol=1e-5)


def test_weights_undo_a_guidance() -> None:
    """E_Q[dP/dQ] = 1 and weighted means are the model's, to five standard errors; exact values for a linear flow."""
    flow = lw.VelocityModel(lambda x, t: x, (2,))
    guidance = Push(0.3)
    ens = lw.sample(flow, 20_000, guidance, process="ode", solver="heun", steps=50, seed=6)
    with pytest.raises(lw.LeastworkError):
        _ = ens.log_weight
    weighed = with_flow_weights(ens, flow, guidance, steps=20)
    shrunk, spread = math.exp(-1), math.exp(-0.7)
    exact = normal(ens.x, 0.0, shrunk) - normal(ens.x, (1 - spread) / 0.7, spread)
    assert torch.allclose(weighed.log_weight, exact.double(), atol=2e-3)
    one = lw.Estimate.from_samples(weighed.log_weight.exp())
    assert abs(one.value - 1) < 5 * one.stderr
    mean = weighed.mean(lambda x: torch.cat([x, x.square()], dim=1), under="model")
    wanted = torch.tensor([0.0, 0.0, shrunk**2, shrunk**2], dtype=torch.float64)
    assert bool(((mean.value - wanted).abs() < 5 * mean.stderr).all())
    assert weighed.ess.value < 0.9
    assert torch.equal(weighed.action, ens.action)


def test_no_guidance_has_weight_one() -> None:
    flow = network(2)
    x = torch.randn(5, 2, dtype=torch.float64, generator=_generator(4))
    assert torch.equal(flow_weights(flow, Scaled(Push(), 0.0), x, steps=5), torch.zeros(5, dtype=torch.float64))


def test_complaints() -> None:
    flow, x = lw.VelocityModel(lambda x, t: x, (2,)), torch.zeros(3, 2)
    with pytest.raises(lw.LeastworkError, match="denoising step"):
        log_prob(lw.load_model("moons"), x)
    with pytest.raises(lw.LeastworkError, match="event shape"):
        log_prob(flow, torch.zeros(3, 1))
    with pytest.raises(lw.LeastworkError, match="at least 1"):
        log_prob(flow, x, probes=0)
    with pytest.raises(lw.LeastworkError, match="cut off"):
        log_prob(lw.VelocityModel(lambda x, t: x.detach(), (2,)), x)
    with pytest.raises(lw.NonFiniteError, match=r"first is 1"):
        log_prob(flow, torch.tensor([[0.0, 0.0], [0.0, float("nan")]]))
    sde = lw.sample(lw.load_model("moons"), 10, steps=5)
    with pytest.raises(lw.LeastworkError, match="path weights already"):
        with_flow_weights(sde, flow, Push())


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)

"""Continuous normalizing flows: direction of time, units, prior, and the flow map of a linear velocity."""

import math

import pytest
import torch
from torch.distributions import Normal

import leastwork as lw
from leastwork.systems.gaussian import Gaussian

NORMAL = lw.StandardNormal()


def states(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_time_runs_from_data_to_noise() -> None:
    flow = lw.VelocityModel(lambda x, t: t * x, (2,))
    x = states(4, 2)
    torch.testing.assert_close(flow.velocity(x, 0.25), 0.25 * x)


def test_a_network_whose_data_are_at_one_is_flipped() -> None:
    flow = lw.VelocityModel(lambda x, t: t * x, (2,), data_at_one=True)
    x = states(4, 2)
    torch.testing.assert_close(flow.velocity(x, 0.25), -0.75 * x)
    first, second = lw.VelocityModel(lambda x, t: x, ((2,), (2,)), data_at_one=True).velocity((x, x), 0.5)
    assert torch.equal(first, -x)
    assert torch.equal(second, -x)


def test_the_network_sees_a_scalar_time_of_its_own_dtype_and_the_context() -> None:
    seen = {}

    def net(x, t, **context):
        seen.update(context, dtype=t.dtype, shape=t.shape)
        return x

    flow = lw.VelocityModel(net, (2,), context={"label": 3})
    flow.velocity(torch.zeros(1, 2), 0.5)
    assert seen == {"label": 3, "dtype": torch.float32, "shape": torch.Size([])}


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_log_density_of_the_prior(scale: float) -> None:
    x = states(5, 3)
    wanted = Normal(torch.zeros(3, dtype=torch.float64), scale).log_prob(x).sum(dim=1)
    prior = lw.StandardNormal(scale)
    torch.testing.assert_close(prior.log_prob(x), wanted)
    torch.testing.assert_close(prior.log_prob((x[:, :1], x[:, 1:])), wanted)
    assert torch.equal(prior.from_noise(x), scale * x)


def test_units_and_dimension() -> None:
    flow = lw.VelocityModel(lambda x, t: x, (4, 3), shift=torch.tensor([1.0, 2.0, 3.0]), scale=10.0)
    z = states(2, 4, 3)
    torch.testing.assert_close(flow.to_data_units(z), torch.tensor([1.0, 2.0, 3.0]).double() + 10 * z)
    torch.testing.assert_close(flow.to_network_units(flow.to_data_units(z)), z)
    assert flow.dimension == 12
    assert flow.parameters() == []
    assert len(lw.VelocityModel(torch.nn.Linear(2, 2), (2,)).parameters()) == 2


def test_a_linear_flow_contracts_the_prior() -> None:
    """dx/dt = x takes N(0, 4) at t = 1 to N(0, 4/e²), sample by sample: z_0 = z_1/e."""
    flow = lw.VelocityModel(lambda x, t: x, (1,), lw.StandardNormal(2.0), shift=1.0, scale=3.0)
    choices = {"process": "ode", "seed": 1, "dtype": torch.float64}
    start = lw.sample(lw.VelocityModel(lambda x, t: 0 * x, (1,), lw.StandardNormal(2.0)), 50, **choices)
    end = lw.sample(flow, 50, solver="heun", steps=200, **choices)
    torch.testing.assert_close(end.x, 1 + 3 * start.x / math.e, rtol=1e-4, atol=1e-4)


def test_a_diffusion_models_velocity_is_a_flow() -> None:
    diffusion = Gaussian(0.5, 0.3, 2).model(lw.VPSchedule(0.1, 20.0, t_min=0.01))
    flow = lw.VelocityModel(lambda x, t: diffusion.velocity(x, float(t)), (2,), t_min=0.01)
    x = states(6, 2)
    torch.testing.assert_close(lw.transport(flow, x), lw.transport(diffusion, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"prior": 3}, "StandardNormal"), ({"scale": -1.0}, "positive"), ({"event_shape": (0, 3)}, "no coordinates")],
)
def test_what_cannot_be_a_flow_is_refused(change, words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        lw.VelocityModel(**{"net": lambda x, t: x, "event_shape": (2,), **change})


def test_a_flow_has_no_sde() -> None:
    flow = lw.VelocityModel(lambda x, t: x, (1,))
    with pytest.raises(lw.LeastworkError, match="process='ode'"):
        lw.sample(flow, 10)
    with pytest.raises(lw.LeastworkError, match="no log-SNR"):
        lw.sample(flow, 10, process="ode", t_grid="log-snr")


@pytest.mark.parametrize(("parts", "words"), [
    ({"t_max": 2.0}, "the interval .* must satisfy 0 <= t_min < t_max <= 1"),
    ({"t_min": 0.5, "t_max": 0.5}, "the interval .* must satisfy"),
    ({"t_max": "1"}, "t_max='1' cannot be used: give a number"),
    ({"data_at_one": "yes"}, "data_at_one='yes' cannot be used: give true or false"),
])  # fmt: skip
def test_times_that_no_flow_has_are_refused(parts: dict[str, object], words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words):
        lw.VelocityModel(lambda x, t: x, (2,), **parts)  # type: ignore[arg-type]  (checked)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), "1"])
def test_a_prior_without_a_width_is_refused(scale) -> None:
    with pytest.raises(lw.LeastworkError, match="give the standard deviation of the prior, above 0"):
        lw.StandardNormal(scale)

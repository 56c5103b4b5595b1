"""The value network's gradient, its start at zero, and the guidance it gives."""

import pytest
import torch
from torch import Tensor

from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.diffusion import DiffusionModel
from leastwork.networks.value import ValueNetwork, value_and_gradient
from leastwork.sampling.sample import sample
from leastwork.schedules.gaussian import VPSchedule
from leastwork.systems.mixtures import two_states


def trained(dimension: int, seed: int = 0, focus: bool = False, invariant: bool = False) -> ValueNetwork:
    """A network whose head is not zero, in float64."""
    network = ValueNetwork(dimension, width=16, seed=seed, focus=focus, invariant=invariant).double()
    random = torch.Generator().manual_seed(seed)
    for parameter in (*network.head.parameters(), *network.offset.parameters()):
        parameter.data = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    scale = torch.rand(dimension, generator=random, dtype=torch.float64)

    def cloud(about: float, width: float) -> Tensor:
        noise = torch.randn(2, 50, dimension, generator=random, dtype=torch.float64)
        return noise[0, :1] + (about + width * scale) * noise[1]

    if focus:
        network.focus_on(cloud(0.05, 0.1))
    return network.standardise(cloud(0.5, 1.0))


class Plain(torch.nn.Module):
    """The same value, without its own gradient."""

    def __init__(self, network: ValueNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return self.network(x, alpha, sigma)


VIEWS = ({}, {"focus": True}, {"invariant": True})


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scalar", [True, False])
def test_written_out_gradient_is_that_of_autograd(scalar: bool, view: dict[str, bool]) -> None:
    network = trained(15, **view)
    random = torch.Generator().manual_seed(1)
    x = torch.randn(5, 15, generator=random, dtype=torch.float64)
    angle = torch.rand(() if scalar else (5,), generator=random, dtype=torch.float64)
    value, gradient = network.value_and_gradient(x, angle.cos(), angle.sin())
    other, expected = value_and_gradient(Plain(network), x, angle.cos(), angle.sin())
    torch.testing.assert_close(value, other)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("view", VIEWS)
def test_head_response_is_the_derivative_of_the_guidance(view: dict[str, bool]) -> None:
    network = trained(15, **view)
    random = torch.Generator().manual_seed(2)
    x, u = torch.randn(2, 4, 15, generator=random, dtype=torch.float64)
    alpha, sigma = torch.tensor(0.8, dtype=torch.float64), torch.tensor(0.6, dtype=torch.float64)
    change = torch.randn(9, 16, generator=random, dtype=torch.float64)
    with torch.no_grad():
        before = network.value_and_gradient(x, alpha, sigma)[1]
        after = network.with_head(change).value_and_gradient(x, alpha, sigma)[1]
        response = torch.einsum(
            "k,bw,kw->b", network.head_times(alpha, sigma)[0], network.head_response(x, alpha, sigma, u), change
        )
    torch.testing.assert_close((u * (after - before)).sum(dim=1), response)


def test_untrained_guidance_leaves_the_model_as_it_is() -> None:
    model = two_states(2, (0.5, 0.5), separation=2.0, std=0.3).model(VPSchedule())
    guided = sample(model, 64, LearnedGuidance(ValueNetwork(2), model.schedule), steps=10)
    assert float(guided.work.abs().max()) == 0
    torch.testing.assert_close(guided.x, sample(model, 64, steps=10).x)


def test_value_vanishes_with_the_signal() -> None:
    network = trained(3)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        value, gradient = network.value_and_gradient(x, torch.zeros(()), torch.ones(()))
    assert float(value.abs().max()) == 0
    assert float(gradient.abs().max()) == 0


def test_states_of_several_tensors_keep_their_structure() -> None:
    model = DiffusionModel(lambda x, t: x, VPSchedule(), predicts="data", event_shape=((2, 3), (4,)))
    guidance = LearnedGuidance(trained(10).float(), model.schedule)
    x = (torch.ones(5, 2, 3), torch.ones(5, 4))
    h = guidance(x, 0.5, x)
    assert isinstance(h, tuple)
    assert [tuple(leaf.shape) for leaf in h] == [(5, 2, 3), (5, 4)]


def test_seed_makes_the_network_and_leaves_the_global_generator() -> None:
    state = torch.random.get_rng_state()
    one, two, other = ValueNetwork(2, seed=1), ValueNetwork(2, seed=1), ValueNetwork(2, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one.first.weight, two.first.weight)
    assert not torch.equal(one.first.weight, other.first.weight)
    assert ValueNetwork(**one.config).config == one.config

"""The perceptron: shapes, time as a bias, and its configuration."""

import json

import pytest
import torch

from leastwork.errors import LeastworkError
from leastwork.networks.perceptron import Perceptron


def test_a_scalar_time_equals_the_same_time_for_every_sample():
    net = Perceptron(3, width=16, depth=3, time_features=4).double()
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor(0.37, dtype=torch.float64)
    torch.testing.assert_close(net(x, t), net(x, t.expand(7)), rtol=1e-12, atol=1e-12)


def test_every_sample_has_its_own_time():
    net = Perceptron(2, width=16, depth=2).double()
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.2, 0.7, 1.0], dtype=torch.float64)
    rows = torch.cat([net(x[i : i + 1], t[i]) for i in range(4)])
    torch.testing.assert_close(net(x, t), rows, rtol=1e-12, atol=1e-12)


def test_output_depends_on_time_and_on_every_coordinate():
    net = Perceptron(2, width=16, depth=1).double()
    x = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    t = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    by_x, by_t = torch.autograd.grad(net(x, t).sum(), [x, t])
    assert bool((by_x != 0).all())
    assert float(by_t) != 0


def test_times_a_thousandth_apart_are_told_apart():
    frequencies = Perceptron(1).frequencies
    assert float(frequencies[0]) == pytest.approx(1.0)
    assert float(frequencies[-1]) == pytest.approx(1000.0, rel=1e-5)


def test_the_configuration_rebuilds_the_network():
    net = Perceptron(2, width=8, depth=4, time_features=3)
    again = Perceptron(**json.loads(json.dumps(net.config)))
    again.load_state_dict(net.state_dict())
    x = torch.ones(2, 2)
    assert torch.equal(net(x, torch.tensor(0.3)), again(x, torch.tensor(0.3)))
    assert "frequencies" not in net.state_dict()  # they follow from the configuration


@pytest.mark.parametrize("name", ["dimension", "width", "depth", "time_features"])
def test_a_size_below_one_is_refused(name):
    with pytest.raises(LeastworkError, match=name):
        Perceptron(**{"dimension": 1, name: 0})

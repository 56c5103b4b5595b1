"""A control: nothing at first, one time or many, standardised, saved and loaded."""

import pytest
import torch

import leastwork as lw
from leastwork.guidance.control import ControlGuidance
from leastwork.networks.control import ControlNetwork


def moved(d: int = 3) -> ControlNetwork:
    draw = torch.Generator().manual_seed(1)
    network = ControlNetwork(d, width=8, depth=2)
    network.standardise(torch.randn(17, d, generator=draw), torch.rand(17, d, generator=draw) + 0.5)
    return network.with_head(torch.randn(d, 9, generator=draw)).requires_grad_(False)


def test_a_time_for_each_sample_is_as_one_time_for_all() -> None:
    network = moved()
    x, t = torch.randn(5, 3, generator=torch.Generator().manual_seed(2)), torch.tensor([0.0, 0.03, 0.5, 0.97, 1.0])
    singly = torch.cat([network(x[i : i + 1], float(t[i])) for i in range(5)])
    assert torch.allclose(network(x, t), singly, atol=1e-5)
    assert bool((singly != 0).all())


def test_affine_in_the_head() -> None:
    network = moved()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    change = torch.randn(3, 9, generator=torch.Generator().manual_seed(4))
    features = torch.cat([network.features(x, 0.3), torch.ones(4, 1)], dim=1)
    difference = network.with_head(change)(x, 0.3) - network(x, 0.3)
    assert torch.allclose(difference, features @ change.T * network.unit, atol=1e-5)


def test_a_coordinate_that_never_moves_keeps_scale_one() -> None:
    network = ControlNetwork(2).standardise(torch.zeros(17, 2), torch.tensor([1.0, 0.0]).expand(17, 2))
    assert torch.equal(network.std[:, 1], torch.ones(17))


def test_the_global_generator_is_not_touched() -> None:
    before = torch.get_rng_state()
    ControlNetwork(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_saved_and_loaded(tmp_path) -> None:
    guidance = 0.5 * ControlGuidance(moved())
    lw.save_guidance(guidance, tmp_path)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(5))
    assert torch.equal(lw.load_guidance(tmp_path)(x, 0.4, x), guidance(x, 0.4, x))


def test_complaints(tmp_path) -> None:
    with pytest.raises(lw.LeastworkError, match="at least 1"):
        ControlNetwork(2, width=0)
    with pytest.raises(lw.ConfigError, match="your own network, Linear"):
        lw.save_guidance(ControlGuidance(torch.nn.Linear(2, 2)), tmp_path)

"""Whether a network denoises what it draws: exact scores do, and a network of another law is named."""

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.fit.denoiser import is_denoiser
from leastwork.fit.network import value_network
from leastwork.systems.mixtures import two_states

SCHEDULES = [lw.VPSchedule(), lw.CosineSchedule(), lw.EDMSchedule(0.002, 80.0, 0.5)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda one: type(one).__name__)
def test_exact_networks_do(schedule: lw.VPSchedule) -> None:
    """50 draws of each in 1-D and 30-D; false alarms 5·10⁻⁵ for all, and far fewer as small losses do not count."""
    for data in (two_states(1, (0.4, 0.6), separation=2.0, std=0.5), two_states(30, (0.15, 0.85), 2.0, 0.3)):
        model = data.model(schedule)
        for seed in range(50):
            own = data.sample(256, torch.Generator().manual_seed(seed)).float()
            assert is_denoiser(model, model.to_network_units(own))


def scrambled(x: Tensor, t: Tensor) -> Tensor:
    """In place of a denoiser: bounded, rough, and the same at all noise levels."""
    return torch.sin(40 * x.flip(1))


def test_a_network_of_random_weights_does_not_and_v_takes_the_noisy_state() -> None:
    model = lw.DiffusionModel(scrambled, lw.VPSchedule(), "data", event_shape=(6,))
    own = lw.sample(model, 256, steps=20)
    with pytest.warns(
        lw.LeastworkWarning, match=r"slope on its denoised state is .* ± 0\.0\d, and 1 is right; V takes"
    ):
        network = value_network(model, [lambda x: x[:, 0]], own.x, seed=0)
    assert not network.denoised


def test_data_without_spread_are_passed_over() -> None:
    model = lw.DiffusionModel(lambda x, t: x, lw.VPSchedule(), "data", event_shape=(2,))
    assert is_denoiser(model, torch.ones(8, 2))

"""One thread: the networks here are small, and on shared cores a second one costs more in waiting than it gives.

Shared by all: two states in one dimension, their model and the exact guidance from one half to four fifths.
"""

import pytest
import torch

from leastwork.models.diffusion import DiffusionModel
from leastwork.schedules.gaussian import VPSchedule
from leastwork.systems.mixtures import GaussianMixture, MixtureDoob, two_states

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def mixture() -> GaussianMixture:
    return two_states(1, (0.5, 0.5), separation=2.0, std=0.3)


@pytest.fixture(scope="module")
def model(mixture: GaussianMixture) -> DiffusionModel:
    return mixture.model(VPSchedule())


@pytest.fixture(scope="module")
def doob(mixture: GaussianMixture) -> MixtureDoob:
    return mixture.doob(mixture.reweighted([0.2, 0.8]), VPSchedule())

"""Two states in one dimension, their model and the exact guidance from one half to four fifths."""

import pytest

from leastwork.models.diffusion import DiffusionModel
from leastwork.schedules import VPSchedule
from leastwork.systems.mixtures import GaussianMixture, MixtureDoob, two_states


@pytest.fixture(scope="module")
def mixture() -> GaussianMixture:
    return two_states(1, (0.5, 0.5), separation=2.0, std=0.3)


@pytest.fixture(scope="module")
def model(mixture: GaussianMixture) -> DiffusionModel:
    return mixture.model(VPSchedule())


@pytest.fixture(scope="module")
def doob(mixture: GaussianMixture) -> MixtureDoob:
    return mixture.doob(mixture.reweighted([0.2, 0.8]), VPSchedule())

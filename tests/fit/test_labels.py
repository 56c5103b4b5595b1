"""V learned on guided paths: labels that are unbiased, and a V that gets better by them."""

import pytest
import torch

from leastwork.fit.labels import Labelled, draw_labelled, fit_labels
from leastwork.fit.value import fit_value
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.diffusion import DiffusionModel
from leastwork.networks.value import ValueNetwork
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import sample
from leastwork.sampling.stepping import Sampler
from leastwork.sampling.work import certify
from leastwork.systems.mixtures import GaussianMixture, MixtureDoob

Z = 5  # standard errors; false alarms below 10⁻⁶ a comparison


@pytest.fixture(scope="module")
def network(mixture: GaussianMixture, model: DiffusionModel, doob: MixtureDoob) -> ValueNetwork:
    """Learned badly, in little time."""
    x0 = mixture.sample(4000, torch.Generator().manual_seed(0))
    start = ValueNetwork(1, width=24, depth=2, denoised=True).standardise(x0)
    found = fit_value(start, model, x0.float(), doob.log_tilt(x0), iterations=60, noised=20_000).network
    assert isinstance(found, ValueNetwork)
    return found


def chain(model: DiffusionModel, network: ValueNetwork, steps: int = 40) -> Sampler:
    return Choices(solver="exponential", steps=steps).sampler(model, LearnedGuidance(network, model.schedule))


@pytest.fixture(scope="module")
def paths(model: DiffusionModel, network: ValueNetwork) -> Labelled:
    return draw_labelled(chain(model, network), network, 6000, 3)


def test_paths_are_those_of_sampling(model: DiffusionModel, network: ValueNetwork, paths: Labelled) -> None:
    drawn = sample(model, 6000, chain(model, network).guidance, solver="exponential", steps=40, seed=3)
    torch.testing.assert_close(paths.x, drawn.x)
    torch.testing.assert_close(paths.log_weight, drawn.log_weight, rtol=1e-4, atol=1e-4)
    assert paths.evaluations == drawn.network_evaluations
    assert paths.left.shape == (6000, 40)
    torch.testing.assert_close(paths.left[:, 0].double(), paths.log_weight, rtol=1e-4, atol=1e-4)


def test_the_mean_label_of_all_states_of_a_time_is_one(
    model: DiffusionModel, paths: Labelled, doob: MixtureDoob
) -> None:
    """E_P[e^V] = 1 at any time: the weight up to there times the label, e^{ln dP/dQ + r}/Z, is the same number."""
    tilt = doob.log_tilt(paths.x).double()
    label = (paths.left.double() + tilt[:, None]).exp()
    before = (paths.log_weight[:, None] - paths.left.double()).exp()
    mean, stderr = (before * label).mean(dim=0), (before * label).std(dim=0) / len(label) ** 0.5
    assert float(((mean - 1).abs() / stderr).max()) < Z + 1  # the exact target is that of continuous time


def test_labels_make_v_better_and_never_worse(
    model: DiffusionModel, network: ValueNetwork, paths: Labelled, doob: MixtureDoob
) -> None:
    done = fit_labels(network, [paths], [doob.log_tilt(paths.x)], iterations=300)
    assert done.loss[1] < done.loss[0]
    assert done.variance[1] < done.variance[0]
    assert isinstance(done.network, ValueNetwork)

    def dissipation(v: ValueNetwork):
        drawn = sample(model, 10_000, LearnedGuidance(v, model.schedule), solver="exponential", steps=40, seed=8)
        return certify(drawn.work, drawn.log_weight, doob.log_tilt(drawn.x)).dissipation

    before, after = dissipation(network), dissipation(done.network)
    assert before.value - after.value > Z * (before.stderr**2 + after.stderr**2) ** 0.5
    same = fit_labels(network, [paths], [doob.log_tilt(paths.x)], iterations=2, learning_rate=0.0)
    for a, b in zip(same.network.parameters(), network.parameters(), strict=True):
        assert torch.equal(a, b)

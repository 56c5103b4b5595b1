"""The response of guided paths to the head of V, and the polish step that uses it."""

import pytest
import torch

import leastwork as lw
from leastwork.errors import LeastworkError
from leastwork.fit.on_policy import Response, descend, draw_response, polish
from leastwork.fit.value import fit_value
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.diffusion import DiffusionModel
from leastwork.networks.value import ValueNetwork
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.sample import sample
from leastwork.sampling.stepping import Sampler, integrate
from leastwork.sampling.work import certify
from leastwork.schedules.gaussian import VPSchedule
from leastwork.systems.mixtures import GaussianMixture, MixtureDoob

Z = 5  # standard errors; false alarms below 10⁻⁶ a comparison


@pytest.fixture(scope="module")
def network(mixture: GaussianMixture, doob: MixtureDoob) -> ValueNetwork:
    """Learned badly, in little time."""
    x0 = mixture.sample(4000, torch.Generator().manual_seed(0))
    start = ValueNetwork(1, width=24, depth=2).standardise(x0)
    fitted = fit_value(start, mixture.model(VPSchedule()), x0.float(), doob.log_tilt(x0), iterations=150).network
    assert isinstance(fitted, ValueNetwork)
    return fitted


def sampler(model: DiffusionModel, network: ValueNetwork, solver: str = "euler", steps: int = 30) -> Sampler:
    return Choices(solver=solver, steps=steps).sampler(model, LearnedGuidance(network, model.schedule))


@pytest.mark.parametrize("solver", ["euler", "exponential", "multistep"])
def test_paths_and_weights_are_those_of_sampling(model: DiffusionModel, network: ValueNetwork, solver: str) -> None:
    chain = sampler(model, network, solver)
    response = draw_response(chain, network, 1500, seed=3)
    ensemble = sample(model, 1500, chain.guidance, solver=solver, steps=30, seed=3)
    torch.testing.assert_close(response.x, ensemble.x)
    torch.testing.assert_close(response.log_weight, ensemble.log_weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(response.work, ensemble.work, rtol=1e-4, atol=1e-5)
    assert response.evaluations == ensemble.network_evaluations


@pytest.mark.parametrize("solver", ["euler", "exponential", "multistep"])
def test_jacobian_is_the_derivative_of_the_weight_at_fixed_path(
    model: DiffusionModel, network: ValueNetwork, solver: str
) -> None:
    """At a fixed path ∂ ln P/Q = −Σ z·∂shift/c, so its mean over Q is zero: Q stays normalised."""
    response = draw_response(sampler(model, network, solver), network, 8_000, seed=5)
    mean, spread = response.jacobian.double().mean(dim=0), response.jacobian.double().std(dim=0)
    live = spread > 1e-6 * spread.max()
    assert float((mean[live] / spread[live] * 8_000**0.5).abs().max()) < Z


def test_jacobian_predicts_how_averages_respond(model: DiffusionModel, network: ValueNetwork) -> None:
    """−Cov(O, J·δ) against the difference on common random numbers, pathwise, within Z standard errors."""
    n = 20_000
    response = draw_response(sampler(model, network), network, n, seed=6)
    change = 0.03 * torch.randn(9, 24, generator=torch.Generator().manual_seed(1))
    ends = []
    for sign in (1.0, -1.0):
        noise = BlockNoise(6, 0, n, model.event_shape)
        with torch.no_grad():
            ends.append(torch.tanh(5 * integrate(sampler(model, network.with_head(sign * change)), noise).x[:, 0]))
    difference = 0.5 * (ends[0] - ends[1]).double()
    o = torch.tanh(5 * response.x[:, 0]).double()
    along = response.jacobian.double() @ change.flatten().double()
    predicted = -(o - o.mean()) * (along - along.mean())
    stderr = (predicted - difference).std() / n**0.5
    assert float((predicted - difference).mean().abs()) < Z * float(stderr)
    assert float(difference.mean().abs()) > 2 * float(stderr)  # there is something to compare


@pytest.mark.slow
def test_polish_saves_work_and_meets_the_mean(
    mixture: GaussianMixture, model: DiffusionModel, doob: MixtureDoob, network: ValueNetwork
) -> None:
    chain = sampler(model, network, steps=50)
    response = draw_response(chain, network, 6000, seed=7)
    right = mixture.populations(response.x)[:, 1:].double()
    target, spread = torch.tensor([0.8], dtype=torch.float64), right.std(dim=0)
    done = polish(network, response, doob.log_tilt(response.x), right, target, spread)
    assert done.variance_after < done.variance_before

    def judge(v: ValueNetwork):
        ens = sample(model, 10_000, LearnedGuidance(v, model.schedule), steps=50, seed=8)
        observed = mixture.populations(ens.x)[:, 1:]
        return certify(ens.work, ens.log_weight, doob.log_tilt(ens.x), observed, target, spread)

    before, after = judge(network), judge(done.network)
    gain = before.dissipation.value - after.dissipation.value
    assert gain > Z * (before.dissipation.stderr**2 + after.dissipation.stderr**2) ** 0.5
    # at 50 steps the chain's own target has a mean a little off 0.8
    assert float(after.miss.value.abs()) < 0.03 + Z * float(after.miss.stderr)


def test_observables_without_spread_ask_nothing(model: DiffusionModel, network: ValueNetwork) -> None:
    random = torch.Generator().manual_seed(0)
    n = 500
    flat = torch.zeros(n, dtype=torch.float64)
    jacobian = torch.randn(n, 9 * 24, generator=random)
    response = Response(torch.zeros(n, 1), flat, flat, jacobian, 0)
    tilt = torch.randn(n, generator=random, dtype=torch.float64)
    one = polish(network, response, tilt, torch.ones(n, 1), torch.ones(1), torch.zeros(1))
    assert len(one.miss) == 0


def test_misses_that_are_noise_cost_little(network: ValueNetwork) -> None:
    """Many observables that hardly answer to the head: met exactly, their noise alone would multiply Var ln w."""
    random = torch.Generator().manual_seed(0)
    n, count = 3000, 50
    jacobian = torch.randn(n, 9 * 24, generator=random)
    log_w = 0.3 * torch.randn(n, generator=random, dtype=torch.float64)
    observed = torch.randn(n, count, generator=random, dtype=torch.float64)
    response = Response(torch.zeros(n, 1), log_w, torch.zeros_like(log_w), jacobian, 0)
    zero, one = torch.zeros(count, dtype=torch.float64), torch.ones(count, dtype=torch.float64)
    done = polish(network, response, torch.zeros_like(log_w), observed, zero, one)
    old, new = network.head, done.network.head
    change = torch.cat([(new.weight - old.weight).T, (new.bias - old.bias)[None]]).flatten()
    assert float((log_w + jacobian.double() @ change.detach().double()).var()) < 1.1 * float(log_w.var())


def test_what_cannot_be_polished_is_refused(model: DiffusionModel, network: ValueNetwork) -> None:
    ode = Choices(process="ode", steps=5).sampler(model, LearnedGuidance(network, model.schedule))
    with pytest.raises(LeastworkError, match="path weights"):
        draw_response(ode, network, 8, seed=0)


def test_polished_paths_stay_on_the_subspace() -> None:
    """The polish runs a loop of its own: its samples are centred as those of leastwork.sample are."""
    model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), "score", (4, 3), lw.ZeroCentre())
    network = ValueNetwork(12, width=8, depth=1)
    guidance = LearnedGuidance(network, model.schedule)
    response = draw_response(Choices(steps=40).sampler(model, guidance), network, 500, seed=1)
    assert float(response.x.mean(dim=1).abs().max()) < 1e-6
    drawn = lw.sample(model, 500, guidance, steps=40, seed=1)
    torch.testing.assert_close(response.x, drawn.x)
    torch.testing.assert_close(response.log_weight, drawn.log_weight)


def test_a_descent_lowers_the_dissipation_and_keeps_within_its_trust(
    model: DiffusionModel, network: ValueNetwork, doob: MixtureDoob
) -> None:
    response = draw_response(sampler(model, network), network, 4096, seed=11)
    tilt = doob.log_tilt(response.x)
    free = descend(network, response, tilt, trust=1e9)
    bound = descend(network, response, tilt, trust=1e-4)
    assert free.taken == 1
    assert 0 < bound.taken < 1

    def dissipation(guided: ValueNetwork) -> float:
        drawn = sample(model, 8_000, LearnedGuidance(guided, model.schedule), solver="euler", steps=30, seed=12)
        return certify(drawn.work, drawn.log_weight, doob.log_tilt(drawn.x)).dissipation.value

    before, after = dissipation(network), dissipation(free.network)
    assert after < 0.5 * before  # on common random numbers
    assert after < dissipation(bound.network) < before
    jacobian = response.jacobian.double()
    step = (bound.network.head.weight - network.head.weight).T, (bound.network.head.bias - network.head.bias)[None]
    moved = jacobian @ torch.cat(step).detach().double().reshape(-1)
    assert 0.5 * float(moved.var()) == pytest.approx(1e-4, rel=1e-3)

"""Adjoint matching: the adjoint against autograd, the optimum of a chain in closed form, and fits on mixtures."""

import pytest
import torch

import leastwork as lw
from leastwork.geometry.state import flatten, leaves, smap
from leastwork.guidance.learned import LearnedGuidance
from leastwork.networks.value import ValueNetwork
from leastwork.observable_guidance.adjoint_matching import draw_adjoint, match_adjoint
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.stepping import Carry, advance
from leastwork.systems.gaussian import Gaussian, QuadraticTilt, exact_chain
from leastwork.systems.mixtures import two_states

SCHEDULE = lw.VPSchedule()


@pytest.mark.parametrize("solver", ["euler", "exponential"])
def test_the_adjoint_of_unguided_paths_is_the_gradient_of_r(solver: str) -> None:
    """With units, on a subspace, and for a state of two tensors."""
    choices = {"solver": solver, "steps": 7}

    def flat_net(x, t):
        return -x + 0.3 * torch.sin(x)

    def pair_net(x, t):
        return tuple(flat_net(leaf, t) + 0.1 * x[0].sum(dim=1, keepdim=True) for leaf in x)

    centred = lw.DiffusionModel(
        flat_net, SCHEDULE, "score", event_shape=(4, 3), subspace=lw.ZeroCentre(), shift=0.2, scale=3.0
    )
    cases = [
        (lw.DiffusionModel(flat_net, SCHEDULE, "score", (2,), shift=1.0, scale=0.5), lambda x: (x**2).sum(dim=1)),
        (centred, lambda x: (x[:, 0] - x[:, 1]).square().sum(dim=1)),
        (lw.DiffusionModel(pair_net, SCHEDULE, "noise", ((2,), (3,))), lambda x: x[0][:, 0] * x[1][:, 2]),
    ]
    for model, tilt in cases:
        sampler = Choices(**choices).sampler(model)
        process, table = sampler.process, sampler.steps.table()

        def noise(model=model) -> BlockNoise:
            return BlockNoise(1, 0, 5, model.event_shape, torch.float64)

        paths = draw_adjoint(sampler, tilt, noise())
        stream = noise()
        carry, states = Carry(process.prior(stream.draw())), []
        for step in table:
            carry, _ = advance(sampler, step, carry, process.project(stream.draw()))
            states.append(carry.x)
            for leaf in leaves(carry.x):
                leaf.requires_grad_().retain_grad()
        tilt(model.to_data_units(process.evaluate(carry.x, float(sampler.steps.times[-1])))).sum().backward()
        for found, state in zip(paths.adjoint, states, strict=True):
            gradient = process.project(smap(lambda leaf: leaf.grad, state))
            torch.testing.assert_close(found, flatten(gradient))


def test_the_adjoint_of_the_next_state_is_the_best_guidance_of_the_chain() -> None:
    """Under a linear tilt of a Gaussian A does not depend on the path, and h = (c²/e) A_{k+1} wastes nothing."""
    data, tilt = Gaussian(0.5, 0.6, dim=2), QuadraticTilt(linear=-2.0)
    for solver in ("euler", "exponential"):
        sampler = Choices(solver=solver, steps=10, t_grid="log-snr").sampler(data.model(SCHEDULE))
        paths = draw_adjoint(sampler, tilt, BlockNoise(0, 0, 3, (2,), torch.float64))
        torch.testing.assert_close(paths.adjoint[:, 0], paths.adjoint[:, 2])
        steps = sampler.steps
        h = (steps.c**2 / steps.e)[:, None] * paths.adjoint[:, 0]
        best = exact_chain(data, SCHEDULE, steps, tilt, h, torch.zeros_like(h))
        late = torch.cat([h[:1], h[:-1]])  # the adjoint of the state itself
        off = exact_chain(data, SCHEDULE, steps, tilt, late, torch.zeros_like(h))
        memory = 0.5 * float(paths.adjoint[0, 0].square().sum())  # at most: ½ Var V at t_max
        assert best.dissipation < memory < 1e-3 < off.dissipation


@pytest.mark.parametrize("dim", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_fit_on_a_mixture(dim: int) -> None:
    """A population from 0.5 to 0.8: h = 0 dissipates KL(p ‖ q) ≈ 0.19 nats, Doob's transform 0.011 at these steps."""
    p = two_states(dim, (0.5, 0.5), separation=2.0, std=0.6)
    model, doob = p.model(SCHEDULE), p.doob(p.reweighted([0.2, 0.8]), SCHEDULE)
    law = Choices(solver="exponential", steps=30)
    fit = match_adjoint(model, doob.log_tilt, iterations=20, batch_size=256, updates=8, points=1024, choices=law)
    plain, guided = (lw.sample(model, 4000, h, steps=30, seed=5) for h in (None, fit.guidance))
    before, after = (lw.certify(e.work, e.log_weight, doob.log_tilt(e.x)) for e in (plain, guided))
    assert after.dissipation.value < 0.12 * before.dissipation.value
    assert after.efficiency.value > 0.85
    assert fit.network_evaluations == 20 * 256 * (31 + 30)
    assert fit.history[-1].objective < fit.history[0].objective


def test_the_network_is_evaluated_as_often_as_counted_and_the_seed_decides() -> None:
    calls = []

    def net(x, t):
        calls.append(len(x))
        return -x

    model = lw.DiffusionModel(net, SCHEDULE, "score", event_shape=(1,))
    start = ValueNetwork(1, width=8, depth=2)
    law = Choices(solver="exponential", steps=5)
    choices = {
        "network": start,
        "choices": law,
        "iterations": 2,
        "batch_size": 10,
        "updates": 2,
        "points": 16,
    }
    fit = match_adjoint(model, lambda x: x[:, 0], **choices)
    assert fit.network_evaluations == sum(calls) + 2 * 10 * 5  # and a backward pass for each step
    assert isinstance(fit.guidance, LearnedGuidance)
    assert not start.head.weight.any()  # copied
    again = match_adjoint(model, lambda x: x[:, 0], **choices)
    other = match_adjoint(model, lambda x: x[:, 0], **choices, seed=1)
    heads = [one.guidance.network.head.weight for one in (fit, again, other)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"process": "ode"}, "κ = 1"),
        ({"kappa": 0.5}, "κ = 1"),
        ({"solver": "multistep"}, "without memory, not solver='multistep'"),
        ({"solver": "heun"}, "'euler' or 'exponential'"),
    ],
)
def test_what_is_refused(choices: dict, words: str) -> None:
    model = Gaussian(0.0, 1.0).model(SCHEDULE)
    with pytest.raises(lw.LeastworkError, match=words):
        match_adjoint(model, lambda x: x[:, 0], choices=Choices.of({"solver": "exponential", **choices}))


def test_what_cannot_be_differentiated_or_is_not_finite() -> None:
    model = Gaussian(0.0, 1.0).model(SCHEDULE)
    few = {"choices": Choices(solver="exponential", steps=3), "iterations": 1, "batch_size": 8}
    with pytest.raises(lw.LeastworkError, match="no gradient"):
        match_adjoint(model, lambda x: (x[:, 0] > 0).float(), **few)
    with pytest.raises(lw.NonFiniteError, match="batch 1"):
        match_adjoint(model, lambda x: (x[:, 0] - 1e9).log(), **few)
    flow = lw.VelocityModel(lambda x, t: x, event_shape=(1,))
    with pytest.raises(lw.LeastworkError, match="which a VelocityModel has not: take the method least-work"):
        match_adjoint(flow, lambda x: x[:, 0])  # type: ignore[arg-type]

"""Steps with churn: the package's own loop path by path, kernels and weights in closed form, and what is refused."""

import math

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.geometry.rotations import uniform
from leastwork.guidance.base import Scaled
from leastwork.sampling.choices import Choices
from leastwork.sampling.noise import BlockNoise
from leastwork.sampling.solvers import Churn
from leastwork.sampling.stepping import Carry, evaluate, move
from leastwork.statistics.estimate import Estimate
from leastwork.systems.frame_mixture import two_poses
from leastwork.systems.gaussian import Gaussian, exact_chain
from leastwork.systems.mixtures import GaussianMixture, two_states

EDM = lw.EDMSchedule(4e-4, 160.0, 1.0)
MIXTURE = two_states(2, (0.15, 0.85), separation=2.0, std=0.3)
MODEL = MIXTURE.model(EDM)
DOOB = MIXTURE.doob(MIXTURE.reweighted([0.5, 0.5]), EDM)


def algorithm_18(levels: list[float], top: float, xi: list[Tensor], churn: Churn) -> Tensor:
    """AlphaFold 3's loop as it is printed, in EDM units; the level is raised to ``top`` at most, and ends at zero."""
    x = levels[0] * xi[0]
    for i, (t, after) in enumerate(zip(levels, [*levels[1:], 0.0], strict=True)):
        hat = min(t * (1 + churn.gamma), top) if after > churn.gamma_min else t
        if i > 0:
            x = x + churn.noise_scale * math.sqrt(max(hat**2 - t**2, 0.0)) * xi[i]
        denoised = MIXTURE.denoise(x, 1.0, hat)
        x = x + churn.step_scale * (after - hat) * (x - denoised) / hat
    return x


@pytest.mark.parametrize(
    "churn", [Churn(), Churn(0.8, 0.5), Churn(0.3, 0.0, 1.1), Churn(0.8, 0.1, 1.003, step_scale=1.5)], ids=repr
)
def test_paths_are_those_of_the_printed_loop(churn: Churn) -> None:
    steps, n = 30, 50
    levels = EDM.level(torch.linspace(1, 0, steps + 1, dtype=torch.float64)).tolist()
    noise = BlockNoise(4, 0, n, (2,), torch.float64)
    xi = [noise.draw() for _ in range(steps + 1)]
    theirs = algorithm_18(levels, levels[0], xi, churn)
    ours = lw.sample(MODEL, n, solver=churn, steps=steps, seed=4, dtype=torch.float64)
    if churn.step_scale == 1:
        torch.testing.assert_close(ours.x, theirs, rtol=1e-6, atol=1e-6)
    else:  # the last step to σ = 0 is a denoising step here, which does not go beyond
        assert float((ours.x - theirs).abs().max()) < 0.02


def test_float32_is_accurate_at_high_levels() -> None:
    """At σ = 160·16 states have the size of the data; the same noise in both precisions, path by path."""
    schedule = lw.EDMSchedule(4e-4 * 16, 160.0 * 16, 16.0)
    wide = GaussianMixture([0.2, 0.8], [[-16.0] * 30, [16.0] * 30], 4.0)
    model, h = wide.model(schedule), wide.doob(wide.reweighted([0.5, 0.5]), schedule)
    sampler = Choices(solver=Churn(gamma_min=1.0), steps=60).sampler(model, h)
    noise = BlockNoise(2, 0, 200, (30,))
    drawn = [noise.draw() for _ in range(61)]
    ends = []
    for kind in (torch.float64, torch.float32):
        carry, log_weight = Carry(sampler.process.prior(drawn[0].to(kind))), torch.zeros(200, dtype=torch.float64)
        for step, z in zip(sampler.steps.table(), drawn[1:], strict=True):
            assert float(carry.x.abs().max()) < 16 * 8
            carry, cost = move(sampler, step, carry, *evaluate(sampler, carry.x, step.t), z.to(kind))
            log_weight = log_weight if cost.log_weight is None else log_weight + cost.log_weight
        ends.append((carry.x.double(), log_weight))
    torch.testing.assert_close(ends[0][0], ends[1][0], rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(ends[0][1], ends[1][1], rtol=0, atol=2e-3)
    assert float(ends[0][1].std()) > 0.1


@pytest.mark.parametrize("churn", [Churn(0.2), Churn(0.8, 0.05), Churn(0.8, 0.05, 1.2)], ids=repr)
def test_the_ledger_of_a_gaussian_is_exact(churn: Churn) -> None:
    """Work, ln Z and moments of 4,000 paths against recursions of moments; z = 5 each."""
    data = Gaussian(0.5, 0.5)
    tilt, model = data.for_mean(0.2), data.model(EDM)
    steps = Choices(solver=churn, steps=40).sampler(model).steps
    exact = exact_chain(data, EDM, steps, tilt)
    ens = lw.sample(model, 4000, data.doob(tilt, EDM), solver=churn, steps=40, seed=5, dtype=torch.float64)
    found = lw.certify(ens.work, ens.log_weight, tilt(ens.x))
    assert found.work.value == pytest.approx(exact.work, abs=5 * float(found.work.stderr) + 1e-9)
    assert found.log_z.value == pytest.approx(exact.log_normaliser, abs=5 * float(found.log_z.stderr))
    assert found.dissipation.value == pytest.approx(exact.dissipation, abs=5 * float(found.dissipation.stderr))
    assert float(ens.x.mean()) == pytest.approx(float(exact.mean), abs=5 * float(ens.x.std()) / 4000**0.5)


def test_weights_are_unbiased_at_any_noise_scale() -> None:
    """E_Q[dP/dQ] = 1 and E_Q[φ dP/dQ] = E_P[φ], z = 5; the chain's own P, which is far from the model's at λ = 1.1."""
    churn = Churn(0.8, 0.05, 1.1)
    guided = lw.sample(MODEL, 10_000, Scaled(DOOB, 0.8), solver=churn, steps=25, seed=6)
    own = lw.sample(MODEL, 10_000, solver=churn, steps=25, seed=7)
    weight = guided.log_weight.exp()
    assert abs(float(weight.mean()) - 1) < 5 * float(weight.std()) / 100
    left, right = guided.mean(lambda x: (x[:, 0] > 0).double(), "model"), own.mean(lambda x: (x[:, 0] > 0).double())
    assert abs(left.value - right.value) < 5 * math.hypot(float(left.stderr), float(right.stderr))
    assert 0.2 < float(guided.work.mean()) < 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_a_chain_like_alphafold_3_has_exact_weights_and_continuous_time_has_not(name: str) -> None:
    """30-D, γ = 0.8, λ = 1.003, W ≤ 2: E_Q[dP/dQ] = 1 and E_Q[φ dP/dQ] = E_P[φ] within 5 standard errors.

    Girsanov's formula of continuous time for the same paths misses E_P[φ] by more than 10.
    """
    n, steps, churn = 20_000, 50, Churn(0.8, 1 / 16, 1.003)
    if name == "gaussian":
        data = Gaussian(0.5, 0.5, 30)
        model, doob = data.model(EDM), data.doob(data.for_mean(0.0, [1.0] + [0.0] * 29), EDM)
    else:
        mixture = two_states(30, (0.15, 0.85), separation=2.0, std=0.3)
        model, doob = mixture.model(EDM), mixture.doob(mixture.reweighted([0.53, 0.47]), EDM)
    sampler = Choices(solver=churn, steps=steps).sampler(model, Scaled(doob, 1.1))
    levels = EDM.level(torch.linspace(1, 0, steps + 1, dtype=torch.float64)).tolist()
    found = []
    for start in range(0, n, 1000):
        noise = BlockNoise(11, start, start + 1000, (30,))
        carry = Carry(sampler.process.prior(noise.draw()))
        work, exact, continuous = (torch.zeros(1000, dtype=torch.float64) for _ in range(3))
        for i, step in enumerate(sampler.steps.table()):
            y, h = evaluate(sampler, carry.x, step.t)
            z = noise.draw()
            carry, cost = move(sampler, step, carry, y, h, z)
            if cost.work is None:
                continue
            work, exact = work + cost.work, exact + cost.log_weight
            hat, after = (float(EDM.level(torch.tensor(t, dtype=torch.float64))) for t in (step.t, step.t_next))
            alpha = float(EDM.alpha(torch.tensor(step.t, dtype=torch.float64)))
            u = 0.5 * (hat**2 - levels[i + 1] ** 2) / math.sqrt(after**2 - levels[i + 1] ** 2) * alpha * h
            continuous -= (1.003 * (u * z).sum(dim=1) + 0.5 * u.square().sum(dim=1)).double()
        found.append((carry.x[:, 0].double(), work, exact, continuous))
    first, work, exact, continuous = (torch.cat(part) for part in zip(*found, strict=True))
    assert 0.5 < float(work.mean()) < 2
    ratio = Estimate.from_samples(exact.exp())
    assert abs(ratio.value - 1) < 5 * float(ratio.stderr)
    right = lw.sample(model, n, solver=churn, steps=steps, seed=12).mean(lambda x: x[:, 0])
    for log_weight, good in ((exact, True), (continuous, False)):
        left = Estimate.from_log_weights(first, log_weight)
        z = abs(left.value - right.value) / math.hypot(float(left.stderr), float(right.stderr))
        assert (z < 5) if good else (z > 10)


def test_guidance_is_an_extra_score_where_noise_follows_and_off_elsewhere() -> None:
    churn = Churn(0.8, 1.0)
    steps = Choices(solver=churn, steps=50).sampler(MODEL).steps
    assert steps.has_density
    quiet = steps.c == 0
    assert 0 < int(quiet.sum()) < 50
    assert bool((steps.e[quiet] == 0).all())
    lever = EDM.sigma(steps.times[:-1]) ** 2 / EDM.alpha(steps.times[:-1])
    torch.testing.assert_close(steps.e[~quiet], (steps.b * lever)[~quiet])
    assert all(step.lever == 0 for step in steps.table() if step.c == 0)
    assert not Choices(solver=churn).has_least_work(MODEL)
    assert Choices().has_least_work(MODEL)


def extra(x: Tensor, t: float, denoised: Tensor) -> Tensor:
    """A guidance that depends on directions."""
    return 0.6 * denoised / (1 + float(EDM.level(torch.tensor(t, dtype=torch.float64)))) ** 2


extra.through_network = False


def test_a_turned_step_has_the_ratio_of_two_gaussians() -> None:
    """x̂′ = (m_Q + c z) R with R of the noise's centroid, and ln dP/dQ = ln N(x̂′Rᵀ; m_P) − ln N(x̂′Rᵀ; m_Q)."""
    points = lw.ZeroCentre()
    skew = torch.tensor([[0.1, 0.2, 0.0], [0.0, -0.1, 0.3], [0.2, 0.0, 0.1]], dtype=torch.float64)
    model = lw.DiffusionModel(lambda x, t: x @ skew, EDM, "data", (5, 3), subspace=points)
    sampler = Choices(solver=Churn(motions=True), steps=10).sampler(model, extra)
    noise = BlockNoise(1, 0, 40, (5, 3), torch.float64)
    carry = Carry(sampler.process.prior(noise.draw()))
    for step in sampler.steps.table():
        y, h = evaluate(sampler, carry.x, step.t)
        z = sampler.noise(noise.draw())
        after, cost = move(sampler, step, carry, y, h, z)
        rotation = uniform(5**0.5 * z.mean(dim=1))
        back = after.x @ rotation.transpose(1, 2)
        own = step.a * carry.x + step.b * y
        guided = own + step.e * h
        torch.testing.assert_close(back, guided + step.c * points.project(z))
        if step.c > 0:
            ratio = ((back - guided).square() - (back - own).square()).sum(dim=(1, 2)) / (2 * step.c**2)
            torch.testing.assert_close(cost.log_weight, ratio)
        carry = after
    assert float((carry.x - back).norm() / back.norm()) > 0.5  # it was turned


def test_motions_leave_weights_unbiased_and_orientations_uniform() -> None:
    """A network that is not equivariant: E_Q[dP/dQ] = 1 (z = 5), and samples have no preferred direction (z = 5)."""
    centre = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.2, 0.0], [0.0, -0.2, 0.0]])
    shape = GaussianMixture([0.5, 0.5], torch.stack([centre.flatten(), 0.5 * centre.flatten()]).tolist(), 0.3)
    subspace = lw.ZeroCentre()

    def net(x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (float(part(t.double())) for part in (EDM.alpha, EDM.sigma))
        return shape.denoise(x.flatten(1), alpha, sigma).reshape(x.shape)

    model = lw.DiffusionModel(net, EDM, "data", (3, 3), subspace=subspace)
    for motions in (True, False):
        ens = lw.sample(model, 4000, extra, solver=Churn(motions=motions), steps=20, seed=3)
        weight = ens.log_weight.exp()
        assert float(ens.work.mean()) > 0.02
        assert abs(float(weight.mean()) - 1) < 5 * float(weight.std()) / 4000**0.5
        axis = ens.x[:, 0] - ens.x[:, 1]
        mean = axis.mean(dim=0)
        assert bool((mean.abs() < 5 * axis.std(dim=0) / 4000**0.5).all()) == motions


def test_particles_are_steered_with_churn() -> None:
    ens = lw.steer(
        MODEL, 2048, lambda x: 0.5 * x[:, 0], solver=Churn(0.3), steps=30, particles=128, seed=0, batch_size=2048
    )
    own = lw.sample(MODEL, 4096, solver=Churn(0.3), steps=30, seed=9)
    tilt = (0.5 * own.x[:, 0]).exp()
    exact, stderr = float(tilt.mean().log()), float(tilt.std() / tilt.mean()) / 64
    assert abs(ens.log_z.value - exact) < 5 * math.hypot(float(ens.log_z.stderr), stderr)


FRAMES = two_poses(2).model()
COSINE = MIXTURE.model(lw.CosineSchedule())
FLOW = lw.VelocityModel(lambda x, t: x, (1,))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Churn(gamma=0.0), "positive finite gamma"),
        (lambda: Churn(noise_scale=-1.0), "positive finite noise_scale"),
        (lambda: Churn(step_scale=math.nan), "step_scale=nan cannot be used: give Churn a positive finite number"),
        (lambda: Churn(gamma="0.8"), "gamma='0.8' cannot be used: give Churn a positive finite number"),  # type: ignore[arg-type]
        (lambda: Churn(gamma_min=-1.0), "gamma_min=-1.0 cannot be used"),
        (lambda: lw.sample(MODEL, 8, solver=Churn(), process="ode"), "brings its own noise"),
        (lambda: lw.sample(MODEL, 8, solver=Churn(), kappa=0.5), "brings its own noise"),
        (lambda: lw.sample(MODEL, 8, solver=Churn(gamma_min=200.0)), "no step adds noise"),
        (lambda: lw.sample(MODEL, 8, solver=Churn(motions=True)), "turns centred points in space"),
        (lambda: lw.sample(COSINE, 8, solver=Churn()), "infinite at t_max"),
        (lambda: lw.sample(FRAMES, 8, solver=Churn(), steps=5), "not frames"),
        (lambda: lw.sample(FLOW, 8, solver=Churn(), process="ode"), "a DiffusionModel"),
        (lambda: lw.step_check(MODEL, solver=Churn(), paths=4), "half a step has another"),
        (lambda: lw.sample(MODEL, 8, solver=Churn(step_scale=1.5), steps=5).log_weight, "with step_scale=1.5"),
        (lambda: lw.sample(MODEL, 8, DOOB, solver=Churn(step_scale=0.9), steps=5).work, "use step_scale=1"),
        (
            lambda: lw.steer(MODEL, 8, lambda x: x[:, 0], solver=Churn(step_scale=1.5), particles=4),
            "with step_scale=1.5",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(call, words: str) -> None:
    with pytest.raises(lw.LeastworkError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)

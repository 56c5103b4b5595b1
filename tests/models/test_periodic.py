"""Models of angles against quadrature: samples, weights, work, regions, and what is learned on the torus.

Statistical checks allow five standard errors, 6e-7 false alarms each; the generators are fixed.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import leastwork as lw
from leastwork.cli import app
from leastwork.geometry.torus import wrap
from leastwork.guidance.learned import LearnedGuidance
from leastwork.kernels.angles import AngleKernel
from leastwork.kernels.density import kernel_density, usual_kernel
from leastwork.kernels.files import kernel_from, kernel_parts
from leastwork.models.files import fingerprint
from leastwork.networks.perceptron import Perceptron
from leastwork.networks.value import ValueNetwork
from leastwork.observables import circular
from leastwork.sampling.choices import Choices
from leastwork.sampling.flow_density import log_prob
from leastwork.sampling.stepping import Carry, advance
from leastwork.sampling.work import certify
from leastwork.systems.wrapped import TORSIONAL, WrappedMixture, two_wells

WELLS = {dim: two_wells(dim) for dim in (1, 2)}
TARGET = {dim: mixture.reweighted([0.3, 0.7]) for dim, mixture in WELLS.items()}
N = 2048


def near_trans(x: Tensor) -> Tensor:
    """Within 0.4 rad of the angle 3, a region across the cut at ±π."""
    return wrap(x[:, 0] - 3.0).abs() < 0.4


def close(estimate: lw.Estimate, value: float, slack: float = 0.0) -> bool:
    return abs(float(estimate.value) - value) < 5 * float(estimate.stderr) + slack


@pytest.mark.parametrize(("dim", "process"), [(2, "sde"), (1, "ode")])
def test_samples_are_those_of_the_mixture(dim: int, process: str) -> None:
    x = lw.sample(WELLS[dim].model(), N, steps=40, process=process, seed=1).x
    assert float(x.abs().max()) <= math.pi
    seen = circular(range(dim))
    found, known = lw.Estimate.from_samples(seen(x).double()), WELLS[dim].average(seen)
    assert bool(((found.value - known).abs() < 5 * found.stderr).all())
    inside = lw.Estimate.from_samples(near_trans(x).double())
    assert close(inside, float(WELLS[dim].average(near_trans)), slack=0.005)


@pytest.mark.parametrize(("dim", "solver"), [(1, "euler"), (1, "multistep"), (2, "multistep")])
def test_work_and_weights_of_doobs_transform(dim: int, solver: str) -> None:
    mixture, target = WELLS[dim], TARGET[dim]
    doob = mixture.doob(target)
    ens = lw.sample(mixture.model(), 1024, doob, steps=100, solver=solver, seed=2)
    judged = certify(ens.work, ens.log_weight, doob.log_tilt(ens.x))
    weight = ens.log_weight.exp()
    assert close(lw.Estimate.from_samples(weight), 1.0)
    seen = circular([0])
    for column in (0, 1):  # averages of the model from guided samples
        weighted = lw.Estimate.from_samples(weight * seen(ens.x)[:, column].double())
        assert close(weighted, float(mixture.average(seen)[column]))
    known = mixture.kl(target)
    assert float(judged.work.value) > known - 5 * float(judged.work.stderr)
    assert close(judged.bound, known, slack=0.03 if solver == "euler" else 0.01)  # of 100 steps
    assert float(judged.efficiency.value) > 0.8
    probability = lw.Estimate.from_samples(weight * near_trans(ens.x).double())
    assert close(probability, float(mixture.average(near_trans)), slack=0.005)


def test_paths_do_not_depend_on_turns() -> None:
    model, doob = WELLS[2].model(), WELLS[2].doob(TARGET[2])
    for solver in ("euler", "heun", "exponential", "multistep"):
        sampler = Choices(steps=10, solver=solver).sampler(model, doob)
        x, z = torch.randn(2, 64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        turned = x + 2 * math.pi * torch.tensor([3.0, -1.0], dtype=torch.float64)
        one, other = Carry(x), Carry(turned)
        for step in sampler.steps.table()[3:6]:
            (one, cost), (other, same) = advance(sampler, step, one, z), advance(sampler, step, other, z)
            if cost.work is not None and same.work is not None:
                assert torch.allclose(cost.work, same.work, atol=1e-9)
        assert torch.allclose(other.x - one.x, turned - x, atol=1e-9)


def test_the_noise_that_a_fit_sees_is_that_of_the_score() -> None:
    mixture, model = WELLS[1], WELLS[1].model()
    x0 = mixture.sample(20_000, torch.Generator().manual_seed(3))
    for t in (0.3, 0.7, 0.9):
        x, lever, noise = model.noised(x0, t, torch.Generator().manual_seed(4))
        left = noise - model.expected_noise(x, model.estimate(x, t), t, lever)
        for fn in (torch.sin, torch.cos):
            assert close(lw.Estimate.from_samples((left * fn(x))[:, 0]), 0.0)


@pytest.mark.parametrize("denoised", [False, True])
def test_a_value_network_of_angles(denoised: bool, tmp_path: Path) -> None:
    network = ValueNetwork(2, width=8, depth=2, angles=True, denoised=denoised).double()
    network.standardise(WELLS[2].sample(500, torch.Generator().manual_seed(0)))
    random = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        parameter.data.copy_(0.5 * torch.randn(parameter.shape, generator=random))
    x = torch.randn(16, 2, dtype=torch.float64, generator=random).requires_grad_()
    at = torch.tensor(1.0).double(), torch.tensor(0.6).double()
    value, slope = network.value_and_gradient(x, *at)
    assert torch.allclose(slope, torch.autograd.grad(value.sum(), x)[0], atol=1e-10)
    assert torch.allclose(network(x + 2 * math.pi, *at), value, atol=1e-10)
    u, y = torch.randn(16, 2, dtype=torch.float64, generator=random), x.detach()
    alpha, sigma = torch.ones(1, 1).double(), torch.full((1, 1), 0.5).double()
    ends = [network.view(y + h * u, alpha, sigma).values for h in (1e-5, -1e-5)]
    assert torch.allclose(network.view.push(network.view(y, alpha, sigma), u), (ends[0] - ends[1]) / 2e-5, atol=1e-8)
    last = network(x, at[0], torch.tensor(2 * math.pi).double())
    assert float(last.detach().std()) < 1e-6  # at so much noise an angle says nothing
    lw.save_guidance(LearnedGuidance(network, TORSIONAL), tmp_path / "h")
    again = lw.load_guidance(tmp_path / "h")
    assert isinstance(again, LearnedGuidance)
    assert torch.allclose(again.network.double()(y, *at), value.detach(), atol=1e-5)


def test_the_kernel_of_angles() -> None:
    kernel = usual_kernel(WELLS[1].model())
    assert kernel == AngleKernel() == kernel_from(kernel_parts(kernel))
    guides = wrap(3.1 + 0.3 * torch.randn(40, 1, generator=torch.Generator().manual_seed(0)))
    density = kernel_density(guides, kernel)
    assert 0.05 < density.bandwidth < 0.3  # in spite of the cut
    x = torch.tensor([[-3.1]])
    log_k, score = density.log_kernel_and_score(x)
    ends = [density.log_kernel(x.double() + h) for h in (1e-4, -1e-4)]
    assert isinstance(score, Tensor)
    assert float(score) == pytest.approx(float(ends[0] - ends[1]) / 2e-4, rel=1e-3)
    assert torch.allclose(density.log_kernel(x + 2 * math.pi), log_k, atol=1e-5)


def flow(mixture: WrappedMixture) -> lw.VelocityModel:
    """The probability-flow ODE of the noised mixture, dθ/dt = −σσ̇ ∇ ln p_t."""

    def net(x: Tensor, t: Tensor) -> Tensor:
        sigma, rate = (float(fn(t.double())) for fn in (TORSIONAL.sigma, TORSIONAL.sigma_dot))
        return -sigma * rate * mixture.noised(sigma).score(x)

    return lw.VelocityModel(net, (mixture.dim,), prior=lw.UniformAngles())


def test_a_flow_on_the_torus() -> None:
    model, mixture = flow(WELLS[1]), WELLS[1].noised(TORSIONAL.sigma_min)
    x = lw.sample(model, N, process="ode", steps=60, seed=5).x
    assert float(x.abs().max()) <= math.pi
    seen = circular([0])
    found = lw.Estimate.from_samples(seen(x).double())
    assert bool(((found.value - mixture.average(seen)).abs() < 5 * found.stderr + 0.005).all())
    some = x[:64].double()
    assert torch.allclose(log_prob(model, some, steps=200), mixture.log_prob(some), atol=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": lw.VPSchedule()}, "predicts='score' with VPSchedule is not possible on angles"),
        ({"predicts": "data"}, "take predicts='score'"),
        ({"scale": 2.0}, "angles are in radians and have no centre"),
        ({"subspace": lw.ZeroCentre()}, "angles are in radians and have no centre"),
    ],
)
def test_what_angles_can_not_have(changes, message: str) -> None:
    with pytest.raises(lw.LeastworkError, match=message):
        replace(WELLS[1].model(), **changes)


def test_a_flow_of_angles_has_no_units() -> None:
    with pytest.raises(lw.LeastworkError, match="radians: leave out shift and scale"):
        replace(flow(WELLS[1]), scale=2.0)


def test_check_model_of_angles() -> None:
    mixture, model = WELLS[2], WELLS[2].model()
    data = mixture.sample(300, torch.Generator().manual_seed(0)).float()
    report = lw.check_model(model, data)
    assert not report.faults, str(report)
    assert not report.warnings, str(report)
    other = replace(model, net=lambda x, t: -model.net(x, t))
    assert "other sign" in lw.check_model(other, data, samples=64)["prediction"].words
    noisy = replace(model, predicts="noise")
    assert "predicts='score'" in lw.check_model(noisy, data, samples=64)["prediction"].words
    degrees = data * 180 / math.pi
    assert "of degrees, give data * pi / 180" in lw.check_model(model, degrees, samples=16)["data"].words
    assert lw.check_model(flow(mixture), data, samples=64)["direction"].status == "ok"
    short = replace(model, schedule=lw.VESchedule(0.03, 1.0))
    assert lw.check_model(short, samples=16)["memory"].status == "fault"


def test_angles_that_are_steered_or_transported_are_wrapped() -> None:
    mixture, model = WELLS[1], WELLS[1].model()
    doob = mixture.doob(TARGET[1])
    ens = lw.steer(model, 1024, doob.log_tilt, steps=20, particles=256)
    assert close(ens.log_z, 0.0, slack=0.05)  # of 20 steps
    noise = lw.transport(model, ens.x, steps=40)
    back = lw.transport(model, noise, forward=False, steps=40)
    for x in (ens.x, noise, back):
        assert float(x.abs().max()) <= math.pi
    assert float(wrap(back - ens.x).abs().median()) < 0.02


def test_a_free_rotation_is_no_fault() -> None:
    net = WELLS[2].model().net
    free = replace(WELLS[2].model(), net=lambda x, t: net(x, t) * torch.tensor([1.0, 0.0]))
    x = lw.sample(free, N, steps=20, seed=3).x  # no warning, which would be an error here
    assert close(lw.Estimate.from_samples(x[:, 1].cos().double()), 0.0)
    assert lw.check_model(free, samples=16)["coordinates"].status == "skipped"


def test_models_of_angles_are_saved_and_loaded(tmp_path: Path) -> None:
    net = Perceptron(3, width=4, depth=1).requires_grad_(False).eval()
    mask = torch.tensor([True, False, True])
    models = (
        lw.DiffusionModel(net, TORSIONAL, "score", (3,), periodic=True),
        lw.DiffusionModel(net, TORSIONAL, "noise", (3,), periodic=True, mask=mask),
        lw.VelocityModel(net, (3,), lw.UniformAngles()),
    )
    for number, model in enumerate(models):
        lw.save_model(model, tmp_path / str(number))
        again = lw.load_model(tmp_path / str(number))
        assert again.periodic
        assert fingerprint(again) == fingerprint(model)
        process = "sde" if model.has_score else "ode"
        one, other = (lw.sample(m, 8, steps=4, process=process).x for m in (model, again))
        assert torch.equal(one, other)
    lw.save_model(lw.load_model("prinz"), tmp_path / "plain")
    assert not {"mask", "periodic"} & set(json.loads((tmp_path / "plain/model.json").read_text()))


@pytest.mark.slow
def test_averages_are_guided_with_little_more_than_the_least_work() -> None:
    mixture, seen = WELLS[2], circular([0])
    target = mixture.reweighted([0.4, 0.6]).average(seen)
    run = lw.guide_observables(mixture.model(), lw.Experiment(seen, values=target.tolist()), budget=600_000, seed=0)
    lambdas = run.lambdas.value.double()

    def tilt(x: Tensor) -> Tensor:
        return -seen(x).double() @ lambdas

    assert float((mixture.average(seen, tilt) - target).abs().max()) < 0.05  # the maximum-entropy target
    miss = run.certificate.miss
    assert miss is not None
    of_lambda = run.lambdas.stderr.double() * run.maxent.model_std  # in σ_O: λ is known from a thousand samples
    assert bool((miss.value.abs() < 4 * (miss.stderr.square() + of_lambda.square()).sqrt()).all())  # 1 in 10⁴
    assert float(run.certificate.efficiency.value) > 0.75
    least = float(mixture.average(tilt, tilt) - mixture.average(lambda x: tilt(x).exp()).log())
    assert close(run.certificate.bound, least, slack=0.01)


@pytest.mark.slow
def test_the_free_energy_of_a_region_across_the_cut() -> None:
    mixture = WELLS[2]

    def region(x: Tensor) -> Tensor:
        return wrap(x - math.pi).square().sum(dim=1) < 0.15**2

    points = wrap(math.pi + 0.07 * torch.randn(24, 2, generator=torch.Generator().manual_seed(0)))
    run = lw.guide_path(mixture.model(), points[region(points)], region=region, budget=2_000_000, seed=0)
    fine = mixture.average(region)  # of 512² points
    assert close(run.free_energy, -math.log(float(fine)), slack=0.03)
    drawn = run.sample(2000, seed=1)
    assert float(region(drawn.x).double().mean()) > 0.7


@pytest.mark.slow
def test_a_flow_on_the_torus_is_guided() -> None:
    seen = circular([0])
    target = WELLS[1].reweighted([0.55, 0.45]).average(seen)
    run = lw.guide_observables(
        flow(WELLS[1]), lw.Experiment(seen, values=target.tolist()), process="ode", steps=40, seed=0
    )
    found = lw.Estimate.from_samples(seen(run.sample(N, seed=1).x).double())
    assert bool(((found.value - target).abs() < 5 * found.stderr + 0.01).all())


RUN = """\
model: {python: mine.py}
observables: [{kind: angles, index: [0], names: [phi]}]
data: [{name: cos phi, value: 0.1, error: 0.05}, {name: sin phi, value: 0.0, error: 0.05}]
method: reweight
sampling: {n: 512, steps: 8}
fit: {samples: 512}
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::leastwork.LeastworkWarning")
def test_a_run_of_angles(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from leastwork.systems.wrapped import two_wells\nmodel = two_wells(2).model()\n")
    (tmp_path / "run.yaml").write_text(RUN)
    told = CliRunner().invoke(app, ["run", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), "--quiet"])
    assert told.exit_code == 0, told.output
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert [one["name"] for one in metrics["observables"]] == ["cos phi", "sin phi"]

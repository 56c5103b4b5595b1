"""Guidance of rigid frames against mixtures whose scores and Doob transform are exact."""

import pytest
import torch

import leastwork as lw
from leastwork.fit.network import value_network
from leastwork.geometry.frames import moved, tangent_from
from leastwork.geometry.state import flatten, smap
from leastwork.networks.frames import turn_signal
from leastwork.systems.frame_mixture import FrameDoob, FrameMixture, two_poses

START = two_poses(2)
TARGET = START.with_weights(torch.tensor([0.4, 0.6]))
MODEL = START.model()
SECOND = lw.Observable(lambda x: START.responsibility(x)[:, 1:], names=("second",))


def test_scores_are_gradients_of_the_density():
    x = START.sample(20, torch.Generator().manual_seed(0))
    direction = torch.randn(20, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = (0.7, 0.5, 0.4)

    def log_p(s: float) -> torch.Tensor:
        return START.parts(moved(x, tangent_from(s * direction)), *noise)[0].logsumexp(dim=1)

    shift, turn = START.score(x, *noise)
    found = torch.cat([shift.flatten(1), turn.flatten(1)], dim=1)
    expected = (log_p(1e-5) - log_p(-1e-5)) / 2e-5
    assert ((found * direction).sum(dim=1) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("solver", "steps"), [("euler", 40), ("exponential", 40), ("multistep", 40)])
def test_weights_are_unbiased_and_the_second_law_holds(solver: str, steps: int):
    guidance = FrameDoob(START, TARGET, MODEL)
    ensemble = lw.sample(MODEL, 1024, guidance, solver=solver, steps=steps, seed=1)
    weight = lw.Estimate.from_samples(ensemble.log_weight.exp())
    assert abs(weight.value - 1) < 5 * weight.stderr  # E_Q[dP/dQ] = 1 at any step count; false alarms 6·10⁻⁷
    certificate = lw.certify(ensemble.work, ensemble.log_weight, START.log_ratio(TARGET, ensemble.x))
    assert certificate.dissipation.value > -5 * certificate.dissipation.stderr
    assert certificate.work.value >= certificate.bound.value - 5 * certificate.work.stderr


def test_the_ode_of_frames_has_an_action_and_no_weights():
    ensemble = lw.sample(MODEL, 256, FrameDoob(START, TARGET, MODEL), process="ode", steps=20)
    assert (ensemble.action > 0).all()
    with pytest.raises(lw.NoPathWeightsError):
        ensemble.log_weight  # noqa: B018


def test_rotations_keep_the_signal_that_is_tabulated():
    """Means of entries of R fall by e^{−σ_R²}, so that the variance of the noise is what is left of 1/3."""
    random = torch.Generator().manual_seed(4)
    x = START.sample(20_000, random)
    for t in (0.5, 0.8):
        noisy = MODEL.noised(x, t, random)[0][1]
        mean = 1 / (1 + (-turn_signal(x[1], MODEL.angles.sigma(torch.tensor(t)))).exp() * 3 * x[1].var(dim=0).mean())
        kept = (x[1].mT @ noisy).diagonal(dim1=-2, dim2=-1).mean(dim=(1, 2))
        found = lw.Estimate.from_samples(kept)
        assert abs(found.value - mean.sqrt()) < 5 * found.stderr  # false alarms 6·10⁻⁷


def test_value_of_frames_does_not_vanish_with_the_signal_of_positions():
    x = smap(lambda leaf: leaf.float(), START.sample(500, torch.Generator().manual_seed(5)))
    network = value_network(MODEL, [SECOND], x, 0)
    with torch.no_grad():
        network.head.bias.normal_(generator=torch.Generator().manual_seed(6))
    early, late = (
        float(network(flatten(x), torch.tensor(a), torch.tensor((1 - a**2) ** 0.5)).detach().std()) for a in (0.03, 0.9)
    )
    assert early > 0.1 * late  # positions alone keep 3 % of their signal at this noise


@pytest.mark.slow
def test_exact_guidance_wastes_only_what_steps_cost():
    guidance = FrameDoob(START, TARGET, MODEL)
    ensemble = lw.sample(MODEL, 4096, guidance, steps=250, seed=1)
    certificate = lw.certify(ensemble.work, ensemble.log_weight, START.log_ratio(TARGET, ensemble.x))
    assert certificate.efficiency.value > 0.95
    assert abs(certificate.log_z.value) < 5 * certificate.log_z.stderr  # ln Z = 0
    second = ensemble.mean(SECOND, under="guided")
    assert abs(second.value.item() - 0.6) < 5 * second.stderr.item() + 0.01


@pytest.mark.slow
def test_the_models_own_samples_have_its_law():
    ensemble = lw.sample(MODEL, 4096, steps=200, seed=2)
    drawn = START.sample(4096, torch.Generator().manual_seed(3))
    for name, fn in {
        "second": START.responsibility,
        "height": lambda x: x[0][:, :, 1],
        "turn": lambda x: x[1][:, 0, 0],
    }.items():
        ours, exact = (lw.Estimate.from_samples(fn(x).double().flatten(1)) for x in (ensemble.x, drawn))
        away = (ours.value - exact.value).abs() / (ours.stderr**2 + exact.stderr**2 + 1e-6).sqrt()
        assert away.max() < 5, name


@pytest.mark.slow
def test_learned_guidance_of_frames_reaches_its_target():
    data = lw.Experiment(SECOND, values=[0.6], errors=[0.0])
    run = lw.guide_observables(MODEL, data, seed=0, samples=8192, steps=100, budget=1_500_000, certificate_samples=4096)
    certificate = run.certificate
    assert certificate.miss is not None
    assert abs(certificate.miss.value.item()) < 0.03 + 5 * certificate.miss.stderr.item()
    assert (
        certificate.efficiency.value > 0.7
    )  # five fits had 0.79 to 0.84, and 0.27 where V vanished with the positions


def test_bad_mixtures():
    one = two_poses(2)
    with pytest.raises(lw.LeastworkError, match="sum to one"):
        FrameMixture(torch.tensor([0.5, 0.6]), one.positions, one.rotations, 0.1, 0.1)
    with pytest.raises(lw.LeastworkError, match="positions"):
        FrameMixture(one.weights, one.positions, one.rotations[:, :1], 0.1, 0.1)

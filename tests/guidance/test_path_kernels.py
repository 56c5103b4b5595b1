"""The published forms of path guidance against their formulas, transported guides, and their files."""

import math
from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.errors import ConfigError, NonFiniteError
from leastwork.geometry.euclidean import ZeroCentre
from leastwork.guidance.base import Guidance
from leastwork.guidance.denoised_kernel import LossGuidance
from leastwork.guidance.files import load_guidance, save_guidance
from leastwork.guidance.transported import Sigmoid, TransportedGuidance
from leastwork.kernels.aligned import AlignedKernel
from leastwork.kernels.density import KernelDensity, kernel_density
from leastwork.kernels.flat import EuclideanKernel, FeatureKernel
from leastwork.models.units import Affine
from leastwork.sampling.choices import Choices
from leastwork.sampling.stepping import evaluate
from leastwork.sampling.transport import carry_forward, prior_distance
from leastwork.systems.gaussian import Gaussian
from leastwork.systems.mixtures import two_states

TIMES = (0.001, 0.2, 0.5, 1.0)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def transported(guides=None, kernel=None) -> TransportedGuidance:
    guides = draw(4, 5, 2) if guides is None else guides
    kernel = EuclideanKernel() if kernel is None else kernel
    return TransportedGuidance(kernel, TIMES, guides, Sigmoid(3.0, 0.1, 0.4, 0.2), Sigmoid(0.2, 1.5, 0.6, 0.1))


def test_sigmoid() -> None:
    f = Sigmoid(3.0, 0.1, 0.4, 0.2)
    for t in (0.0, 0.33, 0.4, 1.0):
        assert f(t) == pytest.approx(3.0 + (0.1 - 3.0) / (1 + math.exp(-(t - 0.4) / 0.2)), rel=1e-12)
    assert Sigmoid(1.0, 2.0, 0.5, 1e-6)(0.0) == 1.0  # no overflow
    with pytest.raises(lw.LeastworkError, match="width=0"):
        Sigmoid(1.0, 2.0, width=0.0)


@pytest.mark.parametrize("t", [0.001, 0.3, 0.5, 0.99, 1.0])
def test_transported_against_its_formula(t: float) -> None:
    """h = η ∇ ln Σ exp(−|x − x_t^m|²/2b²) by automatic differentiation, guides linear in t between their times."""
    guidance, x = transported(), draw(7, 2, seed=1).double().requires_grad_()
    row = max(i for i in range(3) if TIMES[i] <= t)
    share = (t - TIMES[row]) / (TIMES[row + 1] - TIMES[row])
    guides = ((1 - share) * guidance.guides[row] + share * guidance.guides[row + 1]).double()
    eta = 3.0 - 2.9 / (1 + math.exp(-(t - 0.4) / 0.2))
    b = 0.2 + 1.3 / (1 + math.exp(-(t - 0.6) / 0.1))
    log_k = (-0.5 * (x[:, None] - guides).square().sum(dim=2) / b**2).logsumexp(dim=1)
    (gradient,) = torch.autograd.grad(log_k.sum(), x)
    torch.testing.assert_close(guidance(x.detach(), t, x.detach()), eta * gradient, rtol=1e-5, atol=1e-7)
    assert not guidance.through_network


def test_beyond_the_table_the_guides_stay() -> None:
    guidance = transported()
    assert torch.equal(guidance.guides_at(0.0), guidance.guides[0])
    assert torch.equal(guidance.guides_at(2.0), guidance.guides[-1])


def test_far_from_all_guides_h_points_to_the_nearest() -> None:
    """At 50 bandwidths every kernel underflows, in float64 too; h is η (x_m − x)/b² of the nearest guide m."""
    guides = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).expand(4, 3, 2)
    guidance, x = transported(guides), torch.tensor([[60.0, 0.0], [-5.0, 40.0]])
    b, eta = guidance.bandwidth(0.1), guidance.strength(0.1)
    nearest = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(guidance(x, 0.1, x), eta * (nearest - x) / b**2, rtol=1e-5, atol=0)


def test_guides_of_a_gaussian_keep_their_quantile() -> None:
    """x_t = α m + s_t/s_0 (x − α_0 m) with s_t² = α² s² + σ²: exact for the flow of N(m, s²)."""
    schedule = lw.VPSchedule()
    times = torch.linspace(1e-3, 1.0, 101, dtype=torch.float64)
    alpha, sigma = schedule.alpha(times), schedule.sigma(times)
    std = (0.25 * alpha**2 + sigma**2).sqrt()
    points = torch.tensor([[0.2], [0.7], [1.9]])
    exact = alpha[:, None] * 0.7 + std[:, None] / std[0] * (points[:, 0].double() - 0.7 * alpha[0])
    found = carry_forward(Gaussian(0.7, 0.5, 1).model(schedule), points, times)
    assert found.shape == (101, 3, 1)
    torch.testing.assert_close(found[..., 0].double(), exact, rtol=0, atol=2e-3)


def test_transported_guides_return() -> None:
    model = two_states(2, (0.3, 0.7), 2.0, 0.4).model(lw.VPSchedule())
    points = draw(6, 2)
    times = torch.linspace(1e-3, 1.0, 101, dtype=torch.float64).flip(0)
    guides = carry_forward(model, points.double(), times)  # in whatever order, in the network's precision
    assert guides.dtype == torch.float32
    torch.testing.assert_close(guides[-1], points)
    torch.testing.assert_close(guides[0], lw.transport(model, points, steps=200), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(lw.transport(model, guides[0], forward=False), points, rtol=1e-3, atol=1e-3)


def test_guides_of_a_centred_model_are_centred() -> None:
    model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), "score", (4, 3), ZeroCentre(), scale=0.5)
    guides = carry_forward(model, 3 + draw(2, 4, 3), TIMES)
    assert float(guides.mean(dim=2).abs().max()) < 1e-5


def test_bad_guides_and_times_are_refused() -> None:
    model = lw.DiffusionModel(lambda x, t: torch.log(x), lw.VPSchedule(), "score", (1,))
    with pytest.raises(NonFiniteError, match="guiding point 1 is not finite at t ="):
        carry_forward(model, torch.tensor([[1.0], [-1.0]]), TIMES)
    with pytest.raises(lw.LeastworkError, match=r"within \[0.001, 1.0\]"):
        carry_forward(model, torch.ones(2, 1), [0.0, 1.0])
    with pytest.raises(lw.LeastworkError, match="pass increasing times, one for each row"):
        TransportedGuidance(EuclideanKernel(), (0.0, 1.0), draw(3, 2, 2), Sigmoid(1, 0), Sigmoid(1, 1))
    with pytest.raises(lw.LeastworkError, match="bandwidths"):
        TransportedGuidance(EuclideanKernel(), TIMES, draw(4, 2, 2), Sigmoid(1, 0), Sigmoid(0, 1))


def test_prior_distance_tells_what_the_model_cannot_produce() -> None:
    """Samples of the model score as χ² does, mean 0 and variance 1 (to five standard errors); others do not."""
    model = two_states(8, (0.5, 0.5), 2.0, 0.4)
    own = model.sample(2000, torch.Generator().manual_seed(0)).float()
    score = prior_distance(model.model(lw.VPSchedule()), own)
    assert abs(float(score.mean())) < 5 / 2000**0.5 + 0.02
    assert float(score.std()) == pytest.approx(1.0, abs=0.12)
    assert float(prior_distance(model.model(lw.VPSchedule()), 3 * own[:20]).mean()) > 10
    flow = lw.VelocityModel(lambda x, t: 0 * x, event_shape=(8,))  # data and noise are the same
    z = draw(2000, 8)
    exact = (z.square().sum(dim=1).double() - 8) / 4
    torch.testing.assert_close(prior_distance(flow, z, steps=2), exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("scale", [1.0, torch.tensor([0.5, 2.0])])
def test_loss_against_its_formula(scale) -> None:
    """h = a e^{−bt} ∇ₓ ln k(shift + scale D(x)), D(x) = tanh(x W), by automatic differentiation from end to end."""
    points, weight = draw(4, 2, seed=2).double(), draw(2, 2, seed=3).double()
    guidance = LossGuidance(KernelDensity(EuclideanKernel(), points, 0.6), 1.7, 0.9, Affine(0.3, scale))
    x = draw(5, 2).double().requires_grad_()
    at = 0.3 + scale * torch.tanh(x @ weight)
    log_k = (-0.5 * (at[:, None] - points).square().sum(dim=2) / 0.36).logsumexp(dim=1)
    (gradient,) = torch.autograd.grad(log_k.sum(), x)
    h = guidance(x, 0.4, torch.tanh(x @ weight))
    torch.testing.assert_close(h, 1.7 * math.exp(-0.36) * gradient, rtol=1e-6, atol=1e-9)
    assert not h.requires_grad


def test_loss_in_the_sampler_and_in_a_sum() -> None:
    model = two_states(2, (0.5, 0.5), 2.0, 0.4).model(lw.VPSchedule())
    loss = LossGuidance(kernel_density(0.2 * draw(6, 2)), 0.5)
    sampler = Choices().sampler(model, loss + loss)
    x = draw(5, 2, seed=4)
    with torch.no_grad():
        y, h = evaluate(sampler, x, 0.4)
        _, once = evaluate(Choices().sampler(model, loss), x, 0.4)
    assert h is not None
    assert not y.requires_grad
    torch.testing.assert_close(h, 2 * once)
    silent = lw.DiffusionModel(lambda x, t: -x.detach(), lw.VPSchedule(), "data", (2,))
    with pytest.raises(lw.LeastworkError, match="no gradient"):
        lw.sample(silent, 4, loss, steps=2)


def test_tuples() -> None:
    guides = (draw(4, 3, 2), draw(4, 3, 2, 2))
    flat = torch.cat([leaf.reshape(4, 3, -1) for leaf in guides], dim=2)
    x = (draw(5, 2, seed=1), draw(5, 2, 2, seed=2))
    h = transported(guides)(x, 0.3, x)
    both = torch.cat([leaf.reshape(5, -1) for leaf in x], dim=1)
    torch.testing.assert_close(
        torch.cat([leaf.reshape(5, -1) for leaf in h], dim=1), transported(flat)(both, 0.3, both)
    )


@pytest.mark.parametrize(
    ("guidance", "shape"),
    [
        (transported(), (2,)),
        (0.5 * transported() + transported(), (2,)),
        (transported(draw(4, 5, 6, 3), AlignedKernel()), (6, 3)),
        (transported(draw(4, 5, 6, 3), EuclideanKernel(ZeroCentre())), (6, 3)),
        (LossGuidance(kernel_density(draw(6, 2)), 0.4, 1.2, Affine(torch.ones(2), 0.5)), (2,)),
        (LossGuidance(kernel_density(draw(6, 5, 3), AlignedKernel()), 0.4), (5, 3)),
    ],
)
def test_files_give_the_same_guidance(guidance: Guidance, shape: tuple[int, ...], tmp_path: Path) -> None:
    save_guidance(guidance, tmp_path)
    loaded = load_guidance(tmp_path)
    assert type(loaded) is type(guidance)
    x = draw(5, *shape, seed=1).requires_grad_()
    assert torch.equal(loaded(x, 0.37, 0.5 * x), guidance(x, 0.37, 0.5 * x))


def test_features_have_no_file_form(tmp_path: Path) -> None:
    for guidance in (
        transported(kernel=FeatureKernel(lambda x: x)),
        LossGuidance(kernel_density(draw(6, 2), FeatureKernel(lambda x: x)), 1.0),
    ):
        with pytest.raises(ConfigError, match="FeatureKernel has no file form"):
            save_guidance(guidance, tmp_path)

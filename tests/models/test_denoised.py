"""The denoised state's Jacobian against exact ones, and what a network that has none is told."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.geometry.state import flatten, leaves
from leastwork.models.denoised import check_gradient, denoised, is_differentiable
from leastwork.models.frames import FrameModel
from leastwork.models.predictions import Moments
from leastwork.systems.frame_mixture import two_poses

SCHEDULE = lw.VPSchedule()


def model_of(net: object, predicts: str = "score") -> lw.DiffusionModel:
    return lw.DiffusionModel(net, SCHEDULE, predicts=predicts, event_shape=(3,))  # type: ignore[arg-type]


def test_products_are_those_of_a_gaussian() -> None:
    """p = N(0, C): D = α C (α² C + σ²)⁻¹ x, so that J is a constant matrix, symmetric but not diagonal."""
    random = torch.Generator().manual_seed(0)
    root = torch.randn(3, 3, generator=random, dtype=torch.float64)
    covariance = root @ root.T
    m = Moments.at(SCHEDULE, 0.3)

    def data(x: Tensor, t: Tensor) -> Tensor:
        return x @ jacobian.T

    jacobian = m.alpha * covariance @ torch.linalg.inv(m.alpha**2 * covariance + m.sigma**2 * torch.eye(3).double())
    x, u, v = torch.randn(3, 5, 3, generator=random, dtype=torch.float64)
    end = denoised(model_of(data, "data"), x, 0.3)
    torch.testing.assert_close(flatten(end.state), x @ jacobian.T)
    torch.testing.assert_close(end.pull(v), v @ jacobian)
    torch.testing.assert_close(end.pushes([u, v])[1], v @ jacobian.T)
    assert not any(leaf.requires_grad for leaf in leaves(end.state))


def test_products_of_frames_are_derivatives_along_geodesics() -> None:
    mixture = two_poses(3)
    model = mixture.model()
    assert isinstance(model, FrameModel)
    from leastwork.geometry.frames import moved, tangent_from
    from leastwork.geometry.rotations import log

    random = torch.Generator().manual_seed(1)
    x = model.from_noise(tuple(torch.randn(4, *shape, generator=random).double() for shape in model.noise_shape))
    u, v = torch.randn(2, 4, 18, generator=random, dtype=torch.float64)
    end = denoised(model, x, 0.4)
    (forward,) = end.pushes([u])
    step = 1e-5
    ahead, behind = (model.denoise(moved(x, tangent_from(sign * step * u)), 0.4) for sign in (1, -1))
    shift = (ahead[0] - behind[0]).flatten(1) / (2 * step)
    turn = log(behind[1].transpose(-1, -2) @ ahead[1]).flatten(1) / (2 * step)
    torch.testing.assert_close(forward, torch.cat([shift, turn], dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((forward * v).sum(dim=1), (end.pull(v) * u).sum(dim=1))  # each is the other's adjoint


class Shy(nn.Module):
    """Computes without a graph."""

    @torch.no_grad()
    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return -x


class Stern(nn.Module):
    @torch.inference_mode()
    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return -x


class Cut(nn.Module):
    """Has parameters, so that its output has a graph, but not to x."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return -self.scale * x.detach()


class Crowd(nn.Module):
    """A sample's answer depends on its batch."""

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return -x - 0.3 * x.mean(dim=0)


X = torch.randn(16, 3, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("net", [Shy(), Stern(), Cut()])
def test_a_network_without_gradient_is_told_and_v_sees_the_noisy_state(net: nn.Module) -> None:
    with pytest.warns(LeastworkWarning, match="cannot be differentiated, its output has no graph"):
        assert not is_differentiable(model_of(net), X)
    with pytest.raises(LeastworkError, match="no gradient with respect to x: take"):
        check_gradient(model_of(net), X)


def test_a_constant_or_a_mixed_batch_is_refused() -> None:
    with pytest.raises(LeastworkError, match="does not depend on x"):
        is_differentiable(model_of(lambda x, t: 0 * x, "data"), X)
    with pytest.raises(LeastworkError, match="depends on the others of its batch"):
        is_differentiable(model_of(Crowd()), X)
    assert is_differentiable(model_of(lambda x, t: -x), X)


def test_observables_are_never_differentiated(brief: Callable[[float], None]) -> None:
    """Least-work guidance of an observable without gradient is that of the same with one, to the last bit."""
    brief(0.02)
    from leastwork.systems.mixtures import two_states

    model = two_states(1, (0.5, 0.5), separation=2.0, std=0.3).model(SCHEDULE)

    def right(x: Tensor) -> Tensor:
        return torch.sigmoid(8 * x[:, 0])

    def bare(x: Tensor) -> Tensor:
        return torch.from_numpy(right(x).detach().numpy().copy())

    drawn = []
    for seen in (right, bare):
        data = lw.Experiment(lw.Observable(seen, names=("right",)), values=[0.6])
        run = lw.guide_observables(
            model, data, budget=200_000, iterations=20, steps=10, samples=2000, certificate_samples=512
        )
        drawn.append(run.sample(64, seed=5).x)
    assert torch.equal(drawn[0], drawn[1])

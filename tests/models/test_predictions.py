"""Five predictions, one object."""

from itertools import product

import pytest
import torch

import leastwork as lw
from leastwork.models.predictions import Moments, from_data, to_data

KINDS = ("score", "noise", "data", "velocity", "v")
SCHEDULES = [lw.VPSchedule(0.1, 20.0), lw.CosineSchedule(), lw.VESchedule(0.01, 50.0), lw.LinearSchedule()]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(("first", "second"), list(product(KINDS, KINDS)))
def test_round_trips(schedule, first: str, second: str) -> None:
    random = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(64, 3, generator=random, dtype=torch.float64) for _ in range(2))
    for t in (0.01, 0.3, 0.7, 0.99):
        m = Moments.at(schedule, t)
        x = m.alpha * x0 + m.sigma * noise
        prediction = from_data(first, x0, x, m)
        there = from_data(second, to_data(first, prediction, x, m), x, m)
        back = from_data(first, to_data(second, there, x, m), x, m)
        assert (back - prediction).norm() <= 1e-12 * prediction.norm()


def test_predictions_are_what_they_are_called() -> None:
    m = Moments.at(lw.CosineSchedule(), 0.4)
    x0, noise = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = m.alpha * x0 + m.sigma * noise
    torch.testing.assert_close(from_data("noise", x0, x, m), noise)
    torch.testing.assert_close(from_data("score", x0, x, m), -noise / m.sigma)
    torch.testing.assert_close(from_data("velocity", x0, x, m), m.alpha_dot * x0 + m.sigma_dot * noise)
    torch.testing.assert_close(from_data("v", x0, x, m), m.alpha * noise - m.sigma * x0)


def normal(x: torch.Tensor, t: torch.Tensor, kind: str, schedule) -> torch.Tensor:
    """The exact network of N(0, 1) data, for any prediction."""
    m = Moments.at(schedule, float(t))
    return from_data(kind, m.alpha / (m.alpha**2 + m.sigma**2) * x, x, m)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_does_not_depend_on_what_its_network_predicts(kind: str) -> None:
    schedule = lw.VPSchedule()
    model = lw.DiffusionModel(lambda x, t: normal(x, t, kind, schedule), schedule, kind, (2,))
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(model.score(x, 0.3), -x)
    torch.testing.assert_close(model.velocity(x, 0.3), torch.zeros_like(x), rtol=0, atol=1e-10)


def test_tuples_of_tensors() -> None:
    schedule = lw.VPSchedule()
    model = lw.DiffusionModel(lambda x, t: (-x[0], -x[1]), schedule, "score", ((2,), (3, 3)))
    first, second = model.denoise((torch.ones(4, 2), torch.ones(4, 3, 3)), 0.2)
    assert first.shape == (4, 2)
    torch.testing.assert_close(first[0, 0], second[0, 0, 0])


def test_subspace_units_and_context() -> None:
    seen = {}

    def net(x, t, **context):
        seen.update(context)
        return x + 1

    model = lw.DiffusionModel(net, lw.VPSchedule(), "data", (5, 3), lw.ZeroCentre(), 1.0, 10.0, {"label": 3})
    denoised = model.denoise(torch.zeros(2, 5, 3), 0.5)
    assert seen == {"label": 3}
    torch.testing.assert_close(denoised, torch.zeros(2, 5, 3))  # the shift of the centroid is projected out
    assert model.dimension == 12
    z = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(model.to_network_units(model.to_data_units(z)), z)
    torch.testing.assert_close(model.to_data_units(z), 1 + 10 * z)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"predicts": "energy"}, "choose one of"),
        ({"scale": 0.0}, "positive"),
        ({"event_shape": (0,)}, "no coordinates"),
        ({"schedule": 3}, "lacks"),
        ({"predicts": "noise", "schedule": lw.CosineSchedule()}, r"t_max=0\.999"),
    ],
)
def test_kind_errors(change, words) -> None:
    good = {"net": lambda x, t: x, "schedule": lw.VPSchedule(), "predicts": "data", "event_shape": (1,)}
    with pytest.raises(lw.LeastworkError, match=words):
        lw.DiffusionModel(**{**good, **change})


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [0.01, 0.5, 0.99])
def test_denoiser_score_and_velocity_of_a_gaussian(kind: str, schedule, t: float) -> None:
    """N(0.7, 0.5²) in closed form, whatever its network predicts and on every schedule."""
    m = Moments.at(schedule, t)
    variance = m.alpha**2 * 0.25 + m.sigma**2

    def net(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        n = Moments.at(schedule, float(time))
        exact = 0.7 + n.alpha * 0.25 / (n.alpha**2 * 0.25 + n.sigma**2) * (x - n.alpha * 0.7)
        return from_data(kind, exact, x, n)

    ends = type(schedule)(t_max=0.999)  # where α is not zero
    model = lw.DiffusionModel(net, ends, kind, (3,))
    random = torch.Generator().manual_seed(4)
    x = m.alpha * 0.7 + variance**0.5 * torch.randn(16, 3, generator=random, dtype=torch.float64)
    score = -(x - m.alpha * 0.7) / variance
    slope = (m.alpha * m.alpha_dot * 0.25 + m.sigma * m.sigma_dot) / variance  # of the std, d ln s/dt
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(model.score(x, t), score, **close)
    torch.testing.assert_close(model.denoise(x, t), (x + m.sigma**2 * score) / m.alpha, **close)
    torch.testing.assert_close(model.velocity(x, t), m.alpha_dot * 0.7 + slope * (x - m.alpha * 0.7), **close)
    for other in KINDS:
        again = to_data(other, model.as_prediction(other, x, t), x, m)
        torch.testing.assert_close(again, model.denoise(x, t), **close)


def test_a_networks_own_prediction_is_not_converted() -> None:
    model = lw.DiffusionModel(lambda x, t: t * x, lw.VPSchedule(), "v", (2,))
    x = torch.ones(1, 2)
    assert torch.equal(model.as_prediction("v", x, 0.3), torch.tensor(0.3) * x)


def test_noise_is_added_by_the_schedule() -> None:
    model = lw.DiffusionModel(lambda x, t: x, lw.CosineSchedule(), "data", ((1,), (2,)))
    m = Moments.at(model.schedule, 0.4)
    one, two = model.add_noise((torch.ones(1, 1), torch.ones(1, 2)), (torch.ones(1, 1), 2 * torch.ones(1, 2)), 0.4)
    torch.testing.assert_close(one, torch.full((1, 1), m.alpha + m.sigma))
    torch.testing.assert_close(two, torch.full((1, 2), m.alpha + 2 * m.sigma))
    assert model.prior_scale == 1
    assert model.dimension == 3


def test_projection_is_orthogonal_and_idempotent() -> None:
    zero_centre = lw.ZeroCentre()
    x, y = (torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in (5, 6))
    once = zero_centre.project(x)
    torch.testing.assert_close(zero_centre.project(once), once)
    torch.testing.assert_close((once * y).sum(), (x * zero_centre.project(y)).sum())
    assert float(once.mean(dim=1).abs().max()) < 1e-15
    first, second = zero_centre.project((x, y))
    assert torch.equal(first, once)
    assert torch.equal(second, zero_centre.project(y))
    assert zero_centre.dimension(((5, 3), (4, 3))) == 21


def test_shift_and_scale_of_every_coordinate() -> None:
    shift, scale = torch.tensor([1.0, -2.0]), torch.tensor([0.1, 10.0])
    model = lw.DiffusionModel(lambda x, t: x, lw.VPSchedule(), "data", (2,), shift=shift, scale=scale)
    z = torch.randn(3, 2, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    x = model.to_data_units(z)
    assert x.dtype == torch.float64
    torch.testing.assert_close(x, shift.double() + scale.double() * z)
    torch.testing.assert_close(model.to_network_units(x), z)
    with pytest.raises(lw.LeastworkError, match="positive"):
        lw.DiffusionModel(lambda x, t: x, lw.VPSchedule(), "data", (2,), scale=torch.tensor([1.0, -1.0]))

"""Members of the tail of a Gaussian: its mean is known."""

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.geometry.state import State
from leastwork.path_guidance.renoise import Members, renoise
from leastwork.sampling.choices import Choices

LAW = Choices(t_grid="log-snr", solver="exponential")
TAIL = 1.5
MEAN, VARIANCE = 1.9386, 0.1506  # of N(0, 1) beyond 1.5: φ/Φ̄ and 1 + 1.5 m − m²


def gaussian() -> lw.DiffusionModel:
    return lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(0.1, 20.0), predicts="score", event_shape=(1,))


def tail(x: State) -> Tensor:
    assert isinstance(x, Tensor)
    return x[:, 0] > TAIL


@pytest.fixture(scope="module")
def found() -> Members:
    points = torch.full((3, 1), 3.0)  # far out: what the chains end with is not what they began with
    return renoise(gaussian(), tail, points, budget=4_000_000, most=8000, chains=1024, seed=1, choices=LAW)


def test_chains_draw_the_model_given_the_region(found: Members) -> None:
    assert isinstance(found.x, Tensor)
    x, w = found.x[:, 0].double(), found.stays / found.stays.sum()
    mean = float(w @ x)
    # 1,024 chains, each worth one independent draw at least: five standard errors, a false alarm in 10⁶
    assert mean == pytest.approx(MEAN, abs=5 * (VARIANCE / 1024) ** 0.5)
    assert float(w @ (x - mean) ** 2) == pytest.approx(VARIANCE, rel=0.25)
    assert bool(tail(found.x).all())
    assert 0.05 < found.acceptance < 0.9
    assert float(found.stays.sum()) >= 8000


def test_how_long_chains_stay_counts(found: Members) -> None:
    """Where few moves come back chains stay: without that the mean would be that of easy places."""
    assert isinstance(found.x, Tensor)
    x = found.x[:, 0].double()
    rare = x > 2.5
    assert float(found.stays[rare].mean()) != pytest.approx(float(found.stays[~rare].mean()), rel=0.02)


def test_the_same_seed_finds_the_same() -> None:
    one, two = (
        renoise(gaussian(), tail, torch.full((2, 1), 2.0), budget=100_000, chains=256, seed=5, choices=LAW)
        for _ in range(2)
    )
    assert torch.equal(one.x, two.x)  # pyright: ignore[reportArgumentType]


def test_a_region_without_guides_or_return_is_refused() -> None:
    with pytest.raises(lw.LeastworkError, match="no guide lies in the region"):
        renoise(gaussian(), tail, torch.zeros(2, 1), budget=10_000, choices=LAW)

    def thin(x: State) -> Tensor:
        assert isinstance(x, Tensor)
        return (x[:, 0] - 2).abs() < 1e-6

    with pytest.raises(lw.LeastworkError, match="came back to"):
        renoise(gaussian(), thin, torch.full((2, 1), 2.0), budget=10_000, choices=LAW)

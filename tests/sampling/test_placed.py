"""Steps placed by their loss, held to guidance that is exact, so that nothing but the steps wastes work."""

import numpy as np
import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.fit.placing import Pilot, pilot_of, place_steps
from leastwork.guidance.interval import IntervalGuidance
from leastwork.models.diffusion import DiffusionModel
from leastwork.sampling.choices import Choices
from leastwork.sampling.placed import at_positions, placed_by_loss, with_steps
from leastwork.sampling.step_loss import step_loss
from leastwork.schedules.gaussian import CosineSchedule, VPSchedule

Z = 5  # standard errors; a false alarm in 10⁶


def normal(schedule: VPSchedule | CosineSchedule) -> DiffusionModel:
    """A standard normal, whose v is zero at all times under a schedule that preserves variance."""
    return DiffusionModel(lambda x, t: 0 * x, schedule, "v", (1,))


def test_an_interval_wastes_less_on_placed_steps() -> None:
    """As much less as the losses of the pilot say, to a fifth of the gain; the narrow interval bends V late."""
    model = normal(VPSchedule())
    h = IntervalGuidance(lw.Observable(lambda x: x, names=("x",)), 1.0, 1.2, 4.0, model.schedule)
    choices = Choices(steps=50)
    placed = place_steps(model, h, choices, Pilot(128, 0), seed=1)
    before, after = (step_loss(model, h, paths=2048, seed=2, **one.law) for one in (choices, placed))
    best = float(before.each.sqrt().mean() ** 2 * 50)
    gain, error = before.total.value - after.total.value, (before.total.stderr**2 + after.total.stderr**2) ** 0.5
    assert gain > Z * error
    assert gain > 0.6 * (before.total.value - best) - Z * error
    assert isinstance(placed.t_grid, Tensor)
    assert len(placed.t_grid) == 51


@pytest.mark.parametrize("schedule", [VPSchedule(), CosineSchedule()])
def test_they_are_as_many_in_the_same_interval_and_never_far_apart(schedule: VPSchedule | CosineSchedule) -> None:
    """Two fifths of the steps are where they were, so that no step grows more than 2.5-fold."""
    model = normal(schedule)
    times = Choices(steps=40).sampler(model).steps.times
    loss = torch.zeros(40).index_fill(0, torch.tensor([7]), 1.0)  # all in one step
    found = placed_by_loss(model, times, loss)
    assert found.shape == times.shape
    assert found[0] == times[0]
    assert found[-1] == times[-1]
    assert bool((found.diff() < 0).all())
    long = torch.from_numpy(np.diff(np.interp(-found.numpy(), -times.numpy(), np.arange(41.0))))  # in old steps
    assert float(long.max()) < 1 / 0.38
    assert float(long.min()) < 0.5  # where the loss is
    assert int(long.argmin()) > 1


def test_times_between_others_halve_the_log_snr() -> None:
    model = normal(VPSchedule())
    times = Choices(steps=10).sampler(model).steps.times
    found = with_steps(model, times, 20)
    assert found[::2].equal(times)
    middle = 0.5 * (model.schedule.log_snr(times)[:-1] + model.schedule.log_snr(times)[1:])
    assert torch.allclose(model.schedule.log_snr(found[1::2]), middle, atol=1e-6)
    infinite = normal(CosineSchedule())
    ends = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    if not bool(torch.isfinite(infinite.schedule.log_snr(ends)).all()):
        halves = at_positions(infinite, ends, torch.tensor([0.5, 1.5]).double())
        assert halves.tolist() == [0.75, 0.25]  # in t, where the log-SNR is infinite


def test_no_loss_moves_nothing_and_a_grid_that_was_asked_for_stays() -> None:
    model = normal(VPSchedule())
    times = Choices(steps=10).sampler(model).steps.times
    assert placed_by_loss(model, times, torch.zeros(10)).equal(times)
    assert placed_by_loss(model, times, torch.full((10,), torch.nan)).equal(times)
    assert pilot_of(model, Choices(steps=10, t_grid="signal"), False, 10**9) == Pilot(0, 0)
    assert pilot_of(model, Choices(steps=10), False, 1000) == Pilot(0, 0)  # a twentieth does not pay for 32 paths
    assert pilot_of(model, Choices(steps=10), False, 10**6) == Pilot(128, 128 * 31)
    assert pilot_of(model, Choices(steps=10), True, 50_000) == Pilot(40, 40 * 61)

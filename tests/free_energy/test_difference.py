"""Differences of two states of models with exact answers."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import leastwork as lw
from leastwork.errors import LeastworkError
from leastwork.free_energy.collected import Collected
from leastwork.free_energy.difference import Difference, difference_of, memberships
from leastwork.free_energy.guided import Task
from leastwork.free_energy.job import guide_to_states
from leastwork.free_energy.methods import TwoStates
from leastwork.sampling.choices import Choices
from leastwork.support.progress import no_progress

_FIVE = 5.0  # standard errors; false alarms 6·10⁻⁷ each


def normal() -> lw.DiffusionModel:
    return lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))


def above(edge: float) -> Callable[[Tensor], Tensor]:
    def inside(x: Tensor) -> Tensor:
        return x[:, 0] > edge

    return inside


def log_odds_of_normal(edge: float) -> float:
    """ln P(x > edge)/P(x ≤ edge) of N(0, 1)."""
    p = float(torch.special.ndtr(torch.tensor(-edge, dtype=torch.float64)))
    return math.log(p / (1 - p))


@pytest.fixture(scope="module")
def found() -> Difference:
    return lw.free_energy_difference(
        normal(), above(1.5), lambda x: ~above(1.5)(x), samples=600, own=2000, noised=6000, steps=40
    )


def test_a_state_of_one_in_fifteen(found: Difference) -> None:
    assert abs(found.value.value - log_odds_of_normal(1.5)) < _FIVE * found.value.stderr
    assert found.states == ("A",)
    assert found.value.stderr < 0.8 * found.counted.stderr
    first, second = found.free_energies.value.tolist()
    assert found.value.value == pytest.approx(second - first)


def test_counting_stands_beside_it(found: Difference) -> None:
    assert abs(found.counted.value - log_odds_of_normal(1.5)) < _FIVE * found.counted.stderr
    p = math.exp(-float(found.free_energies.value[0]))
    drawn = found.network_evaluations / 41
    assert found.counting_error == pytest.approx(math.sqrt((1 / p + 1 / (1 - p)) / drawn), rel=0.02)


def test_states_that_overlap() -> None:
    with pytest.raises(LeastworkError, match=r"of 200 samples of the model are in A and in B: make the states exclude"):
        lw.free_energy_difference(normal(), above(0), above(1), own=200, steps=5)


def test_a_state_that_is_never_visited() -> None:
    with pytest.raises(LeastworkError, match=r"visits A in 0 of 200 samples, .* give two or more .*guides_a="):
        lw.free_energy_difference(normal(), above(9), lambda x: x[:, 0] < 0.5, own=200, steps=5)


def test_membership_that_is_no_bool() -> None:
    with pytest.raises(LeastworkError, match="membership in B is no bool tensor"):
        lw.free_energy_difference(normal(), above(1), lambda x: x[:, 0], own=200, steps=5)


@pytest.mark.slow
def test_a_state_of_one_in_fifteen_hundred_from_guides() -> None:
    guides = torch.linspace(3.22, 3.6, 12)[:, None]
    found = lw.free_energy_difference(
        normal(),
        above(3.2),
        lambda x: x[:, 0] < 1,
        guides_a=guides,
        samples=2000,
        own=2000,
        budget=1_000_000,
        steps=100,
    )
    p = torch.special.ndtr(torch.tensor([-3.2, 1.0], dtype=torch.float64)).log()
    print(f"\n{found.value}, exact {float(p[0] - p[1]):.3f}, counting ± {found.counting_error:.2g}")
    assert abs(found.value.value - float(p[0] - p[1])) < _FIVE * found.value.stderr
    assert found.value.stderr < 0.1


@pytest.mark.slow
def test_errors_cover() -> None:
    """100 repeats of all samples with one guidance, against the exact Gaussian."""
    inside, exact = 0, log_odds_of_normal(1.5)
    coordinate = memberships(above(1.5), lambda x: ~above(1.5)(x), normal())
    learned = guide_to_states(normal(), coordinate, TwoStates(400, 6000, 1), samples=2000, steps=100)
    for seed in range(100):
        task = Task(normal(), coordinate, Choices(steps=100), seed + 1, 1000, no_progress)
        guided = lw.sample(normal(), 200, learned.guidance, steps=100, seed=seed + 500)
        own = Collected((task.drawn(task.own(1000)),), (0,))
        collected = own.with_tilt(learned.tilt, [task.drawn(guided)])
        one = difference_of(collected, collected.joined(seed))
        inside += abs(one.value.value - exact) < 1.96 * one.value.stderr
    print(f"\ncovered {inside} of 100")
    assert 88 <= inside <= 100  # 95 less 3.2 binomial standard deviations

"""Fits that end early: by Ctrl-C, when their time is over, or when their budget is used up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.fit.stopping import StoppedError, within
from leastwork.guidance.learned import LearnedGuidance
from leastwork.path_guidance.job import guide_path
from leastwork.path_guidance.shares import share_budget
from leastwork.support.checkpoints import checkpoints
from leastwork.support.progress import Tick, no_progress
from leastwork.systems.thin_region import TwoWell, two_well

SMALL = {"samples": 500, "budget": 180_000, "steps": 10, "certificate_samples": 200}


@pytest.fixture(scope="module")
def well() -> TwoWell:
    return two_well(0.05, dim=1)


@pytest.fixture(scope="module")
def points(well: TwoWell) -> torch.Tensor:
    return well.conditional_sample(12, torch.Generator().manual_seed(5)).float()


def stopping_in(label: str, number: int = 1, error: Callable[[], BaseException] = KeyboardInterrupt) -> Any:
    """A progress that raises an error at the first tick of the part of this label and number."""
    seen: list[str] = []

    @contextmanager
    def progress(name: str, total: int) -> Iterator[Tick]:
        seen.append(name)

        def tick(count: int = 1) -> None:
            if name == label and seen.count(label) == number:
                raise error()

        yield tick

    return progress


@pytest.mark.parametrize(
    ("label", "number", "judged"),
    [
        pytest.param("drawing guided paths", 1, "no guided path", marks=pytest.mark.slow),
        ("learning V on guided paths", 2, "guided paths .*% ended"),
    ],
)
def test_an_interrupted_fit_has_the_guidance_so_far(well, points, brief, label, number, judged) -> None:
    brief(0.05)
    model = well.mixture.model(lw.VPSchedule())
    with pytest.warns(LeastworkWarning, match=f"the fit ended early, since it was interrupted: .*{judged}"):
        run = guide_path(model, points, region=well.region, progress=stopping_in(label, number), **SMALL)
    assert isinstance(run.guidance, LearnedGuidance)
    assert (run.guidance.bound is None) == (number == 1)  # the first paths make the bound
    assert run.network_evaluations < SMALL["budget"]


def test_what_has_no_guidance_yet_is_interrupted_as_ever(well, points, tmp_path: Path) -> None:
    model = well.mixture.model(lw.VPSchedule())
    with pytest.raises(KeyboardInterrupt):
        guide_path(model, points, region=well.region, progress=stopping_in("finding members of the region"), **SMALL)
    with pytest.raises(LeastworkError, match=r"seconds=0 were over while sampling before there was any guidance: give"):
        guide_path(model, points, region=well.region, seconds=0, **SMALL)
    with pytest.raises(LeastworkError, match="seconds=-1 cannot be used: give the longest time of the fit in seconds"):
        guide_path(model, points, region=well.region, seconds=-1, **SMALL)
    stop = stopping_in("fitting the path guidance")
    with checkpoints(tmp_path / "pieces", {}), pytest.raises(KeyboardInterrupt):  # which go on later
        guide_path(model, points, "transported", region=well.region, progress=stop, samples=200, steps=5)


def test_a_search_that_is_over_has_the_best_so_far(well, points) -> None:
    model = well.mixture.model(lw.VPSchedule())
    calls: list[int] = []

    def third() -> BaseException:
        return StoppedError("time was up", "give more")

    @contextmanager
    def progress(name: str, total: int) -> Iterator[Tick]:
        def tick(count: int = 1) -> None:
            calls.append(count)
            if name == "fitting the path guidance" and calls.count(1) > 2 and not over:
                over.append(name)
                raise third()

        calls.clear()
        yield tick

    over: list[str] = []
    with pytest.warns(LeastworkWarning, match="since time was up: the guidance is the one so far, the best of 3 para"):
        run = guide_path(model, points, "transported", region=well.region, progress=progress, samples=500, steps=10)
    assert len(run.fit.history) == 3


def test_time_is_over_once() -> None:
    limited = within(no_progress, 0.0)
    with limited("a", 3) as tick, pytest.raises(StoppedError, match=r"^seconds=0 were over while a before"):
        tick()
    with limited("b", 3) as tick:
        tick()  # what was begun can be completed


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("through", [True, False])
def test_the_budget_that_is_asked_for_suffices(bounded: bool, through: bool) -> None:
    own = 55_000
    with pytest.raises(LeastworkError, match=r"budget=1000 is too small for 10 steps: give at least \d+ network") as e:
        share_budget(1000, own, 10, through, bounded, 2)
    least = int(str(e.value).split("at least ")[1].split(" ")[0])
    share = share_budget(least, own, 10, through, bounded, 2)
    spent = own + int(0.2 * least)
    paths = share.paths(spent)
    assert spent + share.states + share.path * paths <= least
    with pytest.raises(LeastworkError, match="too small"):
        share_budget(int(0.6 * least), own, 10, through, bounded, 2)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [10, 40])
def test_a_budget_is_a_cap(well, points, brief, steps: int) -> None:
    brief(0.01)
    model = well.mixture.model(lw.VPSchedule())
    with pytest.raises(LeastworkError, match="too small") as caught:
        guide_path(model, points, region=well.region, budget=50_000, steps=steps)
    least = int(str(caught.value).split("at least ")[1].split(" ")[0])
    run = guide_path(model, points, region=well.region, budget=least, steps=steps, certificate_samples=100)
    assert 0.5 * least < run.network_evaluations <= least

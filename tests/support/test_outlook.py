"""The time until the end of a run: by what was expected, by the stage in hand, and by the pace of what was done."""

from itertools import count

import pytest

from leastwork.support import outlook, progress
from leastwork.support.outlook import with_outlook
from leastwork.support.progress import no_progress


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    assert outlook.time is progress.time
    return clock


def test_each_phase_says_its_number_and_when_all_is_done(clock: Clock) -> None:
    said: list[str] = []
    shown = with_outlook(no_progress, {"": {"fit": 60.0, "samples": 120.0, "report": 20.0}}, said.append)
    with shown("fit: sampling", 10):
        pass
    with shown("fit: learning V", 10):
        clock.now = 50.0
    with shown("samples: sampling", 10):
        pass
    with shown("what nobody planned", 1):
        pass
    with shown("report: page", 1):
        pass
    assert said == [
        "fit (1 of 3); about 3 min 20 s until the end",
        "samples (2 of 3); about 2 min 20 s until the end",
        "report (3 of 3); about 20 s until the end",
    ]


def test_a_stage_that_takes_longer_is_believed_and_lengthens_what_is_to_come(clock: Clock) -> None:
    said: list[str] = []
    shown = with_outlook(no_progress, {"": {"fit": 40.0, "samples": 100.0}}, said.append)
    with shown("fit: learning V", 100) as tick:
        for second in count(1):
            if second > 100:
                break
            clock.now = float(second)
            tick()
    assert [line.split("; ")[1] for line in said] == [
        "about 2 min 20 s until the end",
        "about 3 min 10 s until the end",  # after 60 of 100 seconds, of which 40 were expected
    ]
    with shown("samples: sampling", 10):
        pass
    assert said[-1] == "samples (2 of 2); about 4 min 10 s until the end"


def test_parts_side_by_side_end_with_the_last_and_one_after_the_other_in_their_sum(clock: Clock) -> None:
    parts = {"a": {"fit": 60.0}, "b": {"fit": 30.0}}
    together: list[str] = []
    apart: list[str] = []
    for said, at_once in ((together, True), (apart, False)):
        shown = with_outlook(no_progress, parts, said.append, at_once)
        for label in ("a: fit: sampling", "b: fit: sampling"):
            with shown(label, 1):
                pass
    assert together == ["a: fit (1 of 1); about 1 min until the end", "b: fit (1 of 1); about 30 s until the end"]
    assert apart == ["a: fit (1 of 1); about 1 min 30 s until the end", "b: fit (1 of 1); about 30 s until the end"]


def test_where_nobody_knows_how_long_a_fit_takes_it_says_so(clock: Clock) -> None:
    said: list[str] = []
    shown = with_outlook(no_progress, {"": {"fit": None, "samples": 50.0}}, said.append)
    for label in ("fit: fitting the schedule", "samples: sampling"):
        with shown(label, 1):
            pass
    assert said == ["fit (1 of 2); when it ends is known after the fit", "samples (2 of 2); about 50 s until the end"]

"""Progress in a log: lines for people, JSON for programs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from leastwork.support import progress
from leastwork.support.progress import EFFECTIVE, Tick, json_lines, lines, no_progress


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second passes between two looks at the clock."""
    seconds = count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))


def test_lines_come_every_minute_and_say_how_far_how_fast_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    with lines("sampling", 100) as tick:
        for _ in range(100):
            tick()
    *said, last = capsys.readouterr().err.splitlines()
    assert 4 <= len(said) <= 8
    assert all("/s, " in line and line.endswith(" left") for line in said)
    assert said[0].startswith("sampling: 2%, 0.25/s, ")
    assert last.startswith("sampling: ")


def test_json_has_a_line_at_the_beginning_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    shown: list[int] = []

    @contextmanager
    def own(label: str, total: int) -> Iterator[Tick]:
        yield lambda count=1: shown.append(count)

    file = tmp_path / "log.jsonl"
    for _ in range(2):  # a command that goes on adds to the file
        with json_lines(file, own) as logged:
            with logged("sampling", 40) as tick:
                for _ in range(20):
                    tick(2)
            with logged(f"part: {EFFECTIVE}", 40) as tick:
                tick(31)
            with logged("noising", 3):
                pass
    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert shown == 2 * ([2] * 20 + [31])
    assert set(found[0]) == {"time", "stage", "done", "total", "rate", "seconds_left", "ess"}
    sampling = [one for one in found[: len(found) // 2] if one["stage"] == "sampling"]
    assert (sampling[0]["done"], sampling[0]["rate"], sampling[0]["ess"]) == (0, None, None)
    assert (sampling[-1]["done"], sampling[-1]["total"], sampling[-1]["seconds_left"]) == (40, 40, 0)
    assert 3 <= len(sampling) <= 12
    assert sampling[-1]["rate"] > 0
    assert [one["ess"] for one in found if one["stage"] == "noising"] == [31] * 4


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with no_progress("sampling", 4) as tick:
        tick()
    assert capsys.readouterr() == ("", "")

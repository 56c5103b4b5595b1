"""Progress, as a context manager that counts steps: silent by default, a bar in a terminal, lines or JSON in a log."""

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO, TypeAlias, cast

from leastwork.support.arguments import refused
from leastwork.support.notebook import in_notebook, notebook_bar
from leastwork.support.numerals import duration, plain

__all__ = [
    "EFFECTIVE",
    "Meter",
    "Progress",
    "Tick",
    "bar",
    "check_progress",
    "json_lines",
    "labelled",
    "lines",
    "no_progress",
]

Tick: TypeAlias = Callable[..., None]
Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Tick]]

EFFECTIVE = "effective samples"
"""Label of a stage whose steps are the effective samples there are, by which a log knows them."""


def check_progress(value: Any) -> Progress:
    """The progress that a public function was given.

    Raises:
        LeastworkError: it cannot be called.
    """
    if callable(value):
        return cast(Progress, value)
    raise refused("progress", value, "give leastwork.support.progress.bar or lines of that module, or leave it out")


@contextmanager
def no_progress(label: str, total: int) -> Iterator[Tick]:
    """Shows nothing.

    >>> with no_progress("sampling", 10) as tick:
    ...     tick()
    """

    def tick(count: int = 1) -> None:
        pass

    yield tick


@contextmanager
def bar(label: str, total: int) -> Iterator[Tick]:
    """A bar on stderr, so that stdout stays a program's result; several at once stand below each other.

    In a notebook the bar is HTML below the cell, and vanishes at the end as well.
    """
    meter = Meter(total)
    if in_notebook():
        with notebook_bar(label, total) as show:

            def tell(count: int = 1) -> None:
                meter.count(count)
                left = "" if meter.left is None else f", {duration(meter.left)} left"
                show(meter.done, f"{meter.rate_in_words}{left}")

            yield tell
        return
    with _bars() as bars:
        task = bars.add_task(label, total=total, rate="")

        def tick(count: int = 1) -> None:
            meter.count(count)
            bars.update(task, advance=count, rate=meter.rate_in_words)

        try:
            yield tick
        finally:
            bars.remove_task(task)


_display: list[Any] = []  # the bars on the screen, of which a terminal holds one set


@contextmanager
def _bars() -> Iterator[Any]:
    """The bars that are on the screen already, or new ones."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    if _display:
        yield _display[0]
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        _display.append(bars)
        try:
            yield bars
        finally:
            _display.clear()


_FIRST_LINE, _BETWEEN_LINES = 3.0, 60.0  # seconds before the first line, and between two lines
_BETWEEN_RECORDS = 10.0  # seconds between two lines of JSON of a stage
_MOST_MARKS, _BETWEEN_MARKS = 60, 1.0  # times from which a rate is computed, and the seconds between them, at least


@dataclass
class Meter:
    """Steps of a stage that are done, and their rate in the last minute or the last 60 steps, whichever is longer.

    Args:
        total: number of steps of the stage.
        begin: when it began, by ``time.monotonic``.
        done: number of steps that are done.
    """

    total: int
    begin: float = field(default_factory=lambda: time.monotonic())
    done: int = 0

    def __post_init__(self) -> None:
        self.marks: deque[tuple[float, int]] = deque([(self.begin, 0)], maxlen=_MOST_MARKS)

    def count(self, steps: int) -> None:
        """Note that so many more steps are done."""
        self.done += steps
        now = time.monotonic()
        if now - self.marks[-1][0] >= _BETWEEN_MARKS:
            self.marks.append((now, self.done))

    @property
    def spent(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self.begin

    @property
    def rate(self) -> float | None:
        """Steps a second, or None while no step is done."""
        since, before = self.marks[0]
        seconds = time.monotonic() - since
        return (self.done - before) / seconds if self.done > before and seconds > 0 else None

    @property
    def rate_in_words(self) -> str:
        return "" if self.rate is None else f"{plain(self.rate, 3)}/s"

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take, or None while no step is done."""
        return None if self.rate is None else (self.total - self.done) / self.rate


@contextmanager
def lines(label: str, total: int) -> Iterator[Tick]:
    """Lines on stderr, for a log file: how far it is, how fast, and how long it still takes, every minute."""
    meter = Meter(total)
    said = meter.begin - _BETWEEN_LINES + _FIRST_LINE

    def tick(count: int = 1) -> None:
        nonlocal said
        meter.count(count)
        now = time.monotonic()
        if now - said >= _BETWEEN_LINES and 0 < meter.done < total and meter.left is not None:
            said = now
            _say(f"{label}: {meter.done / total:.0%}, {meter.rate_in_words}, {duration(meter.left)} left")

    yield tick
    if meter.spent > 1:
        _say(f"{label}: {meter.spent:.0f} s")


@contextmanager
def json_lines(file: Path, progress: Progress) -> Iterator[Progress]:
    """The same progress, which a file follows as well: one JSON object for each line, added to those that are there.

    Its keys are ``time`` (with the time zone), ``stage``, ``done`` and ``total`` (steps), ``rate`` (steps a second),
    ``seconds_left`` and ``ess`` (effective samples of the run so far); what is not known yet is null.

    Args:
        file: made if need be.
        progress: shows what is logged.

    Raises:
        OSError: the file cannot be written.
    """
    with file.open("a", encoding="utf-8", buffering=1) as log:
        yield _logged(log, progress)


def _logged(log: TextIO, progress: Progress) -> Progress:
    known: dict[str, float | None] = {"ess": None}

    def write(label: str, meter: Meter) -> None:
        known_at_once = label.endswith(EFFECTIVE)
        if known_at_once and meter.done:
            known["ess"] = meter.done
        at = datetime.now().astimezone().isoformat(timespec="seconds")
        rate, left = (None if one is None or known_at_once else round(one, 3) for one in (meter.rate, meter.left))
        progressed = {"time": at, "stage": label, "done": meter.done, "total": meter.total}
        log.write(json.dumps({**progressed, "rate": rate, "seconds_left": left, **known}) + "\n")

    @contextmanager
    def logged(label: str, total: int) -> Iterator[Tick]:
        meter = Meter(total)
        said = meter.begin
        write(label, meter)
        with progress(label, total) as shown:

            def tick(count: int = 1) -> None:
                nonlocal said
                shown(count)
                meter.count(count)
                if time.monotonic() - said >= _BETWEEN_RECORDS:
                    said = time.monotonic()
                    write(label, meter)

            yield tick
        write(label, meter)

    return logged


def labelled(progress: Progress, name: str) -> Progress:
    """The same progress with a name before every label, or without if the name is empty.

    >>> with labelled(no_progress, "transition")("sampling", 10) as tick:
    ...     tick()
    """
    return (lambda label, total: progress(f"{name}: {label}", total)) if name else progress


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

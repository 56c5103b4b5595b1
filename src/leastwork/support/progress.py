"""Progress, as a context manager that counts steps: silent by default, a bar in a terminal, lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias, cast

from leastwork.support.arguments import refused

__all__ = ["Progress", "Tick", "bar", "check_progress", "labelled", "lines", "no_progress"]

Tick: TypeAlias = Callable[..., None]
Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Tick]]


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
    """A bar on stderr, so that stdout stays a program's result; several at once stand below each other."""
    with _bars() as bars:
        task = bars.add_task(label, total=total)

        def tick(count: int = 1) -> None:
            bars.advance(task, count)

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
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        _display.append(bars)
        try:
            yield bars
        finally:
            _display.clear()


_FIRST_LINE, _BETWEEN_LINES = 3.0, 10.0  # seconds before the first line, and between two lines


@contextmanager
def lines(label: str, total: int) -> Iterator[Tick]:
    """Lines on stderr, for a log file: how far it is and how long it still takes, every ten seconds."""
    begin = time.monotonic()
    done, said = 0, begin - _BETWEEN_LINES + _FIRST_LINE

    def tick(count: int = 1) -> None:
        nonlocal done, said
        done += count
        now = time.monotonic()
        if now - said >= _BETWEEN_LINES and 0 < done < total:
            said = now
            left = (now - begin) * (total - done) / done
            print(f"{label}: {done / total:.0%}, {left:.0f} s left", file=sys.stderr, flush=True)

    yield tick
    spent = time.monotonic() - begin
    if spent > 1:
        print(f"{label}: {spent:.0f} s", file=sys.stderr, flush=True)


def labelled(progress: Progress, name: str) -> Progress:
    """The same progress with a name before every label, or without if the name is empty.

    >>> with labelled(no_progress, "transition")("sampling", 10) as tick:
    ...     tick()
    """
    return (lambda label, total: progress(f"{name}: {label}", total)) if name else progress

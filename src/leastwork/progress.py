"""Progress, as a context manager that counts steps: silent by default, a bar in a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

__all__ = ["Progress", "bar", "labelled", "no_progress"]

Tick: TypeAlias = Callable[..., None]
Progress: TypeAlias = Callable[[str, int], AbstractContextManager[Tick]]


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
    """A bar on stderr, so that stdout stays a program's result."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(file=sys.stderr), transient=True) as bars:
        task = bars.add_task(label, total=total)

        def tick(count: int = 1) -> None:
            bars.advance(task, count)

        yield tick


def labelled(progress: Progress, name: str) -> Progress:
    """The same, with a name before every label.

    >>> with labelled(no_progress, "transition")("sampling", 10) as tick:
    ...     tick()
    """
    return lambda label, total: progress(f"{name}: {label}", total)

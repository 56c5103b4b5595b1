"""Several pieces of work side by side, each in a process of its own.

What a piece says (its progress, its warnings, why it stopped) comes back through a pipe. A piece that stops does not
stop the others: what they compute is kept, and the first reason is raised at the end. Where the parent dies, the pipe
breaks and the children end with it.
"""

import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeAlias

from torch import set_num_threads

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.support.progress import Progress, Tick

__all__ = ["Work", "side_by_side"]

_SECONDS_TO_END = 5.0  # seconds

Work: TypeAlias = Callable[[Progress], None]
"""Something that can be pickled, by its name and arguments, and told how to show progress."""


@dataclass(frozen=True)
class _Opened:
    number: int
    label: str
    total: int


@dataclass(frozen=True)
class _Ticked:
    number: int
    count: int


@dataclass(frozen=True)
class _Closed:
    number: int


@dataclass(frozen=True)
class _Warned:
    text: str


@dataclass(frozen=True)
class _Finished:
    """The end of a piece, with an error of this kind and message if there was one."""

    kind: type[LeastworkError] | None = None
    text: str = ""


_Message: TypeAlias = _Opened | _Ticked | _Closed | _Warned | _Finished


def side_by_side(pieces: Mapping[str, Work], threads: int, progress: Progress) -> None:
    """Carry out all pieces at once.

    Args:
        pieces: each with the name that errors call it by.
        threads: number of torch's threads in each process.
        progress: told what the pieces tell.

    Raises:
        LeastworkError: what the first piece to stop raised, after all others have ended; or that one was killed.
    """
    context = get_context("spawn")  # a forked process would inherit torch's threads in an unknown state
    running: dict[Connection, tuple[str, BaseProcess]] = {}
    shown: dict[tuple[str, int], tuple[ExitStack, Tick]] = {}
    errors: list[LeastworkError] = []
    try:
        for name, work in pieces.items():
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_carry_out, args=(work, threads, there))  # has workers
            process.start()
            there.close()
            running[here] = (name, process)
        while running:
            for channel in wait(list(running)):
                assert isinstance(channel, Connection)
                name, process = running[channel]
                try:
                    message: _Message = channel.recv()
                except EOFError:
                    message = _Finished(LeastworkError, f"part {name!r}: its process was killed, perhaps for memory")
                if not isinstance(message, _Finished):
                    _show(message, name, shown, progress)
                    continue
                del running[channel]
                process.join()
                if message.kind is not None:
                    errors.append(message.kind(message.text))
                    if running:
                        others = ", ".join(repr(other) for other, _ in running.values())
                        warnings.warn(f"{message.text}; {others} goes on", LeastworkWarning, stacklevel=2)
    finally:
        _end([process for _, process in running.values()])
        for stack, _ in shown.values():
            stack.close()
    if errors:
        raise errors[0]


def _end(processes: Sequence[BaseProcess]) -> None:
    """No process outlives the call; one that does not listen is killed."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_SECONDS_TO_END)
        if process.is_alive():
            process.kill()
            process.join()


def _show(
    message: _Message, name: str, shown: dict[tuple[str, int], tuple[ExitStack, Tick]], progress: Progress
) -> None:
    match message:
        case _Opened(number, label, total):
            stack = ExitStack()
            shown[name, number] = stack, stack.enter_context(progress(label, total))
        case _Ticked(number, steps):
            shown[name, number][1](steps)
        case _Closed(number):
            shown.pop((name, number))[0].close()
        case _Warned(text):
            warnings.warn(text, LeastworkWarning, stacklevel=3)
        case _Finished():
            pass


def _leave(number: int, _: object) -> None:
    """Leave the process, closing what is open."""
    sys.exit(128 + number)


def _carry_out(work: Work, threads: int, channel: Connection) -> None:
    """Carry out a piece in a child process, and send progress, warnings and errors to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent as well, which ends its children
    signal.signal(signal.SIGTERM, _leave)
    set_num_threads(threads)
    numbers = count()

    @contextmanager
    def progress(label: str, total: int) -> Iterator[Tick]:
        number = next(numbers)
        channel.send(_Opened(number, label, total))
        yield lambda count=1: channel.send(_Ticked(number, count))
        channel.send(_Closed(number))

    def show(message: Warning | str, category: type[Warning], *rest: object) -> None:
        if issubclass(category, LeastworkWarning):
            channel.send(_Warned(str(message)))

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", LeastworkWarning)
            warnings.showwarning = show
            work(progress)
        channel.send(_Finished())
    except BrokenPipeError:  # the parent is gone, and nobody waits for an answer
        sys.exit(1)
    except (LeastworkError, OSError) as error:
        kind = type(error) if isinstance(error, LeastworkError) else LeastworkError
        channel.send(_Finished(kind, str(error)))

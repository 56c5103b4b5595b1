"""Pieces of work on the workers of any executor of :pep:`3148`: a pool of processes or threads, Dask's, mpi4py's.

    with using(executor):
        run = guide_observables(...)

Whatever takes long within asks for its pieces by :func:`pieces`, which are carried out here where there is no executor.
What all pieces share is sent to each worker once, and kept there until the pieces of another call arrive. Pieces that
turn out to be quick travel several at a time (:mod:`leastwork.support.pace`), since each journey costs milliseconds.
Retries and queues are up to the executor; what Dask gives up is tried again (:mod:`leastwork.support.given_up`).
"""

import os
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.support.allocator import keep_freed_memory
from leastwork.support.given_up import GivenUp
from leastwork.support.pace import Pace
from leastwork.support.same_code import check_versions, versions_here
from leastwork.support.sent import Sent
from leastwork.support.text import brief

__all__ = ["Sharing", "executor_now", "on_workers", "pieces", "using"]

_Shared = TypeVar("_Shared")
_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")

_MOST_PENDING = 256  # pieces that wait at a time, unless the executor has more workers
_PART_AT_A_TIME = 8  # with W workers, at most one in 8 W of the pieces sent so far travel together
_SECONDS_TO_WONDER = 20.0  # seconds without a result after which it is asked whether there are workers at work

_NOW: ContextVar[Executor | None] = ContextVar("executor", default=None)


@runtime_checkable
class Sharing(Protocol):
    """An executor whose workers hand on to each other what they share."""

    def share(self, packed: bytes) -> object:
        """What stands for these bytes among the arguments of ``submit``."""
        ...

    def most_pending(self) -> int:
        """Pieces that wait at a time, at most."""
        ...

    def why_idle(self) -> str:
        """Why no piece ends, where that is for want of workers."""
        ...

    def is_stranded(self) -> bool:
        """Whether pieces wait although no worker has one, while there are workers."""
        ...

    def why_lost(self) -> str:
        """Why pieces are lost, with what to do, where that is no fault of a worker."""
        ...


@contextmanager
def using(executor: Executor | None) -> Iterator[None]:
    """Carry out the pieces of all that is computed within on the workers of an executor.

    Args:
        executor: any executor, or None for the one that is in use already, if there is one.
    """
    token = _NOW.set(_NOW.get() if executor is None else executor)
    try:
        yield
    finally:
        _NOW.reset(token)


def executor_now() -> Executor | None:
    """The executor in use, or None."""
    return _NOW.get()


@contextmanager
def pieces(
    work: Callable[[_Shared, Any], _Result],
    shared: _Shared,
    count: int,
    argument: Callable[[int, torch.Generator | None], Any] = lambda i, random: i,
    random: torch.Generator | None = None,
) -> Iterator[Callable[[int], _Result]]:
    """A function that gives the result of piece i, to be called for one piece after another, from any on.

    Args:
        work: carries out a piece from what all share and from its argument; a function at the top level of a module.
        shared: what all pieces share.
        count: number of pieces.
        argument: the argument of a piece, made here; draws its random numbers from the generator that it is given.
        random: the generator from which the arguments are drawn in turn. After the result of a piece it is where it
            would be without workers, on which later arguments are made ahead.

    >>> with pieces(pow, 2, 4) as piece:
    ...     piece(2), piece(3)
    (4, 8)
    """
    executor = _NOW.get()
    if executor is None:
        yield lambda i: work(shared, argument(i, random))
        return
    states: dict[int, torch.Tensor] = {}
    results: Generator[_Result, None, None] | None = None

    def arguments(first: int) -> Iterator[tuple[int, Any]]:
        ahead = None if random is None else torch.Generator(random.device).set_state(random.get_state())
        for i in range(first, count):
            given = argument(i, ahead)
            if ahead is not None:
                states[i] = ahead.get_state()
            yield i, given

    def name(i: int) -> str:
        return f"piece {i + 1} of {count} of the work"

    def piece(i: int) -> _Result:
        nonlocal results
        if results is None:
            results = _in_order(on_workers(executor, work, shared, arguments(i), name), i)
        result = next(results)
        if random is not None:
            random.set_state(states.pop(i))
        return result

    try:
        yield piece
    finally:
        if results is not None:
            results.close()


def _in_order(results: Generator[tuple[int, _Result], None, None], first: int) -> Generator[_Result, None, None]:
    early: dict[int, _Result] = {}
    with closing(results):
        for i, result in results:
            early[i] = result
            while first in early:
                yield early.pop(first)
                first += 1


def on_workers(
    executor: Executor, work: Callable[[_Shared, _Argument], _Result], shared: _Shared,
    items: Iterable[tuple[int, _Argument]], name: Callable[[int], str] = "piece {}".format,
) -> Generator[tuple[int, _Result], None, None]:  # fmt: skip
    """Results of ``work(shared, argument)`` with the numbers of their pieces, in the order in which they are finished.

    Args:
        executor: runs the pieces; each worker process uses one thread of torch.
        work: a function at the top level of a module.
        shared: the argument that all pieces share.
        items: number and argument of each piece.
        name: what errors call a piece, by its number.

    Raises:
        LeastworkError: a worker ended, or all that tried one piece; one has other versions, or ``shared`` cannot be
            sent to it; or the error of a piece.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     sorted(on_workers(pool, pow, 2, [(0, 0), (1, 1), (2, 5)]))
    [(0, 1), (1, 2), (2, 32)]
    """
    sent = Sent(shared)
    task = _Task(work, secrets.token_hex(16), versions_here(), _here())
    by_itself = isinstance(executor, Sharing)
    carried: Any = executor.share(sent.packed) if by_itself else sent
    most = executor.most_pending() if by_itself else _MOST_PENDING
    first = most if by_itself else os.cpu_count() or 1
    waiting, pace = iter(items), Pace(_PART_AT_A_TIME * first)
    lost = GivenUp(name)
    running: dict[Future[Any], list[tuple[int, _Argument]]] = {}

    def submit(together: list[tuple[int, _Argument]], given: Any) -> None:
        arguments = Sent([argument for _, argument in together])
        running[_submitted(executor, _carry_out, task, given, arguments)] = together

    try:
        for number, item in enumerate(islice(waiting, most)):
            submit([item], carried if number < first else None)
        pace.sent = len(running)
        while running or lost.waiting:
            if not running:
                carried = executor.share(sent.packed) if by_itself else sent  # the share may have been lost as well
                for item in lost.again():
                    submit([item], carried)
            done, _ = wait(running, _SECONDS_TO_WONDER, FIRST_COMPLETED)
            why = executor.why_idle() if by_itself and not done else ""
            if why:
                warnings.warn(why, LeastworkWarning, stacklevel=3)
            if by_itself and not done and executor.is_stranded():
                stranded, carried = dict(running), executor.share(sent.packed)
                running.clear()
                for future, together in stranded.items():
                    future.cancel()
                    submit(together, carried)
            for future in done:
                together, result = running.pop(future), _result(future, executor)
                if isinstance(result, _Absent):
                    submit(together, carried)
                    continue
                if isinstance(result, _Lost):
                    lost.put_aside(together, result.why)
                    for item in islice(waiting, 1):
                        submit([item], carried)
                    continue
                if not isinstance(result, _Done):
                    raise LeastworkError(
                        f"the executor, of type {type(executor).__name__}, answered with {result!r:.40} in place of "
                        "what was asked of it: its submit must call the function that it gets"
                    )
                lost.finished()
                pace.finished(len(together), result.seconds)
                following = list(islice(waiting, pace.at_a_time()))
                if following:
                    submit(following, carried if by_itself else None)
                for text in result.warned:
                    warnings.warn(text, LeastworkWarning, stacklevel=3)
                for (number, _), value in zip(together, result.results.value, strict=True):
                    yield number, value
    finally:
        for future in running:
            future.cancel()
        _kept.pop(task.key, None)  # threads keep it in this very process


_kept: dict[str, Sent] = {}  # what this worker has received last, by its key


@dataclass(frozen=True)
class _Task:
    """What all pieces have in common but for what they share."""

    work: Callable[[Any, Any], Any]
    key: str
    versions: str
    sender: tuple[str, int]


@dataclass(frozen=True)
class _Absent:
    """The answer of a worker that has not yet received what the pieces share."""


@dataclass(frozen=True)
class _Lost:
    """In place of an answer, that several workers have died with these pieces."""

    why: str


@dataclass(frozen=True)
class _Done:
    """The results of pieces that travelled together, their seconds, and the texts of their warnings."""

    results: Sent
    seconds: float
    warned: tuple[str, ...] = ()


def _here() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _carry_out(task: _Task, sent: Sent | bytes | None, arguments: Sent) -> _Done | _Absent:
    """Carry out pieces in a worker, with what was sent now or before."""
    check_versions(task.versions)
    sent = Sent(packed=sent) if isinstance(sent, bytes) else sent
    if _here() == task.sender:  # a thread of the very process
        if sent is not None:
            _kept[task.key] = sent
        sent = _kept.get(task.key)
        return _Absent() if sent is None else _results(task, sent, arguments)
    if sent is not None and _kept.get(task.key) is None:
        torch.set_num_threads(1)  # the cores are shared by the processes, and a forked one hangs with more
        keep_freed_memory()
        _kept.clear()
        _kept[task.key] = sent
    kept = _kept.get(task.key)
    if kept is None:
        return _Absent()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LeastworkWarning)
        done = _results(task, kept, arguments)
    own = [str(one.message) for one in caught if issubclass(one.category, LeastworkWarning)]
    for one in caught:
        if not issubclass(one.category, LeastworkWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return replace(done, warned=tuple(dict.fromkeys(own)))


def _results(task: _Task, sent: Sent, arguments: Sent) -> _Done:
    begin = time.perf_counter()
    results = [task.work(sent.value, argument) for argument in arguments.value]
    return _Done(Sent(results), time.perf_counter() - begin)


def _submitted(executor: Executor, *work: Any) -> Future[Any]:
    kind = f"the class {executor.__name__}" if isinstance(executor, type) else f"of type {type(executor).__name__}"
    proper = "pass a concurrent.futures.Executor, such as ProcessPoolExecutor(4)"
    if isinstance(executor, type) or not hasattr(executor, "submit"):
        raise LeastworkError(f"executor is {kind}: {proper}")
    try:
        future = executor.submit(*work)
    except LeastworkError:
        raise
    except BrokenExecutor as error:
        raise _ended(error, executor) from error
    except (RuntimeError, OSError) as error:  # RuntimeError is Python's own of one that was shut down
        raise LeastworkError(f"the executor, {kind}, takes no work ({brief(error)}): pass one that is open") from error
    if not isinstance(future, Future):
        raise LeastworkError(f"the executor, {kind}, returned {future!r:.40} and not a Future: {proper}")
    return future


def _result(future: Future[Any], executor: Executor) -> Any:
    try:
        return future.result()
    except LeastworkError:
        raise
    except (BrokenExecutor, CancelledError) as error:
        raise _ended(error, executor) from error
    except (ImportError, AttributeError) as error:
        if "leastwork" not in str(error):
            raise
        told = brief(error)
        cause = told if told.startswith("a worker") else f"a worker has another version of leastwork, or none ({told})"
        raise LeastworkError(f"{cause}: install {versions_here()} on all of them, and start them again") from error
    except Exception as error:
        if type(error).__module__.startswith("distributed"):
            if type(error).__name__ == "KilledWorker":
                return _Lost(_deaths(error))
            raise _ended(error, executor) from error
        if "pickle" not in str(error).lower():
            raise
        raise LeastworkError(
            f"the model or its guidance cannot be sent to other processes ({brief(error)}): define their functions at "
            "the top level of a module, or pass a ThreadPoolExecutor"
        ) from error


def _deaths(killed: Any) -> str:
    """What Dask tells by a ``KilledWorker``."""
    return f"{killed.allowed_failures + 1} workers died, the last at {killed.last_worker.address}"


def _ended(error: BaseException, executor: Executor) -> LeastworkError:
    why = executor.why_lost() if isinstance(executor, Sharing) else ""
    told = brief(error) or type(error).__name__
    return LeastworkError(
        why or f"a worker of the executor ended ({told}): see to its memory and its initializer, or use fewer workers"
    )

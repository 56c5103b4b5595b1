"""Pieces of work on the workers of any executor of :pep:`3148`: a pool of processes or threads, Dask's, mpi4py's.

What all pieces share is sent to each worker once, and kept there until the pieces of another call arrive. Retries, lost
workers and queues are up to the executor.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from torch import set_num_threads

from leastwork.errors import LeastworkError
from leastwork.support.text import brief

__all__ = ["on_workers", "processes"]

_Shared = TypeVar("_Shared")
_Result = TypeVar("_Result")

_MOST_PENDING = 256  # pieces that wait at a time, so that neither tasks nor results pile up

_kept: dict[str, Any] = {}  # what this worker has received last, by its key


@dataclass(frozen=True)
class _Absent:
    """The answer of a worker that has not yet received what the pieces share."""


def on_workers(
    executor: Executor, work: Callable[[_Shared, int], _Result], shared: _Shared, items: Sequence[int]
) -> Iterator[tuple[int, _Result]]:
    """Results of ``work(shared, item)`` with their items, in the order in which they are finished.

    Args:
        executor: runs the pieces; each worker process uses one thread of torch.
        work: a function at the top level of a module.
        shared: the argument that all pieces share.
        items: the argument of each piece.

    Raises:
        LeastworkError: a worker ended, ``shared`` cannot be sent to one, or the error of a piece.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> with ThreadPoolExecutor(2) as pool:
    ...     sorted(on_workers(pool, pow, 2, [0, 1, 5]))
    [(0, 1), (1, 2), (5, 32)]
    """
    key = secrets.token_hex(16)
    waiting = iter(items)
    running: dict[Future[Any], int] = {}

    def submit(item: int, argument: _Shared | None) -> None:
        running[executor.submit(_piece, work, key, argument, item)] = item

    try:
        for number, item in enumerate(waiting):
            submit(item, shared if number < (os.cpu_count() or 1) else None)
            if number + 1 == _MOST_PENDING:
                break
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                item, result = running.pop(future), _result(future)
                if isinstance(result, _Absent):
                    submit(item, shared)
                    continue
                following = next(waiting, None)
                if following is not None:
                    submit(following, None)
                yield item, result
    finally:
        for future in running:
            future.cancel()
        _kept.pop(key, None)  # threads keep it in this very process


@contextmanager
def processes(count: int) -> Iterator[Executor | None]:
    """An executor with that many processes, or None for one, which is this process.

    Args:
        count: number of processes.
    """
    if count == 1:
        yield None
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as executor:  # a fork would inherit threads
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _piece(work: Callable[[Any, int], _Result], key: str, shared: Any, item: int) -> _Result | _Absent:
    """Carry out a piece in a worker, with what was sent now or before."""
    if shared is not None:
        if parent_process() is not None:
            set_num_threads(1)  # the cores are shared by the processes, and a forked one hangs with more
        _kept.clear()
        _kept[key] = shared
    kept = _kept.get(key)
    return _Absent() if kept is None else work(kept, item)


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except LeastworkError:
        raise
    except (BrokenExecutor, CancelledError) as error:
        raise LeastworkError(
            f"a worker of the executor ended ({brief(error)}): see to its memory, or use fewer workers"
        ) from error
    except Exception as error:
        if "pickle" not in str(error).lower():
            raise
        raise LeastworkError(
            f"the model or its guidance cannot be sent to other processes ({brief(error)}): define their functions at "
            "the top level of a module, or pass a ThreadPoolExecutor"
        ) from error

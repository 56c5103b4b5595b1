"""A pool of processes on this machine, with a device for each if need be; no process outlives the one that made it."""

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.queues import SimpleQueue

__all__ = ["VISIBLE", "gpu_names", "processes"]

VISIBLE = "CUDA_VISIBLE_DEVICES"

_SECONDS_TO_END = 0.5  # seconds in which a piece at work may end


@contextmanager
def processes(count: int, gpus: Sequence[int] = ()) -> Iterator[Executor | None]:
    """An executor with that many processes, or None for one, which is this process.

    Args:
        count: number of processes.
        gpus: the number of the GPU of each process, which sees no other and calls it ``cuda:0``; none for the CPU.
    """
    if count == 1:
        yield None
        return
    context = get_context("spawn")  # a fork would inherit threads
    free: SimpleQueue[str] = context.SimpleQueue()
    for name in gpu_names(gpus):
        free.put(name)
    others = set(active_children())
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(free, bool(gpus))) as executor:
        for _ in range(count):
            executor.submit(_get_ready)  # while this process reads its inputs
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            time.sleep(_SECONDS_TO_END)  # before that, the pool would take an end of its processes for an accident
            for child in set(active_children()) - others:
                child.terminate()  # what it draws is drawn again
            raise


def gpu_names(gpus: Sequence[int]) -> list[str]:
    """What a process is told that shall see one GPU, among those that this process sees.

    >>> gpu_names([0, 2])
    ['0', '2']
    """
    visible = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    return [visible[i] if i < len(visible) else str(i) for i in gpus]


def _begin(free: "SimpleQueue[str]", on_gpus: bool) -> None:
    """What a process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent as well, which ends its children
    if on_gpus:
        os.environ[VISIBLE] = free.get()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _get_ready() -> None:
    """Import what pieces need, torch first of all, which takes seconds."""
    import_module("leastwork.support.executors")


def _end_with_parent() -> None:
    """A worker that waits for its next piece would not notice that its parent was killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

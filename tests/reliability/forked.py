"""Work in forked processes, which an audit hook ends, or refuses room, at an operation on a file of a folder.

Forking costs a hundredth of starting Python and importing torch. It works since nothing here starts a thread of torch.
"""

import errno
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import leastwork as lw
from leastwork.support.sinks import FIT_CSV

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
KILLED, REFUSED, TRACEBACK, DONE = -signal.SIGKILL, 3, 4, 0
_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT

Visit = Callable[[str, tuple], None]
"""Called before each operation on files, with its name and arguments; what it raises, the operation raises."""


def takes_room(event: str, arguments: tuple) -> bool:
    """Whether a full disk may refuse it."""
    if event == "open":
        return bool(arguments[2] & _WRITE)
    return event in ("fsync", "os.rename", "os.mkdir", "os.truncate")


def no_room() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def watch(folder: Path, visit: Visit) -> None:
    """From now on, and as long as this process lives, call before each operation on files in the folder."""
    fsync, inner = os.fsync, [False]

    def hook(event: str, arguments: tuple) -> None:
        """Paths within a folder that is removed are relative, so that all of those count."""
        if event not in OPERATIONS or inner[0]:
            return
        path = arguments[0] if arguments else None
        if (isinstance(path, str | Path) and str(folder) in str(path)) or event in ("os.remove", "os.rmdir"):
            call(event, arguments)

    def call(event: str, arguments: tuple) -> None:
        inner[0] = True
        try:
            visit(event, arguments)
        finally:
            inner[0] = False

    def force(opened: int) -> None:
        call("fsync", ())
        fsync(opened)

    os.fsync = force
    sys.addaudithook(hook)


def forked(act: Callable[[], Any]) -> int:
    """How it ended in a process of its own: DONE, REFUSED in one sentence, TRACEBACK, or as the process was killed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which a process that computes with one does not have
        process = os.fork()
    if process == 0:
        end_of(act)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def end_of(act: Callable[[], Any]) -> None:
    """Do it and end this process, so that nothing of the tests is done twice."""
    end = TRACEBACK
    try:
        torch.set_num_threads(1)
        warnings.simplefilter("ignore", lw.LeastworkWarning)  # a run that goes on may warn, of a report that is missing
        act()
        end = DONE
    except lw.LeastworkError as error:
        end = TRACEBACK if "\n" in str(error) else REFUSED
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(end)


def in_a_fork(act: Callable[[], None], folder: Path, stop_at: int, how: str) -> tuple[int, int]:
    """Kill it at the k-th operation, or refuse it room there; how it ended, and the number of operations."""
    read, write = os.pipe()

    def stopped() -> None:
        seen = 0

        def visit(event: str, arguments: tuple) -> None:
            nonlocal seen
            seen += 1
            if seen == stop_at:
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise no_room()

        watch(folder, visit)
        try:
            act()
        finally:
            os.write(write, str(seen).encode())

    ended = forked(stopped)
    os.close(write)
    count = os.read(read, 100)
    os.close(read)
    return ended, int(count or 0)


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files but the log of the fit, which also tells what was done twice because of a kill."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != FIT_CSV)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

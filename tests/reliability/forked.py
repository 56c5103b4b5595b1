"""Work in a forked process, which an audit hook ends, or gives an OSError, at the k-th operation on a file."""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import leastwork as lw

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
KILLED, REFUSED, TRACEBACK, DONE = 9, 3, 4, 0


def in_a_fork(act: Callable[[], None], folder: Path, stop_at: int, how: str) -> tuple[int, int]:
    """How it ended, and the number of operations on files in the folder."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which a process that computes with one does not have
        process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        seen = [0]

        def hook(event: str, args: tuple) -> None:
            inside = bool(args) and isinstance(args[0], str | Path) and str(folder) in str(args[0])
            if event not in OPERATIONS or not (inside or event in ("os.remove", "os.rmdir")):
                return
            seen[0] += 1
            if seen[0] == stop_at:
                if how == "kill":
                    os._exit(KILLED)
                raise OSError(errno.ENOSPC, "No space left on device")

        fsync = os.fsync

        def force(opened: int) -> None:
            hook("open", (str(folder),))
            fsync(opened)

        os.fsync = force
        sys.addaudithook(hook)
        end = DONE
        try:
            act()
        except lw.LeastworkError:
            end = REFUSED
        except BaseException:
            end = TRACEBACK
            __import__("traceback").print_exc()
        os.write(write, str(seen[0]).encode())
        os._exit(end)
    os.close(write)
    _, status = os.waitpid(process, 0)
    count = os.read(read, 100)
    os.close(read)
    return os.waitstatus_to_exitcode(status), int(count or 0)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

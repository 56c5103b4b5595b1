"""Locks of the operating system, which vanish with the process that holds them.

One process holds a lock alone, or several share it; on a shared file system that has locks, across machines.
"""

import errno
import json
import os
import socket
import stat
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from leastwork.errors import ConfigError, LeastworkWarning

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["BusyError", "Lock", "lock", "try_lock"]

_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_TRIES, _BETWEEN_TRIES = 4, 0.05  # seconds


class BusyError(ConfigError):
    """Somebody else holds the lock."""


def try_lock(opened: int, shared: bool = False) -> bool | None:
    """Lock an open file; False where another holds it, None where its file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _BUSY else None
    return True


@dataclass(frozen=True)
class Lock:
    """A lock that is held; released by :meth:`release`, or by the end of the process.

    Args:
        path: the lock file.
        opened: its descriptor.
        shared: whether others may share it.
        is_real: whether the file system has locks; without them nobody knows who else is at work.
    """

    path: Path
    opened: int
    shared: bool = False
    is_real: bool = True

    def release(self) -> None:
        """Remove the file while it is held alone, and let go; one that others still share stays."""
        with suppress(OSError):  # one that stays is in nobody's way
            alone = not self.shared or try_lock(self.opened) is True
            if alone and _is_at(self.opened, self.path):
                self.path.unlink(missing_ok=True)
        os.close(self.opened)


def lock(path: Path, what: str, shared: bool = False) -> Lock:
    """Hold a lock file, which says who holds it and since when.

    Args:
        path: the lock file, made if need be.
        what: name of what is locked, for the message.
        shared: hold it together with others who share it; nobody holds it alone meanwhile.

    Raises:
        BusyError: somebody else holds it, in this process or in another.
    """
    while True:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | _NO_LINKS, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise ConfigError(f"{path} is no plain file: delete it")
            got = _soon(opened, shared)
            if got is False and not _is_at(opened, path):
                raise _Gone
            if got is False:
                raise BusyError(
                    f"{what} is being written by {_holder(opened)}: wait until that has ended, or take another folder"
                )
            if got is None and not shared:
                _no_locks(str(path.parent))
            if not _is_at(opened, path):  # it was removed by the one who held it until now
                raise _Gone
            since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
            os.ftruncate(opened, 0)
            about = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
            os.write(opened, json.dumps(about).encode())
        except _Gone:
            os.close(opened)
            continue
        except BaseException:
            os.close(opened)
            raise
        return Lock(path, opened, shared, got is True)


def _soon(opened: int, shared: bool) -> bool | None:
    """Lock it, with a few tries, since a process that lets go of a shared lock holds it alone for a moment."""
    for _ in range(_TRIES):
        got = try_lock(opened, shared)
        if got is not False:
            return got
        time.sleep(_BETWEEN_TRIES)
    return try_lock(opened, shared)


class _Gone(Exception):
    """The lock file was removed between its opening and its locking."""


def _is_at(opened: int, path: Path) -> bool:
    """True if the open file still has this name."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(opened), there)


def _holder(opened: int) -> str:
    try:
        about = json.loads(os.read(opened, 1000))
        return f"process {int(about['process'])} on {str(about['host'])[:80]!r} since {str(about['since'])[:40]}"
    except (ValueError, KeyError, TypeError, OSError):
        return "another process"


@cache
def _no_locks(folder: str) -> None:
    warnings.warn(
        f"{folder} lies on a file system without locks: see to it that only one process writes there",
        LeastworkWarning,
        stacklevel=4,
    )

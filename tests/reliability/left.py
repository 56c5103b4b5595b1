"""Folders as a run leaves them that is interrupted at each of its operations on files, from one run.

What a killed process leaves is what lies there when it is killed: no byte more of its buffers, and its locks are gone.
So one run is enough, whose folder is copied before each operation (a copy is locked by nobody); and operations that
find the folder as it was, such as those that read, need no copy of their own. A test compares with real kills. Where
the disk is full, the run is forked there, and goes on in a process whose operations fail while the first waits.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forked import DONE, REFUSED, forked, no_room, takes_room, watch

from leastwork.support.sinks import FIT_CSV

HOW = ("kill", "full", "full once")
"""Killed; no room from an operation on; no room for one operation."""

_TEMPORARY = re.compile(r"\.writing-[0-9a-f]{16}-")


@dataclass(frozen=True)
class Left:
    """A folder that is left.

    Args:
        at: number of the first operation that leaves it so.
        event: its name and arguments.
        state: a digest of the folder.
        folder: the copy.
    """

    at: int
    event: str
    state: str
    folder: Path


def state_of(folder: Path) -> str:
    """A digest of names and contents; of temporary names, locks and the log of the fit only that they exist."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: _TEMPORARY.sub(".writing-", str(path))):
        whole.update(_TEMPORARY.sub(".writing-", path.relative_to(folder).as_posix()).encode() + b"\0")
        if path.is_file():
            whole.update(b"" if path.name.endswith((".lock", FIT_CSV)) else hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def left_by(
    act: Callable[[], Any], folder: Path, keep: Path, how: str, every: int = 1, known: Collection[str] = ()
) -> tuple[int, list[Left]]:
    """Carry it out in a forked process, and keep each folder that an interruption would leave, once.

    Args:
        act: the work, which must end well without an interruption.
        folder: where it works.
        keep: where the folders go, which must not be in the other.
        how: one of HOW.
        every: only each so many-th operation is interrupted.
        known: digests of folders that are not kept again.

    Returns:
        the number of operations, and the different folders that they leave.
    """
    keep.mkdir()

    def watched() -> None:
        seen = _Seen(folder, keep, how, every, set(known))
        watch(folder, seen.visit)
        try:
            act()
        finally:
            if not seen.is_branch:
                found = {"count": seen.count, "left": seen.left, "bad": seen.bad}
                (keep / "found.json").write_text(json.dumps(found))

    assert forked(watched) == DONE
    found = json.loads((keep / "found.json").read_text())
    assert not found["bad"]
    return found["count"], [Left(at, event, state, keep / str(at)) for at, event, state in found["left"]]


@dataclass
class _Seen:
    folder: Path
    keep: Path
    how: str
    every: int
    known: set[str]
    count: int = 0
    left: list[tuple[int, str, str]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    is_branch: bool = False
    _before: list[Any] = field(default_factory=list)

    def visit(self, event: str, arguments: tuple) -> None:
        if self.is_branch:
            if self.how == "full" and takes_room(event, arguments):
                raise no_room()
            return
        if self.how != "kill" and not takes_room(event, arguments):
            return
        self.count += 1
        if self.count % self.every:
            return
        if self.how == "kill":
            now = list(_signature(self.folder))
            if now != self._before:
                self._before = now
                self._keep(f"{event} {arguments}", lambda target: shutil.copytree(self.folder, target))
        else:
            self._branch(f"{event} {arguments}")

    def _keep(self, event: str, put: Callable[[Path], Any]) -> None:
        state = state_of(self.folder)
        if self.folder.exists() and state not in self.known:
            self.known.add(state)
            self.left.append((self.count, event, state))
            put(self.keep / str(self.count))

    def _branch(self, event: str) -> None:
        """The files are linked, so that those that are open here are the same ones when the folder is put back."""
        saved, existed = self.keep / "saved", self.folder.exists()
        if existed:
            shutil.copytree(self.folder, saved, copy_function=os.link)
        process = os.fork()
        if process == 0:
            self.is_branch = True
            raise no_room()
        ended = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if ended not in (DONE, REFUSED):
            self.bad.append(f"{self.count} {event}: {ended}")
        self._keep(event, self.folder.rename)
        shutil.rmtree(self.folder, ignore_errors=True)
        if existed:
            saved.rename(self.folder)


def _signature(folder: Path) -> Iterator[Any]:
    """Whatever changes when a file does."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        about = entry.stat(follow_symlinks=False)
        yield entry.path, about.st_ino, about.st_size, about.st_mtime_ns
        if entry.is_dir(follow_symlinks=False):
            yield from _signature(Path(entry.path))

"""Files that are written completely or not at all: written under a temporary name, forced to disk, then renamed.

A temporary file has an unpredictable name that begins with ``.writing-``, is never opened through a link, and is
locked by its writer, so that :func:`sweep` can tell one that was left behind by a killed process. Every file gets
the mode that the user's umask asks for.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.support.locks import try_lock

__all__ = [
    "TEMPORARY", "copy_file", "link_file", "read_bytes", "readable", "sweep", "sync_files", "sync_folder",
    "write_bytes", "write_once", "write_text", "writing",
]  # fmt: skip

TEMPORARY = ".writing-"
"""How the name of every temporary file begins."""

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # a named pipe is refused in place of waited for
_AT_A_TIME = 16  # files that are forced to disk together


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 whole or not at all; its folder is made if need be."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes, force: bool = True) -> None:
    """Write a file whole or not at all; its folder is made if need be.

    Args:
        path: the file.
        data: the contents.
        force: wait until it is on the disk; else a loss of power may leave another file there, though a kill cannot.
    """
    with writing(path, force) as temporary, temporary.open("r+b") as file:
        file.write(data)


def copy_file(source: Path, target: Path) -> None:
    """Copy the contents of a file, whole or not at all."""
    with writing(target) as temporary, source.open("rb") as read, temporary.open("r+b") as written:
        shutil.copyfileobj(read, written)


def write_once(path: Path, text: str) -> str:
    """Write a text file whole unless it is there; of several processes that do so at once, one succeeds.

    Returns:
        str: the contents of the file, which may be those of another process.
    """
    if not path.exists():
        mine = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}-{path.name}")
        write_text(mine, text)
        try:
            link_file(mine, path)
        finally:
            mine.unlink(missing_ok=True)
    return read_bytes(path).decode(errors="replace")


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name unless that is taken, or make a copy where the file system has no such links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        return
    except OSError:
        copy_file(source, target)


@contextmanager
def writing(path: Path, force: bool = True) -> Iterator[Path]:
    """An empty file to be filled, which takes the place of ``path`` at the end, or vanishes if that fails.

    Its name ends as that of ``path`` does, for writers that go by it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with writing(path) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> path.read_text(), [one.name for one in path.parent.iterdir()]
    ('whole', ['a.txt'])
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}-{path.name[-64:]}")
    opened = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o666)
    try:
        try_lock(opened)
        yield temporary
        if force:
            os.fsync(opened)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        os.close(opened)
    if force:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk, where its file system can do so."""
    try:
        opened = os.open(folder, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):  # a folder that may be written and not listed; or Windows
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(opened)


def sync_files(files: Iterable[Path]) -> None:
    """Force files that were written without force to disk, and then their names in their folders.

    Most of the time goes by waiting for the disk, which takes many files together, so threads ask for them at once.
    """
    several = list(files)
    try:
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(_sync_file, several))
    except RuntimeError:  # no thread can start, where memory or processes are limited: one after another then
        for file in several:
            _sync_file(file)
    for folder in {file.parent for file in several}:
        sync_folder(folder)


def _sync_file(file: Path) -> None:
    opened = os.open(file, os.O_RDWR | _NO_LINKS | _AT_ONCE)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def sweep(folder: Path) -> None:
    """Remove temporary files, in this folder and those within, whose writers are gone."""
    for path in folder.rglob(f"{TEMPORARY}*"):
        if path.is_symlink() or path.is_file():
            try:
                opened = os.open(path, os.O_RDWR | _NO_LINKS | _AT_ONCE)
            except OSError:  # a link, or another user's file
                continue
            try:
                if try_lock(opened) is not False:
                    path.unlink(missing_ok=True)
            finally:
                os.close(opened)


def readable(path: Path) -> Path:
    """The path itself, after a check that the file may be read; whoever reads it next finds missing and damaged files.

    Raises:
        ConfigError: the file is there and may not be read.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | _AT_ONCE))
    except PermissionError:
        raise ConfigError(f"{path} may not be read{_mode(path)}: ask its owner to let you read it") from None
    except OSError:
        pass
    return path


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The contents of a plain file, not through a link.

    Args:
        path: the file; where a link may stand in its place, resolve it first.
        limit: number of bytes that are accepted, None for any.

    Raises:
        ConfigError: it may not be read, is a link or no plain file, or holds more than ``limit`` bytes.
        FileNotFoundError, NotADirectoryError: there is none.
    """
    try:
        opened = os.open(path, os.O_RDONLY | _NO_LINKS | _AT_ONCE)
    except PermissionError:
        raise ConfigError(f"{path} may not be read{_mode(path)}: ask its owner to let you read it") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise ConfigError(f"{path} is a link, and is not followed: put the file itself there") from None
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise
        raise ConfigError(f"{path} cannot be read ({error.strerror}): see to that and try again") from None
    about = os.fstat(opened)
    is_plain = stat.S_ISREG(about.st_mode)
    if not is_plain or (limit is not None and about.st_size > limit):
        os.close(opened)
        if not is_plain:
            raise ConfigError(f"{path} is no plain file: put the file itself there")
        raise ConfigError(f"{path} holds {about.st_size} bytes, and {limit} are accepted: give a shorter file")
    with os.fdopen(opened, "rb") as file:
        return file.read()


def _mode(path: Path) -> str:
    try:
        return f" (its mode is {path.stat().st_mode & 0o777:04o})"
    except OSError:
        return ""

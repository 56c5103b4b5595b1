"""``config.yaml`` of a run's folder: comments at its top hold checksums of the settings and of the copied inputs."""

import hashlib
import json
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.support.files import read_bytes, write_text
from leastwork.support.text import brief

__all__ = ["check_seal", "settings_in", "write_sealed"]

_FILE, _INPUTS = "config.yaml", "inputs"
_HEAD = "# Compared when the folder is read; delete these comments where a change is meant."
_MARK = "# sha256 "
_MOST_BYTES = 1 << 20


def write_sealed(folder: Path, text: str) -> None:
    """Write ``config.yaml``, with checksums of its settings and of the files that lie in ``inputs``."""
    names = {path.relative_to(folder).as_posix(): path for path in sorted((folder / _INPUTS).rglob("*"))}
    sums = {_FILE: _checksum(text.encode())}
    sums |= {name: _checksum(path.read_bytes()) for name, path in names.items() if path.is_file()}
    head = [_HEAD, *(f"{_MARK}{known} {json.dumps(name)}" for name, known in sums.items())]
    write_text(folder / _FILE, "\n".join([*head, text]))


def settings_in(folder: Path) -> str:
    """The settings in ``config.yaml``, without the comments at its top.

    Raises:
        ConfigError: it may not be read, or is a link.
    """
    return _divided(folder)[1]


def check_seal(folder: Path, inputs: bool = True) -> None:
    """Check that settings and inputs are as the run wrote them; folders of older versions have no checksums.

    Args:
        folder: the folder of the run.
        inputs: whether they are needed, as by a report they are not.

    Raises:
        ConfigError: one is missing or changed.
    """
    head, text = _divided(folder)
    for line in head:
        known, _, quoted = line.removeprefix(_MARK).partition(" ")
        name = _name(quoted)
        if name is None:
            raise ConfigError(f"{folder / _FILE} is damaged ({brief(line[:80])!r} names no file): put it back")
        if not inputs and name != _FILE:
            continue
        path = folder / name
        try:
            data = text.encode("utf-8", "surrogateescape") if path == folder / _FILE else read_bytes(path)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{path} is missing: put it back, the run was made with it") from None
        if _checksum(data) != known:
            raise ConfigError(
                f"{path} is not as the run was made with (its checksum is another): put it back, or delete the "
                f"comments at the top of {folder / _FILE} if the change is meant"
            )


def _divided(folder: Path) -> tuple[list[str], str]:
    """The lines with checksums, and the settings."""
    data = read_bytes(folder / _FILE, _MOST_BYTES)
    text = data.decode("utf-8", "surrogateescape")
    head: list[str] = []
    while text.startswith("#"):
        line, _, text = text.partition("\n")
        head.append(line)
    return [line for line in head if line.startswith(_MARK)], text


def _name(quoted: str) -> str | None:
    try:
        name = json.loads(quoted)
    except (ValueError, RecursionError):
        return None
    return name if isinstance(name, str) and name and "\0" not in name else None


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

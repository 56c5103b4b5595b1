"""JSON files that are believed only if they are as they were written: the key ``sha256`` stands for all the others."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leastwork.errors import ConfigError
from leastwork.support.files import read_bytes, write_bytes
from leastwork.support.text import brief, quoted

__all__ = ["read_json", "write_json"]

_CHECKSUM = "sha256"
_MOST_BYTES = 1 << 28


def write_json(path: Path, values: Mapping[str, Any], readable: bool = False, force: bool = True) -> None:
    """Write keys and values whole or not at all, with a checksum of them.

    Args:
        path: the file.
        values: plain values.
        readable: letters of all scripts as they are, and no numbers that JSON does not have.
        force: as of :func:`leastwork.support.files.write_bytes`.

    Raises:
        ValueError: ``readable``, and a number is not finite.
    """
    plain = json.loads(json.dumps(values))
    text = json.dumps(
        {**plain, _CHECKSUM: _checksum(plain)}, indent=1, allow_nan=not readable, ensure_ascii=not readable
    )
    write_bytes(path, (text + "\n").encode(), force)


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Keys and values, compared with their checksum where there is one, as in older files there is not.

    Args:
        path: the file.
        remedy: what to do about a damaged file, in the imperative.

    Raises:
        ConfigError: it may not be read, is no JSON of keys and values, or holds others than were written.
        FileNotFoundError, NotADirectoryError: there is none.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.json"
    >>> write_json(path, {"n": 1.5})
    >>> read_json(path, "write it again")
    {'n': 1.5}
    """
    data = read_bytes(Path(os.path.realpath(path)), _MOST_BYTES)
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:  # no text, no JSON, or one so deep that nobody wrote it
        raise ConfigError(f"{path} is damaged ({brief(error)}): {remedy}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is damaged ({quoted(found)} stands for keys and values): {remedy}")
    known = found.pop(_CHECKSUM, None)
    if known is not None and known != _checksum(found):
        raise ConfigError(f"{path} is damaged (its checksum is another): {remedy}")
    return found


def _checksum(values: Mapping[str, Any]) -> str:
    """SHA-256 of the values, whatever the spaces and the order of keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

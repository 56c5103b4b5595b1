"""Commented run files to begin with, as ``leastwork init`` prints them; each file of this folder is one."""

from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.support.text import quoted

__all__ = ["beginning", "beginning_names"]

_FOLDER = Path(__file__).parent


def beginning_names() -> list[str]:
    """Names of the run files to begin with.

    >>> "bioemu" in beginning_names()
    True
    """
    return sorted(file.stem for file in _FOLDER.glob("*.yaml"))


def beginning(name: str | None) -> str:
    """The text of a run file to begin with.

    Raises:
        ConfigError: the name is missing or unknown; lists the known.
    """
    known = beginning_names()
    if name not in known:
        tell = "init needs a name" if name is None else f"there is no run file {quoted(name)} to begin with"
        raise ConfigError(f"{tell}: write leastwork init prinz > run.yaml, or in its place {', '.join(known)}")
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")

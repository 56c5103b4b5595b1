"""A run file as the keys and values that stand in it: found by its name, read, and changed by ``--set``."""

import os
from pathlib import Path
from typing import Any

from leastwork.errors import ConfigError
from leastwork.support.text import nearest, quoted
from leastwork.support.yaml_values import read_yaml, yaml_value

__all__ = ["bundled_runs", "find", "first_key", "override", "read", "shown"]

_MOST_KEYS = 20  # keys of one --set
_CASES = Path(__file__).parents[2] / "cases"


def bundled_runs() -> list[str]:
    """Names of the runs that come with the package.

    >>> "prinz" in bundled_runs()
    True
    """
    return sorted(_bundled())


def _bundled() -> dict[str, Path]:
    """Each case has its runs beside it."""
    return {file.stem: file for file in _CASES.glob("*/runs/*.yaml")}


def find(source: str, folder: Path = Path()) -> Path:
    """The file that is meant.

    Args:
        source: a run file, or a bundled run's name.
        folder: that a run file is looked for in.

    Raises:
        ConfigError: there is none.
    """
    if os.path.isfile(folder / source):  # unlike Path.is_file, it takes a name that no file can have
        return folder / source
    if source in _bundled():
        return _bundled()[source]
    if Path(source).suffix in (".yaml", ".yml"):
        raise ConfigError(
            f"{shown(source)}: there is no such file: give a run file or one of {', '.join(bundled_runs())}"
        )
    if os.path.isfile(folder / source / "config.yaml"):
        raise ConfigError(
            f"{shown(source)} is the folder of a run: give {shown(os.path.join(source, 'config.yaml'))} to make the "
            "run again, with --out for another folder"
        )
    if os.path.isdir(folder / source):
        raise ConfigError(f"{shown(source)} is a folder: give a run file, as RUN.yaml")
    if source == "-" or os.path.exists(folder / source):
        raise ConfigError(f"{shown(source)} is no regular file: save the run file, and give its path")
    raise ConfigError(f"no run {quoted(source)}{nearest(source, bundled_runs())}; or give a YAML file")


def read(path: Path) -> dict[str, Any]:
    """Keys and values.

    Raises:
        ConfigError: the file holds something else.
    """
    tree = read_yaml(path)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no keys and values: write at least model, and observables and data, or guides")
    return {str(key): value for key, value in tree.items()}


def first_key(setting: str) -> str:
    """The outermost key of ``key=value``.

    >>> first_key("sampling.steps=200")
    'sampling'
    """
    return setting.partition("=")[0].strip().split(".")[0]


def override(tree: dict[str, Any], setting: str) -> None:
    """Set one dotted key of a tree, in place.

    Raises:
        ConfigError: no such place, or no YAML.
    """
    dotted, equals, text = setting.partition("=")
    if not equals or not dotted.strip():
        raise ConfigError(f"--set {shown(setting)}: write key=value, as in --set sampling.steps=200")
    try:
        value = yaml_value(text, "the value")
    except ConfigError:
        raise ConfigError(f"--set {shown(setting)}: the value is not YAML, quote it") from None
    at: Any = tree
    *outer, last = dotted.strip().split(".")
    if len(outer) > _MOST_KEYS:
        raise ConfigError(f"--set {shown(setting)}: nothing lies {len(outer)} levels deep, shorten the key")
    for key in outer:
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[_entry(at, key, setting)]
    if isinstance(at, dict):
        at[last] = value
    else:
        at[_entry(at, last, setting)] = value


def _entry(at: Any, key: str, setting: str) -> int:
    if not isinstance(at, list):
        raise ConfigError(f"--set {shown(setting)}: there is nothing inside of {quoted(at)} to set, shorten the key")
    if not (key.isascii() and key.isdecimal() and len(key) < 9) or int(key) >= len(at):
        raise ConfigError(
            f"--set {shown(setting)}: {quoted(key)} is no entry of this list, give a number from 0 to {len(at) - 1}"
        )
    return int(key)


def shown(text: str) -> str:
    """A setting or a name as it was given, if it is short and on one line."""
    return text if len(text) <= 80 and text.isprintable() else quoted(text)

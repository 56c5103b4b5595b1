"""Arguments of public functions, each refused in one sentence with its name, its value and the remedy."""

import math
import operator
from pathlib import Path
from typing import Any

from leastwork.errors import LeastworkError

__all__ = ["function_of", "number", "path_of", "quoted", "refused", "seed_number", "whole", "yes_or_no"]

_MOST_QUOTED = 60
_LARGEST = 10**12  # more samples, paths or evaluations than this nobody draws


def quoted(value: object) -> str:
    """A value as it is written in Python, on one line and not longer than 60 characters.

    >>> quoted([1, 2]), len(quoted("a" * 500))
    ('[1, 2]', 60)
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # an int of thousands of digits, or an object whose repr fails
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _MOST_QUOTED else f"{text[: _MOST_QUOTED - 1]}…"


def refused(name: str, value: object, remedy: str) -> LeastworkError:
    """The error that names an argument with its value, and says what to give."""
    return LeastworkError(f"{name}={quoted(value)} cannot be used: {remedy}")


def path_of(name: str, value: Any) -> Path:
    """The path of a file or folder.

    >>> path_of("out", "samples.zarr").name
    'samples.zarr'
    """
    try:
        found = Path(value)
    except TypeError:
        found = None
    if found is None or "\0" in str(found):
        raise refused(name, value, "give a path, as text or as a pathlib.Path")
    return found


def function_of(name: str, value: Any) -> Any:
    """A function of samples, or an object that is called like one."""
    if not callable(value):
        raise refused(name, value, "give a function of the samples")
    return value


def whole(name: str, value: Any, least: int = 1, most: int = _LARGEST) -> int:
    """A whole number that is neither too small nor too large; neither True nor 2.0 is one.

    >>> whole("n", 3)
    3
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise refused(name, value, f"give a whole number, at least {least}")
    if found > most:
        raise refused(name, value, f"give a smaller number, at most {most}")
    return found


def yes_or_no(name: str, value: Any) -> bool:
    """True or False, and nothing else that Python takes for one of them."""
    if not isinstance(value, bool):
        raise refused(name, value, "give true or false")
    return value


def seed_number(value: Any) -> int:
    """A seed, a whole number of at least 0."""
    return whole("seed", value, least=0, most=1 << 256)


def number(name: str, value: Any, remedy: str, *, least: float = -math.inf) -> float:
    """A finite number that is large enough.

    Args:
        name: name of the argument.
        value: the value that was given.
        remedy: what to give instead, in the imperative.
        least: the least number that is allowed.
    """
    try:
        found = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        found = math.nan
    if not math.isfinite(found) or found < least:
        raise refused(name, value, remedy)
    return found

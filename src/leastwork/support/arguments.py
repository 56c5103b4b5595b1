"""Arguments of public functions, each refused in one sentence with its name, its value and the remedy."""

import math
import operator
from typing import Any

from leastwork.errors import LeastworkError

__all__ = ["number", "quoted", "refused", "seed_number", "whole"]

_MOST_QUOTED = 60


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


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number that is large enough; neither True nor 2.0 is one.

    >>> whole("n", 3)
    3
    """
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < least:
        raise refused(name, value, f"give a whole number, at least {least}")
    return found


def seed_number(value: Any) -> int:
    """A seed, a whole number of at least 0."""
    return whole("seed", value, least=0)


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

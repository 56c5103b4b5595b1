"""A function of a higher folder, imported when it is called.

A run in memory is saved and reported by the files that know all kinds of run, and these stand on top of it.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["above"]


def above(module: str, name: str) -> Callable[..., Any]:
    """The function ``name`` of a module that imports the caller's.

    >>> above("math", "gcd")(12, 18)
    6
    """
    return getattr(import_module(module), name)

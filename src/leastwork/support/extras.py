"""Optional packages, imported where they are needed, with the command that installs them."""

from importlib import import_module
from typing import Any

from leastwork.errors import LeastworkError

__all__ = ["needs"]


def needs(package: str, extra: str) -> Any:
    """The package.

    Args:
        package: its import name.
        extra: the extra of leastwork that brings it.

    Raises:
        LeastworkError: it is not installed; says which command does.

    >>> needs("json", "protein").dumps([1])
    '[1]'
    """
    try:
        return import_module(package)
    except ImportError as error:
        if (error.name or "").split(".")[0] != package.split(".")[0]:
            raise
        raise LeastworkError(
            f"{package} is not installed, and this needs it: pip install 'leastwork[{extra}]'"
        ) from None

"""What every fit tells of itself."""

from typing import Protocol

__all__ = ["Fit"]


class Fit(Protocol):
    """How a guidance was found, and what that took."""

    @property
    def network_evaluations(self) -> int: ...
    @property
    def seconds(self) -> float: ...

"""What every fit tells of itself, in memory and as plain values that a file can hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Fit", "FitRecord"]


@dataclass(frozen=True)
class FitRecord:
    """How a guidance was found, as plain values: what a folder keeps of a fit, and what is read back from it.

    Args:
        network_evaluations: evaluations of the model's network that the fit took.
        seconds: wall time of the fit.
        stages: how a guidance was learned, one mapping for each stage.
        trials: the number of parameters that a search tried.
    """

    network_evaluations: int = 0
    seconds: float = 0.0
    stages: tuple[Mapping[str, Any], ...] = ()
    trials: int = 0

    def record(self) -> "FitRecord":
        """The record itself."""
        return self


class Fit(Protocol):
    """How a guidance was found, and what that took."""

    @property
    def network_evaluations(self) -> int: ...
    @property
    def seconds(self) -> float: ...

    def record(self) -> FitRecord:
        """The same as plain values."""
        ...

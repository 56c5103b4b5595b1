"""Records of a fit: its cost and history as plain values that a file can hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Fit", "FitRecord"]


@dataclass(frozen=True)
class FitRecord:
    """How a guidance was found, as plain values: the part of a fit that is stored in a folder.

    Args:
        network_evaluations: evaluations of the model's network that the fit took.
        seconds: wall time of the fit.
        stages: how the guidance was learned, one mapping for each stage.
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
    """How a guidance was found, and the cost."""

    @property
    def network_evaluations(self) -> int: ...
    @property
    def seconds(self) -> float: ...

    def record(self) -> FitRecord:
        """Cost and history as plain values."""
        ...

"""Schedules that compute α, σ and their derivatives together, and keep those at single times.

A sampler asks for each of them at the same few times in every batch.
"""

from abc import abstractmethod
from functools import cached_property

from torch import Tensor

__all__ = ["FromMoments"]

_MOST_CACHED = 10_000  # times of which a schedule keeps its moments


class FromMoments:
    """The four functions of a schedule by one that computes all; each such schedule is a frozen dataclass."""

    @abstractmethod
    def _moments(self, t: Tensor) -> tuple[Tensor, ...]:
        """α, σ, α̇, σ̇, and whatever else comes with them, each of the shape of t."""

    def alpha(self, t: Tensor) -> Tensor:
        return self._at(t)[0]

    def sigma(self, t: Tensor) -> Tensor:
        return self._at(t)[1]

    def alpha_dot(self, t: Tensor) -> Tensor:
        return self._at(t)[2]

    def sigma_dot(self, t: Tensor) -> Tensor:
        return self._at(t)[3]

    @cached_property
    def _known(self) -> dict[float, tuple[Tensor, ...]]:
        return {}

    def _at(self, t: Tensor) -> tuple[Tensor, ...]:
        """The moments at times of any shape; those at a single time, a tensor without dimensions, are kept."""
        if t.ndim > 0:
            return self._moments(t)
        time = float(t)
        if time not in self._known:
            if len(self._known) >= _MOST_CACHED:
                self._known.clear()
            self._known[time] = self._moments(t)
        return self._known[time]

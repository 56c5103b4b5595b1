"""Regions that a run file can name, each with the sentence that defines it in a report.

    ball:      |x − c| ≤ r          interval:  l ≤ x_i ≤ u          python:  whatever a function of the user's says

with x the flattened event in data units.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape, State, batch_size, event_numel, flatten
from leastwork.guidance.region import IntervalRegion
from leastwork.observables import Observable
from leastwork.systems import chignolin
from leastwork.systems.committor import TransitionRegion
from leastwork.workflow.path_config import BallConfig, MembershipConfig, RegionConfig, TransitionConfig
from leastwork.workflow.user_code import load_function

__all__ = ["Ball", "DefinedRegion", "Slab", "UserRegion", "build_region", "interval_coordinate"]


@runtime_checkable
class DefinedRegion(Protocol):
    """A membership test that can say what it tests."""

    @property
    def definition(self) -> str:
        """One sentence for a report."""
        ...

    def __call__(self, x: State) -> Tensor:
        """Membership of samples (B, *event), data units: bool (B,)."""
        ...


@dataclass(frozen=True)
class Ball:
    """All states within ``radius`` of ``centre``.

    >>> Ball((0.0, 0.0), 1.0)(torch.tensor([[0.5, 0.5], [1.0, 1.0]])).tolist()
    [True, False]
    """

    centre: tuple[float, ...]
    radius: float

    def __call__(self, x: State) -> Tensor:
        flat = flatten(x)
        return (flat - flat.new_tensor(self.centre)).square().sum(dim=1) <= self.radius**2

    @property
    def definition(self) -> str:
        shown = ", ".join(f"{c:g}" for c in self.centre[:6]) + (", …" if len(self.centre) > 6 else "")
        return f"A = {{x: |x − ({shown})| ≤ {self.radius:g}}}".replace("-", "−")


@dataclass(frozen=True)
class Slab:
    """All states whose coordinate ``index`` lies between two values, either of which may be infinite.

    >>> slab = Slab(1, -math.inf, 0.5)
    >>> slab(torch.tensor([[9.0, 0.5], [0.0, 0.6]])).tolist(), slab.definition
    ([True, False], 'A = {x: x_2 ≤ 0.5}')
    """

    index: int
    lower: float
    upper: float

    def __call__(self, x: State) -> Tensor:
        values = flatten(x)[:, self.index]
        return (values >= self.lower) & (values <= self.upper)

    @property
    def interval(self) -> tuple[Observable, float, float]:
        """x_i, l and u."""
        return Observable(self._coordinate, names=(f"x_{self.index + 1}",)), self.lower, self.upper

    def _coordinate(self, x: State) -> Tensor:
        return flatten(x)[:, self.index, None]

    @property
    def definition(self) -> str:
        low = f"{self.lower:g} ≤ " if math.isfinite(self.lower) else ""
        high = f" ≤ {self.upper:g}" if math.isfinite(self.upper) else ""
        return f"A = {{x: {low}x_{self.index + 1}{high}}}".replace("-", "−")


@dataclass(frozen=True)
class UserRegion:
    """A function of the user's, held to one bool for each sample."""

    fn: Callable[[State], Tensor]
    name: str
    """Of function and file, for messages."""

    def __call__(self, x: State) -> Tensor:
        inside = self.fn(x)
        n = batch_size(x)
        if not isinstance(inside, Tensor) or inside.dtype != torch.bool or inside.shape != (n,):
            is_tensor = isinstance(inside, Tensor)
            kind = f"{inside.dtype} of shape {tuple(inside.shape)}" if is_tensor else type(inside).__name__
            raise ConfigError(f"{self.name} gave {kind} for {n} states: return one bool for each, a comparison (B,)")
        return inside

    @property
    def definition(self) -> str:
        return f"A = {{x: {self.name} is true}}"


def interval_coordinate(region: object) -> Observable | None:
    """The coordinate of a region that is an interval of one."""
    return region.interval[0] if isinstance(region, IntervalRegion) else None


def build_region(config: RegionConfig, event_shape: EventShape) -> DefinedRegion:
    """The region that a run file names.

    Raises:
        ConfigError: numbers that do not fit the states, or a function that cannot be used.
    """
    size = event_numel(event_shape)
    if isinstance(config, MembershipConfig):
        function = load_function(config.file, config.function, "membership tests")
        return UserRegion(function, f"{config.function} in {config.file.name}")
    if isinstance(config, TransitionConfig):
        if event_shape != (10, 3):
            raise ConfigError(
                f"region: chignolin has ten beads in space, (10, 3), but the model {event_shape}: drop it"
            )
        if not config.lower < config.upper:
            raise ConfigError(f"region: lower = {config.lower:g} is not below upper = {config.upper:g}: exchange them")
        return TransitionRegion(chignolin.committor(), config.lower, config.upper)
    if isinstance(config, BallConfig):
        if len(config.centre) != size:
            raise ConfigError(
                f"region: the centre has {_numbers(len(config.centre))} and a state {size}: give one a coordinate"
            )
        return Ball(config.centre, config.radius)
    if config.index >= size:
        raise ConfigError(f"region: a state has {_numbers(size)}, so index {config.index} does not exist: count from 0")
    low = -math.inf if config.lower is None else config.lower
    high = math.inf if config.upper is None else config.upper
    if low == -math.inf and high == math.inf:
        raise ConfigError("region: the interval has no ends and holds everything: give lower, upper or both")
    if not low < high:
        raise ConfigError(f"region: lower = {low:g} is not below upper = {high:g}: nothing lies between, exchange them")
    return Slab(config.index, low, high)


def _numbers(n: int) -> str:
    return f"{n} number" if n == 1 else f"{n} numbers"

"""Regions that a run file can name, each with the sentence that defines it in a report.

    ball:      |x − c| ≤ r          interval:  l ≤ x_i ≤ u          python:  whatever a function of the user's says

with x the flattened event in data units.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.cases import chignolin
from leastwork.cases.chignolin.markov_committor import TransitionRegion
from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape, State, batch_size, event_numel
from leastwork.kernels.region import Ball, DefinedRegion, IntervalRegion, Slab
from leastwork.observables import Observable
from leastwork.runs.path.config import BallConfig, MembershipConfig, RegionConfig, TransitionConfig
from leastwork.support.user_code import load_function

__all__ = ["UserRegion", "build_region", "interval_coordinate"]


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

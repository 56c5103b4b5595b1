"""Regions that a run file can name, each with the sentence that defines it in a report.

    ball:      |x − c| ≤ r          interval:  l ≤ x_i ≤ u          python:  whatever a function of the user's says

with x the flattened event in data units.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field, FiniteFloat
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape, State, batch_size, event_numel
from leastwork.kernels.region import Ball, DefinedRegion, Slab
from leastwork.runs.base.cases import Case
from leastwork.runs.base.kinds import RegionKind
from leastwork.runs.base.open_kinds import OpenKinds
from leastwork.support.text import plural
from leastwork.support.user_code import load_function

__all__ = ["BallConfig", "MembershipConfig", "RegionConfig", "SlabConfig", "UserRegion"]


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


class BallConfig(RegionKind):
    """All states within a distance of a centre."""

    kind: Literal["ball"]
    centre: tuple[FiniteFloat, ...] = Field(
        min_length=1, description="a list of numbers, one for each coordinate of the flattened event, data units"
    )
    radius: FiniteFloat = Field(gt=0, description="a distance in data units, above 0")

    def build(self, event_shape: EventShape) -> DefinedRegion:
        size = event_numel(event_shape)
        if len(self.centre) != size:
            raise ConfigError(
                f"region: the centre has {plural(len(self.centre), 'number')} and a state {size}: give one a coordinate"
            )
        return Ball(self.centre, self.radius)


class SlabConfig(RegionKind):
    """All states with one coordinate of the flattened event in an interval."""

    kind: Literal["interval"]
    index: int = Field(default=0, ge=0, description="the number of a coordinate, counted from 0")
    lower: FiniteFloat | None = Field(default=None, description="the lower end in data units, or left out for no end")
    upper: FiniteFloat | None = Field(default=None, description="the upper end in data units, or left out for no end")

    def build(self, event_shape: EventShape) -> DefinedRegion:
        size = event_numel(event_shape)
        if self.index >= size:
            raise ConfigError(
                f"region: a state has {plural(size, 'number')}, so index {self.index} does not exist: count from 0"
            )
        low = -math.inf if self.lower is None else self.lower
        high = math.inf if self.upper is None else self.upper
        if low == -math.inf and high == math.inf:
            raise ConfigError("region: the interval has no ends and holds everything: give lower, upper or both")
        if not low < high:
            raise ConfigError(
                f"region: lower = {low:g} is not below upper = {high:g}: nothing lies between, exchange them"
            )
        return Slab(self.index, low, high)


class MembershipConfig(RegionKind):
    """A test of your own: state (B, *event) in data units -> bool (B,)."""

    runs_code: ClassVar[bool] = True

    kind: Literal["python"]
    file: Path = Field(description="a Python file, its path relative to the run file")
    function: str = Field(description="the name of a function in the file")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"file": place(self.file)})

    @property
    def code(self) -> Path:
        return self.file

    def build(self, event_shape: EventShape) -> DefinedRegion:
        function = load_function(self.file, self.function, "membership tests")
        return UserRegion(function, f"{self.function} in {self.file.name}")


class GivenRegion(RegionKind):
    """A region of a run that was saved in Python, where it was a function."""

    runs_code: ClassVar[bool] = True  # code that is not even there

    kind: Literal["given"]
    definition: str = Field(description="the sentence that defines it")

    def build(self, event_shape: EventShape) -> DefinedRegion:
        raise ConfigError("the region was given in Python and no file holds it: pass it, lw.load_run(folder, region=…)")


def _of_case(name: str, case: Case) -> Sequence[type[RegionKind]]:
    return case.region_kinds


RegionConfig = Annotated[
    RegionKind,
    OpenKinds[RegionKind](
        RegionKind, "leastwork.region_kinds", [BallConfig, SlabConfig, MembershipConfig, GivenRegion], _of_case
    ),
]
"""A region in a run file, of any kind."""

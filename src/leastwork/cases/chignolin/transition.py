"""Chignolin's transition region in run files, and the truth about any region from counts of simulated frames."""

import math
from collections.abc import Callable
from typing import Literal

from pydantic import Field, FiniteFloat
from torch import Tensor

from leastwork.cases.chignolin.folding import NATIVE, committor, ensembles, transition_region
from leastwork.cases.chignolin.markov_committor import TransitionRegion
from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape
from leastwork.runs.base.kinds import RegionKind
from leastwork.runs.path.truth import SimulatedRegion

__all__ = ["TransitionConfig", "region_truth"]


class TransitionConfig(RegionKind):
    """The transition states of chignolin's biased dynamics, defined by the bundled committor."""

    kind: Literal["chignolin-transition"]
    lower: FiniteFloat = Field(default=0.4, ge=0, lt=1, description="the least probability to fold first, 0 to 1")
    upper: FiniteFloat = Field(default=0.6, gt=0, le=1, description="the largest probability to fold first, 0 to 1")

    def build(self, event_shape: EventShape) -> TransitionRegion:
        if event_shape != tuple(NATIVE.shape):
            raise ConfigError(
                f"region: chignolin has ten beads in space, (10, 3), but the model {event_shape}: leave it out"
            )
        if not self.lower < self.upper:
            raise ConfigError(f"region: lower = {self.lower:g} is not below upper = {self.upper:g}: exchange them")
        return TransitionRegion(committor(), self.lower, self.upper)


def region_truth(region: Callable[[Tensor], Tensor]) -> SimulatedRegion | None:
    """The truth about a region, or None if no frame lies in it.

    The transition states have been kept from the whole trajectory; any other region is counted in thinned frames.
    """
    found = ensembles()
    if region == transition_region():
        return SimulatedRegion(found.transition, math.log(found.record["biased"]["transition_region"]["mean"]))
    inside = region(found.biased)
    return SimulatedRegion(found.biased[inside], math.log(float(inside.double().mean()))) if inside.any() else None

"""The cases of two moons and of the Müller–Brown potential, as run files name them."""

from collections.abc import Callable
from functools import cache, partial

from torch import Tensor

from leastwork.runs.base.cases import Case
from leastwork.runs.path.truth import KnownRegion, region_of
from leastwork.systems.moons import Moons
from leastwork.systems.muller_brown import muller_brown
from leastwork.systems.plane import PlaneDensity

__all__ = ["CASES"]

_POINTS = 300
_MOONS = (-2.4, -1.7), (2.4, 1.7)  # eight widths of the blur beyond the arcs


@cache
def _moons(points: int) -> PlaneDensity:
    return PlaneDensity(Moons().log_prob, *_MOONS, points)


def _truth_of(density: Callable[[int], PlaneDensity], region: Callable[[Tensor], Tensor]) -> KnownRegion | None:
    return region_of(density(_POINTS), region, _POINTS)


CASES = {
    "moons": Case(event_shape=(2,), region_truth=partial(_truth_of, _moons)),
    "muller-brown": Case(event_shape=(2,), region_truth=partial(_truth_of, cache(muller_brown))),
}

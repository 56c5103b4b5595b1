"""The cases of two moons and of the Müller–Brown potential, as run files name them."""

from collections.abc import Callable

from torch import Tensor

from leastwork.runs.base.cases import Case
from leastwork.runs.path.truth import KnownRegion, region_of
from leastwork.systems.moons import Moons
from leastwork.systems.muller_brown import muller_brown
from leastwork.systems.plane import PlaneDensity

__all__ = ["CASES"]

_POINTS = 300
_MOONS = (-2.4, -1.7), (2.4, 1.7)  # eight widths of the blur beyond the arcs


def _of_moons(region: Callable[[Tensor], Tensor]) -> KnownRegion | None:
    return region_of(PlaneDensity(Moons().log_prob, *_MOONS, _POINTS), region, _POINTS)


def _of_muller_brown(region: Callable[[Tensor], Tensor]) -> KnownRegion | None:
    return region_of(muller_brown(_POINTS), region, _POINTS)


CASES = {
    "moons": Case(event_shape=(2,), region_truth=_of_moons),
    "muller-brown": Case(event_shape=(2,), region_truth=_of_muller_brown),
}

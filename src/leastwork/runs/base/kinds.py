"""Settings that a run file names by ``kind:``, those of an observable or a region, which build what they describe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self, get_args

from leastwork.data.indirect import Function
from leastwork.errors import LeastworkError
from leastwork.geometry.state import EventShape
from leastwork.kernels.region import DefinedRegion
from leastwork.observables import Observable
from leastwork.runs.base.settings import Strict

__all__ = ["Kind", "ObservableKind", "OfAverages", "RegionKind", "kind_name"]


class Kind(Strict):
    """Settings of one kind; each kind has a field ``kind: Literal["its name"]``."""

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """The same settings with ``place(file)`` for each file that they name, if any."""
        return self

    @property
    def code(self) -> Path | None:
        """The file that is executed when this is built, None where nothing is."""
        return None


@dataclass(frozen=True)
class OfAverages:
    """A function of the averages of an observable, which data are on.

    Args:
        function: f(m, η), averages (K,) and unknowns (P,) -> (J,).
        names: a name for each value.
        unit: the unit of all values.
        unknowns: the unknowns η by name, with the values at which the search for them starts.
    """

    function: Function
    names: tuple[str, ...]
    unit: str = ""
    unknowns: Mapping[str, float] = field(default_factory=dict)


class ObservableKind(Kind):
    """Settings of an observable.

    Attributes:
        sees_frames: True for a kind whose function takes rigid frames as they are, positions and rotations; any other
            is built for points (N, 3), and sees the positions of frames.
        is_probed: whether what is built is tried on a state of zeros before the run begins.
    """

    sees_frames: ClassVar[bool] = False
    is_probed: ClassVar[bool] = True

    def build(self, event_shape: EventShape) -> Observable:
        """The observable for a model's states.

        Raises:
            LeastworkError: settings that do not fit the states.
        """
        raise NotImplementedError

    def of_averages(self, observable: Observable) -> OfAverages | None:
        """The function of the averages of what :meth:`build` has built that data are on, None for the averages.

        Raises:
            LeastworkError: settings that do not fit the columns of the observable.
        """
        return None


class RegionKind(Kind):
    """Settings of a region.

    Attributes:
        runs_code: True where building the region runs code from a file that the run names; reports do not do that.
    """

    runs_code: ClassVar[bool] = False

    def build(self, event_shape: EventShape) -> DefinedRegion:
        """The region of a model's states.

        Raises:
            LeastworkError: settings that do not fit the states.
        """
        raise NotImplementedError


def kind_name(settings: type[Kind]) -> str:
    """The name by which a run file calls a kind.

    Raises:
        LeastworkError: the class has no field ``kind`` with one literal name.
    """
    field = settings.model_fields.get("kind")
    names = () if field is None else get_args(field.annotation)
    if len(names) != 1 or not isinstance(names[0], str):
        raise LeastworkError(f'{settings.__name__} has no name: give it a field kind: Literal["its name"]')
    return names[0]

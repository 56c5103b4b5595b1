"""Kinds of a run file that are made of another observable: populations of states, and functions of its averages.

    {kind: attenuation, of: {kind: python, file: rates.py, function: rates, names: [A28]}, relaxation: 20, time: 0.01}

Data on a function of averages are data on ⟨O⟩ by way of :class:`~leastwork.Indirect`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, FiniteFloat
from torch import Tensor

from leastwork.data.functions import Attenuation, LinearModel, Ratio, Uptake
from leastwork.errors import LeastworkError
from leastwork.geometry.state import EventShape
from leastwork.observables import Observable, population
from leastwork.runs.base.kinds import ObservableKind, OfAverages
from leastwork.support.text import plural
from leastwork.support.user_code import load_function

if TYPE_CHECKING:
    from leastwork.runs.observables.kinds import ObservableConfig

__all__ = ["ON_OTHERS"]

_Positive = Annotated[FiniteFloat, Field(gt=0)]
_Names = Annotated[tuple[str, ...] | None, Field(description="a list of names, one for each value")]


class _OnAnother(ObservableKind):
    """What is made of another observable."""

    of: "ObservableConfig" = Field(description="an observable, with its kind")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"of": self.of.with_files(place)})

    @property
    def code(self) -> Path | None:
        return self.of.code

    def build(self, event_shape: EventShape) -> Observable:
        return self.of.build(event_shape)


class PopulationConfig(_OnAnother):
    """A smooth indicator of an interval of another observable; its mean is the population of a state."""

    kind: Literal["population"]
    lower: FiniteFloat | None = Field(default=None, description="the left edge in its unit, or left out for no edge")
    upper: FiniteFloat | None = Field(default=None, description="the right edge in its unit, or left out for no edge")
    width: FiniteFloat = Field(gt=0, description="the width of an edge in its unit, above 0")
    name: str | None = Field(default=None, description="a name for the population")

    def build(self, event_shape: EventShape) -> Observable:
        return population(self.of.build(event_shape), self.lower, self.upper, self.width, self.name)


class RatioConfig(_OnAnother):
    """Ratios of averages: those of the first half of the columns by those of the second."""

    kind: Literal["ratio"]
    names: _Names = None

    def of_averages(self, observable: Observable) -> OfAverages:
        half, odd = divmod(observable.count, 2)
        if odd:
            raise LeastworkError(f"ratios take an even number of columns, and there are {observable.count}")
        pairs = zip(observable.names[:half], observable.names[half:], strict=True)
        return OfAverages(Ratio(), _named(self.names, [f"{a} / {b}" for a, b in pairs]))


class AttenuationConfig(_OnAnother):
    """Ratios of intensities with and without a spin label, from columns of rates in 1/s."""

    kind: Literal["attenuation"]
    relaxation: _Positive | tuple[_Positive, ...] = Field(
        description="the rate of relaxation without the label in 1/s, above 0, or a list with one for each column"
    )
    time: FiniteFloat = Field(ge=0, description="the time of the transfers during which the label relaxes, in s")
    names: _Names = None

    def of_averages(self, observable: Observable) -> OfAverages:
        if isinstance(self.relaxation, tuple) and len(self.relaxation) != observable.count:
            raise LeastworkError(
                f"{plural(len(self.relaxation), 'rate')} of relaxation for {plural(observable.count, 'column')}: give "
                "one for all, or one each"
            )
        names = _named(self.names, [f"ratio of {name}" for name in observable.names])
        return OfAverages(Attenuation(self.relaxation, self.time), names)


class UptakeConfig(_OnAnother):
    """Fractions of a peptide's amides that have exchanged at several times, from columns of ln P."""

    kind: Literal["uptake"]
    rates: tuple[_Positive, ...] = Field(min_length=1, description="a list of intrinsic rates in 1/s, one an amide")
    times: tuple[_Positive, ...] = Field(min_length=1, description="a list of times in s")
    names: _Names = None

    def of_averages(self, observable: Observable) -> OfAverages:
        if len(self.rates) != observable.count:
            raise LeastworkError(
                f"{plural(len(self.rates), 'rate')} for {plural(observable.count, 'column')} of ln P: give one each"
            )
        names = _named(self.names, [f"uptake at {time:g} s" for time in self.times])
        return OfAverages(Uptake(self.rates, self.times), names)


class LinearModelConfig(_OnAnother):
    """Values Σ η_c m_jc with unknown η, from rows of as many columns as there are unknowns: couplings of a tensor."""

    kind: Literal["linear_model"]
    unknowns: tuple[str, ...] = Field(min_length=1, description="a list of names of the unknowns")
    names: _Names = None

    def of_averages(self, observable: Observable) -> OfAverages:
        count, rest = divmod(observable.count, len(self.unknowns))
        if rest:
            raise LeastworkError(
                f"{observable.count} columns are no rows of {plural(len(self.unknowns), 'unknown')}: give as many "
                "columns for each value as there are unknowns"
            )
        if count <= len(self.unknowns):
            raise LeastworkError(
                f"{plural(count, 'value')} for {plural(len(self.unknowns), 'unknown')} agree with any structure: give "
                f"at least {len(self.unknowns) + 1}"
            )
        names = _named(self.names, [f"value {number}" for number in range(1, count + 1)])
        return OfAverages(LinearModel(), names, unknowns=dict.fromkeys(self.unknowns, 0.0))


class FunctionConfig(_OnAnother):
    """A function of your own: averages (K,) and unknowns (P,), tensors in float64 -> (J,)."""

    kind: Literal["function"]
    file: Path = Field(description="a Python file, its path relative to the run file")
    function: str = Field(description="the name of a function in the file")
    names: tuple[str, ...] = Field(min_length=1, description="a list of names, one for each value")
    unit: str = Field(default="", description="a unit, as text")
    unknowns: dict[str, FiniteFloat] = Field(
        default={}, description="names of unknowns, with the values at which the search for them starts"
    )

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"of": self.of.with_files(place), "file": place(self.file)})

    @property
    def code(self) -> Path:
        return self.file

    def of_averages(self, observable: Observable) -> OfAverages:
        function: Callable[[Tensor, Tensor], Tensor] = load_function(self.file, self.function, "observables")
        return OfAverages(function, self.names, self.unit, self.unknowns)


ON_OTHERS: Sequence[type[ObservableKind]] = (
    PopulationConfig,
    RatioConfig,
    AttenuationConfig,
    UptakeConfig,
    LinearModelConfig,
    FunctionConfig,
)


def _named(names: tuple[str, ...] | None, usual: list[str]) -> tuple[str, ...]:
    if names is not None and len(names) != len(usual):
        raise LeastworkError(f"{plural(len(names), 'name')} for {plural(len(usual), 'value')}: give one for each")
    return tuple(usual) if names is None else names

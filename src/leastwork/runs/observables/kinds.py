"""Observables that a run file can name, each a kind with its keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    FiniteFloat,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from leastwork.runs.base.settings import Strict

__all__ = [
    "ChignolinConfig",
    "ComponentConfig",
    "ContactsConfig",
    "DeviationConfig",
    "DistancesConfig",
    "EndToEndConfig",
    "GyrationConfig",
    "IntervalConfig",
    "ObservableConfig",
    "PythonConfig",
    "TorsionsConfig",
]


class MeasuredConfig(Strict):
    """What is measured, of any kind."""

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """The same with ``place(file)`` for the file it names, if any."""
        return self


class ComponentConfig(MeasuredConfig):
    """One coordinate of the flattened event."""

    kind: Literal["component"]
    index: int = Field(default=0, description="the number of a coordinate, counted from 0")
    name: str | None = Field(default=None, description="a name for the observable")
    unit: str = Field(default="", description="a unit, as text")


class IntervalConfig(MeasuredConfig):
    """A smooth indicator of an interval of one coordinate; its mean is a population."""

    kind: Literal["smooth_interval"]
    lower: FiniteFloat | None = Field(default=None, description="the left edge in data units, or left out for no edge")
    upper: FiniteFloat | None = Field(default=None, description="the right edge in data units, or left out for no edge")
    width: FiniteFloat = Field(gt=0, description="the width of an edge in data units, above 0")
    index: int = Field(default=0, description="the number of a coordinate, counted from 0")
    name: str | None = Field(default=None, description="a name for the observable")


class PythonConfig(MeasuredConfig):
    """A function of your own: state (B, *event) in data units -> (B,) or (B, K)."""

    kind: Literal["python"]
    file: Path = Field(description="a Python file, its path relative to the run file")
    function: str = Field(description="the name of a function in the file")
    names: tuple[str, ...] | None = Field(default=None, description="a list of names, one per column of the function")
    unit: str | tuple[str, ...] = Field(default="", description="a unit, or a list with one per column")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"file": place(self.file)})


def _whole(group: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """A group of atoms is right or wrong as a whole, so that a complaint shows all of it."""
    try:
        return check(group)
    except ValidationError:
        raise ValueError from None


_Atom = Annotated[int, Field(ge=0)]
_Pair = Annotated[tuple[_Atom, _Atom], WrapValidator(_whole)]
_Quadruple = Annotated[tuple[_Atom, _Atom, _Atom, _Atom], WrapValidator(_whole)]
_Length = Annotated[str, Field(description="the unit of the model's coordinates, as text")]
_Structure = Annotated[
    Path,
    Field(description="a structure's file, PDB or CSV with one atom a row, its path relative to the run file"),
]


class DistancesConfig(MeasuredConfig):
    """Distances of pairs of atoms."""

    kind: Literal["distances"]
    pairs: tuple[_Pair, ...] = Field(min_length=1, description="a list of pairs [i, j] of atoms, counted from 0")
    names: tuple[str, ...] | None = Field(default=None, description="a list of names, one per pair")
    unit: _Length = "nm"


class EndToEndConfig(MeasuredConfig):
    """The distance from the first atom to the last."""

    kind: Literal["end_to_end"]
    name: str | None = Field(default=None, description="a name for the observable")
    unit: _Length = "nm"


class GyrationConfig(MeasuredConfig):
    """The radius of gyration."""

    kind: Literal["radius_of_gyration"]
    masses: tuple[FiniteFloat, ...] | None = Field(
        default=None, description="a list of masses, one for each atom, or left out where all are alike"
    )
    name: str | None = Field(default=None, description="a name for the observable")
    unit: _Length = "nm"


class TorsionsConfig(MeasuredConfig):
    """Torsions of four atoms each, as cosines and then as sines: an angle has no average."""

    kind: Literal["torsions"]
    quadruples: tuple[_Quadruple, ...] = Field(
        min_length=1, description="a list of quadruples [i, j, k, l] of atoms, counted from 0"
    )
    names: tuple[str, ...] | None = Field(
        default=None, description="a list of names, one per quadruple, before which 'cos' and 'sin' are put"
    )


class ContactsConfig(MeasuredConfig):
    """Contacts that a native structure has."""

    kind: Literal["native_contacts"]
    structure: _Structure
    cutoff: FiniteFloat = Field(default=0.95, gt=0, description="the length of the longest contact, above 0")
    apart: int = Field(default=4, ge=1, description="the number of places along the chain, at least 1")
    steepness: FiniteFloat = Field(default=50.0, gt=0, description="a steepness in one over the unit, above 0")
    reach: FiniteFloat = Field(
        default=1.8, gt=0, description="the stretch of a contact at which it counts one half, above 0"
    )
    quantity: Literal["Q", "contacts"] = Field(default="Q", description="their mean or all of them")
    name: str | None = Field(default=None, description="a name for Q")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"structure": place(self.structure)})


class DeviationConfig(MeasuredConfig):
    """The root mean square deviation from a structure."""

    kind: Literal["rmsd"]
    structure: _Structure
    name: str | None = Field(default=None, description="a name for the observable")
    unit: _Length = "nm"

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"structure": place(self.structure)})


class ChignolinConfig(MeasuredConfig):
    """What describes chignolin's folding, with the numbers of its force field."""

    kind: Literal["chignolin"]
    quantity: Literal["folded", "Q", "contacts"] = Field(
        default="folded", description="the smooth share of folded structures, Q, or all contacts"
    )


ObservableConfig = Annotated[
    ComponentConfig
    | ChignolinConfig
    | IntervalConfig
    | PythonConfig
    | DistancesConfig
    | EndToEndConfig
    | GyrationConfig
    | TorsionsConfig
    | ContactsConfig
    | DeviationConfig,
    Discriminator("kind"),
]

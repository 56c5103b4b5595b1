"""Observables that a run file can name: a class for each kind, with its keys, that builds the observable."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from pydantic import (
    Field,
    FiniteFloat,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import EventShape
from leastwork.observables import (
    Observable,
    circular,
    component,
    contacts,
    cosines_and_sines,
    distances,
    end_to_end,
    native_fraction,
    radius_of_gyration,
    rmsd,
    smooth_interval,
)
from leastwork.observables.contacts import pairs_in_contact
from leastwork.runs.base.cases import Case, case
from leastwork.runs.base.kinds import ObservableKind
from leastwork.runs.base.open_kinds import OpenKinds
from leastwork.runs.base.structures import read_structure
from leastwork.runs.observables.amides import HdxConfig
from leastwork.runs.observables.commands import CommandConfig
from leastwork.runs.observables.on_others import ON_OTHERS
from leastwork.runs.observables.techniques import TECHNIQUES
from leastwork.support.user_code import load_function

__all__ = ["ObservableConfig", "register_kind"]


class ComponentConfig(ObservableKind):
    """One coordinate of the flattened event."""

    kind: Literal["component"]
    index: int = Field(default=0, description="the number of a coordinate, counted from 0")
    name: str | None = Field(default=None, description="a name for the observable")
    unit: str = Field(default="", description="a unit, as text")

    def build(self, event_shape: EventShape) -> Observable:
        return component(self.index, self.name, self.unit)


class IntervalConfig(ObservableKind):
    """A smooth indicator of an interval of one coordinate; its mean is a population."""

    kind: Literal["smooth_interval"]
    lower: FiniteFloat | None = Field(default=None, description="the left edge in data units, or left out for no edge")
    upper: FiniteFloat | None = Field(default=None, description="the right edge in data units, or left out for no edge")
    width: FiniteFloat = Field(gt=0, description="the width of an edge in data units, above 0")
    index: int = Field(default=0, description="the number of a coordinate, counted from 0")
    name: str | None = Field(default=None, description="a name for the observable")

    def build(self, event_shape: EventShape) -> Observable:
        return smooth_interval(self.lower, self.upper, self.width, self.index, self.name)


class PythonConfig(ObservableKind):
    """A function of your own: state (B, *event) in data units -> (B,) or (B, K)."""

    sees_frames: ClassVar[bool] = True

    kind: Literal["python"]
    file: Path = Field(description="a Python file, its path relative to the run file")
    function: str = Field(description="the name of a function in the file")
    names: tuple[str, ...] | None = Field(default=None, description="a list of names, one per column of the function")
    unit: str | tuple[str, ...] = Field(default="", description="a unit, or a list with one per column")
    differentiable: bool = Field(default=True, description="false for a function of NumPy or of another program")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"file": place(self.file)})

    @property
    def code(self) -> Path:
        return self.file

    def build(self, event_shape: EventShape) -> Observable:
        function = load_function(self.file, self.function, "observables")
        return Observable(function, self.names or (self.function,), self.unit, self.differentiable)


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


class DistancesConfig(ObservableKind):
    """Distances of pairs of atoms."""

    kind: Literal["distances"]
    pairs: tuple[_Pair, ...] = Field(min_length=1, description="a list of pairs [i, j] of atoms, counted from 0")
    names: tuple[str, ...] | None = Field(default=None, description="a list of names, one per pair")
    unit: _Length = "nm"

    def build(self, event_shape: EventShape) -> Observable:
        return _named(distances(self.pairs, self.unit), self.names)


class EndToEndConfig(ObservableKind):
    """The distance from the first atom to the last."""

    kind: Literal["end_to_end"]
    name: str | None = Field(default=None, description="a name for the observable")
    unit: _Length = "nm"

    def build(self, event_shape: EventShape) -> Observable:
        return _named(end_to_end(self.unit), self.name)


class GyrationConfig(ObservableKind):
    """The radius of gyration."""

    kind: Literal["radius_of_gyration"]
    masses: tuple[FiniteFloat, ...] | None = Field(
        default=None, description="a list of masses, one for each atom, or left out where all are alike"
    )
    name: str | None = Field(default=None, description="a name for the observable")
    unit: _Length = "nm"

    def build(self, event_shape: EventShape) -> Observable:
        return _named(radius_of_gyration(self.masses, self.unit), self.name)


class TorsionsConfig(ObservableKind):
    """Torsions of four atoms each, as cosines and then as sines: an angle has no average."""

    kind: Literal["torsions"]
    quadruples: tuple[_Quadruple, ...] = Field(
        min_length=1, description="a list of quadruples [i, j, k, l] of atoms, counted from 0"
    )
    names: tuple[str, ...] | None = Field(
        default=None, description="a list of names, one per quadruple, before which 'cos' and 'sin' are put"
    )

    def build(self, event_shape: EventShape) -> Observable:
        return _torsions(self)


class AnglesConfig(ObservableKind):
    """Angles of a model of angles, as cosines and then as sines."""

    kind: Literal["angles"]
    index: tuple[int, ...] = Field(min_length=1, description="a list of numbers of angles, counted from 0")
    names: tuple[str, ...] | None = Field(
        default=None, description="a list of names, one per angle, before which 'cos' and 'sin' are put"
    )

    def build(self, event_shape: EventShape) -> Observable:
        return circular(self.index, self.names)


class ContactsConfig(ObservableKind):
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

    def build(self, event_shape: EventShape) -> Observable:
        return _contacts(self, read_structure(self.structure, event_shape))


class DeviationConfig(ObservableKind):
    """The root mean square deviation from a structure."""

    kind: Literal["rmsd"]
    structure: _Structure
    name: str | None = Field(default=None, description="a name for the observable")
    unit: _Length = "nm"

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"structure": place(self.structure)})

    def build(self, event_shape: EventShape) -> Observable:
        return _named(rmsd(read_structure(self.structure, event_shape), self.unit), self.name)


class CaseConfig(ObservableKind):
    """A quantity that a case knows; the class of each case lists those that it has."""

    kind: str
    quantity: str

    def build(self, event_shape: EventShape) -> Observable:
        return case(self.kind).observables[self.quantity]()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its names, since the class of a case is made in each process anew."""
        return _case_config, (self.kind, get_args(type(self).model_fields["quantity"].annotation), self.quantity)


def _case_config(name: str, quantities: tuple[str, ...], quantity: str) -> CaseConfig:
    return _case_kind(name, quantities)(kind=name, quantity=quantity)


@cache
def _case_kind(name: str, quantities: tuple[str, ...]) -> type[CaseConfig]:
    literal: Any = Literal  # of names that are known only now
    default = Field(default=quantities[0], description="a quantity")
    return create_model(
        "CaseConfig", __base__=CaseConfig, kind=(literal[name], ...), quantity=(literal[quantities], default)
    )


def _of_case(name: str, case: Case) -> Sequence[type[ObservableKind]]:
    return [_case_kind(name, tuple(case.observables))] if case.observables else []


_KINDS = OpenKinds[ObservableKind](
    ObservableKind,
    "leastwork.observable_kinds",
    [
        ComponentConfig,
        IntervalConfig,
        AnglesConfig,
        PythonConfig,
        DistancesConfig,
        EndToEndConfig,
        GyrationConfig,
        TorsionsConfig,
        ContactsConfig,
        DeviationConfig,
        *TECHNIQUES,
        *ON_OTHERS,
        HdxConfig,
        CommandConfig,
    ],
    _of_case,
)

ObservableConfig = Annotated[ObservableKind, _KINDS]
"""An observable in a run file, of any kind."""

for _each in ON_OTHERS:
    _each.model_rebuild(_types_namespace={"ObservableConfig": ObservableConfig})

_Class = TypeVar("_Class", bound=type[ObservableKind])


def register_kind(settings: _Class) -> _Class:
    """Make a kind of observable known to run files in this process; a decorator of its class of settings.

    A package makes a kind known to every process, the command line included, by an entry point of the group
    ``leastwork.observable_kinds`` with the kind's name.

    Args:
        settings: the class; it has a field ``kind`` and builds its observable.

    Raises:
        LeastworkError: the class has no name, or that of a built-in kind.

    >>> @register_kind
    ... class Square(ObservableKind):
    ...     kind: Literal["square"]
    ...
    ...     def build(self, event_shape):
    ...         return Observable(lambda x: x**2, ("x squared",))
    """
    _KINDS.register(settings)
    return settings


def _torsions(config: TorsionsConfig) -> Observable:
    observable = cosines_and_sines(config.quadruples)
    if config.names is None:
        return observable
    if 2 * len(config.names) != observable.count:
        raise LeastworkError(f"{len(config.names)} names for {len(config.quadruples)} quadruples: give one for each")
    return _named(observable, [f"{fn} {name}" for fn in ("cos", "sin") for name in config.names])


def _contacts(config: ContactsConfig, structure: Tensor) -> Observable:
    pairs, lengths = pairs_in_contact(structure, config.cutoff, config.apart)
    if config.quantity == "Q":
        return _named(native_fraction(pairs, lengths, config.steepness, config.reach), config.name)
    if config.name is not None:
        raise LeastworkError("contacts are named by their atoms: leave out name, or take quantity Q")
    return contacts(pairs, lengths, config.steepness, config.reach)


def _named(observable: Observable, names: str | Sequence[str] | None) -> Observable:
    """The same under other names, where they are given."""
    if names is None:
        return observable
    return replace(observable, names=(names,) if isinstance(names, str) else tuple(names))

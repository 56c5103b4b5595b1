"""From a run file to what the library takes: model, observable, experiment, and choices of the sampling."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from leastwork.cases import ala5, chignolin
from leastwork.data.experiment import Experiment
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import EventShape, shapes
from leastwork.models.base import Model
from leastwork.models.files import load_model
from leastwork.observables import (
    Observable,
    component,
    contacts,
    cosines_and_sines,
    distances,
    end_to_end,
    native_fraction,
    radius_of_gyration,
    rmsd,
    smooth_interval,
    stack,
)
from leastwork.observables.contacts import pairs_in_contact
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.base.structures import read_structure
from leastwork.runs.observables.config import CsvConfig, DatumConfig, RunConfig
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.couplings.inputs import CouplingData, coupling_data
from leastwork.runs.observables.kinds import (
    ChignolinConfig,
    ComponentConfig,
    ContactsConfig,
    DeviationConfig,
    DistancesConfig,
    EndToEndConfig,
    GyrationConfig,
    IntervalConfig,
    ObservableConfig,
    PythonConfig,
    TorsionsConfig,
)
from leastwork.support.text import nearest
from leastwork.support.user_code import load_function

__all__ = ["Inputs", "build_inputs"]
_SHAPES = {"prinz": (1,), "chignolin": (10, 3), "ala5": (16, 3)}
_CHIGNOLIN = {"folded": chignolin.folded, "Q": chignolin.native, "contacts": chignolin.contact_map}


@dataclass(frozen=True)
class Inputs:
    """What a run works with.

    Args:
        model: what is guided.
        data: the experiment, its errors as stated.
        choices: of the sampling.
        couplings: the same data where they are scalar couplings.
        reported: observables without data, or None.
    """

    model: Model
    data: Experiment
    choices: dict[str, Any]
    couplings: CouplingData | None = None
    reported: Observable | None = None


def build_inputs(config: RunConfig) -> Inputs:
    """Load and check everything, before anything is drawn.

    Raises:
        ConfigError: a file, name or shape that cannot be used.
    """
    model = load_model(config.model)
    items = [_measured(i, item, model) for i, item in enumerate(config.observables or (), 1)]
    shape = model.event_shape if config.system is None else _SHAPES[config.system]
    if model.event_shape != shape:
        raise ConfigError(
            f"system {config.system} has events {shape}, but model {config.model!r} {model.event_shape}: drop it"
        )
    choices = sampling_choices(config.sampling)
    populations = [ala5.populations()] if config.system == "ala5" else []
    if isinstance(config.data, CouplingsConfig):
        found = coupling_data(config.data, config.system, model.event_shape)
        return Inputs(model, found.experiment, choices, found, _stacked([*items, *populations]))
    return Inputs(model, _experiment(config, stack(*items)), choices, reported=_stacked(populations))


def _stacked(items: Sequence[Observable]) -> Observable | None:
    return stack(*items) if items else None


def _measured(number: int, item: ObservableConfig, model: Model) -> Observable:
    """One entry, tried on the model's states; a complaint that names no place gets it here."""
    try:
        observable = _observable(item, model.event_shape)
        _probe(observable, model)
    except ConfigError:
        raise
    except LeastworkError as error:
        raise ConfigError(f"entry {number} of 'observables': {error}") from error
    return observable


def _observable(item: ObservableConfig, event_shape: EventShape) -> Observable:
    match item:
        case ComponentConfig():
            return component(item.index, item.name, item.unit)
        case IntervalConfig():
            return smooth_interval(item.lower, item.upper, item.width, item.index, item.name)
        case PythonConfig():
            return Observable(
                load_function(item.file, item.function, "observables"), item.names or (item.function,), item.unit
            )
        case ChignolinConfig():
            return _CHIGNOLIN[item.quantity]()
        case DistancesConfig():
            return _named(distances(item.pairs, item.unit), item.names)
        case EndToEndConfig():
            return _named(end_to_end(item.unit), item.name)
        case GyrationConfig():
            return _named(radius_of_gyration(item.masses, item.unit), item.name)
        case TorsionsConfig():
            return _torsions(item)
        case ContactsConfig():
            return _contacts(item, read_structure(item.structure, event_shape))
        case DeviationConfig():
            return _named(rmsd(read_structure(item.structure, event_shape), item.unit), item.name)


def _torsions(item: TorsionsConfig) -> Observable:
    observable = cosines_and_sines(item.quadruples)
    if item.names is None:
        return observable
    if 2 * len(item.names) != observable.count:
        raise LeastworkError(f"{len(item.names)} names for {len(item.quadruples)} quadruples: give one for each")
    return _named(observable, [f"{fn} {name}" for fn in ("cos", "sin") for name in item.names])


def _contacts(item: ContactsConfig, structure: Tensor) -> Observable:
    pairs, lengths = pairs_in_contact(structure, item.cutoff, item.apart)
    if item.quantity == "Q":
        return _named(native_fraction(pairs, lengths, item.steepness, item.reach), item.name)
    if item.name is not None:
        raise LeastworkError("contacts are named by their atoms: drop the name, or take quantity Q")
    return contacts(pairs, lengths, item.steepness, item.reach)


def _named(observable: Observable, names: str | Sequence[str] | None) -> Observable:
    """The same under other names, where they are given."""
    if names is None:
        return observable
    return replace(observable, names=(names,) if isinstance(names, str) else tuple(names))


def _probe(observable: Observable, model: Model) -> None:
    """One evaluation at zero, which finds a wrong shape at once."""
    parts = tuple(torch.zeros(2, *shape) for shape in shapes(model.event_shape))
    is_tuple = bool(model.event_shape) and isinstance(model.event_shape[0], tuple)
    observable(parts if is_tuple else parts[0])


def _experiment(config: RunConfig, observable: Observable) -> Experiment:
    if isinstance(config.data, CsvConfig):
        return Experiment.from_csv(config.data.csv, observable)
    data: dict[str, DatumConfig] = {}
    assert not isinstance(config.data, CouplingsConfig)  # which have an experiment of their own
    for datum in config.data:
        if datum.name not in observable.names:
            raise ConfigError(f"data: there is no observable {datum.name!r}{nearest(datum.name, observable.names)}")
        if datum.name in data:
            raise ConfigError(f"data: two entries for {datum.name!r}: keep one of them")
        if datum.value is not None and datum.error is None:
            raise ConfigError(f"data: {datum.name!r} has no error: write 0 if it is exact, or its standard error")
        data[datum.name] = datum
    for name in observable.names:
        if name not in data:
            raise ConfigError(f"data: there is none for observable {name!r}: add an entry, or drop the observable")
    rows = [data[name] for name in observable.names]
    return Experiment(
        observable,
        values=[row.value for row in rows],
        errors=[row.error or 0.0 for row in rows],
        lower=[row.lower for row in rows],
        upper=[row.upper for row in rows],
        held_out=[row.held_out for row in rows],
    )

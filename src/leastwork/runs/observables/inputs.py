"""From a run file to what the library takes: model, observable, experiment, and choices of the sampling."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from leastwork.adapters.source import load_model
from leastwork.data.experiment import Experiment, data_of_table
from leastwork.data.mixture import join
from leastwork.data.trust import with_theta
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import EventShape, shapes
from leastwork.models.base import Model
from leastwork.models.latents import data_shape, of_data
from leastwork.observables import Observable, on_alpha_carbons, stack
from leastwork.runs.base.cases import case, check_shape
from leastwork.runs.base.kinds import ObservableKind
from leastwork.runs.base.placed import placed
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.couplings.inputs import KindsOfData, LeftOut, coupling_data
from leastwork.runs.observables.data import CsvConfig, DatumConfig
from leastwork.sampling.choices import Choices
from leastwork.support.text import nearest, quoted

__all__ = ["Inputs", "build_inputs"]


@dataclass(frozen=True)
class Inputs:
    """What a run works with.

    Args:
        model: the model that is guided.
        data: the experiment, its errors as stated.
        choices: process, solver and steps with which samples are drawn.
        kinds: of what kind the data are, where some of them are scalar couplings.
        reported: observables without data, or None.
    """

    model: Model
    data: Experiment
    choices: Choices
    kinds: KindsOfData | None = None
    reported: Observable | None = None

    def __post_init__(self) -> None:
        """Observables of a latent model see its samples decoded."""
        object.__setattr__(self, "data", self.data.sampled_by(self.model))
        if self.reported is not None:
            object.__setattr__(self, "reported", of_data(self.reported, self.model))


def build_inputs(config: RunConfig, model: Model | None = None) -> Inputs:
    """Load and check everything, before anything is drawn.

    Args:
        config: the run.
        model: in place of the one that the run names.

    Raises:
        ConfigError: a file, name or shape that cannot be used.
    """
    if config.given_names is not None:
        raise ConfigError(f"{config.name} was saved in Python, with an observable that no file holds: use lw.load_run")
    model = placed(load_model(config.model), config) if model is None else model
    items = [_measured(i, item, model) for i, item in enumerate(config.observables or (), 1)]
    check_shape(config.system, config.source.label, model.event_shape)
    choices = sampling_choices(config.sampling)
    known = None if config.system is None else case(config.system).reported
    without_data = [] if known is None else [known()]
    read = _read(config, data_shape(model), items)
    return Inputs(model, read.experiment, choices, read.kinds, _stacked([*read.without_data, *without_data]))


def _stacked(items: Sequence[Observable]) -> Observable | None:
    return stack(*items) if items else None


def _measured(number: int, item: ObservableKind, model: Model) -> Observable:
    """One entry, tried on the model's states; a complaint that names no place gets it here."""
    try:
        observable = _built(item, model)
        _probe(observable, model)
    except ConfigError:
        raise
    except LeastworkError as error:
        raise ConfigError(f"entry {number} of 'observables': {error}") from error
    return observable


def _built(item: ObservableKind, model: Model) -> Observable:
    """The observable, of frames that of their positions unless its kind sees frames as they are."""
    if not model.has_rotations or item.sees_frames:
        return item.build(data_shape(model))
    return on_alpha_carbons(item.build(shapes(model.event_shape)[0]))


def _probe(observable: Observable, model: Model) -> None:
    """One evaluation at zero, unturned, which finds a wrong shape at once."""
    parts = tuple(torch.zeros(2, *shape) for shape in shapes(model.event_shape))
    if model.has_rotations:
        parts = parts[0], parts[1] + torch.eye(3)
    is_tuple = bool(model.event_shape) and isinstance(model.event_shape[0], tuple)
    of_data(observable, model)(parts if is_tuple else parts[0])


@dataclass(frozen=True, eq=False)
class _Row:
    """A datum of one observable: the arguments of an experiment, and the kind that it is counted with."""

    datum: Mapping[str, Any]
    kind: str


@dataclass(frozen=True, eq=False)
class _Part:
    """Data of one technique: their kinds, bool (K,) for those held out, θ if it is a number, and what is left out."""

    kinds: KindsOfData
    held_out: Tensor
    theta: float | None = 1.0
    leave_out: LeftOut = "types"


@dataclass(frozen=True, eq=False)
class _Member:
    """What one member of the data says: rows by the names of observables, or couplings."""

    rows: Mapping[str, _Row] = field(default_factory=dict)
    parts: Sequence[_Part] = ()


def _of_couplings(
    data: CouplingsConfig, config: RunConfig, event_shape: EventShape, items: Sequence[Observable]
) -> _Member:
    alone = len(config.data.members) == 1
    found, held_out = coupling_data(data, config.system, event_shape, alone=alone)
    return _Member(parts=[_Part(found, held_out, data.stated_theta, data.leave_out)])


def _of_table(data: CsvConfig, config: RunConfig, event_shape: EventShape, items: Sequence[Observable]) -> _Member:
    observable = stack(*items)
    rows = data_of_table(data.csv, observable)
    missing = [name for name in observable.names if name not in rows] if len(config.data.members) == 1 else []
    if missing:
        raise ConfigError(
            f"{data.csv}: there is no row for {quoted(missing[0])}: add one, or leave it out of the observable"
        )
    held_out = {"held_out": True} if data.held_out else {}
    return _Member({name: _Row({**row, **held_out}, data.csv.stem) for name, row in rows.items()})


def _of_datum(data: DatumConfig, config: RunConfig, event_shape: EventShape, items: Sequence[Observable]) -> _Member:
    names = stack(*items).names
    if data.name not in names:
        raise ConfigError(f"data: there is no observable {quoted(data.name)}{nearest(data.name, names)}")
    if data.value is not None and data.error is None:
        raise ConfigError(f"data: {quoted(data.name)} has no error: write 0 if it is exact, or its standard error")
    ends = {"values": data.value, "lower": data.lower, "upper": data.upper}
    return _Member({data.name: _Row({**ends, "errors": data.error or 0.0, "held_out": data.held_out}, data.name)})


_READERS: Mapping[str, Callable[[Any, RunConfig, EventShape, Sequence[Observable]], _Member]] = {
    CouplingsConfig.form: _of_couplings,
    CsvConfig.form: _of_table,
    DatumConfig.form: _of_datum,
}


@dataclass(frozen=True, eq=False)
class _Read:
    """Data as they are fitted, their kinds if couplings are among them, and observables without data."""

    experiment: Experiment
    kinds: KindsOfData | None = None
    without_data: Sequence[Observable] = ()


def _read(config: RunConfig, event_shape: EventShape, items: Sequence[Observable]) -> _Read:
    """All data of a run: those of its observables first, then couplings, in the order of the run file."""
    found = [_READERS[member.form](member, config, event_shape, items) for member in config.data.members]
    rows: dict[str, _Row] = {}
    for member in found:
        for name, row in member.rows.items():
            if name in rows:
                raise ConfigError(f"data: two entries for {quoted(name)}: keep one of them")
            rows[name] = row
    of_couplings = [part for member in found for part in member.parts]
    measured = [item for item in items if not of_couplings or any(name in rows for name in item.names)]
    parts = [*([_of_observables(config, stack(*measured), rows)] if measured else []), *of_couplings]
    held_out = torch.cat([part.held_out for part in parts])
    stated = replace(join([part.kinds.experiment for part in parts]), held_out=held_out)
    if not of_couplings:
        return _Read(stated)
    types = tuple(kind for part in parts for kind in part.kinds.types)
    residues = tuple(residue for part in parts for residue in part.kinds.residues)
    factor = config.data.stated_theta  # of all the data together; what a member of a list states is put in here
    kinds = KindsOfData(stated, types, residues).grouped(of_couplings[0].leave_out, theta_is_chosen=factor is None)
    data = stated
    if factor is not None:
        own = [with_theta(part.kinds.experiment, (part.theta or factor) / factor) for part in parts]
        data = replace(join(own), held_out=held_out)
    without_data = [item for item in items if not any(item is one for one in measured)]
    return _Read(data, kinds, without_data)


def _of_observables(config: RunConfig, observable: Observable, rows: Mapping[str, _Row]) -> _Part:
    """The data of observables that the run file lists, of which each has one."""
    for name in observable.names:
        if name not in rows:
            raise ConfigError(
                f"data: there is none for observable {quoted(name)}: add an entry, or leave out the observable"
            )
    data = [rows[name].datum for name in observable.names]
    columns = {key: [datum[key] for datum in data] for key in ("values", "errors", "lower", "upper")}
    kinds = tuple(rows[name].kind for name in observable.names)
    held_out = torch.tensor([bool(datum["held_out"]) for datum in data])
    return _Part(KindsOfData(Experiment(observable, **columns), kinds, kinds), held_out)

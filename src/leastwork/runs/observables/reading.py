"""The data of a run file, member by member, as one set of data on averages and on functions of averages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from leastwork.data.experiment import WITHOUT_DATUM, Experiment, data_of_table
from leastwork.data.functions import Identity, Scaled
from leastwork.data.histogram import distribution
from leastwork.data.indirect import Indirect
from leastwork.data.mixture import Data, join
from leastwork.data.trust import with_theta
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import EventShape, shapes
from leastwork.observables import Observable, column, on_alpha_carbons, stack
from leastwork.runs.base.kinds import OfAverages
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.couplings.inputs import KindsOfData, LeftOut, coupling_data
from leastwork.runs.observables.data import CsvConfig, DatumConfig, DistributionConfig
from leastwork.runs.observables.files_of_data import FILES_OF_DATA, FileOfData
from leastwork.support.text import as_known, nearest, quoted

__all__ = ["Measured", "Read", "read_data"]


@dataclass(frozen=True, eq=False)
class Measured:
    """An entry of ``observables``: what is evaluated, and the function of its averages that data are on, if any."""

    observable: Observable
    of_averages: OfAverages | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that data refer to."""
        return self.observable.names if self.of_averages is None else self.of_averages.names

    @property
    def unit(self) -> tuple[str, ...]:
        """The unit of each name."""
        return self.observable.units if self.of_averages is None else (self.of_averages.unit,) * len(self.names)


def _names_of(items: Sequence[Measured]) -> Observable:
    """The names and units of all entries, as an observable that is not evaluated."""
    names = tuple(name for item in items for name in item.names)
    return Observable(len, names, tuple(unit for item in items for unit in item.unit))


def _known_name(name: str, known: Sequence[str]) -> str:
    found = as_known(name, known)
    if found not in known:
        raise ConfigError(f"data: there is no observable {quoted(name)}{nearest(name, known)}")
    return found


@dataclass(frozen=True, eq=False)
class _Row:
    """A datum of one name: the arguments of an experiment, the kind that it is counted with, and its unknowns."""

    datum: Mapping[str, Any]
    kind: str
    scale: str | None = None
    offset: str | None = None


@dataclass(frozen=True, eq=False)
class _Part:
    """Data of one technique: their kinds, bool (K,) for those held out, θ if it is a number, and what is left out."""

    kinds: KindsOfData
    held_out: Tensor
    theta: float | None = 1.0
    leave_out: LeftOut | None = None

    @property
    def techniques(self) -> tuple[str, ...]:
        """The technique of each datum: all couplings are one."""
        return self.kinds.types if self.leave_out is None else ("couplings",) * len(self.kinds.types)


@dataclass(frozen=True, eq=False)
class _Member:
    """What one member of the data says: rows by the names of observables, or data of its own."""

    rows: Mapping[str, _Row] = field(default_factory=dict)
    parts: Sequence[_Part] = ()
    distribution: str | None = None


def _of_couplings(
    data: CouplingsConfig, config: RunConfig, event_shape: EventShape, items: Sequence[Measured]
) -> _Member:
    alone = len(config.data.members) == 1
    found, held_out = coupling_data(data, config.system, event_shape, alone=alone)
    return _Member(parts=[_Part(found, held_out, data.stated_theta, data.leave_out)])


def _of_table(data: CsvConfig, config: RunConfig, event_shape: EventShape, items: Sequence[Measured]) -> _Member:
    known = _names_of(items)
    rows = data_of_table(data.csv, known)
    missing = [name for name in known.names if name not in rows] if len(config.data.members) == 1 else []
    if missing:
        raise ConfigError(
            f"{data.csv}: there is no row for {quoted(missing[0])}: add one, or leave out the observable, "
            + WITHOUT_DATUM
        )
    held_out = {"held_out": True} if data.held_out else {}
    return _Member(
        {name: _Row({**row, **held_out}, data.csv.stem, data.scale, data.offset) for name, row in rows.items()}
    )


def _of_datum(data: DatumConfig, config: RunConfig, event_shape: EventShape, items: Sequence[Measured]) -> _Member:
    name = _known_name(data.name, _names_of(items).names)
    if data.value is not None and data.error is None:
        raise ConfigError(f"data: {quoted(name)} has no error: write 0 if it is exact, or its standard error")
    ends = {"values": data.value, "lower": data.lower, "upper": data.upper}
    row = {**ends, "errors": data.error or 0.0, "held_out": data.held_out}
    return _Member({name: _Row(row, name, data.scale, data.offset)})


def _of_distribution(
    data: DistributionConfig, config: RunConfig, event_shape: EventShape, items: Sequence[Measured]
) -> _Member:
    plain = [item.observable for item in items if item.of_averages is None]
    name = _known_name(data.distribution, [name for observable in plain for name in observable.names])
    owner = next(observable for observable in plain if name in observable.names)
    one = column(owner, name)
    bins = data.histogram(one.units[0])
    found = distribution(
        one, bins.edges, counts=bins.counts, populations=bins.populations,
        errors=bins.errors, width=data.width,
    )  # fmt: skip
    kinds = (name,) * len(found.names)
    held_out = torch.full((len(found.names),), data.held_out)
    return _Member(parts=[_Part(KindsOfData(found, kinds, kinds), held_out)], distribution=name)


def _of_file(data: FileOfData, config: RunConfig, event_shape: EventShape, items: Sequence[Measured]) -> _Member:
    (shape, *parts) = shapes(event_shape)
    try:
        found = data.experiment()
        found.observable(torch.zeros(1, *shape))  # finds at once that the states are other structures
    except ConfigError:
        raise
    except LeastworkError as error:
        raise ConfigError(f"{data.key} in 'data': {error}") from error
    observable = on_alpha_carbons(found.observable) if parts else found.observable
    held_out = found.held_out | data.held_out
    columns = {**{key: getattr(found, key) for key in ("values", "errors", "lower", "upper")}, "held_out": held_out}
    rows = {
        name: _Row({key: column[k].item() for key, column in columns.items()}, data.key, data.scale, data.offset)
        for k, name in enumerate(found.names)
    }
    return _Member(parts=_of_observables([Measured(observable)], rows))


_READERS: Mapping[str, Callable[[Any, RunConfig, EventShape, Sequence[Measured]], _Member]] = {
    CouplingsConfig.form: _of_couplings,
    CsvConfig.form: _of_table,
    DistributionConfig.form: _of_distribution,
    DatumConfig.form: _of_datum,
    **{each.form: _of_file for each in FILES_OF_DATA},
}


@dataclass(frozen=True, eq=False)
class Read:
    """Data as they are fitted, the technique of each, kinds if couplings are among them, observables without data."""

    data: Data
    techniques: tuple[str, ...]
    kinds: KindsOfData | None = None
    without_data: Sequence[Observable] = ()


def read_data(config: RunConfig, event_shape: EventShape, items: Sequence[Measured]) -> Read:
    """All data of a run: those of its observables first, then distributions and couplings, as the run file has them.

    Args:
        config: the run.
        event_shape: shape of the states that observables see.
        items: the entries of ``observables``.

    Raises:
        ConfigError: data that cannot be used, a name that is not known, or an observable without data.
    """
    found = [_READERS[member.form](member, config, event_shape, items) for member in config.data.members]
    rows: dict[str, _Row] = {}
    for member in found:
        for name, row in member.rows.items():
            if name in rows:
                raise ConfigError(f"data: two entries for {quoted(name)}: keep one of them")
            rows[name] = row
    others = [part for member in found for part in member.parts]
    with_couplings = any(member.form == CouplingsConfig.form for member in config.data.members)
    in_bins = [member.distribution for member in found if member.distribution is not None]
    measured = [
        item
        for item in items
        if any(name in rows for name in item.names)
        or not (with_couplings or any(name in in_bins for name in item.names))
    ]
    parts = [*_of_observables(measured, rows), *others]
    held_out = torch.cat([part.held_out for part in parts])
    stated = replace(join([part.kinds.experiment for part in parts]), held_out=held_out)
    techniques = tuple(name for part in parts for name in part.techniques)
    if not with_couplings:
        return Read(stated, techniques)
    types = tuple(kind for part in parts for kind in part.kinds.types)
    residues = tuple(residue for part in parts for residue in part.kinds.residues)
    factor = config.data.stated_theta  # of all the data together; what a member of a list states is put in here
    leave_out: LeftOut = next(part.leave_out for part in others if part.leave_out is not None)
    kinds = KindsOfData(stated, types, residues).grouped(leave_out, theta_is_chosen=factor is None)
    data = stated
    if factor is not None:
        own = [with_theta(part.kinds.experiment, (part.theta or factor) / factor) for part in parts]
        data = replace(join(own), held_out=held_out)
    unused = [item for item in items if not any(item is one for one in measured) and item.of_averages is None]
    return Read(
        data, techniques, kinds, [item.observable for item in unused if not any(name in in_bins for name in item.names)]
    )


def _of_observables(items: Sequence[Measured], rows: Mapping[str, _Row]) -> list[_Part]:
    """The data of observables that the run file lists, of which each name has one."""
    for item in items:
        for name in item.names:
            if name not in rows:
                also = f", {WITHOUT_DATUM}" if len(item.names) > 1 else ""
                raise ConfigError(
                    f"data: there is none for observable {quoted(name)}: add an entry, or leave out the observable"
                    + also
                )
    plain = [item.of_averages is None and not any(_unknowns(rows[name]) for name in item.names) for item in items]
    if all(plain):
        observable = [stack(*(item.observable for item in items))] if items else []
        return [_part(Experiment, one, one.names, rows) for one in observable]
    return [_scaled(item, rows) if not simple else _part(Experiment, item.observable, item.names, rows)
            for item, simple in zip(items, plain, strict=True)]  # fmt: skip


def _unknowns(row: _Row) -> list[str]:
    """Names of the factor and the offset of a datum."""
    named = (("scale", row.scale), ("offset", row.offset))
    return [f"{what} of {name}" for what, name in named if name is not None]


def _scaled(item: Measured, rows: Mapping[str, _Row]) -> _Part:
    """Data on a function of averages, times unknown factors and with unknown offsets."""
    of = item.of_averages or OfAverages(Identity(item.observable.count), item.names)
    unknowns = dict(of.unknowns)
    for name in item.names:
        for unknown in _unknowns(rows[name]):
            unknowns.setdefault(unknown, 1.0 if unknown.startswith("scale of ") else 0.0)
    order = list(unknowns)
    scales = [None if rows[n].scale is None else order.index(f"scale of {rows[n].scale}") for n in item.names]
    offsets = [None if rows[n].offset is None else order.index(f"offset of {rows[n].offset}") for n in item.names]
    function = Scaled(of.function, len(of.unknowns), tuple(scales), tuple(offsets))
    positive = tuple(name for name in order[len(of.unknowns) :] if name.startswith("scale of "))
    build = partial(
        Indirect, function=function, names=item.names, parameters=unknowns, positive=positive, unit=item.unit
    )
    return _part(build, item.observable, item.names, rows)


def _part(build: Callable[..., Data], observable: Observable, names: Sequence[str], rows: Mapping[str, _Row]) -> _Part:
    data = [rows[name].datum for name in names]
    columns = {key: [datum[key] for datum in data] for key in ("values", "errors", "lower", "upper")}
    kinds = tuple(rows[name].kind for name in names)
    held_out = torch.tensor([bool(datum["held_out"]) for datum in data])
    return _Part(KindsOfData(build(observable, **columns), kinds, kinds), held_out)

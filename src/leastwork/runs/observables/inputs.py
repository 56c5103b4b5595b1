"""The inputs of Observable Guidance, from a run file: model, observable, experiment, and choices of the sampling."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from leastwork.adapters.source import load_model
from leastwork.data.experiment import Experiment
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import EventShape, shapes
from leastwork.models.base import Model
from leastwork.models.latents import data_shape, of_data
from leastwork.observables import Observable, on_alpha_carbons, stack
from leastwork.runs.base.cases import case, check_shape
from leastwork.runs.base.kinds import ObservableKind
from leastwork.runs.base.placed import placed
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.observables.config import CsvConfig, DataList, DatumConfig, RunConfig
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.couplings.inputs import CouplingData, coupling_data
from leastwork.sampling.choices import Choices
from leastwork.support.text import nearest, quoted

__all__ = ["Inputs", "build_inputs"]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a run.

    Args:
        model: the model that is guided.
        data: the experiment, its errors as stated.
        choices: process, solver and steps with which samples are drawn.
        couplings: the same data where they are scalar couplings.
        reported: observables without data, or None.
    """

    model: Model
    data: Experiment
    choices: Choices
    couplings: CouplingData | None = None
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
    read = _READERS[config.data.form](config.data, config.system, data_shape(model), items)
    return Inputs(model, read.experiment, choices, read.couplings, _stacked([*read.without_data, *without_data]))


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
class _Read:
    """Data as they are fitted, the couplings if they are that, and the observables of the run file without data."""

    experiment: Experiment
    couplings: CouplingData | None = None
    without_data: Sequence[Observable] = ()


def _from_couplings(
    data: CouplingsConfig, system: str | None, event_shape: EventShape, items: Sequence[Observable]
) -> _Read:
    found = coupling_data(data, system, event_shape)
    return _Read(found.experiment, found, items)


def _from_csv(data: CsvConfig, system: str | None, event_shape: EventShape, items: Sequence[Observable]) -> _Read:
    return _Read(Experiment.from_csv(data.csv, stack(*items)))


def _from_list(data: DataList, system: str | None, event_shape: EventShape, items: Sequence[Observable]) -> _Read:
    return _Read(_experiment(data, stack(*items)))


def _experiment(given: DataList, observable: Observable) -> Experiment:
    data: dict[str, DatumConfig] = {}
    for datum in given.root:
        if datum.name not in observable.names:
            raise ConfigError(
                f"data: there is no observable {quoted(datum.name)}{nearest(datum.name, observable.names)}"
            )
        if datum.name in data:
            raise ConfigError(f"data: two entries for {quoted(datum.name)}: keep one of them")
        if datum.value is not None and datum.error is None:
            raise ConfigError(f"data: {quoted(datum.name)} has no error: write 0 if it is exact, or its standard error")
        data[datum.name] = datum
    for name in observable.names:
        if name not in data:
            raise ConfigError(
                f"data: there is none for observable {quoted(name)}: add an entry, or leave out the observable"
            )
    rows = [data[name] for name in observable.names]
    return Experiment(
        observable,
        values=[row.value for row in rows],
        errors=[row.error or 0.0 for row in rows],
        lower=[row.lower for row in rows],
        upper=[row.upper for row in rows],
        held_out=[row.held_out for row in rows],
    )


_READERS: Mapping[str, Callable[[Any, str | None, EventShape, Sequence[Observable]], _Read]] = {
    CouplingsConfig.form: _from_couplings,
    CsvConfig.form: _from_csv,
    DataList.form: _from_list,
}

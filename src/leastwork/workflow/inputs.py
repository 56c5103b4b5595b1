"""From a run file to what the library takes: model, observable, experiment, and choices of the sampling."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from leastwork.errors import ConfigError
from leastwork.experiment import Experiment
from leastwork.geometry.state import shapes
from leastwork.models.bundled import load_model
from leastwork.observables import Observable, component, smooth_interval, stack
from leastwork.process import Model
from leastwork.workflow.complaints import nearest
from leastwork.workflow.config import (
    ComponentConfig,
    CsvConfig,
    DatumConfig,
    IntervalConfig,
    ObservableConfig,
    PythonConfig,
    RunConfig,
)
from leastwork.workflow.settings import AnyConfig, SamplingConfig
from leastwork.workflow.user_code import load_function

__all__ = ["Inputs", "build_inputs", "copy_inputs", "sampling_choices"]

_Config = TypeVar("_Config", bound=AnyConfig)


@dataclass(frozen=True)
class Inputs:
    """What a run works with."""

    model: Model
    data: Experiment
    choices: dict[str, Any]


def build_inputs(config: RunConfig) -> Inputs:
    """Load and check everything, before anything is drawn.

    Raises:
        ConfigError: a file, name or shape that cannot be used.
    """
    model = load_model(config.model)
    observable = stack(*map(_observable, config.observables))
    _probe(observable, model)
    if config.system == "prinz" and model.event_shape != (1,):
        raise ConfigError(f"system prinz is a line, but model {config.model!r} has events {model.event_shape}: drop it")
    return Inputs(model, _experiment(config, observable), sampling_choices(config.sampling))


def sampling_choices(chosen: SamplingConfig) -> dict[str, Any]:
    """Choices as :func:`leastwork.sample` takes them."""
    choices = chosen.model_dump(exclude={"n"})
    if not isinstance(chosen.t_grid, str):
        choices["t_grid"] = torch.tensor(chosen.t_grid, dtype=torch.float64)
    return choices


def copy_inputs(config: _Config, folder: Path) -> _Config:
    """The same run with the user's files copied into ``folder`` under the names it then gives them.

    Raises:
        ConfigError: a copy of an earlier call differs from the file.
    """

    def copy(source: Path) -> Path:
        target = folder / "inputs" / source.name
        if target.exists():
            if target.read_bytes() != source.read_bytes():
                raise ConfigError(
                    f"{source} is not what {target} is: give the files different names, or another folder"
                )
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        return target.relative_to(folder)

    return config.with_files(copy)


def _observable(item: ObservableConfig) -> Observable:
    match item:
        case ComponentConfig():
            return component(item.index, item.name, item.unit)
        case IntervalConfig():
            return smooth_interval(item.lower, item.upper, item.width, item.index, item.name)
        case PythonConfig():
            return Observable(
                load_function(item.file, item.function, "observables"), item.names or (item.function,), item.unit
            )


def _probe(observable: Observable, model: Model) -> None:
    """One evaluation at zero, which finds a wrong shape at once."""
    parts = tuple(torch.zeros(2, *shape) for shape in shapes(model.event_shape))
    is_tuple = bool(model.event_shape) and isinstance(model.event_shape[0], tuple)
    observable(parts if is_tuple else parts[0])


def _experiment(config: RunConfig, observable: Observable) -> Experiment:
    if isinstance(config.data, CsvConfig):
        return Experiment.from_csv(config.data.csv, observable)
    data: dict[str, DatumConfig] = {}
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

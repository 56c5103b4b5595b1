"""The inputs of Observable Guidance, from a run file: model, observable, experiment, and choices of the sampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from leastwork.adapters.source import load_model
from leastwork.data.each_left_out import check_left_out
from leastwork.data.mixture import Data
from leastwork.data.posterior_density import check_posed
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import shapes
from leastwork.models.base import Model
from leastwork.models.latents import data_shape, of_data
from leastwork.observables import Observable, on_alpha_carbons, stack
from leastwork.runs.base.cases import case, check_shape
from leastwork.runs.base.kinds import ObservableKind
from leastwork.runs.base.placed import placed
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings.inputs import KindsOfData
from leastwork.runs.observables.reading import Measured, read_data
from leastwork.sampling.choices import Choices

__all__ = ["Inputs", "build_inputs"]


@dataclass(frozen=True)
class Inputs:
    """The inputs of a run.

    Args:
        model: the model that is guided.
        data: the data, their errors as stated.
        choices: process, solver and steps with which samples are drawn.
        kinds: of what kind the data are, where some of them are scalar couplings.
        reported: observables without data, or None.
        techniques: the technique of each datum.
    """

    model: Model
    data: Data
    choices: Choices
    kinds: KindsOfData | None = None
    reported: Observable | None = None
    techniques: tuple[str, ...] = ()

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
    read = read_data(config, data_shape(model), items)
    if config.leave_each_out:
        try:
            check_left_out(read.data, read.techniques)
        except LeastworkError as error:
            raise ConfigError(f"'leave_each_out': {error}") from error
    if config.posterior:
        try:
            check_posed(read.data)
        except LeastworkError as error:
            raise ConfigError(f"'posterior': {error}") from error
    reported = _stacked([*read.without_data, *without_data])
    return Inputs(model, read.data, choices, read.kinds, reported, read.techniques)


def _stacked(items: Sequence[Observable]) -> Observable | None:
    return stack(*items) if items else None


def _measured(number: int, item: ObservableKind, model: Model) -> Measured:
    """One entry, tried on the model's states; a complaint that names no place gets it here."""
    try:
        observable = _built(item, model)
        if item.is_probed:
            _probe(observable, model)
        of_averages = item.of_averages(observable)
    except ConfigError:
        raise
    except LeastworkError as error:
        raise ConfigError(f"entry {number} of 'observables': {error}") from error
    return Measured(observable, of_averages)


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

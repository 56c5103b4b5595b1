"""The model of a run on the device and in the precision that its file asks for."""

import warnings
from typing import TypeVar

import torch

from leastwork.adapters.source import load_model
from leastwork.errors import ConfigError, LeastworkError, LeastworkWarning
from leastwork.models.base import Model, Scored, is_scored
from leastwork.models.contract import refuse_half
from leastwork.models.placement import moved, placement
from leastwork.runs.base.cases import check_shape
from leastwork.runs.base.settings import AnyConfig
from leastwork.sampling.choices import check_device

__all__ = ["on_this_machine", "placed", "scored"]

_Config = TypeVar("_Config", bound=AnyConfig)


def placed(model: Model, config: AnyConfig) -> Model:
    """A model where ``device:`` and ``dtype:`` of a run file put it; without these keys, the model itself.

    Raises:
        ConfigError: there is no such device, half precision is too coarse, or the model has no parameters to move.
    """
    if config.device is None and config.dtype is None:
        return model
    try:
        device = None if config.device is None else check_device(config.device)
        dtype = None if config.dtype is None else getattr(torch, config.dtype)
        there = moved(model, device, dtype)
        refuse_half(there.parameters())
    except LeastworkError as error:
        raise ConfigError(f"{config.name}: {error}") from error
    own_device, own_dtype = placement(there)
    if (device or own_device, dtype or own_dtype) != (own_device, own_dtype):
        raise ConfigError(
            f"{config.name}: the network of model {config.source.label} is a function without parameters, which "
            "'device' and 'dtype' cannot move: leave them out"
        )
    return there


def scored(config: AnyConfig, model: Model | None, refusal: str) -> Scored:
    """The model of a run that needs an SDE, or the one given in its place, with the shape of the run's system.

    Args:
        config: the run.
        model: in place of the one that the run names.
        refusal: the message for a model without a score.

    Raises:
        ConfigError: the model cannot be loaded or placed, has no score, or has another shape.
    """
    model = placed(load_model(config.model), config) if model is None else model
    if not is_scored(model):
        raise ConfigError(refusal)
    check_shape(config.system, config.source.label, model.event_shape)
    return model


def on_this_machine(config: _Config) -> _Config:
    """A finished run's settings without a device that this machine lacks.

    Warns:
        LeastworkWarning: it lacks the device, and the model goes where it is.
    """
    try:
        if config.device is not None:
            check_device(config.device)
    except LeastworkError:
        warnings.warn(
            f"{config.name} was made on device {config.device}, which this machine has not: its model stays on the CPU",
            LeastworkWarning,
            stacklevel=2,
        )
        return config.model_copy(update={"device": None})
    return config

"""Inputs of runs along a coordinate, which a profile and a difference share."""

from dataclasses import dataclass

from leastwork.models.base import Model, Scored
from leastwork.observables import Observable
from leastwork.runs.base.placed import scored
from leastwork.runs.base.settings import AnyConfig
from leastwork.sampling.choices import Choices

__all__ = ["AlongInputs", "model_with_free_energy"]


@dataclass(frozen=True)
class AlongInputs:
    """Model, coordinate or memberships in two states, and choices of the sampling."""

    model: Model
    coordinate: Observable
    choices: Choices


def model_with_free_energy(config: AnyConfig, model: Model | None) -> Scored:
    """The model of a run, or the one given in its place.

    Raises:
        ConfigError: it cannot be used.
    """
    refusal = f"{config.name}: a free energy needs an SDE, and a flow has none: use a diffusion model"
    return scored(config, model, refusal)

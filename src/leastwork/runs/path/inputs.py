"""The inputs of Path Guidance, from a run file: model, guides, region, and choices of the sampling."""

from dataclasses import dataclass

from leastwork.geometry.state import State, smap
from leastwork.kernels.base import Kernel
from leastwork.kernels.region import Membership
from leastwork.models.base import Model, Scored
from leastwork.models.latents import data_shape, of_data
from leastwork.models.placement import placement
from leastwork.runs.base.placed import scored
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.guide_points import read_points
from leastwork.sampling.choices import Choices
from leastwork.support.text import quoted

__all__ = ["PathInputs", "build_path_inputs"]


@dataclass(frozen=True)
class PathInputs:
    """The inputs of a run.

    Args:
        model: the model that is guided.
        points: guides, (M, *event), data units, in the model's precision.
        region: A, or None for that of the guides' kernel.
        choices: process, solver and steps with which samples are drawn.
        kernel: kernel of the guides, or None for the usual one of the model.
    """

    model: Scored
    points: State
    region: Membership | None
    choices: Choices
    kernel: Kernel | None = None


def build_path_inputs(config: PathConfig, model: Model | None = None, region: Membership | None = None) -> PathInputs:
    """Load and check everything, before anything is drawn.

    Args:
        config: the run.
        model, region: in place of those that the run names.

    Raises:
        ConfigError: a file, name or shape that cannot be used.
    """
    refusal = f"Path Guidance needs an SDE, and model {quoted(config.source.label)} has none: use a diffusion model"
    model = scored(config, model, refusal)
    dtype = placement(model)[1]
    points = smap(lambda leaf: leaf.to(dtype), read_points(config.guides, model.event_shape))
    if config.region is not None and region is None:
        region = of_data(config.region.build(data_shape(model)), model)
        region(points)  # finds a wrong function at once
    return PathInputs(model, points, region, sampling_choices(config.sampling))

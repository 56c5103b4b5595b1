"""From a run file of Path Guidance to what the library takes: model, guides, region, and choices of the sampling."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.kernels.region import DefinedRegion
from leastwork.models.base import Scored, is_scored
from leastwork.models.files import load_model
from leastwork.models.placement import placement
from leastwork.runs.base.cases import check_shape
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.guide_points import read_points

__all__ = ["PathInputs", "build_path_inputs"]


@dataclass(frozen=True)
class PathInputs:
    """What a run works with.

    Args:
        model: what is guided.
        points: guides, (M, *event), data units, in the model's precision.
        region: A, or None for that of the guides' kernel.
        choices: of the sampling.
    """

    model: Scored
    points: Tensor
    region: DefinedRegion | None
    choices: dict[str, Any]


def build_path_inputs(config: PathConfig) -> PathInputs:
    """Load and check everything, before anything is drawn.

    Raises:
        ConfigError: a file, name or shape that cannot be used.
    """
    model = load_model(config.model)
    if not is_scored(model):
        raise ConfigError(f"Path Guidance needs an SDE, and model {config.model!r} has none: use a diffusion model")
    if model.has_rotations:
        raise ConfigError(
            f"model {config.model!r} is one of rigid frames, and guides with orientations have no file form: guide it "
            "by lw.guide_path in Python"
        )
    check_shape(config.system, config.model, model.event_shape)
    points = read_points(config.guides, model.event_shape).to(placement(model)[1])
    region = None
    if config.region is not None:
        region = config.region.build(model.event_shape)
        region(points)  # finds a wrong function at once
    return PathInputs(model, points, region, sampling_choices(config.sampling))

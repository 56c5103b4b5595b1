"""What the library takes for a model."""

from typing import TypeAlias

from leastwork.models.diffusion import DiffusionModel
from leastwork.models.frames import FrameModel
from leastwork.models.velocity import VelocityModel

__all__ = ["Model", "Scored"]


Scored: TypeAlias = DiffusionModel | FrameModel
"""A model that has a score."""

Model: TypeAlias = DiffusionModel | FrameModel | VelocityModel

"""The file that ``leastwork check-model`` reads: Python code that defines ``model`` and optionally ``data``.

The file is executed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from leastwork.checks.subject import Examined
from leastwork.checks.symmetry import Symmetry
from leastwork.errors import ConfigError
from leastwork.geometry.state import State
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.frames import FrameModel
from leastwork.models.velocity import VelocityModel
from leastwork.support.user_code import execute

__all__ = ["TEMPLATE", "ModelFile", "read_model_file"]

TEMPLATE = '''"""My model: leastwork check-model runs this file and measures whether the model is what it says."""

import torch

import leastwork as lw

schedule = lw.VPSchedule(0.1, 20.0)  # of the training; or CosineSchedule, VESchedule, LinearSchedule (flow matching)


def net(x, t):  # your network with its weights; here the exact one of a standard normal
    return schedule.sigma(t.double()).to(x) * x


model = lw.DiffusionModel(
    net,  # called as net(x, t): x (B, *event), t a scalar tensor in [0, 1], t = 0 the data
    schedule,
    predicts="noise",  # or "score", "data", "velocity", "v"
    event_shape=(2,),
)

# Optional: some hundred samples of the training data, (n, *event); prediction, time and units are checked with them.
data = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))

# Optional: claim that the answer turns with structures (N, 3): "rotations", or "reflections" too.
# equivariant = "rotations"
'''


@dataclass(frozen=True)
class ModelFile:
    """The objects that the file defines."""

    model: Examined
    data: State | None
    equivariant: bool | Symmetry


def read_model_file(file: Path) -> ModelFile:
    """Execute the file and return the objects that it defines.

    Raises:
        ConfigError: there is no such file, it has an error (the message names the line), or it defines no ``model``.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file, make one by leastwork check-model --template > {file}")
    names = execute(file, beside=True)
    model = names.get("model")
    if not isinstance(model, DiffusionModel | FrameModel | VelocityModel):
        found = f"its model is a {type(model).__name__}" if "model" in names else "it defines no model"
        raise ConfigError(
            f"{file}: {found}, set model = lw.DiffusionModel(...), lw.FrameModel(...) or lw.VelocityModel(...)"
        )
    data = names.get("data")
    if isinstance(data, np.ndarray):
        data = torch.from_numpy(data)
    if isinstance(data, tuple | list):  # positions and rotations, for instance
        data = tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in data)
    return ModelFile(model, cast(State | None, data), cast(Any, names.get("equivariant", False)))

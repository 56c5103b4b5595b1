"""Guide pre-trained diffusion and flow models with the least thermodynamic work.

Names are imported when they are first used, so that the command line starts without torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leastwork.checks.examine import check_model
    from leastwork.ensemble import Ensemble
    from leastwork.errors import (
        ConfigError,
        InfeasibleError,
        LeastworkError,
        LeastworkWarning,
        NonFiniteError,
        NoPathWeightsError,
    )
    from leastwork.estimate import Estimate
    from leastwork.experiment import Experiment
    from leastwork.flow_map import transport
    from leastwork.geometry.euclidean import ZeroCentre
    from leastwork.guidance.files import load_guidance, save_guidance
    from leastwork.guide import guide_observables
    from leastwork.maxent import fit_lambdas
    from leastwork.models.bundled import load_model, save_model
    from leastwork.models.diffusion import DiffusionModel
    from leastwork.models.frames import AngleSchedule, FrameModel
    from leastwork.models.velocity import StandardNormal, VelocityModel
    from leastwork.observables import Observable
    from leastwork.path import guide_path
    from leastwork.sampling import sample
    from leastwork.schedule_function import FunctionSchedule
    from leastwork.schedule_table import TabulatedSchedule
    from leastwork.schedules import CosineSchedule, LinearSchedule, VESchedule, VPSchedule
    from leastwork.smc import steer
    from leastwork.step_error import step_check
    from leastwork.step_loss import step_loss
    from leastwork.storage import open_ensemble
    from leastwork.work import certify

__version__ = version("leastwork")

_HOME = {
    "AngleSchedule": "leastwork.models.frames",
    "ConfigError": "leastwork.errors",
    "CosineSchedule": "leastwork.schedules",
    "DiffusionModel": "leastwork.models.diffusion",
    "Ensemble": "leastwork.ensemble",
    "Estimate": "leastwork.estimate",
    "Experiment": "leastwork.experiment",
    "FunctionSchedule": "leastwork.schedule_function",
    "FrameModel": "leastwork.models.frames",
    "InfeasibleError": "leastwork.errors",
    "LeastworkError": "leastwork.errors",
    "LeastworkWarning": "leastwork.errors",
    "LinearSchedule": "leastwork.schedules",
    "NoPathWeightsError": "leastwork.errors",
    "NonFiniteError": "leastwork.errors",
    "Observable": "leastwork.observables",
    "StandardNormal": "leastwork.models.velocity",
    "TabulatedSchedule": "leastwork.schedule_table",
    "VESchedule": "leastwork.schedules",
    "VPSchedule": "leastwork.schedules",
    "VelocityModel": "leastwork.models.velocity",
    "ZeroCentre": "leastwork.geometry.euclidean",
    "certify": "leastwork.work",
    "check_model": "leastwork.checks.examine",
    "fit_lambdas": "leastwork.maxent",
    "guide_observables": "leastwork.guide",
    "guide_path": "leastwork.path",
    "load_guidance": "leastwork.guidance.files",
    "load_model": "leastwork.models.bundled",
    "open_ensemble": "leastwork.storage",
    "sample": "leastwork.sampling",
    "save_guidance": "leastwork.guidance.files",
    "save_model": "leastwork.models.bundled",
    "steer": "leastwork.smc",
    "step_check": "leastwork.step_error",
    "step_loss": "leastwork.step_loss",
    "transport": "leastwork.flow_map",
}

__all__ = [
    "AngleSchedule",
    "ConfigError",
    "CosineSchedule",
    "DiffusionModel",
    "Ensemble",
    "Estimate",
    "Experiment",
    "FrameModel",
    "FunctionSchedule",
    "InfeasibleError",
    "LeastworkError",
    "LeastworkWarning",
    "LinearSchedule",
    "NoPathWeightsError",
    "NonFiniteError",
    "Observable",
    "StandardNormal",
    "TabulatedSchedule",
    "VESchedule",
    "VPSchedule",
    "VelocityModel",
    "ZeroCentre",
    "certify",
    "check_model",
    "fit_lambdas",
    "guide_observables",
    "guide_path",
    "load_guidance",
    "load_model",
    "open_ensemble",
    "sample",
    "save_guidance",
    "save_model",
    "steer",
    "step_check",
    "step_loss",
    "transport",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'leastwork' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]

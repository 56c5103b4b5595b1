"""Guide pre-trained diffusion and flow models with the least thermodynamic work.

Names are imported when they are first used, so that the command line starts without torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leastwork.adapters.source import load_model
    from leastwork.checks.examine import check_model
    from leastwork.data.experiment import Experiment
    from leastwork.data.fixed_point import fit_indirect
    from leastwork.data.indirect import Indirect
    from leastwork.data.maxent import fit_lambdas
    from leastwork.errors import (
        ConfigError,
        InfeasibleError,
        LeastworkError,
        LeastworkWarning,
        NonFiniteError,
        NoPathWeightsError,
    )
    from leastwork.free_energy.difference import free_energy_difference
    from leastwork.free_energy.job import flat_histogram
    from leastwork.free_energy.profile import free_energy_profile
    from leastwork.geometry.euclidean import ZeroCentre
    from leastwork.guidance.files import load_guidance, save_guidance
    from leastwork.models.context import PerSample
    from leastwork.models.diffusion import DiffusionModel
    from leastwork.models.files import save_model
    from leastwork.models.frames import FrameModel
    from leastwork.models.velocity import StandardNormal, UniformAngles, VelocityModel
    from leastwork.observable_guidance.job import guide_observables
    from leastwork.observables import Observable
    from leastwork.path_guidance.job import guide_path
    from leastwork.runs.saved import load_run
    from leastwork.sampling.ensemble import Ensemble
    from leastwork.sampling.sample import sample
    from leastwork.sampling.steer import steer
    from leastwork.sampling.step_error import step_check
    from leastwork.sampling.step_loss import step_loss
    from leastwork.sampling.storage import open_ensemble
    from leastwork.sampling.transport import transport
    from leastwork.sampling.work import Certificate, certify
    from leastwork.schedules.angles import AngleSchedule
    from leastwork.schedules.edm import EDMSchedule
    from leastwork.schedules.function import FunctionSchedule
    from leastwork.schedules.gaussian import CosineSchedule, LinearSchedule, VESchedule, VPSchedule
    from leastwork.schedules.table import TabulatedSchedule
    from leastwork.statistics.estimate import Estimate

__version__ = version("leastwork")

_HOME = {
    "AngleSchedule": "leastwork.schedules.angles",
    "Certificate": "leastwork.sampling.work",
    "ConfigError": "leastwork.errors",
    "CosineSchedule": "leastwork.schedules.gaussian",
    "DiffusionModel": "leastwork.models.diffusion",
    "EDMSchedule": "leastwork.schedules.edm",
    "Ensemble": "leastwork.sampling.ensemble",
    "Estimate": "leastwork.statistics.estimate",
    "Experiment": "leastwork.data.experiment",
    "FunctionSchedule": "leastwork.schedules.function",
    "FrameModel": "leastwork.models.frames",
    "Indirect": "leastwork.data.indirect",
    "InfeasibleError": "leastwork.errors",
    "LeastworkError": "leastwork.errors",
    "LeastworkWarning": "leastwork.errors",
    "LinearSchedule": "leastwork.schedules.gaussian",
    "NoPathWeightsError": "leastwork.errors",
    "NonFiniteError": "leastwork.errors",
    "Observable": "leastwork.observables",
    "PerSample": "leastwork.models.context",
    "StandardNormal": "leastwork.models.velocity",
    "TabulatedSchedule": "leastwork.schedules.table",
    "UniformAngles": "leastwork.models.velocity",
    "VESchedule": "leastwork.schedules.gaussian",
    "VPSchedule": "leastwork.schedules.gaussian",
    "VelocityModel": "leastwork.models.velocity",
    "ZeroCentre": "leastwork.geometry.euclidean",
    "certify": "leastwork.sampling.work",
    "check_model": "leastwork.checks.examine",
    "fit_indirect": "leastwork.data.fixed_point",
    "fit_lambdas": "leastwork.data.maxent",
    "flat_histogram": "leastwork.free_energy.job",
    "free_energy_difference": "leastwork.free_energy.difference",
    "free_energy_profile": "leastwork.free_energy.profile",
    "guide_observables": "leastwork.observable_guidance.job",
    "guide_path": "leastwork.path_guidance.job",
    "load_guidance": "leastwork.guidance.files",
    "load_model": "leastwork.adapters.source",
    "load_run": "leastwork.runs.saved",
    "open_ensemble": "leastwork.sampling.storage",
    "sample": "leastwork.sampling.sample",
    "save_guidance": "leastwork.guidance.files",
    "save_model": "leastwork.models.files",
    "steer": "leastwork.sampling.steer",
    "step_check": "leastwork.sampling.step_error",
    "step_loss": "leastwork.sampling.step_loss",
    "transport": "leastwork.sampling.transport",
}

_FOLDERS = (
    "adapters", "cases", "checks", "data", "fit", "free_energy", "geometry", "guidance", "kernels", "models",
    "networks", "observable_guidance", "observables", "path_guidance", "sampling", "schedules", "statistics", "systems",
)  # fmt: skip

__all__ = [
    "AngleSchedule",
    "Certificate",
    "ConfigError",
    "CosineSchedule",
    "DiffusionModel",
    "EDMSchedule",
    "Ensemble",
    "Estimate",
    "Experiment",
    "FrameModel",
    "FunctionSchedule",
    "Indirect",
    "InfeasibleError",
    "LeastworkError",
    "LeastworkWarning",
    "LinearSchedule",
    "NoPathWeightsError",
    "NonFiniteError",
    "Observable",
    "PerSample",
    "StandardNormal",
    "TabulatedSchedule",
    "UniformAngles",
    "VESchedule",
    "VPSchedule",
    "VelocityModel",
    "ZeroCentre",
    "certify",
    "check_model",
    "fit_indirect",
    "fit_lambdas",
    "flat_histogram",
    "free_energy_difference",
    "free_energy_profile",
    "guide_observables",
    "guide_path",
    "load_guidance",
    "load_model",
    "load_run",
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
    if name in _FOLDERS:
        return import_module(f"leastwork.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'leastwork' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__, *_FOLDERS]

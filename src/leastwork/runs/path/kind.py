"""Runs of Path Guidance, whose files have ``guides``, as a kind of run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from leastwork.kernels.region import definition_of
from leastwork.models.base import Model, is_scored
from leastwork.path_guidance.files import save_fit
from leastwork.path_guidance.run import PathRun
from leastwork.runs.base.kind_of_run import Given, KindOfRun
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.first_screen import checks
from leastwork.runs.path.guide_points import write_points
from leastwork.runs.path.inputs import PathInputs, build_path_inputs
from leastwork.runs.path.job import PathJob
from leastwork.runs.path.numbers import path_numbers
from leastwork.runs.path.sections import part
from leastwork.runs.path.sentences import asked, kind_of, reached
from leastwork.runs.path.summary import summary

__all__ = ["KIND"]

_GUIDES = Path("inputs", "guides.safetensors")


def _job_of_folder(config: PathConfig, model: Model, folder: Path, given: Given) -> PathJob:
    return PathJob(config, replace(build_path_inputs(config, model, given.region), kernel=given.kernel))


def _job_of_run(run: PathRun, config: PathConfig) -> PathJob:
    assert is_scored(run.model)
    return PathJob(config, PathInputs(run.model, run.guides.points, run.region, sampling_choices(config.sampling)))


def _keys(run: PathRun) -> Mapping[str, Any]:
    own = bool(getattr(run.region, "density", None) is run.guides)
    region = {} if own else {"region": {"kind": "given", "definition": definition_of(run.region)}}
    success = {"success": run.settings["success"]} if "success" in run.settings else {}
    return {"guides": {"safetensors": str(_GUIDES)}, "bandwidth": run.guides.bandwidth, **region, **success}


def _save(run: PathRun, folder: Path) -> None:
    write_points(run.guides.points, folder / _GUIDES)
    save_fit(run, folder)


KIND = KindOfRun(
    schema=PathConfig,
    told_by=("guides",),
    job=PathJob.of,
    job_of_folder=_job_of_folder,
    job_of_run=_job_of_run,
    keys=_keys,
    save=_save,
    part=part,
    title=kind_of,
    asked=lambda config, metrics: asked(config),
    reached=lambda config, metrics: reached(path_numbers(metrics)),
    summary=lambda config, metrics: summary(config, path_numbers(metrics)),
    checks=lambda run: checks(run, path_numbers(run.metrics)),
)

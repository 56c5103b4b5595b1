"""Runs of Observable Guidance, whose files have ``observables`` and ``data``, as a kind of run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leastwork.errors import ConfigError
from leastwork.models.base import Model
from leastwork.observable_guidance.files import save_fit, stated_data, stored_data
from leastwork.observable_guidance.run import ObservableRun
from leastwork.runs.base.kind_of_run import Given, KindOfRun
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.first_screen import checks
from leastwork.runs.observables.inputs import Inputs, build_inputs
from leastwork.runs.observables.job import ObservableJob
from leastwork.runs.observables.numbers import observable_numbers
from leastwork.runs.observables.sections import part
from leastwork.runs.observables.sentences import asked, kind_of, reached
from leastwork.runs.observables.summary import summary

__all__ = ["KIND"]


def _job_of_folder(config: RunConfig, model: Model, folder: Path, given: Given) -> ObservableJob:
    names = config.given_names
    if names is None:
        return ObservableJob(config, build_inputs(config, model))
    if given.observable is None:
        raise ConfigError(
            f"{config.name} has data for {', '.join(names)}, of an observable that is a function and has no file form: "
            "pass it, load_run(folder, observable=…)"
        )
    data = stored_data(folder, given.observable)
    return ObservableJob(config, Inputs(model, data, sampling_choices(config.sampling)))


def _job_of_run(run: ObservableRun, config: RunConfig) -> ObservableJob:
    return ObservableJob(config, Inputs(run.model, stated_data(run), sampling_choices(config.sampling)))


def _keys(run: ObservableRun) -> Mapping[str, Any]:
    return {"data": {"given": list(run.data.names)}}


KIND = KindOfRun(
    schema=RunConfig,
    told_by=("observables", "data"),
    job=ObservableJob.of,
    job_of_folder=_job_of_folder,
    job_of_run=_job_of_run,
    keys=_keys,
    save=save_fit,
    part=part,
    title=kind_of,
    asked=lambda config, metrics: asked(observable_numbers(metrics)),
    reached=lambda config, metrics: reached(config, observable_numbers(metrics)),
    summary=lambda config, metrics: summary(config, observable_numbers(metrics)),
    checks=lambda run: checks(run, observable_numbers(run.metrics)),
)

"""Runs of free-energy profiles, whose files have ``profile``, as a kind of run."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from leastwork.errors import ConfigError
from leastwork.free_energy.files import save_fit
from leastwork.free_energy.run import ProfileRun
from leastwork.observables import Observable
from leastwork.runs.base.along import AlongInputs
from leastwork.runs.base.kind_of_run import KindOfRun
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.base.summary import add_cost, table_of_pairs
from leastwork.runs.profile.config import ProfileConfig
from leastwork.runs.profile.first_screen import checks
from leastwork.runs.profile.job import ProfileJob
from leastwork.runs.profile.numbers import profile_numbers
from leastwork.runs.profile.sections import largest_error, part, span

__all__ = ["KIND"]


def _keys(run: ProfileRun) -> Mapping[str, Any]:
    raise ConfigError(
        f"the coordinate {run.coordinate.names} was given in Python, and a run of a profile has no file form for it: "
        "write a run file with profile: and use leastwork run"
    )


def _job_of_run(run: ProfileRun, config: ProfileConfig) -> ProfileJob:
    return ProfileJob(config, AlongInputs(run.model, run.coordinate, sampling_choices(config.sampling)))


def _summary(config: ProfileConfig, metrics: Mapping[str, Any]) -> list[Table]:
    found, table = profile_numbers(metrics), table_of_pairs()
    table.add_row("span", f"{span(found)} kT")
    table.add_row("largest error", f"{largest_error(found)} kT")
    table.add_row("windows", str(len(found.quality.profile.windows) - 2))
    add_cost(table, found.certificate, config.sampling, found.discretisation)
    return [table]


KIND = KindOfRun(
    schema=ProfileConfig,
    told_by=("profile",),
    job=ProfileJob.of,
    job_of_folder=lambda config, model, folder, given: ProfileJob.of(
        config, model, given.observable if isinstance(given.observable, Observable) else None
    ),
    job_of_run=_job_of_run,
    keys=_keys,
    save=lambda run, folder: save_fit(run, folder, run.edges),
    part=part,
    title=lambda config: "Free-energy profile",
    asked=lambda config, metrics: f"a profile along {', '.join(profile_numbers(metrics).quality.profile.names)}",
    reached=lambda config, metrics: (
        f"{span(profile_numbers(metrics))} k_BT, errors below {largest_error(profile_numbers(metrics))} k_BT"
    ),
    summary=_summary,
    checks=lambda run: checks(run, profile_numbers(run.metrics)),
)

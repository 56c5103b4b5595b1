"""Runs of free-energy differences, whose files have ``difference``, as a kind of run."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from leastwork.errors import ConfigError
from leastwork.free_energy.files import save_fit
from leastwork.free_energy.run import DifferenceRun
from leastwork.runs.base.along import AlongInputs
from leastwork.runs.base.kind_of_run import KindOfRun
from leastwork.runs.base.sentences import pm
from leastwork.runs.base.settings import sampling_choices
from leastwork.runs.base.summary import add_cost, table_of_pairs
from leastwork.runs.difference.config import DifferenceConfig
from leastwork.runs.difference.first_screen import checks
from leastwork.runs.difference.job import DifferenceJob
from leastwork.runs.difference.numbers import difference_numbers
from leastwork.runs.difference.sections import part

__all__ = ["KIND"]


def _keys(run: DifferenceRun) -> Mapping[str, Any]:
    raise ConfigError(
        "states that were given in Python have no file form: write a run file with difference: and use leastwork run"
    )


def _job_of_run(run: DifferenceRun, config: DifferenceConfig) -> DifferenceJob:
    return DifferenceJob(config, AlongInputs(run.model, run.coordinate, sampling_choices(config.sampling)))


def _summary(config: DifferenceConfig, metrics: Mapping[str, Any]) -> list[Table]:
    numbers, table = difference_numbers(metrics), table_of_pairs()
    table.add_row("F_B − F_A", f"{pm(numbers.quality.difference)} kT")
    table.add_row("counted", f"{pm(numbers.quality.difference.counted)} kT")
    add_cost(table, numbers.certificate, config.sampling, numbers.discretisation)
    return [table]


KIND = KindOfRun(
    schema=DifferenceConfig,
    told_by=("difference",),
    job=DifferenceJob.of,
    job_of_folder=lambda config, model, folder, given: DifferenceJob.of(config, model),
    job_of_run=_job_of_run,
    keys=_keys,
    save=save_fit,
    part=part,
    title=lambda config: "Free-energy difference",
    asked=lambda config, metrics: "F_B − F_A of two states",
    reached=lambda config, metrics: f"{pm(difference_numbers(metrics).quality.difference)} k_BT",
    summary=_summary,
    checks=lambda run: checks(run, difference_numbers(run.metrics)),
)

"""A kind of run: its run file, its job, its folder when it was made in Python, and its report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.table import Table

from leastwork.data.indirect import Indirect
from leastwork.fit.run import FittedRun
from leastwork.kernels.base import Kernel
from leastwork.kernels.region import Membership
from leastwork.models.base import Model
from leastwork.observables import Observable
from leastwork.report.blocks import Check, Part
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.job import Job
from leastwork.runs.base.settings import AnyConfig

__all__ = ["Given", "KindOfRun"]

_Settings = TypeVar("_Settings", bound=AnyConfig)
_Run = TypeVar("_Run", bound=FittedRun)


@dataclass(frozen=True)
class Given:
    """Arguments of :func:`leastwork.load_run` for what a folder does not hold."""

    observable: Observable | Indirect | None = None
    region: Membership | None = None
    kernel: Kernel | None = None


@dataclass(frozen=True)
class KindOfRun(Generic[_Settings, _Run]):
    """A kind of run, with all that differs between kinds; its folder defines it as ``KIND`` in ``kind.py``.

    Args:
        schema: the settings in a run file.
        told_by: keys that a run file of this kind, and of no other, has.
        job: loads and checks the inputs of a run.
        job_of_folder: makes the job of a folder that may have been saved in Python, from its settings, its model, the
            folder and what was given.
        job_of_run: makes the job of a fitted run in memory, whose settings are those that were saved.
        keys: gives the keys by which the run file of a fitted run tells what guides it.
        save: writes the fit of a run into its folder.
        part: makes all that the report of a finished run shows, except the sections of its case.
        title: says what a run is, in a few words.
        asked: says in a line what a run was asked for, from its settings and metrics.
        reached: says in a line what it reached.
        summary: makes the tables that the command line prints.
        checks: makes the traffic lights of a finished run, which a page on several runs shows.
    """

    schema: type[_Settings]
    told_by: Sequence[str]
    job: Callable[[_Settings], Job[Any]]
    job_of_folder: Callable[[_Settings, Model, Path, Given], Job[Any]]
    job_of_run: Callable[[_Run, _Settings], Job[Any]]
    keys: Callable[[_Run], Mapping[str, Any]]
    save: Callable[[_Run, Path], None]
    part: Callable[[Finished[_Settings]], Part]
    title: Callable[[_Settings], str]
    asked: Callable[[_Settings, Mapping[str, Any]], str]
    reached: Callable[[_Settings, Mapping[str, Any]], str]
    summary: Callable[[_Settings, Mapping[str, Any]], Sequence[Table]]
    checks: Callable[[Finished[_Settings]], Sequence[Check]] = lambda run: ()

"""What the two kinds of run differ in once they are finished: what a page, an overview and the command line show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rich.table import Table

from leastwork.report.blocks import Part
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.settings import AnySettings

__all__ = ["KindOfRun"]

_Settings = TypeVar("_Settings", bound=AnySettings)


@dataclass(frozen=True)
class KindOfRun(Generic[_Settings]):
    """How runs of one kind are reported.

    Args:
        part: makes all that the report of a finished run shows, except the sections of its case.
        title: says what a run is, in a few words.
        asked: says in a line what a run was asked for, from its settings and metrics.
        reached: says in a line what it reached.
        summary: makes the tables that the command line prints.
    """

    part: Callable[[Finished[_Settings]], Part]
    title: Callable[[_Settings], str]
    asked: Callable[[_Settings, Mapping[str, Any]], str]
    reached: Callable[[_Settings, Mapping[str, Any]], str]
    summary: Callable[[_Settings, Mapping[str, Any]], Sequence[Table]]

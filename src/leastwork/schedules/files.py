"""Schedules as plain values, for files."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from leastwork.errors import ConfigError
from leastwork.schedules.base import Schedule
from leastwork.schedules.edm import EDMSchedule
from leastwork.schedules.gaussian import CosineSchedule, LinearSchedule, VESchedule, VPSchedule
from leastwork.schedules.table import TabulatedSchedule

__all__ = ["describe_schedule", "schedule_from"]


_BY_NAME: dict[str, Any] = {
    kind.__name__: kind
    for kind in (CosineSchedule, EDMSchedule, LinearSchedule, TabulatedSchedule, VESchedule, VPSchedule)
}
"""All schedules with a file form."""


def describe_schedule(schedule: Schedule) -> dict[str, Any]:
    """A schedule as plain values, for a file.

    >>> describe_schedule(VPSchedule(0.1, 20.0))["name"]
    'VPSchedule'
    """
    for name, kind in _BY_NAME.items():
        if type(schedule) is kind:
            return {"name": name, **asdict(cast(Any, schedule))}
    table = "make a table of it by schedule.table(), or " if hasattr(schedule, "table") else ""
    raise ConfigError(f"schedule {schedule!r} has no file form: {table}use one of {', '.join(_BY_NAME)}")


def schedule_from(described: Mapping[str, Any]) -> Schedule:
    """The schedule from the plain values of :func:`describe_schedule`.

    Raises:
        KeyError, TypeError: the values do not describe a schedule; callers add the name of the file.
    """
    parts = dict(described)
    return _BY_NAME[parts.pop("name")](**parts)

"""Schedules as plain values, to be written beside a network and read back."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from leastwork.errors import ConfigError
from leastwork.schedules.base import Schedule
from leastwork.schedules.gaussian import CosineSchedule, LinearSchedule, VESchedule, VPSchedule
from leastwork.schedules.table import TabulatedSchedule

__all__ = ["describe_schedule", "schedule_from"]


_BY_NAME: dict[str, Any] = {
    kind.__name__: kind for kind in (CosineSchedule, LinearSchedule, TabulatedSchedule, VESchedule, VPSchedule)
}
"""Every schedule with a file form."""


def describe_schedule(schedule: Schedule) -> dict[str, Any]:
    """A schedule of this module, or a tabulated one, as plain values, for a file.

    >>> describe_schedule(VPSchedule(0.1, 20.0))["name"]
    'VPSchedule'
    """
    for name, kind in _BY_NAME.items():
        if type(schedule) is kind:
            return {"name": name, **asdict(cast(Any, schedule))}
    table = "make a table of it by schedule.table(), or " if hasattr(schedule, "table") else ""
    raise ConfigError(f"schedule {schedule!r} has no file form: {table}use one of {', '.join(_BY_NAME)}")


def schedule_from(described: Mapping[str, Any]) -> Schedule:
    """The schedule that :func:`describe_schedule` described.

    Raises:
        KeyError, TypeError: not such a description; readers of files say which file.
    """
    parts = dict(described)
    return _BY_NAME[parts.pop("name")](**parts)

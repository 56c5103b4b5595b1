"""Noise schedules: the amounts of signal and noise in a state at every time."""

from leastwork.schedules.angles import AngleSchedule
from leastwork.schedules.base import Schedule
from leastwork.schedules.edm import EDMSchedule
from leastwork.schedules.files import describe_schedule, schedule_from
from leastwork.schedules.function import FunctionSchedule
from leastwork.schedules.gaussian import CosineSchedule, LinearSchedule, VESchedule, VPSchedule
from leastwork.schedules.table import TabulatedSchedule

__all__ = [
    "AngleSchedule",
    "CosineSchedule",
    "EDMSchedule",
    "FunctionSchedule",
    "LinearSchedule",
    "Schedule",
    "TabulatedSchedule",
    "VESchedule",
    "VPSchedule",
    "describe_schedule",
    "schedule_from",
]

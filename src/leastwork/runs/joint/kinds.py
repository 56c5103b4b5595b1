"""The kinds of single runs, by the name that their settings give."""

from collections.abc import Mapping
from typing import Any

from leastwork.runs.base.kind_of_run import KindOfRun
from leastwork.runs.joint.config import AnyRun
from leastwork.runs.observables.sections import OBSERVABLE_RUNS
from leastwork.runs.path.sections import PATH_RUNS

__all__ = ["kind_of_run"]

_KINDS: Mapping[str, KindOfRun[Any]] = {"observables": OBSERVABLE_RUNS, "path": PATH_RUNS}


def kind_of_run(config: AnyRun) -> KindOfRun[Any]:
    """How a run is reported.

    >>> from leastwork.runs.load import load_config
    >>> kind_of_run(load_config("moons")).title(load_config("moons"))
    'Least work path guidance'
    """
    return _KINDS[config.kind_of_run]

"""The kinds of single runs, found by the folders that hold them."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from leastwork.runs.base.kind_of_run import KindOfRun
from leastwork.runs.base.settings import AnyConfig

__all__ = ["kind_of_run", "kinds"]

_RUNS = Path(__file__).parents[1]


@cache
def kinds() -> Mapping[str, KindOfRun[Any, Any]]:
    """Every kind by its name, which is that of a folder with a file ``kind.py`` that defines ``KIND``.

    >>> list(kinds())
    ['difference', 'observables', 'path', 'profile']
    """
    names = sorted(file.parent.name for file in _RUNS.glob("*/kind.py"))
    return {name: import_module(f"leastwork.runs.{name}.kind").KIND for name in names}


def kind_of_run(config: AnyConfig) -> KindOfRun[Any, Any]:
    """The kind of a run.

    >>> from leastwork.runs.load import load_config
    >>> kind_of_run(load_config("moons")).title(load_config("moons"))
    'Least work path guidance'
    """
    return kinds()[config.kind_of_run]

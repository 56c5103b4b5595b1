"""Numbers of a fit while it runs: losses, effective samples, misses and work, told to whoever listens.

    with listening(on_metrics):
        run = guide_observables(...)

A loop says what it has found by :func:`report_metrics`; without a listener that costs nothing. A listener is a function
``on_metrics(step, values)``: the step counts what it has been told from 1, and a value is named "stage/number".
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from leastwork.support.arguments import refused

__all__ = ["OnMetrics", "check_on_metrics", "listening", "report_metrics"]

OnMetrics: TypeAlias = Callable[[int, Mapping[str, float]], None]
"""Called with a step, 1, 2, …, and the values that are known then."""


@dataclass
class _Listener:
    told: OnMetrics
    step: int

    def tell(self, values: Mapping[str, float]) -> None:
        self.step += 1
        self.told(self.step, values)


_LISTENERS: ContextVar[tuple[_Listener, ...]] = ContextVar("listeners", default=())


def check_on_metrics(value: Any) -> OnMetrics | None:
    """The listener that a public function was given, or None.

    Raises:
        LeastworkError: it cannot be called.
    """
    if value is None or callable(value):
        return cast(OnMetrics | None, value)
    raise refused("on_metrics", value, "give a function of a step and a mapping of values, or leave it out")


@contextmanager
def listening(on_metrics: OnMetrics | None, step: int = 0) -> Iterator[None]:
    """Tell a function all numbers that are reported within; those who listen already go on listening.

    Args:
        on_metrics: the function; None, and nobody more listens.
        step: the last step that the function has been told before.

    >>> with listening(lambda step, values: print(step, dict(values))):
    ...     report_metrics("learning V", {"loss": 0.5})
    ...     report_metrics("learning V", {"loss": 0.25})
    1 {'learning V/loss': 0.5}
    2 {'learning V/loss': 0.25}
    """
    added = () if on_metrics is None else (_Listener(on_metrics, step),)
    token = _LISTENERS.set((*_LISTENERS.get(), *added))
    try:
        yield
    finally:
        _LISTENERS.reset(token)


def report_metrics(stage: str, values: Mapping[str, float]) -> None:
    """Tell those who listen the numbers of a stage.

    Args:
        stage: what is being done, such as "learning V".
        values: numbers by their names.
    """
    for listener in _LISTENERS.get():
        listener.tell({f"{stage}/{name}": float(value) for name, value in values.items()})

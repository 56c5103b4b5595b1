"""The early end of a fit, with the guidance so far: on Ctrl-C, when its time is over, or when its budget is used up."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.support.checkpoints import is_kept
from leastwork.support.progress import Progress, Tick

__all__ = ["StoppedError", "stops", "warn_of_stop", "within"]


class StoppedError(LeastworkError):
    """A fit has to end; the error that a caller sees if there is no guidance yet.

    Args:
        reason: why, in the past tense.
        remedy: advice, in the imperative.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} before there was any guidance: {remedy}")
        self.reason = reason


def stops() -> tuple[type[BaseException], ...]:
    """The exceptions on which a fit ends with what it has.

    Ctrl-C is one of them unless the fit keeps checkpoints, from which it can be continued later.
    """
    return (StoppedError,) if is_kept() else (StoppedError, KeyboardInterrupt)


def warn_of_stop(stop: BaseException, judged: str) -> None:
    """Warn that the guidance is that of an early end.

    Args:
        stop: the exception that ended the fit.
        judged: what is known of the guidance so far, a clause.
    """
    reason = getattr(stop, "reason", "it was interrupted")
    warnings.warn(
        f"the fit ended early, since {reason}: the guidance is the one so far, {judged}", LeastworkWarning, stacklevel=4
    )


def within(progress: Progress, seconds: float) -> Progress:
    """The same progress, of which one tick stops the fit as soon as its time is over.

    Args:
        progress: the progress that is shown.
        seconds: time from now on.
    """
    end, said = time.monotonic() + seconds, False

    @contextmanager
    def limited(label: str, total: int) -> Iterator[Tick]:
        with progress(label, total) as tick:

            def checked(*told: Any, **more: Any) -> None:
                nonlocal said
                tick(*told, **more)
                if time.monotonic() > end and not said:  # once, so that what is there can be completed
                    said = True
                    raise StoppedError(f"seconds={seconds:g} were over while {label}", "give more of them")

            yield checked

    return limited

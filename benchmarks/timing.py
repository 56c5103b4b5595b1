"""What calls cost, measured in turn, so that all of them see the same machine.

Others on the machine lengthen the wall clock and, by sharing caches, to a smaller extent CPU seconds. A ratio is
therefore the median over the rounds, each of which calls everything once, and its standard error that of a median of
normal deviates, 1.2533 σ/√n with σ = 1.4826 × the median absolute deviation (Rousseeuw and Croux, J. Am. Stat. Assoc.
88, 1273, 1993): rounds that were disturbed do not count.

>>> ratio([1.0, 1.0, 2.0], [1.1, 1.1, 2.2])
Ratio(value=1.1, stderr=0.0, of_least=1.1)
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

__all__ = ["Cost", "Ratio", "cost", "in_turn", "ratio"]

_Cost = TypeVar("_Cost")


@dataclass(frozen=True)
class Cost:
    """Seconds of one call: on the wall clock, and of CPU time, user and system, on all threads."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ratio:
    """Cost of one call over that of another: median with standard error, and the ratio of their least costs."""

    value: float
    stderr: float
    of_least: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.stderr:.3f}"


def cost(call: Callable[[], object]) -> Cost:
    """The cost of one call in this process."""
    begin, used = time.perf_counter(), time.process_time()
    call()
    return Cost(time.perf_counter() - begin, time.process_time() - used)


def in_turn(calls: Sequence[Callable[[], _Cost]], rounds: int) -> list[list[_Cost]]:
    """The costs of each call in ``rounds`` rounds; every second round has the opposite order."""
    found: list[list[_Cost]] = [[] for _ in calls]
    for k in range(rounds):
        for i in range(len(calls))[:: 1 if k % 2 == 0 else -1]:
            found[i].append(calls[i]())
    return found


def ratio(before: Sequence[float], after: Sequence[float]) -> Ratio:
    """Of costs that were measured in the same rounds."""
    ratios = [b / a for a, b in zip(before, after, strict=True)]
    middle = median(ratios)
    spread = 1.4826 * median(abs(r - middle) for r in ratios)
    return Ratio(middle, 1.2533 * spread / len(ratios) ** 0.5, min(after) / min(before))

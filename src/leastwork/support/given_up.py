"""Pieces of work with which workers died: a piece that kills its workers, told from workers that are preempted.

A piece that is given up waits until all others have ended, and all such pieces are tried again, round by round, as
long as a round finishes one. Where none does, one is tried with nothing else at work; given up even then, it is to
blame: a preempted worker takes whatever it has, and hardly ever the same piece so many times.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from leastwork.errors import LeastworkError

__all__ = ["GivenUp"]

_Item: TypeAlias = tuple[int, Any]


@dataclass
class GivenUp:
    """What is to be tried again.

    Args:
        name: what a piece is called, by its number.

    >>> lost = GivenUp()
    >>> lost.put_aside([(3, None), (7, None)], "2 workers died")
    >>> lost.finished()
    >>> lost.again()  # others have ended meanwhile, so that workers are not all dying of these
    [(3, None), (7, None)]
    >>> lost.put_aside([(7, None)], "2 workers died")
    >>> lost.again()
    [(7, None)]
    """

    name: Callable[[int], str] = "piece {}".format
    waiting: list[_Item] = field(default_factory=list)
    progress: bool = False
    alone: bool = False

    def put_aside(self, items: Sequence[_Item], why: str) -> None:
        """Pieces that were given up, and why.

        Raises:
            LeastworkError: it was the only piece at work.
        """
        if self.alone:
            raise LeastworkError(
                f"{self.name(items[0][0])} ended every worker that tried, the last of them with nothing else at work "
                f"({why}): give workers more memory or time, or take a smaller batch size"
            )
        self.waiting += items

    def finished(self) -> None:
        """Some piece has come back."""
        self.progress = True

    def again(self) -> list[_Item]:
        """What to try now that nothing is at work."""
        count = len(self.waiting) if self.progress else 1
        items, self.waiting = self.waiting[:count], self.waiting[count:]
        self.alone, self.progress = len(items) == 1, False
        return items

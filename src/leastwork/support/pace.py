"""How many pieces of work travel to a worker together, by how long the pieces have taken so far."""

from dataclasses import dataclass

__all__ = ["Pace"]

_SECONDS_AT_A_TIME = 1.0  # seconds of the quick pieces that travel together


@dataclass
class Pace:
    """How many pieces travel together: more, the quicker they are, but few of all, so that workers end together.

    >>> pace = Pace(part=16, sent=320)
    >>> pace.finished(count=2, seconds=0.2)
    >>> pace.at_a_time()  # ten take a second
    10
    >>> Pace(part=16, sent=64, done=2, seconds=0.2).at_a_time()  # a sixteenth of 64
    4
    """

    part: int
    sent: int = 0
    done: int = 0
    seconds: float = 0.0

    def finished(self, count: int, seconds: float) -> None:
        self.done, self.seconds = self.done + count, self.seconds + seconds

    def at_a_time(self) -> int:
        quick = _SECONDS_AT_A_TIME * self.done / max(self.seconds, 1e-9)
        count = max(1, int(min(quick, self.sent / self.part)))
        self.sent += count
        return count

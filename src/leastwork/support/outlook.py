"""The time until the end of a whole piece of work, told when a phase begins and every minute.

    left = rest of the phase in hand + all phases to come        in seconds, of each part

The rest of a phase is what was expected of it less what it has taken, or more if its stage says so. Where phases have
taken longer than was expected, those to come are expected to take longer in the same measure.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from leastwork.support.numerals import duration
from leastwork.support.progress import Meter, Progress, Tick

__all__ = ["Phases", "with_outlook"]

Phases: TypeAlias = Mapping[str, float | None]
"""Names of phases in their order, each with the seconds that are expected of it; None where nobody knows."""

_BETWEEN = 60.0  # seconds between two sentences
_LONG = 30.0  # seconds of a phase or stage by which the pace is judged, at least
_FEW = 0.1  # share of the steps of a stage by which it is judged if it was shorter


@dataclass
class _Part:
    """How far a part is.

    Args:
        name: its name.
        phases: its phases.
        number: number of the phase in hand, from 0 on; −1 before the first.
        since: when that phase began.
        stage: the stage in hand.
        pace: how much longer phases take than was expected, 1 or more.
        over: whether the last phase has ended.
    """

    name: str
    phases: Phases
    number: int = -1
    since: float = 0.0
    stage: Meter | None = None
    pace: float = 1.0
    over: bool = False

    def enter(self, number: int) -> bool:
        """Whether the phase of this number begins only now."""
        if number <= self.number:
            return False
        if self.number >= 0:
            self.pace = self._pace()
        self.since, self.number = time.monotonic(), number
        return True

    @property
    def left(self) -> float | None:
        """Seconds until the end, or None if nobody knows how long a phase takes."""
        current, *later = list(self.phases.values())[max(self.number, 0) :]
        if self.over:
            return 0.0
        if current is None or None in later:
            return None
        pace = self._pace()
        rest = pace * current - self._spent()
        return max(rest, self._left_of_stage(), 0.0) + pace * sum(one or 0.0 for one in later)

    def _left_of_stage(self) -> float:
        """Seconds that the stage still takes, 0 while its first steps, which are often slow, are all that is known."""
        stage = self.stage
        if stage is None or stage.left is None or (stage.spent < _LONG and stage.done < _FEW * stage.total):
            return 0.0
        return stage.left

    def _spent(self) -> float:
        return 0.0 if self.number < 0 else time.monotonic() - self.since

    def _pace(self) -> float:
        """The pace, judged by the phase in hand as well, if that is long enough."""
        expected = list(self.phases.values())[max(self.number, 0)]
        return max(self.pace, self._spent() / expected if expected and expected > _LONG else 1.0)

    def told(self) -> str:
        """The phase, with its number."""
        names = list(self.phases)
        return f"{self.name}{': ' if self.name else ''}{names[self.number]} ({self.number + 1} of {len(names)})"


def with_outlook(
    progress: Progress, parts: Mapping[str, Phases], tell: Callable[[str], None], at_once: bool = False
) -> Progress:
    """The same progress, which also tells when all of the work will be done.

    Args:
        progress: shows the stages, whose labels begin with the name of a part, if it has one, and of a phase, as in
            ``"stability: fit: sampling"``.
        parts: the phases of each part, by the names of the parts; an only part may have an empty name.
        tell: is told the sentences.
        at_once: whether the parts are worked on side by side, and not one after the other.

    >>> parts = {"": {"fit": 30.0, "samples": 150.0}}
    >>> from leastwork.support.progress import no_progress
    >>> with with_outlook(no_progress, parts, print)("samples: sampling", 10) as tick:
    ...     tick()
    samples (2 of 2); about 2 min 30 s until the end
    """
    known = {name: _Part(name, phases) for name, phases in parts.items()}
    places = {
        ": ".join(filter(None, (name, phase))): (known[name], number)
        for name, phases in parts.items()
        for number, phase in enumerate(phases)
    }
    said = [time.monotonic()]

    def say(part: _Part) -> None:
        said[0] = time.monotonic()
        each = [one.left for one in known.values()]
        rest = [one for one in each if one is not None]
        if len(rest) < len(each):
            end = "when it ends is known after the fit"
        else:
            end = f"about {duration(max(rest) if at_once else sum(rest))} until the end"
        tell(f"{part.told()}; {end}")

    @contextmanager
    def shown(label: str, total: int) -> Iterator[Tick]:
        place = next((place for start, place in places.items() if f"{label}: ".startswith(f"{start}: ")), None)
        with progress(label, total) as show:
            if place is None:
                yield show
                return
            part, number = place
            begins = part.enter(number)
            part.stage = Meter(total)
            if begins:
                say(part)

            def tick(count: int = 1) -> None:
                show(count)
                if part.stage is not None:
                    part.stage.count(count)
                if time.monotonic() - said[0] >= _BETWEEN:
                    say(part)

            yield tick
            part.stage = None
            part.over = number == len(part.phases) - 1

    return shown

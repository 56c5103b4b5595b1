"""What was found: one line for each question, ok, warning, fault or skipped, in words and with the remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Check", "ModelReport", "Status"]

Status: TypeAlias = Literal["ok", "warning", "fault", "skipped"]


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Args:
        name: the question, in a word or two.
        status: "ok"; "warning", it works but should be known; "fault", results would be wrong; "skipped", not asked.
        words: what was measured, and what to do about it.
    """

    name: str
    status: Status
    words: str


@dataclass(frozen=True)
class ModelReport:
    """All answers, in the order in which they were asked.

    >>> report = ModelReport("a model", (Check("shape", "ok", "(B, 2)"), Check("mode", "warning", "in training mode")))
    >>> report.ok, [check.name for check in report.warnings]
    (True, ['mode'])
    >>> print(report)
    a model: no fault, 1 warning
    ok       shape  (B, 2)
    warning  mode   in training mode
    """

    subject: str
    checks: tuple[Check, ...]

    @property
    def faults(self) -> tuple[Check, ...]:
        """What makes results wrong."""
        return tuple(check for check in self.checks if check.status == "fault")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """What works but should be known."""
        return tuple(check for check in self.checks if check.status == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    @property
    def verdict(self) -> str:
        """One line: how many faults and warnings."""
        return f"{self.subject}: {_count(len(self.faults), 'fault')}, {_count(len(self.warnings), 'warning')}"

    def __str__(self) -> str:
        width = max((len(check.name) for check in self.checks), default=0)
        return "\n".join([self.verdict, *self._lines(width)])

    def _lines(self, width: int) -> Iterator[str]:
        for check in self.checks:
            yield f"{check.status:<7}  {check.name:<{width}}  {check.words}"


def _count(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'s' if n > 1 else ''}"

"""Results of the checks: one line each with status (ok, warning, fault or skipped), finding and remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Check", "ModelReport", "Status"]

Status: TypeAlias = Literal["ok", "warning", "fault", "skipped"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Args:
        name: name of the check, in one or two words.
        status: "ok"; "warning": the model works, but with a drawback; "fault": results would be wrong; or "skipped".
        words: the finding and, if needed, the remedy.
    """

    name: str
    status: Status
    words: str


@dataclass(frozen=True)
class ModelReport:
    """The results of all checks, in their order.

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
        """Checks with status "fault", which would make results wrong."""
        return tuple(check for check in self.checks if check.status == "fault")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """Checks with status "warning"."""
        return tuple(check for check in self.checks if check.status == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    @property
    def verdict(self) -> str:
        """One line with the numbers of faults and warnings."""
        return f"{self.subject}: {_count(len(self.faults), 'fault')}, {_count(len(self.warnings), 'warning')}"

    def __str__(self) -> str:
        width = max((len(check.name) for check in self.checks), default=0)
        return "\n".join([self.verdict, *self._lines(width)])

    def _lines(self, width: int) -> Iterator[str]:
        for check in self.checks:
            yield f"{check.status:<7}  {check.name:<{width}}  {check.words}"


def _count(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'s' if n > 1 else ''}"

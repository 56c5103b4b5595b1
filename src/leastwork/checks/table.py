"""Text table of the results."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leastwork.checks.report import ModelReport

__all__ = ["print_report"]

_STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red", "skipped": "dim"}


def print_report(report: ModelReport) -> None:
    """Print every check with its status, and the verdict below."""
    table = Table(box=None, pad_edge=False)
    for column in ("", "check", "measured"):
        table.add_column(column, overflow="fold")
    for check in report.checks:
        table.add_row(Text(check.status, style=_STYLES[check.status]), Text(check.name), Text(check.words))
    console = Console(highlight=False)
    console.print(table)
    console.print(Text(report.verdict))

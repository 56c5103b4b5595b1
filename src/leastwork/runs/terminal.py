"""Tables of text that the command line prints about a run."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from leastwork.runs.base.finished import read_metrics
from leastwork.runs.base.settings import Run
from leastwork.runs.joint.kinds import kind_of_run

__all__ = ["print_comparison", "print_summary"]


def print_summary(config: Run, folder: Path) -> None:
    """A finished run, on stdout, or each part of a joint run below its name."""
    console = Console(highlight=False)
    for part, one in config.parts.items():
        if part:
            console.print(Text(part, style="bold"))
        metrics = read_metrics(folder / part)
        for table in kind_of_run(one).summary(one, metrics):
            console.print(table)


def print_comparison(rows: list[list[str]]) -> None:
    """Methods side by side, on stdout."""
    head = ("method", "target error/σ", "held out/σ", "KL to truth", "work/kT", "efficiency", "ESS", "evaluations", "s")
    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False)
    console.width = max(console.width, 160)  # a line a method, also where it is piped
    console.print(table)

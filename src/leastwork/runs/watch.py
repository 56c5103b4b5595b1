"""A run that is going on, in a terminal: how far it is, and the newest numbers of its fit."""

import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from leastwork.runs.status import in_lines, statuses
from leastwork.support.numerals import duration, plain
from leastwork.support.sinks import FIT_CSV, csv_rows

__all__ = ["frame", "watch"]


def frame(folder: Path) -> tuple[list[str], bool]:
    """What is shown of a run at one time, and whether it is finished.

    Raises:
        ConfigError: the folder holds no run.
    """
    found = statuses(folder)
    lines: list[str] = []
    for part, status in found.items():
        lines += [*([part] if part else []), *in_lines(status), *_newest(folder / part / FIT_CSV), ""]
    return lines[:-1], all(status.stage == "finished" for status in found.values())


def watch(folder: Path, every: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show a run until it is finished; where stdout is no terminal, the last picture alone.

    Args:
        folder: the folder of the run.
        every: seconds between two looks.
        sleep: waits.
    """
    lines, finished = frame(folder)
    with Live(Text("\n".join(lines)), console=Console(), auto_refresh=False) as live:
        while not finished:
            sleep(every)
            lines, finished = frame(folder)
            live.update(Text("\n".join(lines)), refresh=True)


def _newest(file: Path) -> list[str]:
    """The newest value of each number of a fit, by stages."""
    rows = csv_rows(file)
    if not rows:
        return []
    newest = {row["name"]: plain(float(row["value"])) for row in rows}
    width = max(map(len, newest))
    lines = [f"{name:<{width}}  {value}" for name, value in newest.items()]
    return ["", f"the fit, {duration(float(rows[-1]['seconds']))} after its start", *lines]

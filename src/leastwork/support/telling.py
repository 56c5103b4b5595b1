"""What a command tells on stderr: sentences, its progress, and the command that goes on with it."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from leastwork.support.progress import Progress, bar, json_lines, lines, no_progress

__all__ = ["again", "say", "shown", "shown_and_logged"]


def shown(quiet: bool) -> Progress:
    """Bars in a terminal, lines in a log."""
    if quiet:
        return no_progress
    return bar if sys.stderr.isatty() else lines


def say(sentence: str) -> None:
    """A sentence for the user, beside the results."""
    typer.echo(sentence, err=True)


def again(*words: str, **options: object) -> str:
    """The command that goes on with this one."""
    found = ["leastwork", *words]
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            found.append(option)
        elif isinstance(value, list):
            found += [word for one in value for word in (option, str(one))]
        elif value:
            found += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(found)


@contextmanager
def shown_and_logged(quiet: bool, log_json: Path | None) -> Iterator[Progress]:
    """What is shown, and what a file is told as well."""
    if log_json is None:
        yield shown(quiet)
        return
    with json_lines(log_json, shown(quiet)) as progress:
        yield progress

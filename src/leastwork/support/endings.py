"""How a command ends: by one sentence on stderr and an exit code, whatever went wrong, and cleanly on signals."""

import codecs
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from leastwork.errors import LeastworkError, LeastworkWarning

__all__ = ["ending_cleanly", "kindly", "make_writable"]

_SPELT = "leastwork.spelt"
_SPELLING = {"−": "-", "–": "-", "±": "+/-", "×": "x", "σ": "sigma", "χ": "chi", "Å": "A", "θ": "theta", "λ": "lambda"}
_RAISED = dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True))


def _spelt(error: UnicodeError) -> tuple[str, int]:
    """What stands for letters that an encoding lacks: a minus must not be lost.

    >>> _spelt(UnicodeEncodeError("ascii", "2 × 10⁻⁹", 6, 8, ""))
    ('^-9', 8)
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    raised = letters[0] in _RAISED and not (error.start and error.object[error.start - 1] in _RAISED)
    spelt = "".join(_RAISED.get(letter) or _SPELLING.get(letter, "?") for letter in letters)
    return ("^" if raised else "") + spelt, error.end


def make_writable() -> None:
    """Let stdout and stderr take every letter, spelt out where their encoding lacks it, and nothing where closed."""
    codecs.register_error(_SPELT, _spelt)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the command
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_SPELT)


class _Signalled(KeyboardInterrupt):
    """Somebody asked for the end, as a queue does by SIGTERM; a second time ends at once."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """SIGTERM, and the SIGUSR1 of a queue whose limit is near, unwind what is going on, as Ctrl-C does."""

    def end(number: int, frame: object) -> None:
        raise _Signalled(number)

    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield
        return
    numbers = [signal.SIGTERM, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])]  # Windows has no other
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def kindly(again: str = "") -> Iterator[list[Path]]:
    """Say in one sentence what went wrong.

    Args:
        again: the command that goes on with an interrupted one; the caller appends the folder that it goes on in.
    """
    where: list[Path] = []

    def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, LeastworkWarning):
            typer.echo(f"warning: {message}", err=True)

    try:
        with ending_cleanly(), warnings.catch_warnings():
            warnings.simplefilter("default", LeastworkWarning)
            warnings.showwarning = show
            yield where
    except KeyboardInterrupt as ended:
        later = f": go on with {again}" if again and where and where[0].exists() else ""
        typer.echo(f"interrupted{later}", err=True)
        raise typer.Exit(128 + getattr(ended, "number", signal.SIGINT)) from None
    except LeastworkError as error:
        for sentence in str(error).splitlines():
            typer.echo(f"error: {sentence}", err=True)
        raise typer.Exit(2) from None
    except BrokenPipeError:  # nobody reads on, as after | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + 13) from None
    except SystemExit as ended:  # by code that a run file names; typer's own is no SystemExit
        last = traceback.extract_tb(ended.__traceback__)[-1]
        typer.echo(
            f"error: {last.filename}, line {last.lineno}: {last.name} ended the process by SystemExit({ended.code!r}), "
            "so nothing more was done: let it raise an error, or return",
            err=True,
        )
        raise typer.Exit(2) from None
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        typer.echo(f"error: {what}: check the path, its permissions and the space left", err=True)
        raise typer.Exit(2) from None

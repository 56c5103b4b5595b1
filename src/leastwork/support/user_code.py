"""Functions of the user's own, from a Python file whose errors are told with their line."""

import difflib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.support.text import quoted

__all__ = ["load_function"]


@dataclass(frozen=True)
class _FromFile:
    """A user's function, whose errors name its file and line."""

    fn: Callable[[Any], Tensor]
    file: Path

    def __call__(self, x: Any) -> Tensor:
        try:
            return self.fn(x)
        except LeastworkError:
            raise
        except Exception as error:
            raise ConfigError(_blame(error, self.file)) from error


def load_function(file: Path, function: str, holds: str) -> Callable[[Any], Tensor]:
    """A function of a user's file, as the file is now.

    Args:
        file: Python.
        function: its name.
        holds: what the file is for, to be read after "file of".

    Raises:
        ConfigError: no such file or function, or an error on the way, with its line.
    """
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file of {holds}, give its path relative to the run file")
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    try:
        exec(compile(file.read_bytes(), file, "exec"), vars(module))  # always the file as it is, leaving no bytecode
    except Exception as error:
        raise ConfigError(_blame(error, file)) from error
    found = getattr(module, function, None)
    if not callable(found):
        near = difflib.get_close_matches(function, [k for k, v in vars(module).items() if callable(v)], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "give the name of one"
        raise ConfigError(f"{file} has no function {quoted(function)}: {hint}")
    return _FromFile(cast(Callable[[Any], Tensor], found), file)


def _blame(error: Exception, file: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    where = f"{file}, line {lines[-1]}" if lines else str(file)
    first = (str(error) or "no message").splitlines()[0]
    return f"{where}: {type(error).__name__}: {first}"

"""Functions of the user's own, from a Python file whose errors are told with their line."""

import difflib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.support.text import quoted

__all__ = ["execute", "load_function", "named_in"]


@dataclass(frozen=True)
class _FromFile:
    """A user's function, whose errors name its file and line."""

    fn: Callable[..., Tensor]
    file: Path

    def __call__(self, *args: Any) -> Tensor:
        try:
            return self.fn(*args)
        except LeastworkError:
            raise
        except Exception as error:
            raise ConfigError(_blame(error, self.file)) from error


def load_function(file: Path, function: str, holds: str) -> Callable[..., Tensor]:
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
    return _FromFile(named_in(execute(file), function, file), file)


def named_in(names: Mapping[str, Any], function: str, file: Path) -> Callable[..., Any]:
    """The function, or class, of a name.

    Args:
        names: what the file defines.
        function: the name.
        file: for the message.

    Raises:
        ConfigError: there is none; suggests the nearest.
    """
    found = names.get(function)
    if not callable(found):
        near = difflib.get_close_matches(function, [k for k, v in names.items() if callable(v)], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "give the name of one"
        raise ConfigError(f"{file} has no function {quoted(function)}: {hint}")
    return found


def execute(file: Path, beside: bool = False) -> dict[str, Any]:
    """Execute a user's file as it is now, leaving no bytecode of it.

    Args:
        file: Python.
        beside: whether the file can import modules from its own folder.

    Returns:
        the names that the file defines.

    Raises:
        ConfigError: the file has an error; names its line.
    """
    module = ModuleType(file.stem)
    module.__file__ = str(file)
    with _importing_beside(file, module) if beside else nullcontext():
        try:
            exec(compile(file.read_bytes(), file, "exec"), vars(module))
        except (Exception, SystemExit) as error:  # a script that ends by sys.exit would end this run without a word
            raise ConfigError(_blame(error, file)) from error
    return vars(module)


@contextmanager
def _importing_beside(file: Path, module: ModuleType) -> Iterator[None]:
    folder, before = str(file.parent.resolve()), sys.modules.get(file.stem)
    sys.path.insert(0, folder)
    sys.modules[file.stem] = module
    try:
        yield
    finally:
        sys.path.remove(folder)
        if before is None:
            sys.modules.pop(file.stem, None)
        else:
            sys.modules[file.stem] = before


def _blame(error: Exception | SystemExit, file: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines = [error.lineno]
    where = f"{file}, line {lines[-1]}" if lines else str(file)
    first = (str(error) or "no message").splitlines()[0]
    return f"{where}: {type(error).__name__}: {first}"

"""Functions of the user's own, from a Python file whose errors are told with their line."""

import ast
import difflib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.support.text import quoted

__all__ = ["execute", "imported_beside", "load_function", "named_in"]


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
    """Execute a user's file as it is now, leaving no bytecode of it, and the working directory as it was.

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
    with chdir(os.getcwd()), _importing_beside(file, module) if beside else nullcontext():
        try:
            exec(compile(file.read_bytes(), file, "exec"), vars(module))
        except (Exception, SystemExit) as error:  # a script that ends by sys.exit would end this run without a word
            raise ConfigError(_blame(error, file)) from error
    return vars(module)


def imported_beside(file: Path) -> list[Path]:
    """The files of a Python file's own folder that it imports by name, and those that these import.

    Of a package all modules are among them. A file that cannot be read or parsed imports nothing.
    """
    found: list[Path] = []
    waiting = [file]
    while waiting:
        for name in _names_imported(waiting.pop()):
            package = file.parent / name
            is_own = (package / "__init__.py").is_file() or (package.is_dir() and find_spec(name) is None)
            every = sorted(package.rglob("*.py")) if is_own else []
            fresh = [one for one in (package.with_suffix(".py"), *every) if one.is_file() and one not in (file, *found)]
            found += fresh
            waiting += fresh
    return found


def _names_imported(file: Path) -> set[str]:
    """First parts of the names of the modules that a file imports, but not relative to its package."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return set()
    names = [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
    names += [one.module or "" for one in ast.walk(tree) if isinstance(one, ast.ImportFrom) and one.level == 0]
    return {name.partition(".")[0] for name in names if name}


@contextmanager
def _importing_beside(file: Path, module: ModuleType) -> Iterator[None]:
    """The folder of a file is searched for modules, which are forgotten afterwards: another folder may have others."""
    folder, known = file.parent.resolve(), dict(sys.modules)
    sys.path.insert(0, str(folder))
    sys.modules[file.stem] = module
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name, one in list(sys.modules.items()):
            if known.get(name) is not one and (one is module or _lies_in(one, folder)):
                sys.modules.pop(name)
        if file.stem in known:
            sys.modules[file.stem] = known[file.stem]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    where = getattr(module, "__file__", None)
    return where is not None and folder in Path(where).resolve().parents


def _blame(error: Exception | SystemExit, file: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines = [error.lineno]
    where = f"{file}, line {lines[-1]}" if lines else str(file)
    first = (str(error) or "no message").splitlines()[0]
    return f"{where}: {type(error).__name__}: {first}"

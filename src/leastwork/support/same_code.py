"""Whether the processes that share work have the same code, on which the numbers depend: hashes of sources, versions.

A process remembers the hashes that it has once found, since it keeps the code that it has imported then.
"""

import hashlib
import socket
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from pickletools import genops

import torch

from leastwork.errors import LeastworkError
from leastwork.support.user_code import imported_beside

__all__ = ["check_modules", "check_versions", "hash_of_files", "modules_named", "source_here", "versions_here"]

_SHOWN = 12  # digits of a hash of sources, which messages show
_OWN = Path(__file__).parents[1]
_KNOWN_BY_VERSION = {*sys.stdlib_module_names, "leastwork", "torch", "__mp_main__"}
_INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))


@cache
def source_here() -> str:
    """A hash of all sources of leastwork in this process."""
    return hash_of_files(_OWN, _OWN.rglob("*.py"))[:_SHOWN]


def versions_here() -> str:
    """The versions on which the numbers depend, which are the same on all workers."""
    try:
        own = version("leastwork")
    except PackageNotFoundError:  # imported from its sources
        own = "without a version"
    return f"leastwork {own} (sources {source_here()}) with torch {torch.__version__}"


def check_versions(wanted: str) -> None:
    """Check that this worker has the versions of the process that sent it work.

    Raises:
        LeastworkError: it has others; says where its leastwork lies.
    """
    if wanted != versions_here():
        raise LeastworkError(
            f"a worker on {socket.gethostname()!r} has {versions_here()} in {_OWN}, and this is {wanted}: install the "
            "same on all of them, and start the workers again"
        )


def modules_named(packed: bytes) -> Mapping[str, str]:
    """The user's modules from which a pickle takes functions and classes by their names, with hashes of their sources.

    Of an installed package the file of the module alone is compared; of a module of the user's own, also the modules
    beside it that it imports, or all of its package.
    """
    words = {argument for _, argument, _ in genops(packed) if isinstance(argument, str)}
    found = {word: _source_of(word) for word in words & sys.modules.keys() if _is_of_user(word)}
    return {name: source for name, source in found.items() if source}


def check_modules(wanted: Mapping[str, str]) -> None:
    """Check that this worker has the modules from which functions and classes are taken.

    Raises:
        LeastworkError: one is missing, or has other sources.
    """
    for name, source in wanted.items():
        own = _remembered(name)
        if own == source:
            continue
        has = f"another module {name!r}, or had it before it was changed" if own else f"no module {name!r}"
        raise LeastworkError(
            f"a worker on {socket.gethostname()!r} has {has}, of which the model or its guidance is made: put the same "
            "file on the PYTHONPATH of all workers, and start them again"
        )


@cache
def _remembered(name: str) -> str:
    return _source_of(name)


def _source_of(name: str) -> str:
    """A hash of the sources of a module, or nothing where it has none."""
    try:
        found, top = find_spec(name), find_spec(name.partition(".")[0])
    except (ImportError, ValueError):
        return ""
    if found is None or found.origin is None or not Path(found.origin).is_file():
        return ""
    file = Path(found.origin)
    if any(one in file.resolve().parents for one in _INSTALLED):
        return hash_of_files(file.parent, [file])[:_SHOWN]
    inside = top is not None and top.submodule_search_locations
    folder = Path(inside[0]) if inside else file.parent
    return hash_of_files(folder, folder.rglob("*.py") if inside else [file, *imported_beside(file)])[:_SHOWN]


def _is_of_user(name: str) -> bool:
    return name.partition(".")[0] not in _KNOWN_BY_VERSION


def hash_of_files(folder: Path, files: Iterable[Path]) -> str:
    """A hash of files and of their names in a folder."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size} ".encode())
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                whole.update(data)
    return whole.hexdigest()

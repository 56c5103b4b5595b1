"""Checkpoints of a long computation in a folder, from which it continues after a kill.

    with checkpoints(folder, about):
        run = guide_observables(...)

Whatever takes long within asks for its pieces by :func:`kept`, :func:`each` or :func:`resumable`. Outside of a folder
of checkpoints these compute and keep nothing. A computation whose random numbers come from seeds asks for the same
pieces in the same order every time, so that a piece is known by its number, and the result is that of a computation
that was never stopped, bit for bit. A piece is written when it is done, or within a loop some time after the last.
"""

import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.support.files import read_bytes, sweep, write_bytes
from leastwork.support.json_files import read_json, write_json
from leastwork.support.packing import DamagedError, pack, unpack

__all__ = ["Checkpoints", "Resumable", "checkpoints", "each", "is_kept", "kept", "resumable"]

_SECONDS_BETWEEN = 20.0
"""Seconds of a loop that a kill may cost, about."""

_T = TypeVar("_T")


@dataclass
class Checkpoints:
    """A folder of pieces.

    Args:
        folder: the folder of the pieces.
        earlier: seconds that interrupted computations spent before this one.
    """

    folder: Path
    earlier: float = 0.0
    _count: int = 0
    _begin: float = field(default_factory=lambda: time.perf_counter())
    _last: float = field(default_factory=lambda: time.perf_counter())

    def next(self, name: str) -> Path:
        """The place of the next piece, without its ending."""
        self._count += 1
        return self.folder / f"{self._count:05d} {name}"

    @property
    def due(self) -> bool:
        """Whether a loop should write what it has."""
        return time.perf_counter() - self._last >= _SECONDS_BETWEEN

    def write(self, path: Path, value: Any) -> None:
        """Write a piece, and how long all have taken; one that a loss of power spoils is known by its checksum."""
        write_bytes(path, pack(value), force=False)
        self._last = time.perf_counter()
        spent = {"seconds": self.earlier + self._last - self._begin}
        write_json(_root(self.folder) / "seconds.json", spent, force=False)


def _file(place: Path) -> Path:
    return place.with_name(f"{place.name}.piece")


def _root(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if (path / "about.json").exists())


_NOW: ContextVar[Checkpoints | None] = ContextVar("checkpoints", default=None)


@contextmanager
def checkpoints(folder: Path, about: Mapping[str, Any]) -> Iterator[Checkpoints]:
    """Keep the pieces of what is computed within in a folder, and take those that are there already.

    Args:
        folder: made if need be; whoever has the result removes it.
        about: plain values that must be the same whenever the computation goes on.

    Raises:
        ConfigError: the pieces are those of another computation.
    """
    mark, remedy = folder / "about.json", f"delete the folder {folder.name}, which holds the fit so far"
    if mark.exists() and read_json(mark, remedy) != about:
        raise ConfigError(
            f"{folder} holds a fit that was begun with another model or other settings: use those, or delete it"
        )
    write_json(mark, about)
    sweep(folder)
    point = Checkpoints(folder, _earlier(folder / "seconds.json"))
    token = _NOW.set(point)
    try:
        yield point
    finally:
        _NOW.reset(token)


def is_kept() -> bool:
    """Whether the pieces of what is computed now are kept."""
    return _NOW.get() is not None


def kept(name: str, make: Callable[[], _T], *known: type) -> _T:
    """A piece: the one that was kept, or else the one that is made now; its own pieces are removed when it is done.

    Args:
        name: for people who look into the folder.
        make: computes it.
        known: the dataclasses that it is made of.
    """
    now = _NOW.get()
    if now is None:
        return make()
    place = now.next(name)
    found = _read(_file(place), known)
    if found is not None:
        return found[0]
    inner = Checkpoints(place, now.earlier, _begin=now._begin, _last=now._last)
    token = _NOW.set(inner)
    try:
        value = make()
    finally:
        _NOW.reset(token)
    now.write(_file(place), (value,))
    shutil.rmtree(place, ignore_errors=True)
    return value


def each(
    name: str, count: int, make: Callable[[int], _T], *known: type, random: torch.Generator | None = None
) -> Iterator[_T]:
    """The results of a loop, one after another; those that were kept first.

    Args:
        name: for people who look into the folder.
        count: number of them.
        make: computes result i.
        known: the dataclasses that results are made of.
        random: the generator that ``make`` draws from, which goes on where it was.
    """
    now = _NOW.get()
    if now is None:
        yield from map(make, range(count))
        return
    place, done = now.next(name), 0
    while done < count:
        found = _read(place.with_name(f"{place.name} from {done}.piece"), known)
        if found is None:
            break
        results, state = found
        if random is not None:
            random.set_state(state)
        yield from results
        done += len(results)
    first, results = done, []
    for i in range(done, count):
        results.append(make(i))
        if now.due or i + 1 == count:
            state = None if random is None else random.get_state()
            now.write(place.with_name(f"{place.name} from {first}.piece"), (results, state))
            yield from results
            first, results = i + 1, []


@dataclass(frozen=True)
class Resumable:
    """The state of a loop.

    Args:
        state: as it was kept, or None at the beginning.
    """

    state: Any
    _now: Checkpoints | None = None
    _place: Path | None = None

    def save(self, state: Callable[[], Any], last: bool = False) -> None:
        """Keep the state if it is time, or if the loop ends."""
        if self._now is not None and self._place is not None and (last or self._now.due):
            self._now.write(self._place, (state(),))


def resumable(name: str, *known: type) -> Resumable:
    """The state in which a loop of this name was interrupted.

    Args:
        name: for people who look into the folder.
        known: the dataclasses that the state is made of.
    """
    now = _NOW.get()
    if now is None:
        return Resumable(None)
    place = _file(now.next(name))
    found = _read(place, known)
    return Resumable(None if found is None else found[0], now, place)


def _earlier(path: Path) -> float:
    """Seconds that were spent before; the result does not depend on them, so that they are not worth a refusal."""
    try:
        return float(read_json(path, "how long the fit took before is not counted")["seconds"])
    except (FileNotFoundError, NotADirectoryError):
        return 0.0
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        message = str(error) if isinstance(error, ConfigError) else f"{path} is damaged: it is not counted"
        warnings.warn(message, LeastworkWarning, stacklevel=4)
        return 0.0


def _read(path: Path, known: tuple[type, ...]) -> Any:
    try:
        return unpack(read_bytes(path), known)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DamagedError as error:
        message = f"{path} is damaged ({error}), and what it held is computed again"
        warnings.warn(message, LeastworkWarning, stacklevel=3)
        return None

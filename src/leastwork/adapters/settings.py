"""Settings of a model: what stands at ``model:`` in a run file, and builds the model.

Each adapter has a frozen dataclass of its own keys, which derives from :class:`ModelSettings`. Settings are checked
when they are read, and only :meth:`ModelSettings.build` imports the adapter's package and reads files.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from leastwork.models.base import Model
from leastwork.support.user_code import imported_beside

__all__ = ["ModelSettings", "key"]


def key(description: str, *, default: Any = MISSING, **bounds: Any) -> Any:
    """A key of settings; one without a default is required.

    Args:
        description: what to give, in errors to be read after "give", such as "the number of …, at least 1".
        default: the value if the key is left out.
        bounds: ge, gt, le, lt.
    """
    return field(default=default, metadata={"description": description, **bounds})


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Base class of the settings of all adapters.

    Paths are fields of type ``Path`` or ``Path | None``. In a run file they are relative to it, and what they name is
    copied into the folder of a run.

    Attributes:
        adapter: the name by which a run file calls these settings; the registry sets it where it builds them.
    """

    adapter: str = ""
    runs_code: ClassVar[tuple[str, ...]] = ()
    """Names of the keys whose files are executed by :meth:`build`."""

    def build(self) -> Model:
        """The model.

        Raises:
            ConfigError: a package or a file is missing, or files do not fit each other.
        """
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The name of the model in reports."""
        return self.adapter

    @property
    def code(self) -> Sequence[Path]:
        """Files that are executed when the model is built."""
        named = [path for name, path in self.paths.items() if name in self.runs_code]
        return [one for path in named for one in (path, *imported_beside(path))]

    @property
    def paths(self) -> Mapping[str, Path]:
        """The paths that are given, by their keys."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in given.items() if isinstance(value, Path)}

    def with_paths(self, place: Callable[[str, Path], Path]) -> Self:
        """The same settings with ``place(key, path)`` for each path."""
        return replace(self, **{name: place(name, path) for name, path in self.paths.items()})

    def anchored(self, folder: Path) -> Self:
        """The same settings with paths that were relative to ``folder``, such as that of a run file."""
        return self.with_paths(lambda _, path: folder / path.expanduser())

    def needed(self, name: str, path: Path) -> Iterable[Path]:
        """The files that the model needs of the path at a key: those in a folder, or a file, with what it imports."""
        if not path.is_dir():
            return [path, *(imported_beside(path) if name in self.runs_code else ())]
        return sorted(file for file in path.rglob("*") if file.is_file())

    def plain(self) -> Any:
        """The settings as plain values, as a run file writes them; keys without a value are left out."""
        given = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        return {name: value for name, value in given.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value

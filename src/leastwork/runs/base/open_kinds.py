"""Kinds that a run file may name at one place: built in, registered, or of a case.

A kind is looked up by its name when a file is read, so that a run file may name kinds that this package has never heard
of: one registered in this process, one of another package by an entry point, or one that a case brings along.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Annotated, Any, Generic, TypeVar, Union

from pydantic import Discriminator, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

from leastwork.errors import LeastworkError
from leastwork.runs.base.cases import Case, all_cases, find_case
from leastwork.runs.base.kinds import Kind, kind_name

__all__ = ["OpenKinds"]

_Kind = TypeVar("_Kind", bound=Kind)


class OpenKinds(Generic[_Kind]):
    """A set of kinds that grows; as metadata of an annotation it validates what stands at a key of a run file.

    Args:
        base: the class that all of them extend.
        group: the group of entry points by which other packages add kinds.
        built_in: the kinds that come with the package, two or more.
        of_case: gives the kinds that a case brings along, from its name and itself; each of their names is that of the
            case, or begins with it and a hyphen.
    """

    def __init__(
        self,
        base: type[_Kind],
        group: str,
        built_in: Sequence[type[_Kind]],
        of_case: Callable[[str, Case], Iterable[type[_Kind]]],
    ) -> None:
        self._base, self._group, self._of_case = base, group, of_case
        self._built_in = {kind_name(each): each for each in built_in}
        self._registered: dict[str, type[_Kind]] = {}

    def register(self, settings: type[_Kind]) -> type[_Kind]:
        """Make a kind known in this process; it replaces one that was registered before under the same name.

        Raises:
            LeastworkError: the class has no name, or that of a built-in kind.
        """
        name = kind_name(self._checked(settings))
        if name in self._built_in:
            raise LeastworkError(f"{name!r} is a kind that comes with leastwork: give {settings.__name__} another name")
        self._registered[name] = settings
        return settings

    def known(self) -> list[type[_Kind]]:
        """All kinds, built-in ones first; this imports all cases."""
        added = [self._checked(entry.load()) for entry in entry_points(group=self._group)]
        of_cases = [each for name, case in all_cases().items() for each in self._of_case(name, case)]
        return list(dict.fromkeys([*self._built_in.values(), *of_cases, *added, *self._registered.values()]))

    def validate(self, value: Any) -> _Kind:
        """Settings of the kind that ``value["kind"]`` names, or ``value`` itself where it is such settings."""
        if isinstance(value, self._base):
            return value
        name = value.get("kind") if isinstance(value, dict) else None
        found = self._find(name) if isinstance(name, str) else None
        return _adapter(tuple(dict.fromkeys([*self._built_in.values(), *([found] if found else [])])))(value)

    def _find(self, name: str) -> type[_Kind] | None:
        if name in self._built_in or name in self._registered:
            return self._built_in.get(name) or self._registered[name]
        for entry in entry_points(group=self._group, name=name):
            return self._checked(entry.load())
        words = name.split("-")
        for owner in ("-".join(words[:count]) for count in range(len(words), 0, -1)):
            case = find_case(owner)
            for settings in () if case is None else self._of_case(owner, case):
                if kind_name(settings) == name:
                    return settings
        return None

    def _checked(self, settings: Any) -> type[_Kind]:
        if not (isinstance(settings, type) and issubclass(settings, self._base)):
            raise LeastworkError(f"{settings!r} is no kind for a run file: make it a class of {self._base.__name__}")
        return settings

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.validate, serialization=core_schema.simple_ser_schema("any")
        )


@cache
def _adapter(kinds: tuple[type[Kind], ...]) -> Callable[[Any], Any]:
    """Validates one of the kinds, so that what is wrong is told as in any other key of a run file."""
    union: Any = Union  # of classes that are known only now
    one_of_them: Any = Annotated[union[kinds], Discriminator("kind")]
    return TypeAdapter[Any](one_of_them).validate_python

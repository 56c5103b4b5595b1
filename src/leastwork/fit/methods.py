"""Methods of guidance: frozen dataclasses of their own settings, found in a registry by the name in a run file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

from leastwork.errors import LeastworkError
from leastwork.support.arguments import number, refused, whole

__all__ = ["Method", "Registry", "Told", "hidden", "setting", "settings_given", "settings_of"]


@dataclass(frozen=True)
class Told:
    """What a report knows of a guidance that was found.

    Args:
        kind: the kind of the guidance, as its file names it; empty where there is none.
        parameters: the numbers in that file.
        stages: how a guidance was learned, one entry for each stage.
        trials: the number of parameters that a search tried.
    """

    kind: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stages: Sequence[Mapping[str, Any]] = ()
    trials: int = 0


class Method:
    """What every method has beside its settings and ``fit``; a method of your own derives from it.

    Attributes:
        guides: False for a method whose answer is weights on the model's own samples.
        remedy: what a report advises where the guidance is poor, in the imperative.
        choices: sampling choices that the method prefers to the usual ones.
    """

    guides: ClassVar[bool] = True
    remedy: ClassVar[str] = "use method: least-work"
    choices: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        """Check every setting that is described, whoever gives it.

        Raises:
            LeastworkError: a value that is not of the setting's type or out of its bounds.
        """
        hints = get_type_hints(type(self))
        for name, one in settings_of(type(self)).items():
            value, words = getattr(self, name), one.metadata.get("description")
            kind = next((k for k in (bool, int, float) if hints[name] in (k, k | None)), None)
            if words is None or kind is None or (value is None and hints[name] == kind | None):
                continue
            least = one.metadata.get("ge", -math.inf)
            if kind is int:
                whole(name, value, max(least, 0))
            elif kind is float:
                number(name, value, f"give {words}", least=least)
            elif not isinstance(value, bool):
                raise refused(name, value, f"give {words}")

    @property
    def most_evaluations(self) -> int | None:
        """Network evaluations of the whole fit, at most; None where the method has no such bound."""
        return None

    def sentence(self, told: Told) -> str:
        """How the guidance was found, for the methods paragraph of a report."""
        return ""

    def table(self, told: Told) -> list[tuple[str, str]]:
        """The settings that shape the numbers, each with its value, for the table of a report."""
        return []


def setting(default: Any, description: str, **more: Any) -> Any:
    """A field of a method that run files may set under ``fit:``.

    Args:
        default: its value where nothing is given.
        description: what to give, as an error says it: "the number of …, at least 1".
        more: bounds (ge, gt, le, lt), and ``form``, the type in run files where Python takes more.
    """
    return field(default=default, metadata={"description": description, **more})


def hidden(default: Any) -> Any:
    """A field of a method that run files cannot set under ``fit:``, such as a network."""
    return field(default=default, metadata={"hidden": True})


def settings_of(cls: type) -> dict[str, Field[Any]]:
    """The settings of a method that run files may set, by name."""
    return {one.name: one for one in fields(cls) if not one.metadata.get("hidden")}


def settings_given(method: Method) -> dict[str, Any]:
    """The settings of a method by name, with their values, those that only Python can set included."""
    return {one.name: getattr(method, one.name) for one in fields(method)}  # type: ignore[arg-type]  (a dataclass)


_M = TypeVar("_M", bound=Method)


class Registry(Generic[_M]):
    """Methods by name.

    Args:
        base: the class that they derive from.
    """

    def __init__(self, base: type[_M]) -> None:
        self._base = base
        self._classes: dict[str, type[_M]] = {}

    def add(self, name: str, cls: type[_M]) -> None:
        """Let run files and calls name a method.

        Raises:
            LeastworkError: the name is taken, or the class is no method.
        """
        if self._classes.get(name, cls) is not cls:
            raise LeastworkError(f"the method name {name!r} is taken: register {cls.__name__} under another")
        if not (isinstance(cls, type) and issubclass(cls, self._base) and is_dataclass(cls)):
            raise LeastworkError(
                f"{cls!r} is no method: derive a frozen dataclass of its settings from {self._base.__name__}"
            )
        required = [one.name for one in fields(cls) if one.default is MISSING and one.default_factory is MISSING]
        if required:
            raise LeastworkError(f"{cls.__name__} has no default for {required[0]!r}: give it one")
        self._classes[name] = cls

    def discard(self, name: str) -> None:
        """Forget a name."""
        self._classes.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """All names, in the order in which they were registered."""
        return tuple(self._classes)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._classes

    def __getitem__(self, name: str) -> type[_M]:
        if name not in self._classes:
            raise LeastworkError(f"method={name!r} is not a method: choose one of {self.names()}")
        return self._classes[name]

    def name_of(self, method: _M) -> str:
        """The name under which a method's class is registered, or else that of the class."""
        return next((name for name, cls in self._classes.items() if cls is type(method)), type(method).__name__)

    def owners(self, key: str) -> list[str]:
        """The methods that have a setting of this name."""
        return [name for name, cls in self._classes.items() if key in {one.name for one in fields(cls)}]  # type: ignore[arg-type]  (a dataclass, as `add` checks)

    def own(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings among these that a method has."""
        return {key: value for key, value in given.items() if name in self.owners(key)}

    def build(self, method: "str | _M", given: Mapping[str, Any]) -> _M:
        """The method that is meant.

        Args:
            method: a name, or the method itself, which has its settings already.
            given: settings by keyword; None stands for one that is not given.

        Raises:
            LeastworkError: an unknown name, or a setting that belongs to another method.
        """
        given = {key: value for key, value in given.items() if value is not None}
        if isinstance(method, str):
            cls = self[method]
            for key in given:
                owners = self.owners(key)
                if method not in owners:
                    raise LeastworkError(
                        f"{key}= is a setting of {' and '.join(map(repr, owners))}, and method={method!r} has none: "
                        f"leave it out, or take method={owners[0]!r}"
                    )
            return cls(**given)
        if not isinstance(method, self._base):
            raise LeastworkError(
                f"method={method!r} is not a method: give a name, one of {self.names()}, or an object of such a class"
            )
        if given:
            key, kind = next(iter(given)), type(method).__name__
            raise LeastworkError(
                f"{key}= is given beside a method that has its own settings: pass it to {kind}(…), or leave it out"
            )
        return method

"""Registry of the methods of guidance: frozen dataclasses of their settings, found by the name in a run file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Generic, TypeVar, get_type_hints

from leastwork.errors import LeastworkError
from leastwork.support.arguments import number, refused, whole

__all__ = ["Method", "Registry", "Told", "hidden", "setting", "settings_given", "settings_of"]


@dataclass(frozen=True)
class Told:
    """Facts of a fitted guidance for a report.

    Args:
        kind: the kind of the guidance, as named in its file; empty if there is no guidance.
        parameters: the numbers in the file of the guidance.
        stages: how the guidance was learned, one entry for each stage.
        trials: the number of parameters that a search tried.
    """

    kind: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stages: Sequence[Mapping[str, Any]] = ()
    trials: int = 0


class Method:
    """Base class of all methods: what a method has beside its settings and ``fit``.

    Attributes:
        guides: False for a method that only reweights the model's own samples.
        remedy: the advice in a report if the guidance is poor, in the imperative.
        choices: sampling choices that the method prefers to the usual ones.
    """

    guides: ClassVar[bool] = True
    remedy: ClassVar[str] = "use method: least-work"
    choices: ClassVar[Mapping[str, Any]] = {}

    def __post_init__(self) -> None:
        """Check every setting that has a description, given in Python or in a run file.

        Raises:
            LeastworkError: a value has the wrong type or is out of bounds.
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
        """Largest number of network evaluations of the whole fit; None if the method has no such bound."""
        return None

    def sentence(self, told: Told) -> str:
        """How the guidance was found, for the methods paragraph of a report."""
        return ""

    def table(self, told: Told) -> list[tuple[str, str]]:
        """Names and values of the settings that affect the numbers, for the table of a report."""
        return []


def setting(default: Any, description: str, **more: Any) -> Any:
    """A field of a method that run files may set under ``fit:``.

    Args:
        default: the default value.
        description: the description of the value in errors, such as "the number of …, at least 1".
        more: bounds (ge, gt, le, lt), and ``form``, the type in run files if it is narrower than the type in Python.
    """
    return field(default=default, metadata={"description": description, **more})


def hidden(default: Any) -> Any:
    """A field of a method that run files cannot set under ``fit:``, such as a network."""
    return field(default=default, metadata={"hidden": True})


def settings_of(cls: type) -> dict[str, Field[Any]]:
    """The settings of a method that run files may set, by name."""
    return {one.name: one for one in fields(cls) if not one.metadata.get("hidden")}


def settings_given(method: Method) -> dict[str, Any]:
    """Values of all settings of a method by name, including those that only Python can set."""
    return {one.name: getattr(method, one.name) for one in fields(method)}  # type: ignore[arg-type]  (a dataclass)


_M = TypeVar("_M", bound=Method)


class Registry(Generic[_M]):
    """Methods by name.

    Args:
        base: the class from which the methods derive.
    """

    def __init__(self, base: type[_M]) -> None:
        self._base = base
        self._classes: dict[str, type[_M]] = {}

    def add(self, name: str, cls: type[_M]) -> None:
        """Register a method, so that calls and run files can name it.

        Args:
            name: the name of the method, as in ``method="mine"`` and ``method: mine``.
            cls: a frozen dataclass that derives from ``base``, with a default for each setting.

        Raises:
            LeastworkError: the name is taken, the class does not derive from ``base``, or a setting has no default.
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
        """Remove a name."""
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
        """The name under which the class of a method is registered; otherwise the name of the class."""
        return next((name for name, cls in self._classes.items() if cls is type(method)), type(method).__name__)

    def owners(self, key: str) -> list[str]:
        """Names of the methods that have a setting ``key``."""
        return [name for name, cls in self._classes.items() if key in {one.name for one in fields(cls)}]  # type: ignore[arg-type]  (a dataclass, as `add` checks)

    def own(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the given settings that a method has."""
        return {key: value for key, value in given.items() if name in self.owners(key)}

    def build(self, method: "str | _M", given: Mapping[str, Any]) -> _M:
        """The method object for a name and its settings.

        Args:
            method: a name, or a method object, which has its settings already.
            given: settings by keyword; None stands for a setting that is not given.

        Raises:
            LeastworkError: the name is unknown, or a setting belongs to another method.
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

"""Adapters by name: frozen dataclasses of settings that build a model, as ``model:`` in a run file gives them.

    @dataclass(frozen=True, kw_only=True)
    class MineSettings(ModelSettings):
        weights: Path = key("a file of weights, safetensors")
        width: int = key("the width of the network, at least 1", default=64, ge=1)

        def build(self) -> DiffusionModel: ...

    register_adapter("mine", MineSettings)        # model: {adapter: mine, weights: w.safetensors}

A module of this folder names its adapters in a dictionary ``ADAPTERS``, or says in ``ONLY_IN_PYTHON`` why it has none.
It is imported when its adapter is asked for, and imports the package that it adapts only when a model is built. Another
package adds an adapter by an entry point ``mine = "package.module:MineSettings"`` of the group ``leastwork.adapters``.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from dataclasses import Field as DataclassField
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from leastwork.adapters.settings import ModelSettings
from leastwork.errors import ConfigError, LeastworkError
from leastwork.support.text import nearest, quoted

__all__ = ["adapter_names", "find_adapter", "register_adapter", "settings_from"]

_GROUP = "leastwork.adapters"  # of entry points
_FOLDER = Path(__file__).parent
_REGISTERED: dict[str, type[ModelSettings]] = {}


def register_adapter(name: str, settings: type[ModelSettings]) -> None:
    """Make an adapter known in this process, to run files and to :func:`leastwork.load_model`.

    Args:
        name: the name that run files give it; an adapter of that name is replaced.
        settings: a frozen dataclass that derives from :class:`ModelSettings`.

    Raises:
        LeastworkError: the class is of another kind.
    """
    _REGISTERED[name] = _checked(name, settings)


def adapter_names() -> list[str]:
    """Names of all adapters, in alphabetical order.

    >>> "bioemu" in adapter_names()
    True
    """
    bundled = [name for module in _modules() for name in _of_module(module)]
    return sorted({*bundled, *_REGISTERED, *(entry.name for entry in entry_points(group=_GROUP))})


def find_adapter(name: str) -> type[ModelSettings]:
    """The settings class of an adapter: one registered in this process, of another package, or of this one.

    Raises:
        ConfigError: there is no such adapter; lists the known.
    """
    if name in _REGISTERED:
        return _REGISTERED[name]
    for entry in entry_points(group=_GROUP, name=name):
        return _checked(name, entry.load())
    modules = sorted(_modules(), key=lambda module: module != name)  # a module of that name is asked first
    for module in modules:
        if name in (found := _of_module(module)):
            return _checked(name, found[name])
    if modules[0] == name and (why := getattr(import_module(f"leastwork.adapters.{name}"), "ONLY_IN_PYTHON", "")):
        raise ConfigError(
            f"adapter {name} has no keys, since {why}: write a Python file that ends in model = from_{name}(…), and "
            "model: {python: FILE.py}"
        )
    raise ConfigError(f"there is no adapter {quoted(name)}{nearest(name, adapter_names())}")


def settings_from(given: Mapping[Any, Any]) -> ModelSettings:
    """Check settings of a model that are keys and values; nothing is imported or read for it.

    Args:
        given: ``adapter``, its name, and the adapter's keys; with ``python``, a file, ``adapter`` may be left out.

    Raises:
        ConfigError: one sentence for each key that is unknown, missing or has a value that cannot be used.

    >>> settings_from({"adapter": "bioemu", "sequence": "YYDPETGTWY"}).label
    'bioemu YYDPETGTWY'
    >>> settings_from({"adapter": "bioemu", "sequence": "YYDPETGTWY", "checkpont": "folder"})
    Traceback (most recent call last):
    leastwork.errors.ConfigError: unknown key 'checkpont' in 'model': did you mean 'checkpoint'?
    """
    values = {str(name): value for name, value in given.items()}
    name = values.pop("adapter", "python" if "python" in values else None)
    if not isinstance(name, str):
        tell = "names no adapter" if name is None else f"has adapter {quoted(name)}"
        raise ConfigError(f"'model' {tell}: write adapter: NAME, one of {', '.join(adapter_names())}, or python: FILE")
    cls = find_adapter(name)
    known = _keys(cls)
    wrong = [f"unknown key {quoted(one)} in 'model'{nearest(one, list(known))}" for one in values if one not in known]
    found: dict[str, Any] = {}
    for one, (check, about) in known.items():
        wanted = _wanted(get_type_hints(cls)[one], about)
        if one in values:
            try:
                found[one] = check(values[one])
            except ValueError:  # such as pydantic's
                wrong.append(f"{one!r} in 'model' is {quoted(values[one])}: give {wanted}")
        elif about.default is MISSING and about.default_factory is MISSING:
            wrong.append(f"{one!r} is missing in 'model' with adapter {name}: give {wanted}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    try:
        return cls(adapter=name, **found)
    except LeastworkError as error:
        raise ConfigError(f"'model': {error}") from error


@cache
def _keys(cls: type[ModelSettings]) -> Mapping[str, tuple[Callable[[Any], Any], DataclassField[Any]]]:
    """The keys of an adapter, each with the function that checks a value."""
    hints = get_type_hints(cls)
    return {one.name: (_check(hints[one.name], one), one) for one in fields(cls) if one.name != "adapter"}


def _check(hint: Any, about: DataclassField[Any]) -> Callable[[Any], Any]:
    from pydantic import Field, TypeAdapter  # slow to import, and a bundled model has no keys to check

    bounds = {name: bound for name, bound in about.metadata.items() if name != "description"}
    bounded: Any = Annotated[hint, Field(**bounds)]  # pyright: ignore[reportInvalidTypeForm]  (known only now)
    return TypeAdapter[Any](bounded).validate_python


def _wanted(hint: Any, about: DataclassField[Any]) -> str:
    """What to give for a key, with all names that it may have."""
    names = [name for part in (hint, *get_args(hint)) if get_origin(part) is Literal for name in get_args(part)]
    listed = f", one of {', '.join(map(repr, names))}" if names else ""
    return about.metadata.get("description", "another value") + listed


def _modules() -> list[str]:
    return sorted(file.stem for file in _FOLDER.glob("*.py") if not file.stem.startswith("_"))


def _of_module(module: str) -> Mapping[str, type[ModelSettings]]:
    return getattr(import_module(f"leastwork.adapters.{module}"), "ADAPTERS", {})


def _checked(name: str, settings: Any) -> type[ModelSettings]:
    if not (isinstance(settings, type) and issubclass(settings, ModelSettings) and is_dataclass(settings)):
        raise LeastworkError(
            f"adapter {name!r} is {settings!r}: give a frozen dataclass of its settings, derived from ModelSettings"
        )
    return settings

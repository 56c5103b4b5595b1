"""Frozen dataclasses into JSON and back: the keys are the names of the fields, in their order.

A key that is a word of Python, such as ``lambda``, has a field whose name ends with an underscore.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from leastwork.errors import ConfigError
from leastwork.support.text import quoted

__all__ = ["REST", "as_plain_values", "read_as"]

_T = TypeVar("_T")

REST: Mapping[str, bool] = types.MappingProxyType({"rest": True})
"""Metadata of a field, a mapping, that holds all keys which are no other field's."""

_REMEDY = "take the version of leastwork that made the run, or carry it out again"


def as_plain_values(value: Any) -> Any:
    """Plain values of a dataclass, or of a sequence or mapping of them."""
    if is_dataclass(value):
        found: dict[str, Any] = {}
        for each in fields(value):
            part = as_plain_values(getattr(value, each.name))
            found |= part if _is_rest(each) else {_key(each): part}
        return found
    if isinstance(value, Mapping):
        return {key: as_plain_values(part) for key, part in value.items()}
    return [as_plain_values(part) for part in value] if isinstance(value, list | tuple) else value


def read_as(kind: type[_T], found: Any, place: str) -> _T:
    """A dataclass from its plain values.

    Args:
        kind: the dataclass; fields with defaults may be missing.
        found: plain values.
        place: the file, and the keys that lead here, for messages.

    Raises:
        ConfigError: a key is missing, or there is one that the dataclass does not have.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Pair:
    ...     value: float
    ...     stderr: float | None = None
    >>> read_as(Pair, {"value": 1.5}, "a file")
    Pair(value=1.5, stderr=None)
    """
    if not isinstance(found, Mapping):
        raise ConfigError(f"{place} is of another version, it holds {quoted(found)} and no keys: {_REMEDY}")
    hints, taken, rest = get_type_hints(kind), {}, dict(found)
    open_field: str | None = None
    for each in fields(kind):  # pyright: ignore[reportArgumentType]  (a dataclass, which no bound can say)
        key = _key(each)
        if _is_rest(each):
            open_field = each.name
        elif key in rest:
            taken[each.name] = _value(hints[each.name], rest.pop(key), f"{place}, {key}")
        elif each.default is MISSING and each.default_factory is MISSING:
            raise ConfigError(f"{place} is of another version, {quoted(key)} is missing: {_REMEDY}")
    if open_field is not None:
        taken[open_field] = rest
    elif rest:
        raise ConfigError(f"{place} is of another version, {quoted(next(iter(rest)))} is unknown: {_REMEDY}")
    return kind(**taken)


def _value(hint: Any, found: Any, place: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        (inner, *_) = (one for one in get_args(hint) if one is not types.NoneType)
        return None if found is None else _value(inner, found, place)
    if get_origin(hint) is tuple:
        (inner, _) = get_args(hint)
        return tuple(_value(inner, one, f"{place}, entry {i}") for i, one in enumerate(found, 1))
    return read_as(hint, found, place) if isinstance(hint, type) and is_dataclass(hint) else found


def _key(one: Field[Any]) -> str:
    return one.name.removesuffix("_")


def _is_rest(one: Field[Any]) -> bool:
    return bool(one.metadata.get("rest"))

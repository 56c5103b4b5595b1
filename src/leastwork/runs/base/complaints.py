"""Errors in a run file, one sentence each: the key, the problem, the remedy.

Remedies come from the descriptions of the fields, so that a key is explained in one place.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError
from pydantic.fields import FieldInfo

from leastwork.runs.base.open_kinds import OpenKinds
from leastwork.support.text import nearest, quoted

__all__ = ["sentences"]

Place: TypeAlias = tuple[int | str, ...]


def sentences(error: ValidationError, schema: type[BaseModel]) -> list[str]:
    """A sentence for each key that a schema refused."""
    found: dict[Place, str] = {}
    for problem in error.errors(include_url=False):
        place, models, field = _locate(problem["loc"], schema, unknown=problem["type"] == "extra_forbidden")
        nested = any(all(a == b for a, b in zip(place, known, strict=False)) for known in found)
        if not nested:  # a union complains for each of its members, a list once more for an entry
            found[place] = _sentence(problem, place, models, field)
    return list(found.values())


def _locate(
    loc: Place, schema: type[BaseModel], unknown: bool
) -> tuple[Place, list[type[BaseModel]], FieldInfo | None]:
    """The place of a problem without the names of union members, the models there, and the field if it is known."""
    models: list[type[BaseModel]] = [schema]
    field: FieldInfo | None = None
    place: list[int | str] = []
    for i, part in enumerate(loc):
        owners = [model for model in models if part in model.model_fields]
        if owners and isinstance(part, str):
            field = owners[0].model_fields[part]
            models = [one for about in (field.annotation, *field.metadata) for one in _models(about)]
            place.append(part)
        elif isinstance(part, int) or (unknown and i == len(loc) - 1):
            place.append(part)
        else:  # the tag of a union
            models = [model for model in models if _tag(model) == part] or models
    return tuple(place), models, field


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, RootModel):  # a list that is a model stands for itself
        yield from _models(annotation.model_fields["root"].annotation)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    if isinstance(annotation, OpenKinds):
        yield from annotation.known()
    for part in get_args(annotation):
        yield from _models(part)


def _tag(model: type[BaseModel]) -> str | None:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation)[0] if kind else None


def _sentence(problem: Any, place: Place, models: list[type[BaseModel]], field: FieldInfo | None) -> str:
    outer = place[:-2] if isinstance(place[-1], int) else place[:-1]
    if problem["type"] == "said":
        return problem["msg"]
    what, where, given = _name(place), f" in {_name(outer)}" if outer else "", problem["input"]
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = [name for model in models for name in model.model_fields]
        return f"unknown key {what}{where or ' at the top'}{nearest(str(place[-1]), list(dict.fromkeys(known)))}"
    wanted = _wanted(field)
    if kind == "missing":
        return f"{what} is missing{where}: give {wanted}"
    if kind.startswith("union_tag"):
        tags = [tag for tag in map(_tag, models) if tag]
        given = given.get("kind") if isinstance(given, dict) else given
        tell = "needs a kind" if kind == "union_tag_not_found" else f"is of kind {quoted(given)}"
        return f"{what}{where} {tell}{nearest(given if isinstance(given, str) else quoted(given), tags)}"
    if kind == "unknown_name":
        return f"{what}{where} is {quoted(given)}: give {wanted}, {problem['msg']}"
    return f"{what}{where} is {quoted(given)}: give {wanted}"


def _wanted(field: FieldInfo | None) -> str:
    if field is None:
        return "what the manual says"
    text = field.description or "another value"
    options = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return f"{text}, one of {', '.join(map(repr, options))}" if options else text


def _name(place: Place) -> str:
    *outer, last = place
    if isinstance(last, int):
        return f"entry {last + 1} of {quoted(outer[-1])}" if outer else f"entry {last + 1}"
    return quoted(last)

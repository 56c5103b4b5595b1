"""A run file: YAML that says which model is guided by which data, or to which structures, and how.

A run is read by :func:`load_config`, which checks every key, makes paths absolute and applies ``--set`` overrides.
What guides it tells its kind: ``observables`` and ``data``, or ``guides``. A joint run names other ``runs``, its parts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import (
    ValidationError,
)

from leastwork.errors import ConfigError
from leastwork.runs.base.complaints import sentences
from leastwork.runs.base.file import find, first_key, override, read
from leastwork.runs.base.settings import AnyConfig, JointConfig, Named, Run
from leastwork.runs.joint.config import JointFile
from leastwork.runs.joint.kinds import kinds
from leastwork.runs.observables.config import RunConfig
from leastwork.support.text import quoted

__all__ = ["dump_config", "load_config"]

_Config = TypeVar("_Config", bound=AnyConfig)
_File = TypeVar("_File", bound=Named)


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Run:
    """Read and check a run.

    Args:
        source: a bundled run's name, or a YAML file.
        overrides: ``key=value``, dotted for inner keys and list entries ("sampling.steps=200", "data.0.value=0.3").
            Those of a joint run go to all of its parts, or to one after its name ("transition.sampling.steps=200").

    Raises:
        ConfigError: one sentence for each thing that is wrong.

    >>> load_config("prinz", ["sampling.steps=50"]).sampling.steps
    50
    >>> type(load_config("moons")).__name__
    'PathConfig'
    """
    path = find(str(source))
    tree = read(path)
    return _joint(tree, path, overrides) if "runs" in tree else _single(tree, path, overrides)


def dump_config(config: Run) -> str:
    """The resolved run as YAML, which :func:`load_config` reads back; parts are in folders of their own beside it."""
    if isinstance(config, JointConfig):
        parts = {part: f"{part}/config.yaml" for part in config.parts}
        config_file: Named = JointFile(name=config.name, description=config.description, runs=parts)
    else:
        config_file = config
    return yaml.safe_dump(config_file.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def _joint(tree: dict[str, Any], path: Path, overrides: Sequence[str]) -> JointConfig:
    for setting in overrides:
        if first_key(setting) in JointFile.model_fields:
            override(tree, setting)
    file = _checked(JointFile, tree, path)
    known = dict.fromkeys(key for kind in kinds().values() for key in kind.schema.model_fields)
    settings = file.settings_of_parts(overrides, known)
    return JointConfig(
        file.name, file.description, {part: _part(part, file, path.parent, settings[part]) for part in file.runs}
    )


def _part(part: str, file: JointFile, folder: Path, overrides: Sequence[str]) -> AnyConfig:
    """A part of a joint run; what is wrong is told with its name."""
    try:
        path = find(file.runs[part], folder)
        tree = read(path)
        if "runs" in tree:
            raise ConfigError(f"{path.name} is a joint run itself: name the runs that it is made of")
        return _single(tree, path, overrides)
    except ConfigError as error:
        raise ConfigError("\n".join(f"part {quoted(part)}: {line}" for line in str(error).splitlines())) from None


def _single(tree: dict[str, Any], path: Path, overrides: Sequence[str]) -> AnyConfig:
    _override(tree, overrides)
    config = _checked(_schema(tree, path.name).naming(tree.get("method")), tree, path)
    if isinstance(config, RunConfig) and config.observables is None and config.data.needs_observables:
        raise ConfigError(f"{path.name}: 'observables' is missing: give a list of at least one observable")
    return _anchored(config, path.resolve().parent)


def _override(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    """Apply ``--set``. Where it changes the method, the file's settings of its own method do not count."""
    asked = [setting for setting in overrides if first_key(setting) == "method"]
    before = tree.get("method")
    for setting in asked:
        override(tree, setting)
    method, section = tree.get("method"), tree.get("fit")
    schema = next((schema for schema, _ in _told(tree)), None)
    if method != before and isinstance(section, dict) and schema is not None and method in schema.registry:
        owners = {key: schema.registry.owners(key) for key in section}
        tree["fit"] = {key: section[key] for key, known in owners.items() if method in known or not known}
    for setting in overrides:
        if setting not in asked:
            override(tree, setting)


def _checked(schema: type[_File], tree: dict[str, Any], path: Path) -> _File:
    try:
        return schema.model_validate({"name": path.stem, **tree})
    except ValidationError as error:
        complaints = sentences(error, schema)
        raise ConfigError("\n".join(f"{path.name}: {complaint}" for complaint in complaints)) from None


def _schema(tree: dict[str, Any], name: str) -> type[AnyConfig]:
    """The schema of the kind of run that the keys of a file tell."""
    told = _told(tree)
    if not told:
        choice = ", or ".join(" and ".join(kind.told_by) for kind in kinds().values())
        raise ConfigError(f"{name}: nothing guides the model: give {choice}")
    if len(told) > 1:
        (_, one), (_, other), *_ = told
        raise ConfigError(f"{name}: both {one!r} and {other!r}: a run has data or structures, leave out one of them")
    return told[0][0]


def _told(tree: dict[str, Any]) -> list[tuple[type[AnyConfig], str]]:
    """The kinds of run that keys of a file tell, each with its first key there."""
    found = [(kind.schema, [key for key in kind.told_by if key in tree]) for kind in kinds().values()]
    return [(schema, keys[0]) for schema, keys in found if keys]


def _anchored(config: _Config, folder: Path) -> _Config:
    """A copy of the run with absolute paths."""
    return config.with_files(lambda file: folder / file).with_source(config.source.anchored(folder))

"""A model to be checked, in any of the forms of ``model:`` in a run file."""

from pathlib import Path

from leastwork.adapters.settings import ModelSettings
from leastwork.adapters.source import load_model, source_of
from leastwork.checks.model_file import ModelFile, read_model_file
from leastwork.errors import ConfigError
from leastwork.runs.load import load_config
from leastwork.support.text import quoted
from leastwork.support.yaml_values import yaml_value

__all__ = ["model_to_check"]


def model_to_check(given: str) -> ModelFile:
    """The model, and the data and claims that a Python file adds.

    Args:
        given: a Python file, a bundled model's name, a folder, a run file whose model is meant, or keys and values as
            they stand at ``model:`` in a run file, such as "{adapter: bioemu, sequence: YYDPETGTWY}".

    Raises:
        ConfigError: there is no such model, or a file or a key that cannot be used.
    """
    path = Path(given)
    if path.suffix == ".py":
        return read_model_file(path)
    source = _source(given)
    if source.adapter == "python":
        return read_model_file(source.code[0])
    return ModelFile(load_model(source), None, False)


def _source(given: str) -> ModelSettings:
    if given.lstrip().startswith("{"):
        found = yaml_value(given, "the model")
        if not isinstance(found, dict):
            raise ConfigError(f"{quoted(given)} is not keys and values: write {{adapter: NAME, …}} or {{python: FILE}}")
        return source_of(found)
    if Path(given).suffix not in (".yaml", ".yml"):
        return source_of(given)
    parts = load_config(given).parts.values()
    sources = {str(one.source.plain()): one.source for one in parts}
    if len(sources) > 1:
        raise ConfigError(f"{given} names {len(sources)} models: check those of its parts, one at a time")
    return next(iter(sources.values()))

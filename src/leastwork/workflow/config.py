"""A run file: YAML that says which model is guided by which data, or to which structures, and how.

A run is read by :func:`load_config`, which checks every key, makes paths absolute and applies ``--set`` overrides.
What guides it tells its kind: ``observables`` and ``data``, or ``guides``. A joint run names other ``runs``, its parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

import yaml
from pydantic import (
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
    ValidationError,
)

from leastwork.errors import ConfigError
from leastwork.guide import Method
from leastwork.workflow.complaints import sentences
from leastwork.workflow.couplings_config import CouplingsConfig
from leastwork.workflow.joint_config import JointFile
from leastwork.workflow.observable_config import ObservableConfig
from leastwork.workflow.path_config import PathConfig
from leastwork.workflow.run_file import bundled_runs, find, first_key, override, read
from leastwork.workflow.settings import AnyConfig, CertificateSamples, Named, SamplingConfig, Seed, Strict

__all__ = ["AnyRun", "JointConfig", "Run", "RunConfig", "bundled_runs", "dump_config", "load_config"]

_Config = TypeVar("_Config", bound=AnyConfig)
_File = TypeVar("_File", bound=Named)


class DatumConfig(Strict):
    """A value with its error, or bounds, of one observable's average."""

    name: str = Field(description="the name of an observable")
    value: FiniteFloat | None = Field(default=None, description="a finite number in the observable's unit")
    error: FiniteFloat | None = Field(default=None, ge=0, description="a standard error, or 0 for exact")
    lower: FiniteFloat | None = Field(default=None, description="a finite lower bound in the observable's unit")
    upper: FiniteFloat | None = Field(default=None, description="a finite upper bound in the observable's unit")
    held_out: bool = Field(default=False, description="true for a datum that only judges the fit, or false")


class CsvConfig(Strict):
    """Data in a file with the columns name, value, error, lower, upper, held_out."""

    csv: Path = Field(description="a file of data, its path relative to the run file")


def _form(data: Any) -> str:
    if isinstance(data, CouplingsConfig) or (isinstance(data, dict) and "couplings" in data):
        return "a file of couplings"
    return "a file" if isinstance(data, dict | CsvConfig) else "a list"


DataConfig = Annotated[
    Annotated[tuple[DatumConfig, ...], Tag("a list")]
    | Annotated[CsvConfig, Tag("a file")]
    | Annotated[CouplingsConfig, Tag("a file of couplings")],
    Discriminator(_form),
]


class FitConfig(Strict):
    """How λ and the guidance are found."""

    samples: int | None = Field(
        default=None, ge=2, description="the number of model samples for λ, at least 2, or left out for what is needed"
    )
    budget: int = Field(
        default=5_000_000,
        ge=1,
        description="the number of network evaluations that least-work may spend, at least 1",
    )
    iterations: int | None = Field(
        default=None, ge=2, description="the number of steps of the optimiser, for least-work, at least 2, or left out"
    )
    fit_samples: int = Field(default=10_000, ge=2, description="the number of samples in one evaluation, at least 2")
    gamma: FiniteFloat = Field(default=1e-3, ge=0, description="the price of a nat of work, 0 or more")
    jacobian: bool = Field(default=False, description="true to differentiate through the network, or false")
    search: Literal["gradient", "gaussian-process"] = Field(default="gradient", description="a search of the schedule")
    calls: int = Field(
        default=256, ge=1, description="the number of evaluations of a Gaussian-process search, at least 1"
    )


class RunConfig(AnyConfig):
    """One run of Observable Guidance."""

    system: Literal["prinz", "chignolin", "ala5"] | None = Field(
        default=None, description="a bundled system whose truth is known, or a part of it"
    )
    observables: tuple[ObservableConfig, ...] | None = Field(
        default=None, min_length=1, description="a list of at least one observable"
    )
    data: DataConfig = Field(description="a list of data, or csv: FILE, or couplings: FILE")
    method: Method = Field(default="least-work", description="a method")
    fit: FitConfig = Field(default=FitConfig(), description="settings, as keys and values")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="settings, as keys and values")
    seed: Seed = 0
    certificate_samples: CertificateSamples = None

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        observables = None if self.observables is None else tuple(item.with_files(place) for item in self.observables)
        data = self.data
        if isinstance(data, CsvConfig):
            data = data.model_copy(update={"csv": place(data.csv)})
        elif isinstance(data, CouplingsConfig):
            data = data.with_files(place)
        return self.model_copy(update={"observables": observables, "data": data})


AnyRun: TypeAlias = RunConfig | PathConfig


@dataclass(frozen=True)
class JointConfig:
    """Runs that are carried out one after another and reported on one page.

    Args:
        name, description: of the whole.
        runs: its parts by their names, which are those of their folders, too.
    """

    name: str
    description: str
    runs: Mapping[str, AnyRun]


Run: TypeAlias = AnyRun | JointConfig


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
        parts = {part: f"{part}/config.yaml" for part in config.runs}
        config_file: Named = JointFile(name=config.name, description=config.description, runs=parts)
    else:
        config_file = config
    return yaml.safe_dump(config_file.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def _joint(tree: dict[str, Any], path: Path, overrides: Sequence[str]) -> JointConfig:
    for setting in overrides:
        if first_key(setting) in JointFile.model_fields:
            override(tree, setting)
    file = _checked(JointFile, tree, path)
    known = dict.fromkeys([*RunConfig.model_fields, *PathConfig.model_fields])
    settings = file.settings_of_parts(overrides, known)
    return JointConfig(
        file.name, file.description, {part: _part(part, file, path.parent, settings[part]) for part in file.runs}
    )


def _part(part: str, file: JointFile, folder: Path, overrides: Sequence[str]) -> AnyRun:
    """A part of a joint run; what is wrong is told with its name."""
    try:
        path = find(file.runs[part], folder)
        tree = read(path)
        if "runs" in tree:
            raise ConfigError(f"{path.name} is a joint run itself: name the runs that it is made of")
        return _single(tree, path, overrides)
    except ConfigError as error:
        raise ConfigError("\n".join(f"part {part!r}: {line}" for line in str(error).splitlines())) from None


def _single(tree: dict[str, Any], path: Path, overrides: Sequence[str]) -> AnyRun:
    for setting in overrides:
        override(tree, setting)
    config = _checked(_schema(tree, path.name), tree, path)
    if isinstance(config, RunConfig) and config.observables is None and not isinstance(config.data, CouplingsConfig):
        raise ConfigError(f"{path.name}: 'observables' is missing: give a list of at least one observable")
    return _anchored(config, path.resolve().parent)


def _checked(schema: type[_File], tree: dict[str, Any], path: Path) -> _File:
    try:
        return schema.model_validate({"name": path.stem, **tree})
    except ValidationError as error:
        complaints = sentences(error, schema)
        raise ConfigError("\n".join(f"{path.name}: {complaint}" for complaint in complaints)) from None


def _schema(tree: dict[str, Any], name: str) -> type[RunConfig] | type[PathConfig]:
    """The kind of run, by what guides it."""
    by_data = [key for key in ("observables", "data") if key in tree]
    if "guides" not in tree:
        if not by_data:
            raise ConfigError(f"{name}: nothing guides the model: give observables and data, or guides")
        return RunConfig
    if by_data:
        raise ConfigError(f"{name}: both {by_data[0]!r} and 'guides': a run has data or structures, drop one of them")
    return PathConfig


def _anchored(config: _Config, folder: Path) -> _Config:
    """The same run with paths that no longer depend on where its file lies."""
    model = str(folder / config.model) if (folder / config.model).is_dir() else config.model
    return config.with_files(lambda file: folder / file).model_copy(update={"model": model})

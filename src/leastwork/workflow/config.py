"""A run file: YAML that says which model is guided by which data, or to which structures, and how.

A run is read by :func:`load_config`, which checks every key, makes paths absolute and applies ``--set`` overrides.
What guides it tells its kind: ``observables`` and ``data``, or ``guides``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

import yaml
from pydantic import Discriminator, Field, FiniteFloat, Tag, ValidationError

from leastwork.errors import ConfigError
from leastwork.guide import Method
from leastwork.workflow.complaints import nearest, sentences
from leastwork.workflow.path_config import PathConfig
from leastwork.workflow.settings import AnyConfig, CertificateSamples, SamplingConfig, Seed, Strict

__all__ = ["AnyRun", "RunConfig", "bundled_runs", "dump_config", "load_config"]

_RUNS = Path(__file__).parent / "runs"
_Config = TypeVar("_Config", bound=AnyConfig)


class ComponentConfig(Strict):
    """One coordinate of the flattened event."""

    kind: Literal["component"]
    index: int = Field(default=0, description="the number of a coordinate, counted from 0")
    name: str | None = Field(default=None, description="a name for the observable")
    unit: str = Field(default="", description="a unit, as text")


class IntervalConfig(Strict):
    """A smooth indicator of an interval of one coordinate; its mean is a population."""

    kind: Literal["smooth_interval"]
    lower: FiniteFloat | None = Field(default=None, description="the left edge in data units, or left out for no edge")
    upper: FiniteFloat | None = Field(default=None, description="the right edge in data units, or left out for no edge")
    width: FiniteFloat = Field(gt=0, description="the width of an edge in data units, above 0")
    index: int = Field(default=0, description="the number of a coordinate, counted from 0")
    name: str | None = Field(default=None, description="a name for the observable")


class PythonConfig(Strict):
    """A function of your own: state (B, *event) in data units -> (B,) or (B, K)."""

    kind: Literal["python"]
    file: Path = Field(description="a Python file, its path relative to the run file")
    function: str = Field(description="the name of a function in the file")
    names: tuple[str, ...] | None = Field(default=None, description="a list of names, one per column of the function")
    unit: str | tuple[str, ...] = Field(default="", description="a unit, or a list with one per column")


ObservableConfig = Annotated[ComponentConfig | IntervalConfig | PythonConfig, Discriminator("kind")]


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
    return "a file" if isinstance(data, dict | CsvConfig) else "a list"


DataConfig = Annotated[
    Annotated[tuple[DatumConfig, ...], Tag("a list")] | Annotated[CsvConfig, Tag("a file")], Discriminator(_form)
]


class FitConfig(Strict):
    """How λ and the guidance are found."""

    samples: int | None = Field(
        default=None, ge=2, description="the number of model samples for λ, at least 2, or left out for what is needed"
    )
    budget: int = Field(
        default=5_000_000, ge=1, description="the number of network evaluations for least-work to fit with, at least 1"
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

    system: Literal["prinz"] | None = Field(default=None, description="a bundled system whose truth is known")
    observables: tuple[ObservableConfig, ...] = Field(min_length=1, description="a list of at least one observable")
    data: DataConfig = Field(description="a list of data, or csv: FILE")
    method: Method = Field(default="least-work", description="a method")
    fit: FitConfig = Field(default=FitConfig(), description="settings, as keys and values")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="settings, as keys and values")
    seed: Seed = 0
    certificate_samples: CertificateSamples = None

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        observables = tuple(
            item.model_copy(update={"file": place(item.file)}) if isinstance(item, PythonConfig) else item
            for item in self.observables
        )
        data = self.data
        if isinstance(data, CsvConfig):
            data = data.model_copy(update={"csv": place(data.csv)})
        return self.model_copy(update={"observables": observables, "data": data})


AnyRun: TypeAlias = RunConfig | PathConfig


def bundled_runs() -> list[str]:
    """Names of the runs that come with the package.

    >>> "prinz" in bundled_runs()
    True
    """
    return sorted(file.stem for file in _RUNS.glob("*.yaml"))


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> AnyRun:
    """Read and check a run.

    Args:
        source: a bundled run's name, or a YAML file.
        overrides: ``key=value``, dotted for inner keys and list entries ("sampling.steps=200", "data.0.value=0.3").

    Raises:
        ConfigError: one sentence for each thing that is wrong.

    >>> load_config("prinz", ["sampling.steps=50"]).sampling.steps
    50
    >>> type(load_config("moons")).__name__
    'PathConfig'
    """
    path = _find(str(source))
    tree = _read(path)
    tree.setdefault("name", path.stem)
    for override in overrides:
        _override(tree, override)
    schema = _schema(tree, path.name)
    try:
        config = schema.model_validate(tree)
    except ValidationError as error:
        complaints = sentences(error, schema)
        raise ConfigError("\n".join(f"{path.name}: {complaint}" for complaint in complaints)) from None
    return _anchored(config, path.resolve().parent)


def dump_config(config: AnyConfig) -> str:
    """The resolved run as YAML, which :func:`load_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)


def _find(source: str) -> Path:
    if Path(source).is_file():
        return Path(source)
    bundled = _RUNS / f"{source}.yaml"
    if source in bundled_runs():
        return bundled
    if Path(source).suffix in (".yaml", ".yml"):
        raise ConfigError(f"{source}: there is no such file: give a run file or one of {', '.join(bundled_runs())}")
    raise ConfigError(f"no run {source!r}{nearest(source, bundled_runs())}; or give a YAML file")


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8: give a YAML file") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where} is not YAML ({error.problem}): check indentation, colons and quotes") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML ({error}): give a text file of keys and values") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no keys and values: write at least model, and observables and data, or guides")
    return {str(key): value for key, value in tree.items()}


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


def _override(tree: dict[str, Any], override: str) -> None:
    """Set one dotted key of a tree, in place."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted.strip():
        raise ConfigError(f"--set {override}: write key=value, as in --set sampling.steps=200")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not YAML, quote it") from None
    at: Any = tree
    *outer, last = dotted.strip().split(".")
    for key in outer:
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[_entry(at, key, override)]
    if isinstance(at, dict):
        at[last] = value
    else:
        at[_entry(at, last, override)] = value


def _entry(at: Any, key: str, override: str) -> int:
    if not isinstance(at, list):
        raise ConfigError(f"--set {override}: there is nothing inside of {at!r} to set, shorten the key")
    if not key.isdecimal() or int(key) >= len(at):
        raise ConfigError(f"--set {override}: {key!r} is no entry of this list, give a number from 0 to {len(at) - 1}")
    return int(key)


def _anchored(config: _Config, folder: Path) -> _Config:
    """The same run with paths that no longer depend on where its file lies."""
    model = str(folder / config.model) if (folder / config.model).is_dir() else config.model
    return config.with_files(lambda file: folder / file).model_copy(update={"model": model})

"""A run file: YAML that says which model is guided by which data, and how.

A run is read by :func:`load_config`, which checks every key, makes paths absolute and applies ``--set`` overrides.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, FiniteFloat, Tag, ValidationError, field_validator

from leastwork.errors import ConfigError
from leastwork.guide import Method
from leastwork.sampling import ProcessName
from leastwork.workflow.complaints import nearest, sentences

__all__ = ["RunConfig", "bundled_runs", "dump_config", "load_config"]

_RUNS = Path(__file__).parent / "runs"


class _Strict(BaseModel):
    """Refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ComponentConfig(_Strict):
    """One coordinate of the flattened event."""

    kind: Literal["component"]
    index: int = Field(default=0, description="the number of a coordinate, counted from 0")
    name: str | None = Field(default=None, description="a name for the observable")
    unit: str = Field(default="", description="a unit, as text")


class IntervalConfig(_Strict):
    """A smooth indicator of an interval of one coordinate; its mean is a population."""

    kind: Literal["smooth_interval"]
    lower: FiniteFloat | None = Field(default=None, description="the left edge in data units, or left out for no edge")
    upper: FiniteFloat | None = Field(default=None, description="the right edge in data units, or left out for no edge")
    width: FiniteFloat = Field(gt=0, description="the width of an edge in data units, above 0")
    index: int = Field(default=0, description="the number of a coordinate, counted from 0")
    name: str | None = Field(default=None, description="a name for the observable")


class PythonConfig(_Strict):
    """A function of your own: state (B, *event) in data units -> (B,) or (B, K)."""

    kind: Literal["python"]
    file: Path = Field(description="a Python file, its path relative to the run file")
    function: str = Field(description="the name of a function in the file")
    names: tuple[str, ...] | None = Field(default=None, description="a list of names, one per column of the function")
    unit: str | tuple[str, ...] = Field(default="", description="a unit, or a list with one per column")


ObservableConfig = Annotated[ComponentConfig | IntervalConfig | PythonConfig, Discriminator("kind")]


class DatumConfig(_Strict):
    """A value with its error, or bounds, of one observable's average."""

    name: str = Field(description="the name of an observable")
    value: FiniteFloat | None = Field(default=None, description="a finite number in the observable's unit")
    error: FiniteFloat | None = Field(default=None, ge=0, description="a standard error, or 0 for exact")
    lower: FiniteFloat | None = Field(default=None, description="a finite lower bound in the observable's unit")
    upper: FiniteFloat | None = Field(default=None, description="a finite upper bound in the observable's unit")
    held_out: bool = Field(default=False, description="true for a datum that only judges the fit, or false")


class CsvConfig(_Strict):
    """Data in a file with the columns name, value, error, lower, upper, held_out."""

    csv: Path = Field(description="a file of data, its path relative to the run file")


def _form(data: Any) -> str:
    return "a file" if isinstance(data, dict | CsvConfig) else "a list"


DataConfig = Annotated[
    Annotated[tuple[DatumConfig, ...], Tag("a list")] | Annotated[CsvConfig, Tag("a file")], Discriminator(_form)
]


class FitConfig(_Strict):
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


class SamplingConfig(_Strict):
    """How samples are drawn."""

    n: int = Field(default=10_000, ge=2, description="the number of guided samples, at least 2")
    process: ProcessName = Field(default="sde", description="a process")
    solver: Literal["euler", "heun", "exponential", "multistep"] = Field(default="euler", description="a solver")
    steps: int = Field(default=100, ge=1, description="the number of steps, at least 1")
    t_grid: Literal["uniform", "log-snr"] | tuple[FiniteFloat, ...] = Field(
        default="uniform", description="'uniform', 'log-snr', or a list of decreasing times"
    )
    kappa: FiniteFloat | None = Field(
        default=None, gt=0, description="the noise level of the SDE, above 0, or left out for 1"
    )
    batch_size: int = Field(default=4096, ge=1, description="the number of samples in memory at a time, at least 1")


class RunConfig(_Strict):
    """One run of Observable Guidance."""

    name: str = Field(min_length=1, pattern=r"^[^/\\]+$", description="a name for the run, without slashes")
    description: str = Field(default="", description="one sentence about the run")
    model: str = Field(description="a bundled model's name, or a folder written by save_model")
    system: Literal["prinz"] | None = Field(default=None, description="a bundled system whose truth is known")
    observables: tuple[ObservableConfig, ...] = Field(min_length=1, description="a list of at least one observable")
    data: DataConfig = Field(description="a list of data, or csv: FILE")
    method: Method = Field(default="least-work", description="a method")
    fit: FitConfig = Field(default=FitConfig(), description="settings, as keys and values")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="settings, as keys and values")
    seed: int = Field(default=0, ge=0, lt=2**63, description="a whole number, 0 or more")
    certificate_samples: int | None = Field(
        default=None,
        ge=2,
        description="a number of samples for the certificate alone, or left out to use the run's own",
    )

    @field_validator("name", "model", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value  # a model or run may be called 7


def bundled_runs() -> list[str]:
    """Names of the runs that come with the package.

    >>> "prinz" in bundled_runs()
    True
    """
    return sorted(file.stem for file in _RUNS.glob("*.yaml"))


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read and check a run.

    Args:
        source: a bundled run's name, or a YAML file.
        overrides: ``key=value``, dotted for inner keys and list entries ("sampling.steps=200", "data.0.value=0.3").

    Raises:
        ConfigError: one sentence for each thing that is wrong.

    >>> load_config("prinz", ["sampling.steps=50"]).sampling.steps
    50
    """
    path = _find(str(source))
    tree = _read(path)
    tree.setdefault("name", path.stem)
    for override in overrides:
        _override(tree, override)
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        complaints = sentences(error, RunConfig)
        raise ConfigError("\n".join(f"{path.name}: {complaint}" for complaint in complaints)) from None
    return _anchored(config, path.resolve().parent)


def dump_config(config: RunConfig) -> str:
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
        raise ConfigError(f"{path} holds no keys and values: write at least model, observables and data")
    return {str(key): value for key, value in tree.items()}


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


def _anchored(config: RunConfig, folder: Path) -> RunConfig:
    """The same run with paths that no longer depend on where its file lies."""
    observables = tuple(
        item.model_copy(update={"file": folder / item.file}) if isinstance(item, PythonConfig) else item
        for item in config.observables
    )
    data = config.data
    if isinstance(data, CsvConfig):
        data = data.model_copy(update={"csv": folder / data.csv})
    model = str(folder / config.model) if (folder / config.model).is_dir() else config.model
    return config.model_copy(update={"observables": observables, "data": data, "model": model})

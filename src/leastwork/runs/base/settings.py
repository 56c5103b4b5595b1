"""Settings that all run files share: strict keys, name, model, sampling, and the files that they name."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias, get_args, get_type_hints

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainSerializer,
    PlainValidator,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from leastwork.adapters.settings import ModelSettings
from leastwork.adapters.source import source_of
from leastwork.errors import ConfigError
from leastwork.fit.methods import Registry, settings_of
from leastwork.sampling.choices import Choices, ProcessName
from leastwork.sampling.solvers import Churn

__all__ = [
    "GIVEN_MODEL",
    "AnyConfig",
    "CertificateSamples",
    "ChurnSection",
    "FitSection",
    "JointConfig",
    "Named",
    "Run",
    "SamplingConfig",
    "Seed",
    "Strict",
    "sampling_choices",
    "with_settings",
]


class Strict(BaseModel):
    """Refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, data: Any) -> Any:
        """YAML reads yes, no, on and off without quotes as flags, and pydantic takes flags for 1 and 0."""
        if not isinstance(data, dict):
            return data
        return {key: str(one).lower() if isinstance(one, bool) and cls._is_number(key) else one
                for key, one in data.items()}  # fmt: skip

    @classmethod
    def _is_number(cls, key: Any) -> bool:
        about = str(cls.model_fields[key].annotation) if key in cls.model_fields else "bool"
        return "bool" not in about and ("int" in about or "float" in about)


def _step_scale(value: float) -> float:
    why = Churn(step_scale=value).unweighted
    if why:
        raise PydanticCustomError("said", "{said}", {"said": f"'churn' in 'sampling': {why}"})
    return value


class ChurnSection(Strict):
    """Settings of steps with churn (:class:`leastwork.sampling.solvers.Churn`)."""

    gamma: FiniteFloat = Field(default=Churn.gamma, gt=0, description="γ, by which noise levels are raised, above 0")
    gamma_min: FiniteFloat = Field(
        default=Churn.gamma_min, ge=0, description="the noise level in data units down to which there is churn, or 0"
    )
    noise_scale: FiniteFloat = Field(default=Churn.noise_scale, gt=0, description="the scale λ of the noise, above 0")
    step_scale: Annotated[FiniteFloat, AfterValidator(_step_scale)] = Field(
        default=Churn.step_scale, gt=0, description="1, as other step scales have no weights"
    )
    motions: bool = Field(default=Churn.motions, description="true for a random rotation after every step, or false")


class SamplingConfig(Strict):
    """Settings of the sampling."""

    n: int = Field(default=10_000, ge=2, description="the number of guided samples, at least 2")
    process: ProcessName = Field(default="sde", description="a process")
    solver: Literal["multistep", "exponential", "euler", "heun", "churn"] = Field(
        default="multistep", description="a solver"
    )
    churn: ChurnSection | None = Field(default=None, description="settings of solver: churn, as keys and values")
    steps: int = Field(default=100, ge=1, description="the number of steps, at least 1")
    t_grid: Literal["signal", "uniform", "log-snr", "balanced", "karras"] | tuple[FiniteFloat, ...] | None = Field(
        default=None,
        description="'signal', 'uniform', 'log-snr', 'balanced', 'karras', or a list of decreasing times; "
        "left out it is what fits the solver",
    )
    kappa: FiniteFloat | None = Field(
        default=None, gt=0, description="the noise level of the SDE, above 0, or left out for 1"
    )
    batch_size: int = Field(default=1024, ge=1, description="the number of samples in memory at a time, at least 1")

    @model_validator(mode="after")
    def _settings_of_the_solver(self) -> Self:
        if self.churn is not None and self.solver != "churn":
            said = (
                f"'churn' in 'sampling' is for solver: churn, and the solver is {self.solver}: leave one of the two out"
            )
            raise PydanticCustomError("said", "{said}", {"said": said})
        return self

    @property
    def churned(self) -> Churn | None:
        """The steps with churn and their settings; None for another solver."""
        settings = {} if self.churn is None else self.churn.model_dump()
        return Churn(**settings) if self.solver == "churn" else None


Seed = Annotated[int, Field(ge=0, lt=2**63, description="a whole number, 0 or more")]
CertificateSamples = Annotated[
    int | None,
    Field(ge=2, description="a number of samples for the certificate alone, or left out to use the run's own"),
]


def _text(value: Any) -> Any:
    """Text, also for a number, since a model or run may be called 7."""
    return str(value) if isinstance(value, int | float) else value


_Text = Annotated[str, BeforeValidator(_text)]


def _model(value: Any) -> str | ModelSettings:
    """A name as it stands, or the settings of an adapter."""
    if isinstance(value, Mapping):
        try:
            return source_of(value)
        except ConfigError as error:
            raise PydanticCustomError("said", "{said}", {"said": str(error)}) from None
    if isinstance(value, ModelSettings | str) and value:
        return value
    if isinstance(value, int | float):
        return str(value)
    raise ValueError


_Model = Annotated[str | ModelSettings, PlainValidator(_model), PlainSerializer(lambda model: source_of(model).plain())]


class Named(Strict):
    """The keys with which every run file begins."""

    name: _Text = Field(min_length=1, pattern=r"^[^/\\]+$", description="a name for the run, without slashes")
    description: str = Field(default="", description="one sentence about the run")


class FitSection(Strict):
    """Settings of the fit that every method has; those of the methods are added to them."""

    samples: int | None = Field(
        default=None, ge=2, description="the number of model samples, at least 2, or left out for what is needed"
    )


def with_settings(name: str, module: str, methods: Iterable[type]) -> type[FitSection]:
    """A section of a run file with the keys of every method and the settings of these methods, each key once.

    Args:
        name, module: where the class is found, by which it is pickled.
        methods: the classes of the methods.
    """
    keys: dict[str, Any] = {}
    for method in methods:
        hints = get_type_hints(method)
        for key, one in settings_of(method).items():
            more = {"description": f"a setting of {method.__name__}", **one.metadata}
            form = more.pop("form", hints[key])
            default = one.default if one.default_factory is MISSING else one.default_factory()
            keys.setdefault(key, (form, Field(default=default, **more)))
    return create_model(name, __base__=FitSection, __module__=module, **keys)


GIVEN_MODEL = "(given in Python)"
"""What stands for the model in the file of a run that was saved in Python with a model that has no file form."""


class AnyConfig(Named):
    """A run of either kind."""

    model: _Model = Field(
        description="a bundled model's name, a folder written by save_model, python: FILE, or adapter: NAME with keys"
    )
    device: str | None = Field(default=None, min_length=1, description="a device, such as cpu or cuda:0, or left out")
    dtype: Literal["float32", "float64", "float16", "bfloat16"] | None = Field(
        default=None, description="float32 or float64, the precision of the network, or left out for its own"
    )
    sequence: str | None = Field(
        default=None,
        pattern="^[ACDEFGHIKLMNPQRSTVWY]+$",
        description="a protein's one-letter codes, such as YYDPETGTWY, where states are its Cα atoms in nm",
    )

    kind_of_run: ClassVar[str]
    registry: ClassVar[Registry[Any]]

    if TYPE_CHECKING:  # the kinds of run declare them, each at its place among its keys
        system: str | None
        method: Any
        fit: Any
        sampling: SamplingConfig
        seed: int
        certificate_samples: int | None

    @property
    def parts(self) -> Mapping[str, Self]:
        """The runs that are carried out, by the names of their folders: this one, in the very folder of the run."""
        return {"": self}

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """A copy of the run with ``place(file)`` in place of each file."""
        raise NotImplementedError

    def comparable(self) -> Any:
        """The run, if methods can be compared on its data.

        Raises:
            ConfigError: the run has no data.
        """
        raise ConfigError(f"{self.name} is guided to structures, and compare is for runs with data: use run")

    @property
    def code(self) -> Sequence[Path]:
        """Files of the user's own, of data or regions, that are executed when the run is carried out."""
        raise NotImplementedError

    @property
    def source(self) -> ModelSettings:
        """The settings of the model, whatever its form."""
        return source_of(self.model)

    def with_source(self, source: ModelSettings) -> Self:
        """A copy of the run with another model; a stored model is named as in a run file."""
        name = source.plain()
        return self.model_copy(update={"model": name if isinstance(name, str) else source})

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of methods under ``fit:``."""
        return self.fit.model_dump(exclude=set(FitSection.model_fields))

    @property
    def own_settings(self) -> dict[str, Any]:
        """Settings of the run's method, by name."""
        return self.registry.own(self.method, self.settings)

    @property
    def run_settings(self) -> dict[str, Any]:
        """Settings of a fitted run, by name: those of its method, and what else its job was told."""
        return self.own_settings

    def check_method(self) -> None:
        """Check that ``fit:`` sets nothing that only another method has; default values are ignored.

        Raises:
            ConfigError: a setting belongs to another method.
        """
        for key, about in type(self.fit).model_fields.items():
            owners = self.registry.owners(key)
            if owners and self.method not in owners and getattr(self.fit, key) != about.default:
                raise ConfigError(
                    f"{self.name}: {key!r} in 'fit' is a setting of {' and '.join(owners)}, and method: {self.method} "
                    f"has none: leave it out, or take method: {owners[0]}"
                )

    @classmethod
    def naming(cls, method: object) -> type[Self]:
        """The schema of a run file that names this method, which may be one that was registered."""
        bundled = get_args(cls.model_fields["method"].annotation)
        if method is None or method in bundled or set(cls.registry.names()) <= set(bundled):
            return cls
        names = Literal[cls.registry.names()]  # pyright: ignore[reportInvalidTypeForm]  (known when a file is read)
        fields: dict[str, Any] = {"method": (names, Field(default=bundled[0], description="a method"))}
        if method in cls.registry:
            own = with_settings("FitSection", cls.__module__, [cls.registry[str(method)]])
            fields["fit"] = (own, Field(default=own(), description="settings, as keys and values"))
        return create_model(cls.__name__, __base__=cls, __module__=cls.__module__, **fields)


@dataclass(frozen=True)
class JointConfig:
    """Runs that are carried out one after another and reported on one page.

    Args:
        name, description: name and description of the joint run.
        parts: its runs by their names, which are those of their folders, too.
    """

    name: str
    description: str
    parts: Mapping[str, AnyConfig]

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """The run itself, since only its parts name files."""
        return self

    def comparable(self) -> Any:
        """Raises an error, since methods are compared on the data of a single run."""
        raise ConfigError(f"{self.name} is a joint run, and compare is for single runs with data: name one of its runs")

    @property
    def source(self) -> None:
        """Only its parts have models."""

    def with_source(self, source: ModelSettings) -> Self:
        """The run itself, since only its parts have models."""
        return self


Run: TypeAlias = AnyConfig | JointConfig
"""What a run file, or a bundled run, is read into."""


def sampling_choices(asked: SamplingConfig) -> Choices:
    """The sampling choices of a run file."""
    grid = torch.tensor(asked.t_grid, dtype=torch.float64) if isinstance(asked.t_grid, tuple) else asked.t_grid
    plain = asked.model_dump(exclude={"n", "solver", "churn", "t_grid"})
    return Choices(**plain, solver=asked.churned or asked.solver, t_grid=grid)

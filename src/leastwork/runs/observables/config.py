"""A run file of Observable Guidance: data, method and sampling."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, get_args

from pydantic import (
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
)

from leastwork.fit.methods import Registry
from leastwork.observable_guidance.methods import METHODS, ObservableMethod
from leastwork.observable_guidance.run import Method
from leastwork.runs.base.cases import CaseName
from leastwork.runs.base.settings import (
    AnyConfig,
    CertificateSamples,
    FitSection,
    SamplingConfig,
    Seed,
    Strict,
    with_settings,
)
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.kinds import ObservableConfig

__all__ = ["CsvConfig", "RunConfig"]


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


class GivenConfig(Strict):
    """Data of a run that was saved in Python; their numbers lie beside the fit, the observable is a function."""

    given: tuple[str, ...] = Field(description="the names of data that were given in Python")


def _form(data: Any) -> str:
    if isinstance(data, GivenConfig) or (isinstance(data, dict) and "given" in data):
        return "data of Python"
    if isinstance(data, CouplingsConfig) or (isinstance(data, dict) and "couplings" in data):
        return "a file of couplings"
    return "a file" if isinstance(data, dict | CsvConfig) else "a list"


DataConfig = Annotated[
    Annotated[tuple[DatumConfig, ...], Tag("a list")]
    | Annotated[CsvConfig, Tag("a file")]
    | Annotated[CouplingsConfig, Tag("a file of couplings")]
    | Annotated[GivenConfig, Tag("data of Python")],
    Discriminator(_form),
]


class FitConfig(FitSection):
    """How λ and the guidance are found; beside these keys stand the settings of the methods."""

    samples: int | None = Field(
        default=None, ge=2, description="the number of model samples for λ, at least 2, or left out for what is needed"
    )


if TYPE_CHECKING:
    _Fit = FitConfig
else:
    _Fit = with_settings(FitConfig, "_Fit", [METHODS[name] for name in get_args(Method)])


class RunConfig(AnyConfig):
    """One run of Observable Guidance."""

    registry: ClassVar[Registry[ObservableMethod]] = METHODS
    section: ClassVar[type[FitSection]] = FitConfig

    system: CaseName | None = Field(default=None, description="a system of which something is known")
    observables: tuple[ObservableConfig, ...] | None = Field(
        default=None, min_length=1, description="a list of at least one observable"
    )
    data: DataConfig = Field(description="a list of data, or csv: FILE, or couplings: FILE")
    method: Method = Field(default="least-work", description="a method")
    fit: _Fit = Field(default=_Fit(), description="settings, as keys and values")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="settings, as keys and values")
    seed: Seed = 0
    certificate_samples: CertificateSamples = None

    @property
    def chosen(self) -> ObservableMethod:
        """The method with its settings."""
        return METHODS.build(self.method, self.own_settings)

    @property
    def given_names(self) -> tuple[str, ...] | None:
        """The names of data that were given in Python, None for those of a run file."""
        return self.data.given if isinstance(self.data, GivenConfig) else None

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        observables = None if self.observables is None else tuple(item.with_files(place) for item in self.observables)
        data = self.data
        if isinstance(data, CsvConfig):
            data = data.model_copy(update={"csv": place(data.csv)})
        elif isinstance(data, CouplingsConfig):
            data = data.with_files(place)
        return self.model_copy(update={"observables": observables, "data": data})

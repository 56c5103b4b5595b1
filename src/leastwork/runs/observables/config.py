"""A run file of Observable Guidance: data, method and sampling."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, Self, get_args

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    RootModel,
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

__all__ = ["CsvConfig", "DataForm", "DataList", "DatumConfig", "GivenConfig", "RunConfig"]


class DatumConfig(Strict):
    """A value with its error, or bounds, of one observable's average."""

    name: str = Field(description="the name of an observable")
    value: FiniteFloat | None = Field(default=None, description="a finite number in the observable's unit")
    error: FiniteFloat | None = Field(default=None, ge=0, description="a standard error, or 0 for exact")
    lower: FiniteFloat | None = Field(default=None, description="a finite lower bound in the observable's unit")
    upper: FiniteFloat | None = Field(default=None, description="a finite upper bound in the observable's unit")
    held_out: bool = Field(default=False, description="true for a datum that only judges the fit, or false")


class DataForm(Protocol):
    """A form in which a run file gives its data; :mod:`leastwork.runs.observables.inputs` reads each."""

    form: ClassVar[str]
    needs_observables: ClassVar[bool]
    """Whether the data are averages of observables that the run file lists."""

    @property
    def stated_theta(self) -> float | None:
        """θ that the run states, or None where it is to be chosen."""
        ...

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """The same with ``place(file)`` for each file that it names."""
        ...


class DataList(RootModel[tuple[DatumConfig, ...]]):
    """Data in the run file itself."""

    model_config = ConfigDict(frozen=True)

    form: ClassVar[str] = "a list"
    needs_observables: ClassVar[bool] = True
    stated_theta: ClassVar[float] = 1.0

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self


class CsvConfig(Strict):
    """Data in a file with the columns name, value, error, lower, upper, held_out."""

    form: ClassVar[str] = "a file"
    needs_observables: ClassVar[bool] = True
    stated_theta: ClassVar[float] = 1.0

    csv: Path = Field(description="a file of data, its path relative to the run file")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"csv": place(self.csv)})


class GivenConfig(Strict):
    """Data of a run that was saved in Python; their numbers lie beside the fit, the observable is a function."""

    form: ClassVar[str] = "data of Python"
    needs_observables: ClassVar[bool] = False
    stated_theta: ClassVar[float] = 1.0

    given: tuple[str, ...] = Field(description="the names of data that were given in Python")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self


def _form(data: Any) -> str:
    """The form of data as the run file has them, or of those that were read."""
    if isinstance(data, dict):
        forms = {"couplings": CouplingsConfig.form, "given": GivenConfig.form}
        return next((form for key, form in forms.items() if key in data), CsvConfig.form)
    return getattr(data, "form", DataList.form)


DataConfig = Annotated[
    Annotated[DataList, Tag(DataList.form)]
    | Annotated[CsvConfig, Tag(CsvConfig.form)]
    | Annotated[CouplingsConfig, Tag(CouplingsConfig.form)]
    | Annotated[GivenConfig, Tag(GivenConfig.form)],
    Discriminator(_form),
]


if TYPE_CHECKING:
    _Fit = FitSection
else:
    _Fit = with_settings("_Fit", __name__, [METHODS[name] for name in get_args(Method)])


class RunConfig(AnyConfig):
    """One run of Observable Guidance."""

    kind_of_run: ClassVar[str] = "observables"
    registry: ClassVar[Registry[ObservableMethod]] = METHODS

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

    def comparable(self) -> Self:
        return self

    @property
    def given_names(self) -> tuple[str, ...] | None:
        """The names of data that were given in Python, None for those of a run file."""
        return getattr(self.data, "given", None)

    @property
    def code(self) -> Sequence[Path]:
        return [item.code for item in self.observables or () if item.code is not None]

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        observables = None if self.observables is None else tuple(item.with_files(place) for item in self.observables)
        return self.model_copy(update={"observables": observables, "data": self.data.with_files(place)})

"""The data of a run file: a list of single data, tables and files of couplings, or one table or file of couplings.

data:
  - {name: R_g, value: 1.21, error: 0.03}
  - {csv: noe.csv}
  - {couplings: measured.csv, karplus: vogeli2007, theta: 1}
  - {saxs: curve.dat, sequence: GYDPETGTWG}
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, Self

from pydantic import ConfigDict, Discriminator, Field, FiniteFloat, RootModel, Tag, model_validator
from pydantic_core import PydanticCustomError

from leastwork.data.histogram_file import Histogram, read_histogram
from leastwork.errors import ConfigError
from leastwork.runs.base.settings import Strict
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.files_of_data import FILES_OF_DATA, NoeFile, SaxsFile
from leastwork.support.text import quoted

__all__ = [
    "CsvConfig",
    "DataConfig",
    "DataForm",
    "DataList",
    "DataMember",
    "DatumConfig",
    "DistributionConfig",
    "GivenConfig",
]


class DataMember(Protocol):
    """A member of a run's data; :mod:`leastwork.runs.observables.inputs` has a reader for each form."""

    form: ClassVar[str]
    needs_observables: ClassVar[bool]
    """Whether the data are averages of observables that the run file lists."""

    @property
    def stated_theta(self) -> float | None:
        """θ that multiplies the covariance of these data, or None where it is to be chosen."""
        ...


class DataForm(Protocol):
    """A form in which a run file gives its data."""

    @property
    def needs_observables(self) -> bool:
        """Whether some of the data are averages of observables that the run file lists."""
        ...

    @property
    def stated_theta(self) -> float | None:
        """θ that the run states, or None where it is to be chosen."""
        ...

    @property
    def members(self) -> Sequence[DataMember]:
        """What the data are read from, in order."""
        ...

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """The same with ``place(file)`` for each file that it names."""
        ...


class DatumConfig(Strict):
    """A value with its error, or bounds, of one observable's average."""

    form: ClassVar[str] = "a datum"
    needs_observables: ClassVar[bool] = True

    name: str = Field(description="the name of an observable")
    value: FiniteFloat | None = Field(default=None, description="a finite number in the observable's unit")
    error: FiniteFloat | None = Field(default=None, ge=0, description="a standard error, or 0 for exact")
    lower: FiniteFloat | None = Field(default=None, description="a finite lower bound in the observable's unit")
    upper: FiniteFloat | None = Field(default=None, description="a finite upper bound in the observable's unit")
    held_out: bool = Field(default=False, description="true for a datum that only judges the fit, or false")
    scale: str | None = Field(default=None, description="a name of an unknown factor, which data may share")
    offset: str | None = Field(default=None, description="a name of an unknown offset, which data may share")

    @property
    def stated_theta(self) -> float | None:
        return 1.0

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self


class CsvConfig(Strict):
    """Data in a file with the columns name, value, error, lower, upper, held_out."""

    form: ClassVar[str] = "a file"
    needs_observables: ClassVar[bool] = True

    csv: Path = Field(description="a file of data, its path relative to the run file")
    held_out: bool = Field(default=False, description="true to hold out all data of the file, or false")
    scale: str | None = Field(default=None, description="a name of an unknown factor of the file's data")
    offset: str | None = Field(default=None, description="a name of an unknown offset of the file's data")

    @property
    def members(self) -> Sequence[DataMember]:
        return (self,)

    @property
    def stated_theta(self) -> float | None:
        return 1.0

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={"csv": place(self.csv)})


class DistributionConfig(Strict):
    """A histogram of an observable of one column, as counts or as populations with their errors, here or in a file."""

    form: ClassVar[str] = "a distribution"
    needs_observables: ClassVar[bool] = True

    distribution: str = Field(description="the name of an observable")
    file: Path | None = Field(
        default=None, description="a file with columns lower, upper, count, its path relative to the run file"
    )
    edges: tuple[FiniteFloat, ...] | None = Field(
        default=None, min_length=3, description="a list of edges of bins, rising"
    )
    counts: tuple[FiniteFloat, ...] | None = Field(default=None, description="a list of counts, one for each bin")
    populations: tuple[FiniteFloat, ...] | None = Field(default=None, description="a list of populations of the bins")
    errors: tuple[FiniteFloat, ...] | None = Field(default=None, description="a list of standard errors of populations")
    width: FiniteFloat | None = Field(
        default=None, gt=0, description="the width of an edge in the observable's unit, or left out"
    )
    held_out: bool = Field(default=False, description="true for a distribution that only judges the fit, or false")

    @property
    def stated_theta(self) -> float | None:
        return 1.0

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self if self.file is None else self.model_copy(update={"file": place(self.file)})

    def histogram(self, unit: str) -> Histogram:
        """The bins and what is known of them.

        Args:
            unit: the unit of the observable.

        Raises:
            ConfigError: they stand in no place or in both, or the file cannot be used.
        """
        here = {key: getattr(self, key) for key in ("edges", "counts", "populations", "errors")}
        if self.file is None and self.edges is not None:
            return Histogram(**here)
        if self.file is None or any(value is not None for value in here.values()):
            raise ConfigError(
                f"data: give the bins of the distribution of {quoted(self.distribution)} either as file, or as edges "
                "with counts or populations"
            )
        return read_histogram(self.file, unit)


_OF_FILES = {each.key: each.form for each in FILES_OF_DATA}


def _form_of(data: Any, forms: Mapping[str, str], of_mapping: str, otherwise: str) -> str:
    """The form of data, as the run file has them or as they were read.

    Args:
        data: the data.
        forms: forms by the key that tells them.
        of_mapping: the form of a mapping without any of these keys.
        otherwise: the form of what is no mapping and has none.
    """
    if isinstance(data, dict):
        return next((form for key, form in forms.items() if key in data), of_mapping)
    return getattr(data, "form", otherwise)


_OF_MEMBERS = {
    "couplings": CouplingsConfig.form,
    "csv": CsvConfig.form,
    "distribution": DistributionConfig.form,
    **_OF_FILES,
}


def _form_of_member(member: Any) -> str:
    return _form_of(member, _OF_MEMBERS, DatumConfig.form, DatumConfig.form)


_Member = Annotated[
    Annotated[DatumConfig, Tag(DatumConfig.form)]
    | Annotated[CsvConfig, Tag(CsvConfig.form)]
    | Annotated[DistributionConfig, Tag(DistributionConfig.form)]
    | Annotated[CouplingsConfig, Tag(CouplingsConfig.form)]
    | Annotated[SaxsFile, Tag(SaxsFile.form)]
    | Annotated[NoeFile, Tag(NoeFile.form)],
    Discriminator(_form_of_member),
]


class DataList(RootModel[tuple[_Member, ...]]):
    """Data of any number of techniques: single data in the run file itself, tables, and files of couplings."""

    model_config = ConfigDict(frozen=True)

    form: ClassVar[str] = "a list"

    @model_validator(mode="after")
    def _one_theta(self) -> Self:
        thetas = ["auto" if theta is None else f"{theta:g}" for theta in dict.fromkeys(self._thetas)]
        if len(thetas) > 1:
            raise PydanticCustomError(
                "said",
                "{said}",
                {"said": f"'data' has theta {' and '.join(thetas)}: give all files of couplings the same"},
            )
        return self

    @property
    def _thetas(self) -> list[float | None]:
        return [member.stated_theta for member in self.root if member.form == CouplingsConfig.form]

    @property
    def members(self) -> Sequence[DataMember]:
        return self.root

    @property
    def needs_observables(self) -> bool:
        return not self.root or any(member.needs_observables for member in self.root)

    @property
    def stated_theta(self) -> float | None:
        """None where θ of all data is to be chosen; a number that couplings state is part of their errors."""
        return None if None in self._thetas else 1.0

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return type(self)(tuple(member.with_files(place) for member in self.root))


class GivenConfig(Strict):
    """Data of a run that was saved in Python; their numbers lie beside the fit, the observable is a function."""

    form: ClassVar[str] = "data of Python"
    needs_observables: ClassVar[bool] = False
    stated_theta: ClassVar[float] = 1.0
    members: ClassVar[Sequence[DataMember]] = ()

    given: tuple[str, ...] = Field(description="the names of data that were given in Python")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self


def _form(data: Any) -> str:
    forms = {"couplings": CouplingsConfig.form, "given": GivenConfig.form, **_OF_FILES}
    return _form_of(data, forms, CsvConfig.form, DataList.form)


DataConfig = Annotated[
    Annotated[DataList, Tag(DataList.form)]
    | Annotated[CsvConfig, Tag(CsvConfig.form)]
    | Annotated[CouplingsConfig, Tag(CouplingsConfig.form)]
    | Annotated[SaxsFile, Tag(SaxsFile.form)]
    | Annotated[NoeFile, Tag(NoeFile.form)]
    | Annotated[GivenConfig, Tag(GivenConfig.form)],
    Discriminator(_form),
]

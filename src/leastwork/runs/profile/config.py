"""A run file of a free-energy profile: YAML that says along which coordinate."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat

from leastwork.fit.methods import Registry
from leastwork.free_energy.methods import PROFILE_METHODS, Umbrella
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
from leastwork.runs.observables.kinds import ObservableConfig

__all__ = ["ProfileConfig"]

_Numbers = tuple[FiniteFloat, ...]


class ProfileSection(Strict):
    """The coordinate, and the range and bins of its profile; lists have one number for each column."""

    coordinate: ObservableConfig = Field(description="a kind of observable with its keys, of one or two columns")
    lower: _Numbers | FiniteFloat | None = Field(default=None, description="a number for each column, or left out")
    upper: _Numbers | FiniteFloat | None = Field(default=None, description="a number for each column, or left out")
    bins: tuple[int, ...] | int | None = Field(default=None, description="a number for each column, or left out")
    width: _Numbers | FiniteFloat | None = Field(default=None, description="a number for each column, or left out")


if TYPE_CHECKING:
    _Fit = FitSection
else:
    _Fit = with_settings("_Fit", __name__, [Umbrella])


class ProfileConfig(AnyConfig):
    """A run of a profile."""

    kind_of_run: ClassVar[str] = "profile"
    registry: ClassVar[Registry[Umbrella]] = PROFILE_METHODS

    system: CaseName | None = Field(default=None, description="a system of which something is known")
    profile: ProfileSection = Field(description="coordinate, and if wanted lower, upper, bins and width")
    method: Literal["umbrella"] = Field(default="umbrella", description="a method")
    fit: _Fit = Field(default=_Fit(), description="settings, as keys and values")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="settings, as keys and values")
    seed: Seed = 0
    certificate_samples: CertificateSamples = None

    @property
    def chosen(self) -> Umbrella:
        """The method with its settings."""
        return PROFILE_METHODS.build(self.method, self.own_settings)

    @property
    def code(self) -> Sequence[Path]:
        code = self.profile.coordinate.code
        return [] if code is None else [code]

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        coordinate = self.profile.coordinate.with_files(place)
        return self.model_copy(update={"profile": self.profile.model_copy(update={"coordinate": coordinate})})

"""A run file of a free-energy difference: YAML that names two states."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from leastwork.fit.methods import Registry
from leastwork.free_energy.methods import DIFFERENCE_METHODS, TwoStates
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
from leastwork.runs.path.regions import RegionConfig

__all__ = ["DifferenceConfig"]


class DifferenceSection(Strict):
    """The two states."""

    a: RegionConfig = Field(description="a kind of region with its keys")
    b: RegionConfig = Field(description="a kind of region with its keys, which shares nothing with a")


if TYPE_CHECKING:
    _Fit = FitSection
else:
    _Fit = with_settings("_Fit", __name__, [TwoStates])


class DifferenceConfig(AnyConfig):
    """A run of a difference."""

    kind_of_run: ClassVar[str] = "difference"
    registry: ClassVar[Registry[TwoStates]] = DIFFERENCE_METHODS

    system: CaseName | None = Field(default=None, description="a system of which something is known")
    difference: DifferenceSection = Field(description="two regions, a and b")
    method: Literal["two-states"] = Field(default="two-states", description="a method")
    fit: _Fit = Field(default=_Fit(), description="settings, as keys and values")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="settings, as keys and values")
    seed: Seed = 0
    certificate_samples: CertificateSamples = None

    @property
    def chosen(self) -> TwoStates:
        """The method with its settings."""
        return DIFFERENCE_METHODS.build(self.method, self.own_settings)

    @property
    def code(self) -> Sequence[Path]:
        return [one.code for one in (self.difference.a, self.difference.b) if one.code is not None]

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        states = {key: getattr(self.difference, key).with_files(place) for key in ("a", "b")}
        return self.model_copy(update={"difference": self.difference.model_copy(update=states)})

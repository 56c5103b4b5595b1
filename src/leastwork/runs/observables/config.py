"""A run file of Observable Guidance: data, method and sampling."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from pydantic import Field, model_validator

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
    with_settings,
)
from leastwork.runs.observables.data import DataConfig
from leastwork.runs.observables.kinds import ObservableConfig

__all__ = ["RunConfig"]


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
    leave_each_out: bool | None = Field(
        default=None, description="true to leave out each technique in turn and predict it, or left out"
    )
    posterior: bool | None = Field(
        default=None, description="true to draw λ, averages and errors from their posterior, or left out"
    )

    @model_validator(mode="before")
    @classmethod
    def _steps_of_the_method(cls, given: Any) -> Any:
        """Where a file leaves out the solver, the steps are those that its method can use."""
        if not isinstance(given, dict) or given.get("method") not in METHODS.names():
            return given
        sampling = given.get("sampling", {})
        preferred = METHODS[given["method"]].choices
        return given | {"sampling": {**preferred, **sampling}} if preferred and isinstance(sampling, dict) else given

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

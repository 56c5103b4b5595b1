"""A run file of Path Guidance: YAML that says which model is guided to which structures."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, get_args

from pydantic import Discriminator, Field, FiniteFloat, model_validator

from leastwork.fit.methods import Registry
from leastwork.path_guidance.methods import PATH_METHODS, PathGuidanceMethod
from leastwork.path_guidance.run import PathMethod
from leastwork.runs.base.settings import (
    AnyConfig,
    CertificateSamples,
    FitSection,
    SamplingConfig,
    Seed,
    Strict,
    with_settings,
)

__all__ = [
    "BallConfig",
    "GuidesConfig",
    "MembershipConfig",
    "PathConfig",
    "RegionConfig",
    "SlabConfig",
    "TransitionConfig",
]


class GuidesConfig(Strict):
    """Where the guides are: one file, of any of the forms."""

    csv: Path | None = Field(default=None, description="a file of one flattened structure a row, data units")
    npy: Path | None = Field(default=None, description="a numpy file of shape (M, *event), data units")
    structures: Path | None = Field(default=None, description="a file of structures, such as PDB, or XTC and topology")
    topology: Path | None = Field(default=None, description="a file, such as PDB, that names the atoms of structures")

    @property
    def file(self) -> Path:
        """Where the guides are, whatever the form."""
        (file,) = (file for file in (self.csv, self.npy, self.structures) if file is not None)
        return file

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [file for file in (self.csv, self.npy, self.structures) if file is not None]
        if len(given) != 1 or (self.topology is not None and self.structures is None):
            raise ValueError
        return self

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """The same with ``place(file)`` for each file."""
        files = {"csv": self.csv, "npy": self.npy, "structures": self.structures, "topology": self.topology}
        return self.model_copy(update={key: place(file) for key, file in files.items() if file is not None})


class BallConfig(Strict):
    """All states within a distance of a centre."""

    kind: Literal["ball"]
    centre: tuple[FiniteFloat, ...] = Field(
        min_length=1, description="a list of numbers, one for each coordinate of the flattened event, data units"
    )
    radius: FiniteFloat = Field(gt=0, description="a distance in data units, above 0")


class SlabConfig(Strict):
    """All states with one coordinate of the flattened event in an interval."""

    kind: Literal["interval"]
    index: int = Field(default=0, ge=0, description="the number of a coordinate, counted from 0")
    lower: FiniteFloat | None = Field(default=None, description="the lower end in data units, or left out for no end")
    upper: FiniteFloat | None = Field(default=None, description="the upper end in data units, or left out for no end")


class MembershipConfig(Strict):
    """A test of your own: state (B, *event) in data units -> bool (B,)."""

    kind: Literal["python"]
    file: Path = Field(description="a Python file, its path relative to the run file")
    function: str = Field(description="the name of a function in the file")


class TransitionConfig(Strict):
    """The transition states of chignolin's biased dynamics, by the committor that comes with it."""

    kind: Literal["chignolin-transition"]
    lower: FiniteFloat = Field(default=0.4, ge=0, lt=1, description="the least probability to fold first, 0 to 1")
    upper: FiniteFloat = Field(default=0.6, gt=0, le=1, description="the largest probability to fold first, 0 to 1")


RegionConfig = Annotated[BallConfig | SlabConfig | TransitionConfig | MembershipConfig, Discriminator("kind")]


class PathFitConfig(FitSection):
    """How the guidance is found; beside these keys stand the settings of the methods."""

    samples: int | None = Field(
        default=None, ge=2, description="the number of samples of the model, or leave it out for a share of the budget"
    )


if TYPE_CHECKING:
    _Fit = PathFitConfig
else:
    _Fit = with_settings(PathFitConfig, "_Fit", [PATH_METHODS[name] for name in get_args(PathMethod)])


class PathConfig(AnyConfig):
    """One run of Path Guidance."""

    registry: ClassVar[Registry[PathGuidanceMethod]] = PATH_METHODS
    section: ClassVar[type[FitSection]] = PathFitConfig

    system: Literal["muller-brown", "moons", "chignolin"] | None = Field(
        default=None, description="a bundled system whose truth is known"
    )
    guides: GuidesConfig = Field(
        description="csv: FILE with one structure a row, or npy: FILE of shape (M, *event), "
        "or structures: FILE of Cα atoms, PDB or with topology: FILE"
    )
    bandwidth: FiniteFloat | None = Field(
        default=None, gt=0, description="the width of the guides' kernel in data units, above 0, or left out"
    )
    region: RegionConfig | None = Field(
        default=None, description="a kind of region with its keys, or leave it out for that of the guides' kernel"
    )
    method: PathMethod = Field(default="least-work", description="a method")
    success: FiniteFloat = Field(
        default=0.99, gt=0, lt=1, description="the share of the samples that is to be in the region, between 0 and 1"
    )
    fit: _Fit = Field(default=_Fit(), description="settings, as keys and values")
    sampling: SamplingConfig = Field(default=SamplingConfig(), description="settings, as keys and values")
    seed: Seed = 0
    certificate_samples: CertificateSamples = None

    @property
    def chosen(self) -> PathGuidanceMethod:
        """The method with its settings."""
        given = self.own_settings
        if self.method in PATH_METHODS.owners("success"):
            given["success"] = self.success
        return PATH_METHODS.build(self.method, given)

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        region = self.region
        if isinstance(region, MembershipConfig):
            region = region.model_copy(update={"file": place(region.file)})
        return self.model_copy(update={"guides": self.guides.with_files(place), "region": region})

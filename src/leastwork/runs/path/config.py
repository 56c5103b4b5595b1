"""A run file of Path Guidance: YAML that says which model is guided to which structures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from pydantic import Field, FiniteFloat, model_validator

from leastwork.fit.methods import Registry
from leastwork.path_guidance.methods import PATH_METHODS, PathGuidanceMethod
from leastwork.path_guidance.run import PathMethod
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

__all__ = ["GuidesConfig", "PathConfig"]


class GuidesConfig(Strict):
    """The file of the guides, in one of the forms."""

    csv: Path | None = Field(default=None, description="a file of one flattened structure a row, data units")
    npy: Path | None = Field(default=None, description="a numpy file of shape (M, *event), data units")
    structures: Path | None = Field(default=None, description="a file of structures, such as PDB, or XTC and topology")
    safetensors: Path | None = Field(
        default=None, description="a safetensors file with the tensor points, or points.0, points.1, …, data units"
    )
    topology: Path | None = Field(default=None, description="a file, such as PDB, that names the atoms of structures")

    @property
    def file(self) -> Path:
        """The file of the guides, in whichever form."""
        (file,) = (file for file in (self.csv, self.npy, self.structures, self.safetensors) if file is not None)
        return file

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [file for file in (self.csv, self.npy, self.structures, self.safetensors) if file is not None]
        if len(given) != 1 or (self.topology is not None and self.structures is None):
            raise ValueError
        return self

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        """A copy with ``place(file)`` in place of each file."""
        files = {key: getattr(self, key) for key in type(self).model_fields}
        return self.model_copy(update={key: place(file) for key, file in files.items() if file is not None})


if TYPE_CHECKING:
    _Fit = FitSection
else:
    _Fit = with_settings("_Fit", __name__, [PATH_METHODS[name] for name in get_args(PathMethod)])


class PathConfig(AnyConfig):
    """A run of Path Guidance."""

    kind_of_run: ClassVar[str] = "path"
    registry: ClassVar[Registry[PathGuidanceMethod]] = PATH_METHODS

    system: CaseName | None = Field(default=None, description="a system of which something is known")
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

    @property
    def run_settings(self) -> dict[str, Any]:
        return {**self.own_settings, "success": self.success}

    @property
    def code(self) -> Sequence[Path]:
        return [] if self.region is None or self.region.code is None else [self.region.code]

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        region = None if self.region is None else self.region.with_files(place)
        return self.model_copy(update={"guides": self.guides.with_files(place), "region": region})

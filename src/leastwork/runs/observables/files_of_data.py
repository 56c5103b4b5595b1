"""Files of a technique as members of a run's data: a file, and what turns structures into what it holds.

data:
  - {saxs: lysozyme.dat, sequence: KVFG…, q_unit: 1/nm, q_max: 0.3, points: 50}
  - {noe: noe.csv, power: 6, backbone: {residues: 5}}
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat

from leastwork.data.experiment import Experiment
from leastwork.data.noe import noe_experiment, read_noe
from leastwork.data.saxs_curve import read_saxs
from leastwork.runs.base.settings import Strict
from leastwork.runs.observables.couplings.config import BackboneConfig

__all__ = ["FILES_OF_DATA", "FileOfData", "NoeFile", "SaxsFile"]


class FileOfData(Strict):
    """A file of one technique; the data have an unknown factor and offset where these have names."""

    form: ClassVar[str]
    key: ClassVar[str]
    """The key of the file, by which the form is told."""
    needs_observables: ClassVar[bool] = False

    held_out: bool = Field(default=False, description="true to hold out all data of the file, or false")
    scale: str | None = Field(default=None, description="a name of an unknown factor of the file's data")
    offset: str | None = Field(default=None, description="a name of an unknown offset of the file's data")

    @property
    def members(self) -> Sequence[Self]:
        return (self,)

    @property
    def stated_theta(self) -> float | None:
        return 1.0

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        return self.model_copy(update={self.key: place(getattr(self, self.key))})

    def experiment(self) -> Experiment:
        """The data as they are in the file.

        Raises:
            ConfigError: a file that cannot be used; says where in it.
            LeastworkError: settings that do not fit it.
        """
        raise NotImplementedError


class SaxsFile(FileOfData):
    """A SAXS curve in a text file of ATSAS or SASBDB."""

    form: ClassVar[str] = "a SAXS curve"
    key: ClassVar[str] = "saxs"

    saxs: Path = Field(description="a file with q, I and the error of I, its path relative to the run file")
    sequence: str = Field(description="one-letter codes of the residues, as text")
    q_unit: Literal["1/Å", "1/nm"] = Field(default="1/Å", description="the unit of q in the file")
    q_min: FiniteFloat = Field(default=0.0, ge=0, description="the smallest q that is used, 1/Å")
    q_max: FiniteFloat = Field(default=0.3, gt=0, description="the largest q that is used, 1/Å")
    points: int = Field(default=50, ge=3, description="the most points; neighbours are averaged")
    hydration: FiniteFloat = Field(default=0.03, ge=0, description="the excess density of the water layer, e/Å³")
    ca: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        default=None, description="a list of the Cα atoms, or left out for all atoms"
    )
    unit: Literal["nm", "Å"] = Field(default="nm", description="the unit of the model's coordinates")
    scale: str | None = Field(default="saxs", description="a name of the unknown factor of the intensities")

    def experiment(self) -> Experiment:
        curve = read_saxs(self.saxs, self.q_unit, q_min=self.q_min, q_max=self.q_max).thinned(self.points)
        return curve.experiment(self.sequence, hydration=self.hydration, ca=self.ca, unit=self.unit)


class NoeFile(FileOfData):
    """NOE bounds of distances, and contacts that are not seen."""

    form: ClassVar[str] = "a file of NOE bounds"
    key: ClassVar[str] = "noe"

    noe: Path = Field(description="a file with columns i, j, upper or unseen, its path relative to the run file")
    power: Literal[3, 6] = Field(default=6, description="6, or 3 for motion faster than tumbling")
    unit: str = Field(default="nm", description="the unit of the bounds and of the model's coordinates")
    backbone: BackboneConfig | None = Field(
        default=None,
        description="residues: NUMBER of a chain of N CA C each, or n, ca and c, a list of atoms each; for protons",
    )

    def experiment(self) -> Experiment:
        backbone = None if self.backbone is None else self.backbone.backbone()
        return noe_experiment(read_noe(self.noe, self.unit), self.power, self.unit, str(self.noe), backbone)


FILES_OF_DATA: Sequence[type[FileOfData]] = (SaxsFile, NoeFile)

"""``kind: command``: an observable that another program computes, by :mod:`leastwork.observables.command`.

    {kind: command, command: [python3, predict.py], files: [predict.py], names: [a, b], seconds: 60, workers: 4}

The program is executed with the rights of whoever starts the run; reports and folders that are read do not start it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape
from leastwork.observables import Observable
from leastwork.observables.command import command
from leastwork.runs.base.kinds import ObservableKind
from leastwork.runs.base.named_atoms import named_atoms

__all__ = ["CommandConfig"]

_ANGSTROM = {"nm": 10.0, "A": 1.0}


class CommandConfig(ObservableKind):
    """Values that a program computes: it reads structures.pdb and writes values.csv, in a folder of its own."""

    is_probed: ClassVar[bool] = False

    kind: Literal["command"]
    command: tuple[str, ...] = Field(min_length=1, description="a list of the program and its arguments")
    names: tuple[str, ...] = Field(min_length=1, description="a list of columns of values.csv")
    files: tuple[Path, ...] = Field(
        default=(), description="a list of files that are copied to where the program runs, relative to the run file"
    )
    atoms: Path | None = Field(
        default=None, description="a PDB whose first model names the atoms, or left out for Cα of alanines"
    )
    length: Literal["nm", "A"] = Field(default="nm", description="the unit of the model's coordinates")
    unit: str | tuple[str, ...] = Field(default="", description="a unit, or a list with one per column")
    seconds: FiniteFloat = Field(default=600.0, gt=0, description="the time in s that one call may take, above 0")
    batch: Annotated[int, Field(ge=1)] = Field(default=256, description="the number of structures a call, at least 1")
    workers: Annotated[int, Field(ge=1)] = Field(default=1, description="the number of calls at a time, at least 1")
    trajectory: bool | None = Field(
        default=None, description="true for structures.xtc, with structures.pdb that names its atoms, or left out"
    )
    cache: bool = Field(default=False, description="true to keep results in the user's cache, or false")

    def with_files(self, place: Callable[[Path], Path]) -> Self:
        atoms = None if self.atoms is None else place(self.atoms)
        return self.model_copy(update={"files": tuple(place(file) for file in self.files), "atoms": atoms})

    @property
    def code(self) -> Path:
        return self.files[0] if self.files else Path(self.command[0])

    def build(self, event_shape: EventShape) -> Observable:
        for file in self.files:
            if not file.is_file():
                raise ConfigError(f"{file}: there is no such file, give its path relative to the run file")
        return command(
            self.command,
            self.names,
            files=self.files,
            atoms=None
            if self.atoms is None
            else [(atom.name, atom.residue, atom.number) for atom in named_atoms(self.atoms)],
            to_angstrom=_ANGSTROM[self.length],
            unit=self.unit,
            seconds=self.seconds,
            batch=self.batch,
            workers=self.workers,
            cache=_cache_folder() if self.cache else None,
            trajectory=bool(self.trajectory),
        )


def _cache_folder() -> Path:
    """Where results are kept: their keys are of contents, so that all runs may share them."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "leastwork" / "commands"

"""An observable that another program computes: it reads structures from a PDB file and writes a table

    structures.pdb, one model a structure, Å  →  program  →  values.csv, a line of names and a row for each structure

Where the program reads trajectories, structures.xtc holds all structures, in nm, and structures.pdb the first of them.
Each call runs in a folder of its own, which is deleted afterwards, with copies of the files that the program needs.
The program is executed with the rights of the user. It is a black box: no method differentiates it.
"""

import math
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.function import Observable
from leastwork.support.csv_rows import as_number, cells, numbered
from leastwork.support.data_text import data_text
from leastwork.support.extras import needs
from leastwork.support.text import plural, quoted
from leastwork.support.worked_in_batches import InBatches

__all__ = ["STRUCTURES", "TRAJECTORY", "VALUES", "command"]

STRUCTURES = "structures.pdb"
"""The file that the program reads."""
TRAJECTORY = "structures.xtc"
"""The file beside it for a program that reads trajectories."""
VALUES = "values.csv"
"""The file that the program writes."""

_ATOM = "ATOM  {:5d} {:<4s} {:>3s} A{:4d}    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00          {:>2s}"
_LAST_LINES = 300  # characters of what the program says that stand in a message


def command(
    arguments: Sequence[str],
    names: Sequence[str],
    *,
    files: Sequence[Path] = (),
    atoms: Sequence[tuple[str, str, int]] | None = None,
    to_angstrom: float = 10.0,
    unit: str | tuple[str, ...] = "",
    seconds: float = 600.0,
    batch: int = 256,
    workers: int = 1,
    cache: Path | None = None,
    trajectory: bool = False,
) -> Observable:
    """An observable that a program computes from a PDB file.

    Args:
        arguments: the program and its arguments; it is started in the folder that holds ``structures.pdb``.
        names: names of the columns of ``values.csv`` that are taken, in any order there.
        files: files that are copied into the folder, such as the program itself.
        atoms: name of the atom, of the residue, and the residue's number of each atom; by default Cα of alanines.
        to_angstrom: Å in a unit of the model's coordinates, 10 for nm.
        unit: the unit of all columns, or one for each.
        seconds: time that one call may take.
        batch: largest number of structures in a call.
        workers: number of programs that run at a time.
        cache: a folder for results, by the content of structures, files and arguments; None to keep none.
        trajectory: whether the structures are in ``structures.xtc``, and the first of them alone in the PDB file; takes
            mdtraj, the extra ``protein``.

    Calls raise LeastworkError if the program cannot be started, ends with an error or after its time, or writes another
    number of rows than there are structures.
    """
    program = _Program(
        tuple(arguments), tuple(names), tuple(files), None if atoms is None else tuple(atoms), to_angstrom, seconds
    )
    if trajectory:
        needs("mdtraj", "protein")
        program = _WithTrajectory(**vars(program))
    identity = "\n".join([repr(program), *(sha256(Path(file).read_bytes()).hexdigest() for file in files)])
    return Observable(_OfStructures(InBatches(program, batch, workers, cache, identity)), tuple(names), unit, False)


@dataclass(frozen=True)
class _OfStructures:
    """States (B, A, 3) as rows for a program."""

    run: InBatches

    def __call__(self, x: Tensor) -> NDArray[np.float64]:
        return self.run(x.to("cpu").double().numpy())


@dataclass(frozen=True)
class _Program:
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    files: tuple[Path, ...]
    atoms: tuple[tuple[str, str, int], ...] | None
    to_angstrom: float
    seconds: float

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if x.ndim != 3 or x.shape[2] != 3:
            raise LeastworkError(f"{self._name} reads structures (A, 3), and states are of shape {x.shape[1:]}")
        with tempfile.TemporaryDirectory(prefix="leastwork-") as place:
            folder = Path(place)
            for file in self.files:
                shutil.copy(file, folder / file.name)
            self._write(folder, x)
            self._run(folder)
            return self._values(folder / VALUES, len(x))

    def _write(self, folder: Path, x: NDArray[np.float64]) -> None:
        (folder / STRUCTURES).write_text(self._pdb(x))

    @property
    def _name(self) -> str:
        return quoted(" ".join(self.arguments))

    def _run(self, folder: Path) -> None:
        """The program to its end; all of its processes end with it."""
        with (folder / "said.txt").open("wb") as said:
            try:
                process = subprocess.Popen(
                    self.arguments, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise LeastworkError(
                    f"{self._name} cannot be started ({error.strerror}): check that the program is installed or among "
                    "the files"
                ) from error
            try:
                code = process.wait(self.seconds)
            except subprocess.TimeoutExpired:
                raise LeastworkError(
                    f"{self._name} took longer than its {self.seconds:g} s and was ended: give it more seconds, or "
                    "fewer structures in a batch"
                ) from None
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if code:
            last = (folder / "said.txt").read_text(errors="replace").strip()[-_LAST_LINES:]
            raise LeastworkError(
                f"{self._name} ended with code {code}{f': {last.splitlines()[-1]}' if last else ''}: try it by hand on "
                f"a {STRUCTURES}"
            )

    def _values(self, path: Path, count: int) -> NDArray[np.float64]:
        if not path.is_file():
            raise LeastworkError(f"{self._name} wrote no {VALUES}: let it write one, a row for each structure")
        lines = numbered(data_text(path))
        head = cells(lines[0][1]) if lines else []
        for name in self.names:
            if name not in head:
                raise LeastworkError(f"{self._name} wrote a {VALUES} without a column {quoted(name)}: it has {head}")
        if len(lines) - 1 != count:
            raise LeastworkError(
                f"{self._name} wrote {plural(len(lines) - 1, 'row')} for {plural(count, 'structure')}: let it write a "
                "row for each model of the PDB file, in order"
            )
        at = [head.index(name) for name in self.names]
        rows = [cells(line) for _, line in lines[1:]]
        return np.array([[self._number(row[k] if k < len(row) else "") for k in at] for row in rows])

    @staticmethod
    def _number(cell: str) -> float:
        """A number; a cell that is none is NaN, which names the structure where observables are evaluated."""
        found = as_number(cell)
        return math.nan if found is None else found

    def _pdb(self, x: NDArray[np.float64]) -> str:
        count = x.shape[1]
        atoms = self.atoms or tuple(("CA", "ALA", i) for i in range(1, count + 1))
        if len(atoms) != count:
            raise LeastworkError(f"{plural(len(atoms), 'atom')} with names for structures of {count}: name each")
        scaled = self.to_angstrom * x
        if count > 99_999 or not np.abs(scaled).max() < 9999:
            raise LeastworkError(
                f"{self._name} reads PDB, which has no columns for coordinates beyond 9999 Å: check the unit of length"
            )
        lines = []
        for number, structure in enumerate(scaled.tolist(), 1):
            lines.append(f"MODEL     {number:4d}")
            for i, ((name, residue, at), place) in enumerate(zip(atoms, structure, strict=True), 1):
                padded = name if len(name) > 3 else f" {name}"
                lines.append(_ATOM.format(i, padded, residue, at, *place, name.lstrip("0123456789")[:1]))
            lines.append("ENDMDL")
        return "\n".join([*lines, "END"]) + "\n"


@dataclass(frozen=True)
class _WithTrajectory(_Program):
    """A program that reads a trajectory."""

    def _write(self, folder: Path, x: NDArray[np.float64]) -> None:
        super()._write(folder, x[:1])
        with needs("mdtraj", "protein").formats.XTCTrajectoryFile(str(folder / TRAJECTORY), "w") as file:
            file.write((0.1 * self.to_angstrom * x).astype(np.float32))

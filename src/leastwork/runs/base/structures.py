"""Structures in the files of the field: Cα atoms of whatever mdtraj reads, and PDB + XTC for a viewer, in nm inside.

Cα atoms of neighbouring residues are 0.38 nm apart. That tells Å from nm, and a whole molecule from one that is broken
across the walls of its box.
"""

import os
import struct
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.alignment import superposed
from leastwork.geometry.state import EventShape
from leastwork.runs.base.rows import atom_count, read_rows
from leastwork.support.extras import needs
from leastwork.support.files import write_text, writing

__all__ = ["read_structure", "read_structures", "write_structures"]

_WITH_ATOM_NAMES = (".pdb", ".pdb.gz", ".cif", ".cif.gz", ".gro")  # they name their atoms
_COORDINATES_ONLY = (".xtc", ".trr", ".dcd", ".nc")  # they do not
_BOND = 0.38  # nm
_POSSIBLE_BONDS = (0.1, 1.0)  # nm, what is taken for a distance of neighbours, however strained
_CHUNK = 1000  # frames with all of their atoms in memory at a time
_MODELS = 100  # in a PDB that stands in for a trajectory
_MOST_NM = 999.0  # nm, what the columns of a PDB hold

_Read = TypeVar("_Read")


def read_structures(file: Path, atoms: int | None = None, topology: Path | None = None) -> Tensor:
    """The Cα atoms of all frames, (n, A, 3), float64, nm.

    Args:
        file: PDB of one or more models, mmCIF or GRO; or XTC, TRR, DCD or NetCDF, which need a topology.
        atoms: A, where it is known.
        topology: a file, such as a PDB, that names the atoms of ``file``.

    Raises:
        ConfigError: a file that does not hold such structures; says where in it.
        LeastworkError: mdtraj is not installed.
    """
    for one, what in ((file, "structures"), (topology, "topology")):
        if one is not None and not os.path.isfile(one):
            raise ConfigError(f"{one}: there is no such file of {what}, give its path relative to the run file")
    name = file.name.lower()
    if not name.endswith(_WITH_ATOM_NAMES + _COORDINATES_ONLY):
        raise ConfigError(
            f"{file} is of no kind read here: give PDB, mmCIF or GRO, or XTC, TRR, DCD or NetCDF with a topology"
        )
    if name.endswith(_COORDINATES_ONLY) and topology is None:
        raise ConfigError(f"{file} does not name its atoms: give a topology, such as a PDB of the same atoms")
    if name.endswith(_WITH_ATOM_NAMES) and topology is not None:
        raise ConfigError(f"{file} names its atoms itself: leave out the topology {topology}")
    mdtraj = needs("mdtraj", "protein")
    if topology is None:
        whole = _attempt(lambda: mdtraj.load(str(file)), file)
        named, chosen = whole.topology, _alpha_carbons(whole.topology, file, atoms)
        x = whole.xyz[:, chosen]
    else:
        named = _attempt(lambda: mdtraj.load_topology(str(topology)), topology)
        chosen = _alpha_carbons(named, topology, atoms)
        _same_atoms(mdtraj, file, topology, named.n_atoms)
        x = _attempt(lambda: _chosen(mdtraj, file, named, chosen), file)
    _whole_trajectory(file, len(x))
    _credible(x, _neighbours(named, chosen), file)
    return torch.from_numpy(x.astype(np.float64))


def write_structures(folder: Path, name: str, x: Tensor, sequence: Sequence[str]) -> str | None:
    """NAME.pdb with the first structure and NAME.xtc with all, superposed on the first about its centroid.

    Without mdtraj there is no XTC, and the PDB holds a hundred structures at most, as models.

    Args:
        folder: where; made if need be. Files are written whole or not at all.
        name: name of the files, without their endings.
        x: Cα atoms, (n, A, 3), nm.
        sequence: residues by their codes of up to three letters, (A,).

    Returns:
        A sentence that says what is missing, if anything is.

    Raises:
        LeastworkError: no structures, structures that are not finite or do not fit the sequence or the format.
    """
    if x.ndim != 3 or x.shape[2] != 3 or len(x) == 0:
        raise LeastworkError(f"{name} of shape {tuple(x.shape)} are no structures to write: pass (n, A, 3), n >= 1")
    if len(sequence) != x.shape[1]:
        raise LeastworkError(f"{len(sequence)} residues for {x.shape[1]} atoms of {name}: give one for each")
    for residue in sequence:
        if not (residue.isalnum() and residue.isascii() and len(residue) <= 3):
            raise LeastworkError(f"{residue!r} is no residue of a PDB: give codes of up to three letters, such as TYR")
    bad = (~x.flatten(1).isfinite().all(dim=1)).nonzero()
    if len(bad):
        raise LeastworkError(f"structure {int(bad[0])} of {name} is NaN or infinite: it cannot be written")
    try:
        mdtraj = needs("mdtraj", "protein")
    except LeastworkError as missing:
        models = superposed(x[:_MODELS], x[0])
        write_text(folder / f"{name}.pdb", _pdb(models, sequence))
        return f"{name}.pdb holds the first {len(models)} of {len(x)} structures and there is no {name}.xtc: {missing}"
    together = superposed(x, x[0])
    write_text(folder / f"{name}.pdb", _pdb(together[:1], sequence))
    with (
        writing(folder / f"{name}.xtc") as temporary,
        mdtraj.formats.XTCTrajectoryFile(str(temporary), "w") as trajectory,
    ):
        trajectory.write(together.to(torch.float32).numpy())
    return None


def _attempt(read: Callable[[], _Read], file: Path) -> _Read:
    """The result of reading a file; an error says in one sentence why it cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dummy unit cells, and of files that mdtraj leaves open when it gives up
        try:
            return read()
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            # others than these are a parser's own stumbling, which tells a user nothing
            reason = f" ({first})" if first and isinstance(error, OSError | RuntimeError | ValueError) else ""
    raise ConfigError(f"{file} cannot be read{reason}: it is cut off, damaged or no file of this kind, write it anew")


def _chosen(mdtraj: Any, file: Path, topology: Any, chosen: list[int]) -> np.ndarray:
    parts = [part.xyz[:, chosen] for part in mdtraj.iterload(str(file), chunk=_CHUNK, top=topology)]
    return np.concatenate(parts) if parts else np.empty((0, len(chosen), 3), dtype=np.float32)


def _alpha_carbons(topology: Any, file: Path, atoms: int | None) -> list[int]:
    found = [atom.index for atom in topology.atoms if atom.name == "CA" and atom.residue.name != "CA"]  # calcium
    if not found:
        raise ConfigError(f"{file} has no Cα among its {topology.n_atoms} atoms: they must be there and be named CA")
    if atoms is not None and len(found) != atoms:
        raise ConfigError(
            f"{file} has {len(found)} Cα atoms, but a state of the model has {atoms}: give the same residues"
        )
    return found


def _same_atoms(mdtraj: Any, file: Path, topology: Path, known: int) -> None:
    def count() -> int | None:
        with mdtraj.open(str(file)) as trajectory:
            first = trajectory.read(n_frames=1)[0]
        return first.shape[1] if len(first) else None

    held = _attempt(count, file)
    if held is not None and held != known:
        raise ConfigError(f"{file} has {held} atoms and its topology {topology} {known}: give one of the same atoms")


def _whole_trajectory(file: Path, frames: int) -> None:
    """Refuse a file without frames, and a DCD with fewer frames than it announces, which is read without complaint."""
    if frames == 0:
        raise ConfigError(f"{file} holds no frames: give one with structures")
    if file.suffix.lower() != ".dcd":
        return
    with file.open("rb") as opened:
        head = opened.read(12)
    if head[4:8] != b"CORD":
        return
    order = "<" if head[:4] == struct.pack("<i", 84) else ">"
    (promised,) = struct.unpack(f"{order}i", head[8:12])
    if frames < promised:
        raise ConfigError(f"{file} is cut off, it holds {frames} of {promised} frames: write it anew")


def _neighbours(topology: Any, chosen: list[int]) -> list[int]:
    """The chosen atoms, by their number among these, that the next one follows along the chain without a gap."""
    residues = [topology.atom(index).residue for index in chosen]
    return [
        i
        for i, (one, other) in enumerate(pairwise(residues))
        if one.chain.index == other.chain.index and other.resSeq - one.resSeq == 1
    ]


def _credible(x: np.ndarray, neighbours: list[int], file: Path) -> None:
    """Check that structures are finite, in nm, and in one piece."""
    wrong = ~np.isfinite(x).all(axis=(1, 2))
    if wrong.any():
        raise ConfigError(
            f"{file}: frame {int(wrong.argmax())}, counted from 0, is NaN or infinite: mend it or leave it out"
        )
    if not neighbours:
        return
    first = np.array(neighbours)
    lengths = np.linalg.norm(x[:, first + 1].astype(np.float64) - x[:, first], axis=2)
    typical = float(np.median(lengths))
    if 5 < typical / _BOND < 20:
        raise ConfigError(
            f"{file}: neighbouring Cα atoms are {typical:.3g} nm apart, ten times too far: its lengths are Å where the "
            "format has nm, divide them by ten"
        )
    if 5 < _BOND / max(typical, 1e-9) < 20:
        raise ConfigError(
            f"{file}: neighbouring Cα atoms are {typical:.3g} nm apart, ten times too near: its lengths are nm where "
            "the format has Å, multiply them by ten"
        )
    broken = (lengths < _POSSIBLE_BONDS[0]) | (lengths > _POSSIBLE_BONDS[1])
    if broken.any():
        frame, bond = (int(i) for i in np.argwhere(broken)[0])
        raise ConfigError(
            f"{file}: in frame {frame}, counted from 0, the neighbouring Cα atoms {neighbours[bond]} and "
            f"{neighbours[bond] + 1} are {lengths[frame, bond]:.3g} nm apart: make molecules whole that a box has "
            "broken, or leave the frame out"
        )


def _pdb(x: Tensor, sequence: Sequence[str]) -> str:
    """PDB, version 3.3, of Cα atoms; as models where there are several. The trace is written as bonds."""
    if len(sequence) > 9999 or float(x.abs().max()) > _MOST_NM:
        raise LeastworkError("a PDB has no columns for so large a structure: is it in nm?")
    lines = []
    for number, structure in enumerate((10 * x).tolist(), 1):
        atoms = [
            f"ATOM  {i:5d}  CA  {residue.upper():>3s} A{i:4d}    {p:8.3f}{q:8.3f}{r:8.3f}  1.00  0.00           C  "
            for i, (residue, (p, q, r)) in enumerate(zip(sequence, structure, strict=True), 1)
        ]
        last = len(sequence)
        atoms.append(f"TER   {last + 1:5d}      {sequence[-1].upper():>3s} A{last:4d}")
        lines += atoms if len(x) == 1 else [f"MODEL     {number:4d}", *atoms, "ENDMDL"]
    lines += [f"CONECT{i:5d}{i + 1:5d}" for i in range(1, len(sequence))]
    return "\n".join([*(line.ljust(80) for line in lines), "END".ljust(80)]) + "\n"


def read_structure(file: Path, event_shape: EventShape) -> Tensor:
    """A structure that states are compared with.

    Args:
        file: CSV with one atom a row, data units, or a file for :func:`read_structures`, nm.
        event_shape: shape of the model's states, (A, 3).

    Returns:
        Tensor: (A, 3), float64.

    Raises:
        ConfigError: a file that does not hold just one structure of A atoms; says where in it.
    """
    atoms = atom_count(event_shape, "observables")
    if file.suffix.lower() != ".csv":
        found = read_structures(file, atoms)
        if len(found) > 1:
            raise ConfigError(f"{file} holds {len(found)} structures: keep the one that is to be compared with")
        return found[0]
    if not os.path.isfile(file):
        raise ConfigError(f"{file}: there is no such file of structures, give its path relative to the run file")
    x = read_rows(file, 3, "an atom has 3: give one atom a row")
    if len(x) != atoms:
        raise ConfigError(f"{file} has {len(x)} atoms, but a state of the model has {atoms}: give one a row")
    if not bool(x.isfinite().all()):
        raise ConfigError(f"{file}: the structure is NaN or infinite somewhere: mend it")
    return x

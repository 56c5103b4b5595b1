"""Samples of BioEmu as its users expect them, topology.pdb and samples.xtc of N, Cα, C′, Cβ and O, with a report.

    Cα_i–Cα_{i+1} < 0.45 nm        C′_i–N_{i+1} < 0.20 nm        no two residues |i − j| ≥ 3 nearer than 0.10 nm

are the package's criteria of a physical structure. Here they are counted, with the 95 % interval of a count k of n
(Wilson, J. Am. Stat. Assoc. 22, 209, 1927), and nothing is left out: dropping samples changes their weights.
"""

import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwork.adapters.wrapping import package
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.frames import are_frames
from leastwork.geometry.state import State, all_finite
from leastwork.observables.frames import check_nanometres
from leastwork.support.files import TEMPORARY, copy_file

__all__ = ["Physicality", "check_sequence", "theirs", "write_bioemu"]

_CHUNK = 500  # structures in memory at a time with all of their atoms
_LARGEST = 99.0  # nm from the centroid, what the columns of a PDB hold with a sign
_CRITERIA = ("Cα–Cα < 0.45 nm", "C′–N < 0.20 nm", "no clash < 0.10 nm")
_Z = 1.96


def theirs(module: str) -> Any:
    """A module of the package.

    Raises:
        ConfigError: it is not installed; says which command does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that it imports, about themselves
        return package(f"bioemu.{module}", "bioemu")


@dataclass(frozen=True, eq=False)
class Physicality:
    """Results of the package's criteria of physical structures.

    Args:
        meets: for each criterion, whether each structure meets it, bool (n,).

    >>> Physicality({"a": torch.tensor([True, False, True, True])})
    4 structures, of which meet
      a                      3  75.0 % (30.1 to 95.4 %)
      all                    3  75.0 % (30.1 to 95.4 %)
    """

    meets: Mapping[str, Tensor]

    @property
    def physical(self) -> Tensor:
        """Whether each structure meets all criteria, bool (n,)."""
        return torch.stack(list(self.meets.values())).all(dim=0)

    @property
    def fractions(self) -> dict[str, tuple[float, float, float]]:
        """Of structures that meet each criterion, and all: the fraction, and its 95 % interval."""
        return {name: _wilson(int(met.sum()), len(met)) for name, met in {**self.meets, "all": self.physical}.items()}

    def __repr__(self) -> str:
        n = len(self.physical)
        lines = [f"{n} structures, of which meet"]
        for name, (fraction, low, high) in self.fractions.items():
            count, interval = round(fraction * n), f"({100 * low:.1f} to {100 * high:.1f} %)"
            lines.append(f"  {name:18s} {count:5d}  {100 * fraction:.1f} % {interval}")
        return "\n".join(lines)


def write_bioemu(ensemble: Any, sequence: str, folder: str | Path) -> Physicality:
    """Write ``topology.pdb``, with the first structure, and ``samples.xtc``, with all, superposed on the first.

    Args:
        ensemble: an ensemble of a model of frames, or its states: positions (n, N, 3), nm, and rotations (n, N, 3, 3).
        sequence: N one-letter codes.
        folder: the folder, made if it does not exist. Files are written completely or not at all.

    Returns:
        Physicality: which samples are physical. To write only these, select them by ``physical = report.physical``,
            ``(x[0][physical], x[1][physical])``.

    Raises:
        LeastworkError: no frames, of another length than the sequence, not finite, in Å, or too large for a PDB.
        ConfigError: bioemu is not installed.
    """
    x = getattr(ensemble, "x", ensemble)
    convert = theirs("convert_chemgraph")
    positions, rotations = _check_frames(x, sequence)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=TEMPORARY) as hidden:
        pdb, xtc = Path(hidden) / "topology.pdb", Path(hidden) / "samples.xtc"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a PDB without a unit cell
            convert.save_pdb_and_xtc(positions[:1], rotations[:1], sequence, pdb, xtc, filter_samples=False)
            met = list(_write(convert, positions, rotations, sequence, pdb, xtc))
        for file in (pdb, xtc):
            copy_file(file, folder / file.name)
    return Physicality({name: torch.cat(parts) for name, parts in zip(_CRITERIA, zip(*met, strict=True), strict=True)})


def _write(
    convert: Any, positions: Tensor, rotations: Tensor, sequence: str, pdb: Path, xtc: Path
) -> Iterator[tuple[Tensor, ...]]:
    """Write all structures into the trajectory, chunk by chunk; yields whether each meets the criteria."""
    mdtraj = package("mdtraj", "bioemu")
    first = mdtraj.load(str(pdb))
    with mdtraj.formats.XTCTrajectoryFile(str(xtc), "w") as trajectory:
        for start in range(0, len(positions), _CHUNK):
            part = slice(start, start + _CHUNK)
            atoms = [_atoms(convert, p, r, sequence) for p, r in zip(positions[part], rotations[part], strict=True)]
            frames = mdtraj.Trajectory(np.stack(atoms), first.topology)
            yield tuple(torch.from_numpy(met) for met in convert._filter_unphysical_traj_masks(frames))
            if start == 0:
                first = frames[0]
            frames.superpose(first)
            number = np.arange(start, start + len(frames))
            trajectory.write(frames.xyz, step=number.astype(np.int32), time=number.astype(np.float32))


def _atoms(convert: Any, positions: Tensor, rotations: Tensor, sequence: str) -> np.ndarray:
    """All atoms of one structure about its centroid, (A, 3), nm."""
    atoms, mask, _ = convert.get_atom37_from_frames(10 * positions, rotations, sequence)  # which takes and gives Å
    return 0.1 * atoms.reshape(-1, 3)[mask.flatten().bool()].numpy()


def _check_frames(x: State, sequence: str) -> tuple[Tensor, Tensor]:
    """Positions about their centroid and rotations, float32 on the CPU."""
    if not are_frames(x) or len(x[0]) == 0:
        shape = tuple(tuple(leaf.shape) for leaf in x) if isinstance(x, tuple) else tuple(x.shape)
        raise LeastworkError(
            f"a state of shape {shape} has no frames to write: give positions (n, N, 3), rotations (n, N, 3, 3), n >= 1"
        )
    positions, rotations = (leaf.detach().to("cpu", torch.float32) for leaf in x)
    if len(sequence) != positions.shape[1]:
        raise LeastworkError(f"a sequence of {len(sequence)} residues for {positions.shape[1]} frames: give theirs")
    check_sequence(sequence)
    if len(sequence) < 4:
        raise LeastworkError(f"a chain of {len(sequence)} residues is too short for the criteria: write it yourself")
    bad = (~all_finite((positions, rotations))).nonzero()
    if len(bad):
        raise LeastworkError(f"structure {int(bad[0])} is NaN or infinite: it cannot be written")
    check_nanometres(positions)
    off = (rotations @ rotations.mT - torch.eye(3)).abs().amax(dim=(1, 2, 3))
    if float(off.max()) > 1e-2:
        raise LeastworkError(f"the rotations of structure {int(off.argmax())} are no rotations: R Rᵀ is not 1")
    positions = positions - positions.mean(dim=1, keepdim=True)
    reach = positions.abs().amax(dim=(1, 2))
    large = (reach > _LARGEST).nonzero()[:, 0]
    if len(large):
        raise LeastworkError(
            f"{len(large)} of {len(reach)} structures, the first at index {int(large[0])}, reach up to "
            f"{float(reach.max()):.3g} nm from their centroid, and a PDB holds {_LARGEST:g} nm: look at them, and "
            "leave them out by hand"
        )
    return positions, rotations


def check_sequence(sequence: str) -> None:
    """Raise an error unless the sequence consists of capital letters of the twenty residues."""
    known = "ACDEFGHIKLMNPQRSTVWY"
    place = next((i for i, letter in enumerate(sequence) if letter not in known), None)
    if place is not None:
        raise ConfigError(f"residue {place + 1} of the sequence is {sequence[place]!r}: use the letters {known}")
    if not sequence:
        raise ConfigError("the sequence is empty: give one letter for each residue")


def _wilson(count: int, n: int) -> tuple[float, float, float]:
    """The fraction k/n, and the ends of its 95 % interval."""
    p, square = count / n, _Z**2 / n
    centre, half = (p + square / 2) / (1 + square), _Z * math.sqrt(p * (1 - p) / n + square / (4 * n)) / (1 + square)
    return p, max(centre - half, 0.0), min(centre + half, 1.0)

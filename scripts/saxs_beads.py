"""The table of residue beads from structures: `python scripts/saxs_beads.py FILE.pdb …` prints a line for each residue.

Beads are the centres of mass of the electrons of residues, averaged in the frame of the Cα trace; amplitudes are those
of their atomic groups, averaged over orientations, and fitted up to q = 0.3 1/Å. The table in the package is of 40
structures from the Protein Data Bank, files of ``data/dssp`` in the tests of MDAnalysis 2.11; of the 20 that it is
judged by, eleven are other files of that folder.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # the benchmarks are beside this folder, and not installed

from benchmarks.united_atoms import Residue, amplitude, chains, read

from leastwork.observables.residue_beads import WATER_DENSITY

Q = np.linspace(0.0, 0.3, 31)


def in_frame(before: Residue, residue: Residue, after: Residue) -> np.ndarray:
    """Positions of the atoms in the frame (e_u, e_v, e_u × e_v) at Cα, (n, 3)."""
    a, b = residue.ca - before.ca, after.ca - residue.ca
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    u, v = a - b, np.cross(a, b)
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return (residue.x - residue.ca) @ np.array([u, v, np.cross(u, v)]).T


def line(letter: str, groups: tuple[str, ...], copies: np.ndarray) -> str:
    """A row of the table, without the area; ``copies`` are the positions of the atoms, (copies, n, 3)."""
    clouds, waters = (np.array(part) for part in zip(*(amplitude(group, Q) for group in groups), strict=True))
    share = clouds[:, 0] / clouds[:, 0].sum()
    centre = (share @ copies).mean(axis=0)
    apart = np.linalg.norm(copies - centre, axis=2)
    sinc = np.sinc(Q * apart[..., None] / np.pi).mean(axis=0)
    cloud, water = (clouds * sinc).sum(axis=0), (waters * sinc).sum(axis=0)
    pairs = np.linalg.norm(copies[:, :, None] - copies[:, None], axis=3)
    both = np.sinc(Q * pairs[..., None] / np.pi).mean(axis=0)
    contrast = clouds - waters
    itself = np.einsum("iq,ijq,jq->q", contrast, both, contrast) - (cloud - water) ** 2
    radii = [(-6 * np.polyfit(Q**2, np.log(curve / curve[0]), 1)[0]) ** 0.5 for curve in (cloud, water)]
    dipole = (3 * np.dot(itself, Q**2) / np.dot(Q**2, Q**2)) ** 0.5
    volume = water[0] / WATER_DENSITY
    return (
        f'"{letter}": Bead({centre[0]:.2f}, {centre[1]:.2f}, {cloud[0]:.0f}, {volume:.2f}, {radii[0]:.2f}, '
        f"{radii[1]:.2f}, {dipole:.1f}, …),  # {len(copies)} residues"
    )


def main(files: list[str]) -> None:
    copies: dict[str, list[np.ndarray]] = defaultdict(list)
    groups: dict[str, tuple[str, ...]] = {}
    for file in files:
        for chain in chains(read(Path(file))):
            for before, residue, after in zip(chain, chain[1:], chain[2:], strict=False):
                copies[residue.letter].append(in_frame(before, residue, after))
                groups[residue.letter] = residue.groups
    for letter, found in copies.items():
        print(line(letter, groups[letter], np.array(found)))


if __name__ == "__main__":
    main(sys.argv[1:])

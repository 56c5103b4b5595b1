"""Proteins of PDB files as atomic groups with their hydrogens: names, form factors and displaced volumes.

Groups and volumes are those of Fraser, MacRae & Suzuki (J. Appl. Cryst. 11, 693, 1978), form factors those of the
International Tables (vol. C, table 6.1.1.4).
"""

import gzip
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from leastwork.observables.residue_beads import WATER_DENSITY

__all__ = ["ONE_LETTER", "Residue", "amplitude", "chains", "read"]

ONE_LETTER = {
    "ALA": "A", "ARG": "R", "ASN": "N", "ASP": "D", "CYS": "C", "GLN": "Q", "GLU": "E", "GLY": "G", "HIS": "H",
    "ILE": "I", "LEU": "L", "LYS": "K", "MET": "M", "PHE": "F", "PRO": "P", "SER": "S", "THR": "T", "TRP": "W",
    "TYR": "Y", "VAL": "V",
}  # fmt: skip
_ALIAS = dict.fromkeys(("HIE", "HID", "HIP", "HSD", "HSE", "HSP"), "HIS") | {"CYX": "CYS", "CYM": "CYS"}
_OF_D = {
    "DAL": "a", "DAR": "r", "DSG": "n", "DAS": "d", "DCY": "c", "DGN": "q", "DGL": "e", "DHI": "h", "DIL": "i",
    "DLE": "l", "DLY": "k", "MED": "m", "DPN": "f", "DPR": "p", "DSN": "s", "DTH": "t", "DTR": "w", "DTY": "y",
    "DVA": "v",
}  # D residues, by small letters  # fmt: skip
_SIDE = {
    "A": "CB CH3",
    "R": "CB CH2 CG CH2 CD CH2 NE NH CZ C NH1 NH2 NH2 NH2",
    "N": "CB CH2 CG C OD1 O ND2 NH2",
    "D": "CB CH2 CG C OD1 O OD2 O",
    "C": "CB CH2 SG SH",
    "Q": "CB CH2 CG CH2 CD C OE1 O NE2 NH2",
    "E": "CB CH2 CG CH2 CD C OE1 O OE2 O",
    "G": "",
    "H": "CB CH2 CG C ND1 NH CD2 CH CE1 CH NE2 N",
    "I": "CB CH CG1 CH2 CG2 CH3 CD1 CH3",
    "L": "CB CH2 CG CH CD1 CH3 CD2 CH3",
    "K": "CB CH2 CG CH2 CD CH2 CE CH2 NZ NH3",
    "M": "CB CH2 CG CH2 SD S CE CH3",
    "F": "CB CH2 CG C CD1 CH CD2 CH CE1 CH CE2 CH CZ CH",
    "P": "CB CH2 CG CH2 CD CH2",
    "S": "CB CH2 OG OH",
    "T": "CB CH OG1 OH CG2 CH3",
    "W": "CB CH2 CG C CD1 CH CD2 C NE1 NH CE2 C CE3 CH CZ2 CH CZ3 CH CH2 CH",
    "Y": "CB CH2 CG C CD1 CH CD2 CH CE1 CH CE2 CH CZ C OH OH",
    "V": "CB CH CG1 CH3 CG2 CH3",
}
_VOLUME = {
    "C": 16.44, "CH": 21.59, "CH2": 26.74, "CH3": 31.89, "N": 2.49, "NH": 7.64, "NH2": 12.79, "NH3": 17.94,
    "O": 9.13, "OH": 14.28, "S": 19.86, "SH": 25.10,
}  # fmt: skip
_CROMER_MANN = {
    "C": ((2.3100, 1.0200, 1.5886, 0.8650), (20.8439, 10.2075, 0.5687, 51.6512), 0.2156),
    "N": ((12.2126, 3.1322, 2.0125, 1.1663), (0.0057, 9.8933, 28.9975, 0.5826), -11.529),
    "O": ((3.0485, 2.2868, 1.5463, 0.8670), (13.2771, 5.7011, 0.3239, 32.9089), 0.2508),
    "S": ((6.9053, 5.2034, 1.4379, 1.5863), (1.4679, 22.2151, 0.2536, 56.1720), 0.8669),
    "H": ((0.489918, 0.262003, 0.196767, 0.049879), (20.6593, 7.74039, 49.5519, 2.20159), 0.001305),
}
_BREAK = 4.3  # Å between Cα of consecutive residues


@dataclass(frozen=True)
class Residue:
    """A complete residue: its letter, small if it is D, its atoms' names and groups, and positions in Å, (n, 3)."""

    letter: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    x: np.ndarray

    @property
    def ca(self) -> np.ndarray:
        return self.x[self.names.index("CA")]


def read(file: Path) -> list[Residue]:
    """The complete residues of the first model, without hydrogens."""
    opened = gzip.open if file.suffix == ".gz" else open
    found: dict[tuple[str, ...], dict[str, list[float]]] = {}
    with opened(file, "rt") as lines:
        for line in lines:
            if line.startswith("ENDMDL"):
                break
            name = _ALIAS.get(line[17:20], line[17:20])
            letter = _OF_D.get(name) or (ONE_LETTER.get(name) if line.startswith("ATOM") else None)
            if line.startswith(("ATOM", "HETATM")) and line[16] in " A" and letter is not None:
                atoms = found.setdefault((line[21], line[22:27], line[72:76], letter), {})
                atoms[line[12:16].strip()] = [float(line[at : at + 8]) for at in (30, 38, 46)]
    residues = []
    for key, atoms in found.items():
        groups = _groups(key[-1])
        if groups.keys() <= atoms.keys():
            x = np.array([atoms[name] for name in groups])
            letter = key[-1].lower() if _is_d(atoms) else key[-1].upper()  # by structure: names often tell L of both
            residues.append(Residue(letter, tuple(groups), tuple(groups.values()), x))
    return residues


def _is_d(atoms: dict[str, list[float]]) -> bool:
    """Whether Cβ lies on the side of D residues; a glycine has none."""
    if "CB" not in atoms:
        return False
    n, c, cb = (np.subtract(atoms[name], atoms["CA"]) for name in ("N", "C", "CB"))
    return float(np.cross(n, c) @ cb) < 0


def chains(residues: list[Residue]) -> list[list[Residue]]:
    """Stretches of consecutive residues."""
    found = [residues[:1]]
    for before, after in pairwise(residues):
        if np.linalg.norm(after.ca - before.ca) > _BREAK:
            found.append([])
        found[-1].append(after)
    return found


def amplitude(group: str, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Form factor of a group, and that of the water that it displaces, (Q,) each, electrons; q in 1/Å."""
    hydrogens = {"H": 1, "2": 2, "3": 3}[group[-1]] if len(group) > 1 else 0
    volume = _VOLUME[group]
    displaced = WATER_DENSITY * volume * np.exp(-(q**2) * volume ** (2 / 3) / (4 * np.pi))
    return _atom(group[0], q) + hydrogens * _atom("H", q), displaced


def _atom(element: str, q: np.ndarray) -> np.ndarray:
    a, b, c = _CROMER_MANN[element]
    s2 = (q / (4 * np.pi)) ** 2
    return sum((x * np.exp(-y * s2) for x, y in zip(a, b, strict=True)), np.full_like(q, c))


def _groups(letter: str) -> dict[str, str]:
    """Names of the heavy atoms and their groups."""
    side, kind = _SIDE[letter.upper()].split(), letter.upper()
    backbone = {"N": "N" if kind == "P" else "NH", "CA": "CH2" if kind == "G" else "CH", "C": "C", "O": "O"}
    return backbone | dict(zip(side[::2], side[1::2], strict=True))

"""Names of the atoms of a model whose states are all atoms, from the first model of a PDB."""

from dataclasses import dataclass
from pathlib import Path

from leastwork.errors import ConfigError
from leastwork.support.files import readable

__all__ = ["NamedAtom", "named_atoms"]


@dataclass(frozen=True)
class NamedAtom:
    """An atom: its name, its residue's name, number and chain, as in the PDB."""

    name: str
    residue: str
    number: int
    chain: str = ""

    @property
    def element(self) -> str:
        """The letter of its element, by the name: H of 1HB, C of CA."""
        return self.name.lstrip("0123456789")[:1]


def named_atoms(file: Path) -> list[NamedAtom]:
    """The atoms of a PDB's first model, in order.

    Raises:
        ConfigError: the file cannot be read or names no atoms.
    """
    found = []
    for number, line in enumerate(readable(file).read_text(errors="replace").splitlines(), 1):
        if line.startswith("ENDMDL"):
            break
        if line.startswith(("ATOM", "HETATM")):
            try:
                of_residue = int(line[22:26])
            except ValueError:
                raise ConfigError(f"{file}, line {number}: the residue has no number: write PDB columns") from None
            found.append(NamedAtom(line[12:16].strip(), line[17:20].strip(), of_residue, line[21:22].strip()))
    if not found:
        raise ConfigError(f"{file} names no atoms: give a PDB with lines ATOM")
    return found

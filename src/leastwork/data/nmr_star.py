"""Scalar couplings in NMR-STAR 3 files, the format of the BMRB.

A file may be of several molecules: each row names those of its atoms by Entity_assembly_ID, the copy of a molecule in
the sample, or by Entity_ID, the kind of molecule. Couplings of one are read at a time.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leastwork.data.coupling import Coupling, measured, place, residue_of, text_of
from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.observables.couplings import (
    KINDS,
)
from leastwork.support.extras import needs
from leastwork.support.text import brief, plural, quoted

__all__ = ["read_nmr_star"]


# NMR-STAR

# By the two atoms and the number of residues by which the second precedes the first; the coupling is of the first's.
_KIND_OF_ATOMS = {
    ("H", "HA", 0): "3J(HN,HA)",
    ("H", "CB", 0): "3J(HN,CB)",
    ("H", "C", 0): "3J(HN,C')",
    ("HA", "C", 1): "3J(HA,C')",
    ("H", "CA", 1): "3J(HN,CA)",
    ("N", "CA", 0): "1J(N,CA)",
    ("N", "CA", 1): "2J(N,CA)",
}
_ATOMS = {"HN": "H", "CO": "C", "C'": "C"}  # by other names
_ABSENT = ("", ".", "?")
_MOLECULE = ("Entity_assembly_ID", "Entity_ID")
_VERSION_2 = re.compile(r"^\s*_Saveframe_category\s", re.MULTILINE | re.IGNORECASE)
_TAG_3 = re.compile(r"^\s*_Coupling_constant\.", re.MULTILINE | re.IGNORECASE)
_TAG = re.compile(r"\s*_Coupling_constant\.", re.IGNORECASE)


def read_nmr_star(
    path: Path, default: float | None, molecule: str | None = None
) -> tuple[tuple[Coupling, ...], tuple[str, ...]]:
    """The couplings of a file, or of one of its molecules, and sentences on those of an unknown kind."""
    text = text_of(path, default)
    if _VERSION_2.search(text) and not _TAG_3.search(text):
        raise ConfigError(
            f"{path}: this is NMR-STAR 2.1, which names the columns of couplings otherwise: give the entry in NMR-STAR "
            "3, in which the BMRB has it too, or a CSV"
        )
    pynmrstar = needs("pynmrstar", "nmr")
    try:
        loops = pynmrstar.Entry.from_string(text).get_loops_by_category("Coupling_constant")
    except Exception as problem:  # the parser stumbles over damaged files with errors of many kinds
        where = place(path, getattr(problem, "line_number", None))
        told = (
            f" ({brief(getattr(problem, 'message', problem)).rstrip('.')})" if isinstance(problem, ValueError) else ""
        )
        raise ConfigError(f"{where}: this is no NMR-STAR file{told}: correct it, or give a CSV") from None
    if not any(loop.data for loop in loops):
        raise ConfigError(f"{path}: there are no couplings, that is no rows of a loop _Coupling_constant: give a CSV")
    rows, unknown, molecules = [], [], []
    for loop, lines in zip(loops, _lines_of(text, [len(loop.data) for loop in loops]), strict=True):
        tags = [tag.lower() for tag in loop.tags]
        for values, line in zip(loop.data, lines, strict=True):
            cell = _Cells(dict(zip(tags, values, strict=True)))
            own = tuple(cell(*(f"{tag}_{k}" for tag in _MOLECULE)) for k in "12")
            if molecule is not None and set(own) != {molecule}:
                molecules.append(own)
                continue
            row = _star_row(cell, default, line, place(path, line))
            if isinstance(row, Coupling) and own[0] != own[1]:
                at = "" if line is None else f" in line {line}"
                row = f"{row.name}{at}, between the molecules {own[0]} and {own[1]}"
            if isinstance(row, Coupling):
                rows.append(row)
                molecules.append(own)
            else:
                unknown.append(row)
    _one_molecule(path, molecule, rows, [name for own in molecules for name in own])
    if unknown:
        listed = "; ".join(unknown)
        if not rows:
            raise ConfigError(f"{path}: there are no couplings of a known kind, {', '.join(KINDS)}, but {listed}")
        warnings.warn(
            f"{path}: {plural(len(unknown), 'coupling')} of kinds that there is no relation for {_is(unknown)} left "
            f"out: {listed}",
            LeastworkWarning,
            stacklevel=4,
        )
    return tuple(rows), tuple(unknown)


def _one_molecule(path: Path, molecule: str | None, rows: Sequence[Coupling], molecules: Sequence[str]) -> None:
    """Check that the rows are of one molecule, the one that is asked for."""
    names = " and ".join(quoted(name) for name in dict.fromkeys(molecules) if name)
    if molecule is not None and not rows:
        others = f"it has those of {names}" if names else "it names no molecules"
        raise ConfigError(f"{path}: there are no couplings of a known kind of molecule {quoted(molecule)}: {others}")
    if molecule is None and len(set(molecules)) > 1:
        raise ConfigError(
            f"{path}: the couplings are of several molecules, {_MOLECULE[0]} or {_MOLECULE[1]} {names}: name one by "
            "molecule, and read each by itself"
        )


def _is(things: Sequence[Any]) -> str:
    return "is" if len(things) == 1 else "are"


def _lines_of(text: str, counts: Sequence[int]) -> list[list[int | None]]:
    """Line of each row of each loop if every row has its own line, else the line of the loop's last tag, else None."""
    lines = text.splitlines()
    found: list[list[int | None]] = []
    start = 0
    for count in counts:
        tags = [i for i in range(start, len(lines)) if _TAG.match(lines[i])]
        after = range(tags[0], len(lines)) if tags else range(0)
        stop = next((i for i in after if lines[i].strip().lower() == "stop_"), None)
        if stop is None:
            found.append([None] * count)
            continue
        last = max(i for i in tags if i < stop)
        filled = [i + 1 for i in range(last + 1, stop) if lines[i].strip() and not lines[i].lstrip().startswith("#")]
        found.append([*filled] if len(filled) == count else [last + 1] * count)
        start = stop + 1
    return found


@dataclass(frozen=True)
class _Cells:
    """The cells of a row by their tags in small letters; the first of several tags that has something counts."""

    row: Mapping[str, Any]

    def __call__(self, *tags: str) -> str:
        values = [str(self.row.get(tag.lower()) or "").strip() for tag in tags]
        return next((value for value in values if value not in _ABSENT), "")


def _star_row(cell: _Cells, default: float | None, line: int | None, where: str) -> Coupling | str:
    """A coupling, or a description of a coupling for which there is no relation."""
    atoms = []
    for k in ("1", "2"):
        name = cell(f"Atom_ID_{k}").upper()
        if not name:
            raise ConfigError(f"{where}: the coupling has no Atom_ID_{k}: name both of its atoms")
        residue = residue_of(cell(f"Comp_index_ID_{k}", f"Seq_ID_{k}"), f"the atom {name}", where)
        atoms.append((_ATOMS.get(name, name), residue))
    for (a, i), (b, j) in (atoms, atoms[::-1]):
        kind = _KIND_OF_ATOMS.get((a, b, i - j))
        if kind is not None:
            bonds = re.match(r"\d", cell("Code"))
            if bonds and bonds[0] != kind[0]:
                raise ConfigError(
                    f"{where}: the code is {cell('Code')} but the atoms {a} {i} and {b} {j} have {kind}: correct one"
                )
            value, error = measured(f"{kind} of residue {i}", cell("Val"), cell("Val_err"), default, where)
            return Coupling(kind, i, value, error, line=line)
    (a, i), (b, j) = atoms
    at = "" if line is None else f" in line {line}"
    return f"{cell('Code') or 'a coupling'} of {a} {i} and {b} {j}{at}"

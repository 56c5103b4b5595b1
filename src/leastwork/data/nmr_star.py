"""Scalar couplings in NMR-STAR files, the format of the BMRB."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leastwork.data.coupling import Coupling, measured, place, residue_of, text_of
from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.observables.couplings import (
    KINDS,
)
from leastwork.support.extras import needs
from leastwork.support.text import plural

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
_TAG = re.compile(r"\s*_Coupling_constant\.", re.IGNORECASE)


def read_nmr_star(path: Path, default: float | None) -> tuple[tuple[Coupling, ...], tuple[str, ...]]:
    """The couplings of a file, and sentences on those of an unknown kind."""
    text = text_of(path, default)
    pynmrstar = needs("pynmrstar", "nmr")
    try:
        loops = pynmrstar.Entry.from_string(text).get_loops_by_category("Coupling_constant")
    except ValueError as problem:
        raise ConfigError(f"{path}: this is no NMR-STAR file: {str(problem).rstrip('.')}") from None
    if not any(loop.data for loop in loops):
        raise ConfigError(f"{path}: there are no couplings, that is no rows of a loop _Coupling_constant: give a CSV")
    rows, unknown = [], []
    for loop, lines in zip(loops, _lines_of(text, [len(loop.data) for loop in loops]), strict=True):
        tags = [tag.lower() for tag in loop.tags]
        for values, line in zip(loop.data, lines, strict=True):
            row = _star_row(dict(zip(tags, values, strict=True)), default, line, place(path, line))
            (rows if isinstance(row, Coupling) else unknown).append(row)
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


def _star_row(row: dict[str, Any], default: float | None, line: int | None, where: str) -> Coupling | str:
    """A coupling, or a description of a coupling for which there is no relation."""

    def cell(*tags: str) -> str:
        values = [str(row.get(tag.lower()) or "").strip() for tag in tags]
        return next((value for value in values if value not in _ABSENT), "")

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

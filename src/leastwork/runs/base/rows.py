"""States as rows of numbers in CSV, and how many atoms a state has."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape

__all__ = ["atom_count", "read_rows"]


def atom_count(event_shape: EventShape, what: str) -> int:
    """A of structures, (A, 3)."""
    match event_shape:
        case (int(atoms), 3):
            return atoms
    raise ConfigError(
        f"{what}: a state of shape {event_shape} is no structure, (A, 3), such as files of structures hold"
    )


def read_rows(file: Path, size: int, wanted: str) -> Tensor:
    """(M, size), from lines that are not empty and no comments; the first of them may name the columns."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not text in UTF-8: give comma-separated numbers") from None
    numbered = [(i, line) for i, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    rows: list[list[float]] = []
    for number, line in numbered:
        cells = [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True))]
        if (number, line) == numbered[0] and not any(map(_is_number, cells)):
            continue  # names of the columns
        where = f"{file}, line {number}"
        if len(cells) != size:
            raise ConfigError(f"{where}: {len(cells)} numbers, but {wanted}")
        for cell in cells:
            if not _is_number(cell):
                raise ConfigError(f"{where}: {cell!r} is not a number: write one for each coordinate")
        rows.append([float(cell) for cell in cells])
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, size)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

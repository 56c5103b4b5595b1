"""States as rows of numbers in CSV, and how many atoms a state has."""

from pathlib import Path

import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape
from leastwork.support.csv_rows import as_number, cells, numbered
from leastwork.support.data_text import data_text
from leastwork.support.text import quoted

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
    lines = numbered(data_text(file, "give comma-separated numbers"))
    rows: list[list[float]] = []
    for line_number, line in lines:
        where = f"{file}, line {line_number}"
        row = cells(line)
        values = [as_number(cell) for cell in row]
        if (line_number, line) == lines[0] and all(value is None for value in values):
            continue  # names of the columns
        if len(row) != size:
            raise ConfigError(f"{where}: {len(row)} numbers, but {wanted}")
        for cell, value in zip(row, values, strict=True):
            if value is None:
                raise ConfigError(f"{where}: {quoted(cell)} is not a number: write one for each coordinate")
        rows.append([value for value in values if value is not None])
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, size)

"""Guiding structures from a file: CSV, one flattened structure a row, or a numpy array (M, *event); no pickles."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape, event_numel, shapes
from leastwork.workflow.path_config import GuidesConfig

__all__ = ["read_points"]


def read_points(config: GuidesConfig, event_shape: EventShape) -> Tensor:
    """The guides of a run file.

    Args:
        config: where they are.
        event_shape: of the model's states, which must be single tensors.

    Returns:
        Tensor: data units, (M, *event), M ≥ 2, float64.

    Raises:
        ConfigError: a file that does not hold such numbers; says where in it.
    """
    if event_shape and isinstance(event_shape[0], tuple):
        raise ConfigError("guides: a state of this model has several parts, which no file can hold: use guide_path")
    (shape,) = shapes(event_shape)
    file = config.csv or config.npy
    assert file is not None
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file of guides, give its path relative to the run file")
    points = _rows(file, event_numel(event_shape)) if config.csv else _array(file, shape)
    if len(points) < 2:
        raise ConfigError(f"{file} holds {len(points)} guides: give two at least, better a dozen")
    wrong = (~points.flatten(1).isfinite().all(dim=1)).nonzero()
    if len(wrong):
        raise ConfigError(f"{file}: guide {int(wrong[0])} is NaN or infinite: mend it or leave it out")
    return points.reshape(-1, *shape)


def _rows(file: Path, size: int) -> Tensor:
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
            raise ConfigError(f"{where}: {len(cells)} numbers, but a state has {size}: give one flattened state a row")
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


def _array(file: Path, shape: tuple[int, ...]) -> Tensor:
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError):  # an array of objects is a pickle, which can run code
        raise ConfigError(f"{file} is not a plain numpy array of numbers: write it by numpy.save from floats") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        kind = array.dtype if isinstance(array, np.ndarray) else "several arrays"
        raise ConfigError(f"{file} holds {kind}, not numbers: write one array of floats by numpy.save")
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        want = ", ".join(("M", *map(str, shape)))
        raise ConfigError(f"{file} has shape {array.shape}: give guides of the model's event shape, ({want})")
    return torch.from_numpy(array.astype(np.float64))

"""Guiding structures from a file: CSV, one flattened structure a row, a numpy array (M, *event), or a trajectory's Cα.

Nothing is unpickled. A single structure to compare with is read here, too.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape, event_numel, shapes
from leastwork.workflow.path_config import GuidesConfig
from leastwork.workflow.structures import read_structures

__all__ = ["read_points", "read_structure"]


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
    file = config.file
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file of guides, give its path relative to the run file")
    if config.csv:
        size = event_numel(event_shape)
        points = _rows(file, size, f"a state has {size}: give one flattened state a row")
    elif config.npy:
        points = _array(file, shape)
    else:
        points = read_structures(file, _atoms(event_shape, "guides"), config.topology)
    if len(points) < 2:
        raise ConfigError(f"{file} holds {len(points)} guides: give two at least, better a dozen")
    wrong = (~points.flatten(1).isfinite().all(dim=1)).nonzero()
    if len(wrong):
        raise ConfigError(f"{file}: guide {int(wrong[0])} is NaN or infinite: mend it or leave it out")
    return points.reshape(-1, *shape)


def read_structure(file: Path, event_shape: EventShape) -> Tensor:
    """A structure that states are compared with.

    Args:
        file: CSV with one atom a row, data units, or a file for :func:`read_structures`, nm.
        event_shape: of the model's states, (A, 3).

    Returns:
        Tensor: (A, 3), float64.

    Raises:
        ConfigError: a file that does not hold just one structure of A atoms; says where in it.
    """
    atoms = _atoms(event_shape, "observables")
    if file.suffix.lower() != ".csv":
        found = read_structures(file, atoms)
        if len(found) > 1:
            raise ConfigError(f"{file} holds {len(found)} structures: keep the one that is to be compared with")
        return found[0]
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file of structures, give its path relative to the run file")
    x = _rows(file, 3, "an atom has 3: give one atom a row")
    if len(x) != atoms:
        raise ConfigError(f"{file} has {len(x)} atoms, but a state of the model has {atoms}: give one a row")
    if not bool(x.isfinite().all()):
        raise ConfigError(f"{file}: the structure is NaN or infinite somewhere: mend it")
    return x


def _atoms(event_shape: EventShape, what: str) -> int:
    """A of structures, (A, 3)."""
    match event_shape:
        case (int(atoms), 3):
            return atoms
    raise ConfigError(
        f"{what}: a state of shape {event_shape} is no structure, (A, 3), such as files of structures hold"
    )


def _rows(file: Path, size: int, wanted: str) -> Tensor:
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

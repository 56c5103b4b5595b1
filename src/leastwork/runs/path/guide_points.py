"""Guiding structures from a file: CSV, one flattened structure a row, a numpy array (M, *event), or a trajectory's Cα.

Nothing is unpickled.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape, event_numel, shapes
from leastwork.runs.base.rows import atom_count, read_rows
from leastwork.runs.base.structures import read_structures
from leastwork.runs.path.config import GuidesConfig

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
    file = config.file
    if not os.path.isfile(file):
        raise ConfigError(f"{file}: there is no such file of guides, give its path relative to the run file")
    if config.csv:
        size = event_numel(event_shape)
        points = read_rows(file, size, f"a state has {size}: give one flattened state a row")
    elif config.npy:
        points = _array(file, shape)
    else:
        points = read_structures(file, atom_count(event_shape, "guides"), config.topology)
    if len(points) < 2:
        raise ConfigError(f"{file} holds {len(points)} guides: give two at least, better a dozen")
    wrong = (~points.flatten(1).isfinite().all(dim=1)).nonzero()
    if len(wrong):
        raise ConfigError(f"{file}: guide {int(wrong[0])} is NaN or infinite: mend it or leave it out")
    return points.reshape(-1, *shape)


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

"""Guiding structures from a file: CSV, a numpy array, safetensors, or a trajectory's Cα.

Nothing is unpickled.
"""

import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from leastwork.errors import ConfigError
from leastwork.geometry.state import EventShape, State, event_numel, leaves, shapes
from leastwork.runs.base.rows import atom_count, read_rows
from leastwork.runs.base.structures import read_structures
from leastwork.runs.path.config import GuidesConfig
from leastwork.support.files import readable
from leastwork.support.tensor_files import write_tensors

__all__ = ["read_points", "write_points"]


def read_points(config: GuidesConfig, event_shape: EventShape) -> State:
    """The guides of a run file.

    Args:
        config: the file of the guides.
        event_shape: shape of the model's states.

    Returns:
        State: data units, (M, *event), M ≥ 2.

    Raises:
        ConfigError: a file that does not hold such numbers; says where in it.
    """
    file = config.file
    if not os.path.isfile(file):
        raise ConfigError(f"{file}: there is no such file of guides, give its path relative to the run file")
    if config.safetensors:
        return _tensors(file, event_shape)
    if event_shape and isinstance(event_shape[0], tuple):
        raise ConfigError("guides: a state of this model has several parts: give them as safetensors: FILE")
    (shape,) = shapes(event_shape)
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


def write_points(points: State, file: Path) -> None:
    """Write guides, (M, *event), as ``safetensors: FILE`` of a run file reads them."""
    parts = leaves(points)
    names = ["points"] if isinstance(points, Tensor) else [f"points.{i}" for i in range(len(parts))]
    write_tensors(file, dict(zip(names, parts, strict=True)))


def _tensors(file: Path, event_shape: EventShape) -> State:
    parts = shapes(event_shape)
    is_tuple = bool(event_shape) and isinstance(event_shape[0], tuple)
    names = [f"points.{i}" for i in range(len(parts))] if is_tuple else ["points"]
    try:
        found = load_file(readable(file))
    except SafetensorError as error:
        raise ConfigError(f"{file} is no safetensors file ({error}): write it by safetensors.torch.save_file") from None
    if sorted(found) != sorted(names):
        raise ConfigError(f"{file} holds tensors {sorted(found)}: name them {', '.join(names)}")
    for name, shape in zip(names, parts, strict=True):
        if found[name].shape[1:] != shape or len(found[name]) < 2:
            have = tuple(found[name].shape)
            raise ConfigError(f"{file}: {name} has shape {have}, and guides need (M, {shape}) with M of two at least")
        if not bool(found[name].isfinite().all()):
            raise ConfigError(f"{file}: a guide in {name} is NaN or infinite: mend it or leave it out")
    values = tuple(found[name] for name in names)
    return values if is_tuple else values[0]


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

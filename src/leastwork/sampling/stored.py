"""Finished ensembles, read back from disk: nothing is decoded that is not what was written.

``.zmetadata`` repeats all other metadata for those who read a Zarr store, and holds the checksum of every other file
and one of itself; so a file that is missing, cut, changed or of another store is told from one that is whole.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkWarning
from leastwork.geometry.state import State
from leastwork.models.latents import Decoder
from leastwork.sampling.ensemble import Ensemble, Ledger
from leastwork.sampling.zarr_arrays import Array, array_from, checksum, damaged, foreign, parsed
from leastwork.statistics.estimate import Estimate
from leastwork.support.arguments import path_of
from leastwork.support.files import read_bytes

__all__ = ["PER_SAMPLE", "Contents", "StoredEnsemble", "consolidated", "contents", "open_ensemble", "stored_weights"]

PER_SAMPLE = ("work", "log_weight", "action", "log_tilt")
"""Arrays of one number for each sample."""

_ARRAY = re.compile(r"(x\d{0,6}|times|step_work|step_work_stderr|batch_moments|" + "|".join(PER_SAMPLE) + r")/\.zarray")
_CHUNK = re.compile(r"\d+(\.\d+)*")
_MOST_COMPRESSED = 4000  # numbers of one value, by blosc
_SMALL = 1 << 26


def consolidated(metadata: Mapping[str, Any], checksums: Mapping[str, str] | None, settings: str | None) -> bytes:
    """The contents of ``.zmetadata``: all metadata, the checksums of all other files, and the settings of the drawing.

    Zarr and xarray read its first two keys; its own checksum is that of all that stands before it.
    """
    whole: dict[str, Any] = {"metadata": dict(metadata), "zarr_consolidated_format": 1}
    if checksums is not None:
        whole |= {"checksums": dict(checksums), "settings": settings}
        whole["checksum"] = checksum(json.dumps(whole).encode())
    return json.dumps(whole).encode()


@dataclass(frozen=True)
class Contents:
    """What a finished store holds, by its metadata.

    Args:
        path: the store.
        metadata: as in ``.zmetadata``.
        arrays: those that leastwork knows.
        checksums: of all files by their names; None in a store of an older version.
        settings: what the samples were drawn with, as JSON; None where that is not known.
    """

    path: Path
    metadata: Mapping[str, Any]
    arrays: Mapping[str, Array]
    checksums: Mapping[str, str] | None
    settings: str | None

    @property
    def leaves(self) -> list[Array]:
        """The arrays of the state, in their order."""
        if "x" in self.arrays:
            return [self.arrays["x"]]
        names = [name for name in self.arrays if name[0] == "x"]
        return [self.arrays[name] for name in sorted(names, key=lambda name: int(name[1:]))]

    def fetch(self, chunk: str) -> bytes | None:
        """The bytes of a chunk, if they are those that were written."""
        return _whole(self.path, chunk, self.checksums)

    def tensor(self, array: Array, start: int = 0, stop: int | None = None) -> Tensor:
        """Some rows of an array, all by default."""
        return torch.from_numpy(array.read(self.fetch, start, array.shape[0] if stop is None else stop))

    def state(self, start: int = 0, stop: int | None = None) -> State:
        """Some samples, all by default."""
        parts = tuple(self.tensor(leaf, start, stop) for leaf in self.leaves)
        return parts[0] if "x" in self.arrays else parts


def contents(path: Path) -> Contents:
    """The metadata of a store, each of its files compared with its checksum.

    Raises:
        ConfigError: no finished ensemble lies there, or one that is damaged or that leastwork did not write.
    """
    try:
        return _contents(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): see to that and try again") from error


def _contents(path: Path) -> Contents:
    try:
        attributes = parsed(path / ".zattrs", read_bytes(path / ".zattrs"))
    except (FileNotFoundError, NotADirectoryError):
        attributes = None
    if not isinstance(attributes, dict) or "network_evaluations" not in attributes:
        raise ConfigError(f"{path} is not an ensemble written by leastwork: pass the folder ensemble.zarr")
    file = path / ".zmetadata"
    try:
        whole = parsed(file, read_bytes(file))
    except FileNotFoundError:
        raise ConfigError(damaged(file, "it is missing")) from None
    metadata, checksums, settings = _opened(file, whole)
    for name, about in metadata.items():
        if name in (".zgroup", ".zattrs") or _ARRAY.fullmatch(name.replace(".zattrs", ".zarray")):
            data = _whole(path, name, checksums)
            if data is None or parsed(path / name, data) != about:
                raise ConfigError(damaged(path / name, "it is not what .zmetadata says"))
    declared = {name.removesuffix("/.zarray"): about for name, about in metadata.items() if _ARRAY.fullmatch(name)}
    arrays = {name: array_from(path, name, about) for name, about in declared.items()}
    found = Contents(path, metadata, arrays, checksums, settings)
    _check(found, attributes)
    if checksums is None:
        warnings.warn(
            f"{path} holds no checksums, since an older version wrote it or another program changed it: it is read "
            "without them, so damage may go unnoticed",
            LeastworkWarning,
            stacklevel=4,
        )
    return found


def _opened(file: Path, whole: Any) -> tuple[Mapping[str, Any], Mapping[str, str] | None, str | None]:
    """Metadata, checksums and settings out of ``.zmetadata``, whose own checksum comes last."""
    if not isinstance(whole, dict) or not isinstance(whole.get("metadata"), dict):
        raise ConfigError(damaged(file, "it holds no metadata"))
    if set(whole) == {"metadata", "zarr_consolidated_format"}:
        return whole["metadata"], None, None
    own = whole.pop("checksum", None)
    if set(whole) != {"metadata", "zarr_consolidated_format", "checksums", "settings"} or own != checksum(
        json.dumps(whole).encode()
    ):
        raise ConfigError(damaged(file, "its checksum is another"))
    return whole["metadata"], whole["checksums"], whole["settings"]


def _whole(path: Path, name: str, checksums: Mapping[str, str] | None) -> bytes | None:
    """The bytes of a file in a store; None where an older store has no file for a chunk of zeros."""
    file = path / name
    if file.parent != path and file.parent.is_symlink():
        raise ConfigError(f"{file.parent} is a link, and is not followed: put the folder itself there")
    try:
        data = read_bytes(file)
    except FileNotFoundError:
        if checksums is None and _may_be_missing(name):
            return None
        raise ConfigError(damaged(file, "it is missing")) from None
    if checksums is not None and checksums.get(name) != checksum(data):
        raise ConfigError(damaged(file, "its checksum is another"))
    return data


def _may_be_missing(name: str) -> bool:
    """Zarr leaves out chunks of zeros, as all weights of unguided samples are; samples and times are no zeros."""
    array, _, chunk = name.partition("/")
    return array[0] not in "xt" and not chunk.startswith(".")


def _check(found: Contents, attributes: Mapping[str, Any]) -> None:
    """That arrays fit each other and what lies on disk, and that no chunk is of another array."""
    path, arrays = found.path, found.arrays
    if not found.leaves or "times" not in arrays:
        raise ConfigError(damaged(path / ".zmetadata", "it names no samples or no times"))
    n, edges = found.leaves[0].shape[0], arrays["times"].shape[0]
    lengths: dict[str, tuple[int, ...]] = {"step_work": (edges - 1,), "step_work_stderr": (edges - 1,)}
    lengths.update(dict.fromkeys(PER_SAMPLE, (n,)))
    lengths["batch_moments"] = (-(-n // max(found.leaves[0].rows, 1)), 2, edges - 1)
    for name, array in arrays.items():
        if array.shape != lengths.get(name, array.shape) or (name[0] == "x" and array.shape[0] != n):
            raise ConfigError(foreign(path / name / ".zarray", "'shape'"))
    if len(arrays["times"].shape) != 1 or ("step_work" in arrays) != ("step_work_stderr" in arrays):
        raise ConfigError(foreign(path / ".zmetadata", "the set of arrays"))
    kinds = {"network_evaluations": int, "seconds": int | float, "why_no_weights": str, "group": int, "chain": str}
    for name, kind in kinds.items():
        value = attributes.get(name, {"group": 1, "chain": ""}.get(name))
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ConfigError(foreign(path / ".zattrs", repr(name)))
    there = {name: list((path / name).iterdir()) for name in arrays}
    size = sum(file.lstat().st_size for files in there.values() for file in files)
    if sum(array.nbytes for array in arrays.values()) > _SMALL + _MOST_COMPRESSED * size:
        raise ConfigError(foreign(path / ".zmetadata", f"an array far larger than the {size} bytes on disk"))
    for name, array in arrays.items():
        known = set(array.chunk_names)
        for file in there[name]:
            if _CHUNK.fullmatch(file.name) and f"{name}/{file.name}" not in known:
                raise ConfigError(damaged(file, "it belongs to no part of the array"))


@dataclass(frozen=True)
class StoredEnsemble:
    """A finished store; ``load()`` brings it into memory, ``chunks()`` passes through it.

    Args:
        path: the folder of the store.
        decoder: if the samples are latents, the decoder through which averages see them; it is not in the store.
    """

    path: Path
    decoder: Decoder | None = field(default=None, repr=False)

    def load(self) -> Ensemble:
        """The whole ensemble."""
        return replace(open_ensemble(self.path), decoder=self.decoder)

    def __len__(self) -> int:
        return contents(self.path).leaves[0].shape[0]

    def chunks(self, size: int = 65536) -> Iterator[State]:
        """Samples, ``size`` at a time, data units."""
        found = contents(self.path)
        for start in range(0, found.leaves[0].shape[0], size):
            yield found.state(start, start + size)


def stored_weights(path: Path) -> tuple[int, Tensor | None]:
    """Number of samples in a store, and their ln weights in the target, (n,); None where there are none.

    Raises:
        ConfigError: as :func:`open_ensemble`.
    """
    found = contents(path)
    parts = [found.tensor(found.arrays[name]) for name in ("log_weight", "log_tilt") if name in found.arrays]
    return found.leaves[0].shape[0], parts[0] + parts[1] if len(parts) == 2 else None


def open_ensemble(path: str | Path) -> Ensemble:
    """Read an ensemble back.

    Raises:
        ConfigError: no finished ensemble lies there, or a file of it is missing, damaged, or may not be read.
    """
    found = contents(path_of("path", path))

    def of(name: str) -> Tensor | None:
        return found.tensor(found.arrays[name]) if name in found.arrays else None

    values = {name: of(name) for name in PER_SAMPLE}
    mean, stderr, times = of("step_work"), of("step_work_stderr"), of("times")
    assert times is not None
    of("batch_moments")  # for its checksum alone; a store that grows needs it
    attributes = found.metadata[".zattrs"]
    ledger = Ledger(
        times=times,
        work=values["work"],
        log_weight=values["log_weight"],
        action=values["action"],
        step_work=None if mean is None or stderr is None else Estimate(mean, stderr),
        why_no_weights=attributes["why_no_weights"],
        group=attributes.get("group", 1),
        chain=attributes.get("chain", ""),
    )
    return Ensemble(
        found.state(), ledger, values["log_tilt"], attributes["network_evaluations"], float(attributes["seconds"])
    )

"""Files of arrays in Zarr's format 2. xarray can open what is written here; other Zarr arrays are not read.

    NAME/.zarray    shape, chunks, type and compressor      NAME/.zattrs    names of the dimensions
    NAME/2.0        the third chunk along the samples; the other dimensions are never cut

What a store declares is checked against a short list before any of its bytes are decoded, and no more memory is
allocated than the sizes of its files justify.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numcodecs.blosc
import numpy as np
from numcodecs import Blosc, Zstd

from leastwork.errors import ConfigError

__all__ = ["Array", "Fetch", "array_from", "as_json", "checksum", "damaged", "declared", "encoded", "foreign", "parsed"]

_TYPES = ("<f2", "<f4", "<f8", "|b1", "|i1", "|u1", "<i2", "<i4", "<i8")
_OURS = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
_LIBRARIES = ("lz4", "lz4hc", "zstd", "zlib", "blosclz")
_KEYS = {
    "shape",
    "chunks",
    "dtype",
    "fill_value",
    "order",
    "filters",
    "dimension_separator",
    "compressor",
    "zarr_format",
}
_BLOSC_HEADER = 16
_LARGEST_CHUNK = 2**31 - 1 - _BLOSC_HEADER  # bytes, the limit of blosc
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

Fetch: TypeAlias = Callable[[str], bytes | None]
"""Function from the name of a chunk's file to its bytes, or None for a chunk of zeros that has no file."""


@dataclass(frozen=True)
class Array:
    """An array in a store, as declared in its ``.zarray``."""

    store: Path
    name: str
    shape: tuple[int, ...]
    rows: int
    """Length of a chunk along the first dimension."""
    dtype: np.dtype
    compressor: Mapping[str, Any] | None

    @property
    def chunk_names(self) -> list[str]:
        """The files of all chunks, relative to the store."""
        if 0 in self.shape:
            return []
        rest = ".0" * (len(self.shape) - 1)
        return [f"{self.name}/{k}{rest}" for k in range(math.ceil(self.shape[0] / self.rows))]

    @property
    def nbytes(self) -> int:
        """Size in memory, bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def decode(self, chunk: str, data: bytes) -> np.ndarray:
        """Decode one chunk from the bytes of its file, including rows beyond the end of the array.

        Raises:
            ConfigError: the bytes do not decode to a chunk of this array.
        """
        shape = (self.rows, *self.shape[1:])
        size = math.prod(shape) * self.dtype.itemsize
        out = np.empty(shape, self.dtype)
        try:
            if self.compressor is None:
                if len(data) != size:
                    raise ValueError(f"{len(data)} bytes in place of {size}")
                return np.frombuffer(data, self.dtype).reshape(shape)
            if self.compressor["id"] == "blosc":
                _check_blosc(data, size)
                Blosc().decode(data, out=out)
            else:
                _check_zstd(data, size)
                Zstd().decode(data, out=out)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(damaged(self.store / chunk, str(error))) from None
        return out

    def read(self, fetch: Fetch, start: int, stop: int) -> np.ndarray:
        """Rows from ``start`` to before ``stop``; ``fetch`` gives the bytes of a chunk, or None for an empty chunk."""
        stop = min(stop, self.shape[0])
        out = np.zeros((max(stop - start, 0), *self.shape[1:]), self.dtype)
        names = self.chunk_names
        for k in range(start // self.rows, math.ceil(stop / self.rows)) if names and stop > start else ():
            data = fetch(names[k])
            if data is not None:
                first, last = max(start, k * self.rows), min(stop, (k + 1) * self.rows)
                part = self.decode(names[k], data)
                out[first - start : last - start] = part[first - k * self.rows : last - k * self.rows]
        return out

    def __call__(self, chunk: str) -> bytes | None: ...


def declared(shape: Sequence[int], rows: int, dtype: np.dtype) -> dict[str, Any]:
    """The contents of ``.zarray`` for an array whose chunks have ``rows`` rows."""
    return {
        "shape": list(shape),
        "chunks": [rows, *(max(1, size) for size in shape[1:])],
        "dtype": dtype.newbyteorder("<").str,
        "fill_value": None,  # every chunk is written; xarray would show a fill value as missing data
        "order": "C",
        "filters": None,
        "dimension_separator": ".",
        "compressor": _OURS,
        "zarr_format": 2,
    }


def encoded(chunk: np.ndarray, rows: int) -> bytes:
    """The encoded bytes of a chunk; a chunk of fewer than ``rows`` rows is filled up with zeros.

    Blosc runs in one thread, since with several threads the same numbers may be encoded as different bytes.
    """
    whole = np.zeros((rows, *chunk.shape[1:]), chunk.dtype.newbyteorder("<"))
    whole[: len(chunk)] = chunk
    before = numcodecs.blosc.use_threads
    numcodecs.blosc.use_threads = False
    try:
        return bytes(Blosc(**{key: value for key, value in _OURS.items() if key != "id"}).encode(whole))
    finally:
        numcodecs.blosc.use_threads = before


def array_from(store: Path, name: str, about: Any) -> Array:
    """The array that ``.zarray`` declares, after a check that it may be read.

    Raises:
        ConfigError: the array has anything that leastwork does not write, such as a filter or a pickle.
    """
    where = store / name / ".zarray"
    if not isinstance(about, dict) or not set(about) <= _KEYS or about.get("zarr_format") != 2:
        raise ConfigError(foreign(where, "its keys"))
    wrong = [
        key
        for key, fine in (
            ("dtype", about.get("dtype") in _TYPES),
            ("order", about.get("order") == "C"),
            ("filters", about.get("filters") is None),
            ("dimension_separator", about.get("dimension_separator", ".") == "."),
            ("fill_value", about.get("fill_value") in (None, 0)),
            ("shape", _are_sizes(about.get("shape"), 0)),
            ("chunks", _are_sizes(about.get("chunks"), 1)),
            ("compressor", _is_known(about.get("compressor"))),
        )
        if not fine
    ]
    if wrong:
        raise ConfigError(foreign(where, f"{wrong[0]!r}"))
    shape, chunks = about["shape"], about["chunks"]
    dtype = np.dtype(about["dtype"])
    if len(shape) != len(chunks) or [max(1, size) for size in shape[1:]] != chunks[1:] or chunks[0] > max(1, shape[0]):
        raise ConfigError(foreign(where, "'chunks'"))
    if math.prod(chunks) * dtype.itemsize > _LARGEST_CHUNK:
        raise ConfigError(foreign(where, "'chunks'"))
    return Array(store, name, tuple(shape), chunks[0], dtype, about["compressor"])


def as_json(value: Any) -> bytes:
    """JSON as Zarr writes it."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8")


def parsed(path: Path, data: bytes) -> Any:
    """Parse the JSON in the bytes of a file.

    Raises:
        ConfigError: the bytes are not JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigError(damaged(path, "it is not JSON")) from None


def _check_blosc(data: bytes, size: int) -> None:
    """Check the sizes in the header of blosc, before its C code relies on them."""
    if len(data) < _BLOSC_HEADER:
        raise ValueError(f"{len(data)} bytes")
    whole, _, compressed = (int.from_bytes(data[at : at + 4], "little") for at in (4, 8, 12))
    if compressed != len(data):
        raise ValueError(f"{len(data)} bytes in place of {compressed}")
    if whole != size:
        raise ValueError(f"a chunk of {whole} bytes in place of {size}")


def _check_zstd(data: bytes, size: int) -> None:
    """Check the size in the header of a zstd frame, before as many bytes are decoded."""
    if data[:4] != _ZSTD_MAGIC or len(data) < 18:
        raise ValueError("no frame of zstd")
    flags = data[4]
    single = flags >> 5 & 1
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    width = (single, 2, 4, 8)[flags >> 6]
    whole = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
    if not width or whole != size:
        raise ValueError(f"a chunk of {whole} bytes in place of {size}")


def _are_sizes(value: Any, least: int) -> bool:
    return (
        isinstance(value, list) and 0 < len(value) <= 32 and all(type(v) is int and least <= v < 2**48 for v in value)
    )


def _is_known(compressor: Any) -> bool:
    if compressor is None:
        return True
    if not isinstance(compressor, dict):
        return False
    if compressor.get("id") == "zstd":
        return set(compressor) <= {"id", "level", "checksum"}
    return compressor.get("id") == "blosc" and compressor.get("cname") in _LIBRARIES and set(compressor) <= set(_OURS)


def checksum(data: bytes) -> str:
    """The first 16 bytes of SHA-256 in hexadecimal digits, which differ if the data are cut or changed.

    >>> checksum(b"chunk") == checksum(b"chunk "), len(checksum(b""))
    (False, 32)
    """
    return hashlib.sha256(data).hexdigest()[:32]


def foreign(where: Path, what: str) -> str:
    """The message about a store that leastwork did not write."""
    return f"{where}: {what} is not written by leastwork, so the store is not read: draw the samples anew"


def damaged(where: Path, why: str) -> str:
    """The message about a file that is missing or is not what was written, and what can be done."""
    return (
        f"{where} is damaged ({why}): copy it again from where it came, or delete the samples and draw them anew (of a "
        "run: delete its ensemble.zarr and metrics.json, and go on with --resume)"
    )

"""Files of tensors in the format of safetensors, with a checksum in their headers.

They stand apart from :mod:`leastwork.support.files`, which the command line reads run files with before torch is there.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, uint8

from leastwork.errors import ConfigError
from leastwork.support.files import readable, write_bytes

__all__ = ["read_tensors", "write_tensors"]

_CHECKSUM = "sha256"


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors in the format of safetensors, whole or not at all, with a checksum in the file's header."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(plain, {_CHECKSUM: _checksum(plain)}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a file of safetensors, compared with its checksum where it has one, as older files have not.

    Raises:
        ConfigError: the file may not be read, or holds other tensors than were written.
        SafetensorError, FileNotFoundError: it is cut short, no such file, or missing.
    """
    with safe_open(readable(path), "pt") as file:
        known = (file.metadata() or {}).get(_CHECKSUM)
    tensors = load_file(path)
    if known is not None and known != _checksum(tensors):
        raise ConfigError(
            f"{path} is damaged (its checksum is another): copy it again from where it came, or write it anew"
        )
    return tensors


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and numbers."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        whole.update(tensor.reshape(-1).view(uint8).numpy().data)
    return whole.hexdigest()

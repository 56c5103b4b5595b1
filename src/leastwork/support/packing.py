"""Values of tensors, numbers and dataclasses as one file of bytes with a checksum; nothing is unpickled.

The file is a digest of sixteen bytes, and then safetensors, whose metadata hold the rest as JSON.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

__all__ = ["DamagedError", "pack", "unpack"]

_DIGEST = 16


class DamagedError(ValueError):
    """Bytes that :func:`pack` did not make, or not so."""


def pack(value: Any) -> bytes:
    """A value as bytes.

    Args:
        value: tensors, numbers, text, None, and tuples, lists, dicts and dataclasses of such.

    Raises:
        TypeError: something else is among them.

    >>> unpack(pack({"a": (1, None), 2: float("inf")}))
    {'a': (1, None), 2: inf}
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_plain(value, tensors))
    body = save(tensors, {"tree": tree})
    return hashlib.blake2b(body, digest_size=_DIGEST).digest() + body


def unpack(data: bytes, known: Sequence[type] = ()) -> Any:
    """The value of :func:`pack`.

    Args:
        data: the bytes.
        known: the dataclasses that may occur.

    Raises:
        DamagedError: the bytes are not as they were written.
    """
    digest, body = data[:_DIGEST], data[_DIGEST:]
    if hashlib.blake2b(body, digest_size=_DIGEST).digest() != digest:
        raise DamagedError("its checksum is another")
    try:
        length = int.from_bytes(body[:8], "little")
        tree = json.loads(body[8 : 8 + length])["__metadata__"]["tree"]
        return _value(json.loads(tree), load(body), {cls.__name__: cls for cls in known})
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedError(str(error)) from error


def _plain(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name, "device": str(value.device)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_plain(item, tensors) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_plain(part, tensors) for part in item] for item in value.items()]}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {one.name: _plain(getattr(value, one.name), tensors) for one in fields(value)}
        return {"dataclass": type(value).__name__, "parts": parts}
    raise TypeError(f"a {type(value).__name__} has no form as plain values")


def _value(tree: Any, tensors: dict[str, Tensor], known: dict[str, type]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "tensor" in tree:
        return tensors[tree["tensor"]].to(tree["device"])
    if "dict" in tree:
        return {_value(key, tensors, known): _value(item, tensors, known) for key, item in tree["dict"]}
    if "dataclass" in tree:
        return known[tree["dataclass"]](**{key: _value(item, tensors, known) for key, item in tree["parts"].items()})
    items = [_value(item, tensors, known) for item in tree["tuple" if "tuple" in tree else "list"]]
    return tuple(items) if "tuple" in tree else items

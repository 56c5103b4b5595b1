"""Files of a guidance: ``guidance.json`` with its kind and numbers, ``guidance.safetensors`` with its tensors.

There are no pickles. Functions have no file form, so only the names of an observable are stored, and the observable is
passed again on loading. A new kind of guidance is registered by :func:`leastwork.guidance.base.register` at its class.
"""

import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

import leastwork.guidance
from leastwork.errors import ConfigError, LeastworkError
from leastwork.guidance.base import Find, Guidance, Savable, kinds
from leastwork.observables import Observable
from leastwork.support.arguments import path_of
from leastwork.support.files import readable
from leastwork.support.json_files import read_json, write_json
from leastwork.support.tensor_files import read_tensors, write_tensors
from leastwork.support.text import brief, quoted

__all__ = ["load_guidance", "save_guidance"]


def _known() -> Mapping[str, type[Savable]]:
    """All registered kinds by name; each file of this folder is imported first, so that its kinds are registered."""
    for module in pkgutil.iter_modules(leastwork.guidance.__path__, "leastwork.guidance."):
        import_module(module.name)
    return kinds()


def save_guidance(guidance: Guidance, path: str | Path) -> None:
    """Write a guidance into a folder.

    Args:
        guidance: a guidance of a registered kind, or a sum or multiple of such guidances.
        path: the folder, which is made if it does not exist.

    Raises:
        ConfigError: the kind of the guidance has no file form.
    """
    folder = path_of("path", path)
    tensors: dict[str, Tensor] = {}
    described = {"format": 1, **_pack(guidance, "guidance", tensors)}
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "guidance.safetensors", tensors)
    write_json(folder / "guidance.json", described)


def load_guidance(path: str | Path, observable: Observable | Sequence[Observable] | None = None) -> Guidance:
    """Read a guidance from a folder.

    Args:
        path: a folder written by :func:`save_guidance`.
        observable: the observable that the guidance steers, found by its names; a list if terms of a sum have
            different observables.

    Raises:
        ConfigError: the folder does not hold a guidance, or an observable is missing.
    """
    folder = path_of("path", path)
    described, tensors = _read(folder)
    given = () if observable is None else (observable,) if isinstance(observable, Observable) else tuple(observable)

    def find(names: Sequence[str]) -> Observable:
        for known in given:
            if known.names == tuple(names):
                return known
        if not given:
            raise ConfigError(f"{folder} steers {tuple(names)}: pass the observable of these names, observable=...")
        had = " and ".join(str(known.names) for known in given)
        raise ConfigError(f"{folder} steers {tuple(names)}, not {had}: pass the observable that it was fitted for")

    try:
        return _unpack(described, tensors, find)
    except LeastworkError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        raise ConfigError(
            f"{folder / 'guidance.json'} is not complete ({brief(error)}): save the guidance again"
        ) from error


def _pack(value: Any, at: str, tensors: dict[str, Tensor]) -> Any:
    """A JSON value with names in place of tensors; the tensors themselves are put into ``tensors``."""
    if isinstance(value, Tensor):
        tensors[at] = value.detach().cpu().contiguous().clone()
        return {"tensor": at}
    if isinstance(value, Mapping):
        return {"map": {name: _pack(item, f"{at}.{name}", tensors) for name, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_pack(item, f"{at}.{i}", tensors) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    known = _known()
    for kind, cls in known.items():
        if type(value) is cls:
            parts = value.parts()
            return {"kind": kind, "parts": {name: _pack(part, f"{at}.{name}", tensors) for name, part in parts.items()}}
    names = ", ".join(cls.__name__ for cls in known.values())
    raise ConfigError(
        f"{type(value).__name__} has no file form, only {names} have: give its class one by "
        "@leastwork.guidance.base.register(...)"
    )


def _unpack(value: Any, tensors: Mapping[str, Tensor], find: Find) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors, find) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "map" in value:
        return {name: _unpack(item, tensors, find) for name, item in value["map"].items()}
    kind = value["kind"]
    known = _known()
    if kind not in known:
        raise ConfigError(
            f"guidance of kind {quoted(kind)} is not known here, only {', '.join(known)}: update leastwork, or import "
            "the module that registers it"
        )
    parts = {name: _unpack(part, tensors, find) for name, part in value["parts"].items()}
    return known[kind].from_parts(parts, find)


def _read(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    for name in ("guidance.json", "guidance.safetensors"):
        if not readable(folder / name).is_file():
            raise ConfigError(f"{folder / name} is missing: pass a folder written by save_guidance")
    try:
        described = read_json(folder / "guidance.json", "save the guidance again")
        return described, read_tensors(folder / "guidance.safetensors")
    except ConfigError:
        raise
    except SafetensorError as error:
        raise ConfigError(
            f"{folder / 'guidance.safetensors'} is damaged ({brief(error)}): save the guidance again"
        ) from error

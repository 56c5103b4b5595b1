"""All samples of a calculation by their coordinates and path weights, the tilts that guided them, and their files.

fit/parts.safetensors: ξ and ln dP/dQ of each part          fit/parts.json: tilts, owners, network evaluations
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from leastwork.free_energy.combine import Joined, Part, join
from leastwork.free_energy.flat import FlatTilt
from leastwork.free_energy.guided import Drawn
from leastwork.free_energy.windows import Window
from leastwork.support.json_files import read_json, write_json
from leastwork.support.random import derive_seed
from leastwork.support.tensor_files import read_tensors, write_tensors

__all__ = ["Collected", "StateTilt", "Tilt", "load_collected", "save_collected"]

_REMEDY = "delete the folder fit to fit anew"


class Tilt(Protocol):
    """A log-tilt that is a function of the coordinate."""

    def log_tilt(self, seen: Tensor) -> Tensor:
        """r of coordinates (n, D), nats, (n,)."""
        ...


@dataclass(frozen=True)
class StateTilt:
    """r = Σ_S L_S 1_S of states whose memberships, 0 or 1, are the coordinate.

    >>> StateTilt((2.0, 0.0)).log_tilt(torch.tensor([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [2.0, 0.0]
    """

    odds: tuple[float, ...]

    def log_tilt(self, seen: Tensor) -> Tensor:
        """r of memberships (n, D), nats, (n,)."""
        return seen @ seen.new_tensor(self.odds)


@dataclass(frozen=True, eq=False)
class Collected:
    """Samples of the model, and of guidances towards several tilts.

    Args:
        parts: the samples; those of the model come first.
        owners: for each part the number of its tilt, counted from 1, and 0 for the model itself.
        tilts: the tilts.
    """

    parts: tuple[Drawn, ...]
    owners: tuple[int, ...]
    tilts: tuple[Tilt, ...] = ()

    @property
    def evaluations(self) -> int:
        """Network evaluations of all parts, those of learning included."""
        return sum(part.evaluations for part in self.parts)

    def with_tilt(self, tilt: Tilt, parts: Sequence[Drawn]) -> "Collected":
        """The same and samples guided towards another tilt."""
        number = len(self.tilts) + 1
        return Collected((*self.parts, *parts), (*self.owners, *[number] * len(parts)), (*self.tilts, tilt))

    def with_part(self, part: Drawn, owner: int) -> "Collected":
        """The same and more samples of one of the tilts."""
        return Collected((*self.parts, part), (*self.owners, owner), self.tilts)

    def joined(self, seed: int) -> Joined:
        """All samples with their weights under the model; ``seed`` is that of the run."""
        found = []
        for part, owner in zip(self.parts, self.owners, strict=True):
            zero = torch.zeros(len(part.seen), dtype=torch.float64)
            found.append(
                Part(part.log_weight, torch.stack([zero, *(one.log_tilt(part.seen) for one in self.tilts)]), owner)
            )
        return join(found, derive_seed(seed, "mbar"))


def save_collected(collected: Collected, folder: Path) -> None:
    """Write coordinates, path weights and tilts, not the states."""
    tensors = {f"seen.{i}": part.seen for i, part in enumerate(collected.parts)}
    tensors |= {f"log_weight.{i}": part.log_weight for i, part in enumerate(collected.parts)}
    write_tensors(folder / "parts.safetensors", tensors)
    described = {
        "owners": list(collected.owners),
        "evaluations": [part.evaluations for part in collected.parts],
        "tilts": [_described(tilt) for tilt in collected.tilts],
    }
    write_json(folder / "parts.json", described)


def load_collected(folder: Path) -> Collected:
    """What :func:`save_collected` has written.

    Raises:
        ConfigError: a file is damaged.
    """
    described, tensors = read_json(folder / "parts.json", _REMEDY), read_tensors(folder / "parts.safetensors")
    parts = tuple(
        Drawn(None, tensors[f"seen.{i}"], tensors[f"log_weight.{i}"], None, evaluations)
        for i, evaluations in enumerate(described["evaluations"])
    )
    tilts = tuple(_KINDS[one["kind"]](one) for one in described["tilts"])
    return Collected(parts, tuple(described["owners"]), tilts)


def _described(tilt: Any) -> dict[str, Any]:
    return {"kind": type(tilt).__name__, **{name: _plain(value) for name, value in vars(tilt).items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _window(found: Mapping[str, Any]) -> Tilt:
    return Window(*(tuple(found[name]) for name in ("middle", "width", "slope")))


def _flat(found: Mapping[str, Any]) -> Tilt:
    edges = tuple(torch.tensor(edge, dtype=torch.float64) for edge in found["edges"])
    return FlatTilt(edges, torch.tensor(found["values"], dtype=torch.float64))


def _state(found: Mapping[str, Any]) -> Tilt:
    return StateTilt(tuple(found["odds"]))


_KINDS = {"Window": _window, "FlatTilt": _flat, "StateTilt": _state}

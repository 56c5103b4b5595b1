"""Angles of a model of angles, as cosines and sines: an angle has no average, but these have, and they are periodic."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, flatten
from leastwork.observables.function import Observable

__all__ = ["circular"]


def circular(index: Sequence[int], names: Sequence[str] | None = None) -> Observable:
    """cos θ_i of all chosen angles, then sin θ_i of all, (B, 2K).

    Args:
        index: places i of the angles in the flattened state, counted from 0, (K,).
        names: names of the angles, (K,).

    Raises:
        LeastworkError: no angle is chosen, one is chosen twice, or there is not one name for each.

    >>> phi = circular([1], ["φ"])
    >>> phi.names, phi(torch.tensor([[9.0, torch.pi]])).round().tolist()
    (('cos φ', 'sin φ'), [[-1.0, -0.0]])
    """
    chosen = tuple(index)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise LeastworkError(f"index {list(chosen)}: choose one or more angles, each once, counted from 0")
    names = tuple(f"θ_{i + 1}" for i in chosen) if names is None else tuple(names)
    if len(names) != len(chosen):
        raise LeastworkError(f"{len(names)} names for {len(chosen)} angles: give one for each")
    return Observable(_Circular(chosen), tuple(f"{fn} {name}" for fn in ("cos", "sin") for name in names))


@dataclass(frozen=True)
class _Circular:
    index: tuple[int, ...]

    def __call__(self, x: State) -> Tensor:
        flat = flatten(x)
        if max(self.index) >= flat.shape[1]:
            raise LeastworkError(f"index {max(self.index)} of {flat.shape[1]} angles: they are counted from 0")
        chosen = flat[:, list(self.index)]
        return torch.cat([chosen.cos(), chosen.sin()], dim=1)

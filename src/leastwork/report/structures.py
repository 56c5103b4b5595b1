"""Structures that a reader turns in the page, drawn by 3Dmol.js (Rego & Koes, Bioinformatics 31, 1322, 2015).

Coordinates travel as whole picometres, two bytes each. A picture stands in where there is no WebGL, no script, and in
print.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leastwork.errors import LeastworkError
from leastwork.report.drawing import Drawing

__all__ = ["MOST_ATOMS", "Shade", "StructureSet", "Structures"]

MOST_ATOMS = 20_000
"""Atoms of a set that a page holds, at most."""

_FARTHEST = 32.0  # nm, what two bytes hold


@dataclass(frozen=True)
class StructureSet:
    """Structures that are laid over each other.

    Args:
        label: whose they are.
        x: chains of atoms, each bound to the next, (n, A, 3), nm, superposed.
        of: number of structures from which these were chosen.
    """

    label: str
    x: NDArray[np.float64]
    of: int

    def __post_init__(self) -> None:
        if self.x.ndim != 3 or self.x.shape[2] != 3:
            raise LeastworkError(f"structures {self.label!r} of shape {self.x.shape} cannot be drawn: pass (n, A, 3)")
        if not np.isfinite(self.x).all() or (np.abs(self.x) > _FARTHEST).any():
            raise LeastworkError(
                f"structures {self.label!r} are not finite, or farther than {_FARTHEST:g} nm from the origin: move them"
            )


@dataclass(frozen=True)
class Shade:
    """A number of each structure by which it may be coloured: its label, and values for each set, (n,)."""

    label: str
    values: Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class Structures:
    """Sets of structures side by side, and a map of them, on which a click shows the structure of a point.

    Args:
        sets: one or two.
        reference: a structure drawn in black, (A, 3), or None.
        picture: stands in for the sets.
        caption, alt: as of an image.
        shades: numbers to colour by.
        map: a drawing, whose series of points that are labelled as a set hold a point for each structure of it.
    """

    sets: Sequence[StructureSet]
    reference: NDArray[np.float64] | None
    picture: Drawing
    caption: Any
    alt: str
    shades: Sequence[Shade] = field(default=())
    map: Drawing | None = None

    def payload(self) -> dict[str, Any]:
        """What the page's script draws, as plain values."""
        return {
            "sets": [
                {"label": one.label, "n": len(one.x), "of": one.of, "atoms": one.x.shape[1], "x": _packed(one.x)}
                for one in self.sets
            ],
            "reference": None if self.reference is None else _packed(self.reference),
            "shades": [
                {"label": one.label, "values": [[float(f"{v:.4g}") for v in values.tolist()] for values in one.values]}
                for one in self.shades
            ],
        }


def _packed(x: NDArray[np.float64]) -> str:
    """Picometres as little-endian 16-bit integers, in base64."""
    return base64.b64encode(np.rint(1000 * x).astype("<i2").tobytes()).decode("ascii")

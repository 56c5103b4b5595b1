"""Residues as beads for X-rays: where a bead lies by its Cα trace, and its amplitude F(q) in water.

    F(q) = Z exp(−q²a²/6) − ρ V exp(−q²b²/6)         ⟨|F|²⟩ − F² = (p q)²/3
    bead = Cα + u e_u + v e_v        e_u ∥ a° − b°,  e_v ∥ a × b,  a = x_i − x_{i−1},  b = x_{i+1} − x_i

Z electrons in a cloud of the radius of gyration a, less the water of density ρ that the volume V displaces, of radius
b, and a dipole p of the difference, which adds to what a residue scatters by itself. ° makes a unit vector. e_u points
away from the neighbours, as side chains do, and e_v tells L from D residues.

Z follows from the composition; V is the sum of the volumes of the atomic groups of Fraser, MacRae & Suzuki (J. Appl.
Cryst. 11, 693, 1978). u, v, a, b and p are averages over 5,250 residues of 40 structures, with the form factors
of the International Tables (vol. C, 6.1.1.4), by ``scripts/saxs_beads.py``. The largest accessible areas are those of
Tien et al. (PLoS ONE 8, e80635, 2013, theoretical).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

__all__ = ["BEADS", "WATER_DENSITY", "Bead", "amplitudes", "bead_of", "bead_positions", "exposed_areas"]

WATER_DENSITY = 0.334
"""Electrons of water per Å³."""

_SOFT = 1e-3  # Å, below which a direction fades instead of turning without limit
_NEIGHBOUR, _EDGE = 8.0, 16.0  # Å and Å²: a neighbour counts 1/(1 + exp((r² − 8²)/16))
_HALF_BURIED, _STEP = 6.77, 2.61  # neighbours at which half of the area is exposed; fitted to the areas of 43 proteins


@dataclass(frozen=True)
class Bead:
    """One kind of residue.

    Args:
        out: u, Å.
        across: v, Å.
        electrons: Z.
        volume: V, Å³.
        radius: a, Å.
        displaced_radius: b, Å.
        dipole: p, electrons Å.
        area: largest accessible area, Å².
    """

    out: float
    across: float
    electrons: int
    volume: float
    radius: float
    displaced_radius: float
    dipole: float
    area: float


BEADS: Mapping[str, Bead] = MappingProxyType(
    {
        "A": Bead(-0.20, -0.23, 38, 86.69, 1.72, 2.36, 11.6, 129),
        "R": Bead(1.87, -1.19, 85, 184.68, 3.33, 3.42, 45.0, 274),
        "N": Bead(0.70, -0.60, 60, 119.90, 2.24, 2.57, 18.0, 195),
        "D": Bead(0.66, -0.59, 59, 116.24, 2.21, 2.53, 17.9, 193),
        "C": Bead(0.50, -0.53, 54, 106.64, 2.07, 2.54, 15.0, 167),
        "Q": Bead(1.18, -0.69, 68, 146.64, 2.60, 2.85, 21.9, 225),
        "E": Bead(1.11, -0.74, 67, 142.98, 2.59, 2.82, 22.4, 223),
        "G": Bead(-0.58, 0.02, 30, 59.95, 1.62, 2.17, 8.3, 104),
        "H": Bead(1.10, -0.66, 72, 151.29, 2.68, 2.98, 28.9, 224),
        "I": Bead(0.80, -0.59, 62, 166.91, 2.22, 2.83, 23.9, 197),
        "L": Bead(0.96, -0.46, 62, 166.91, 2.33, 2.92, 25.4, 201),
        "K": Bead(1.50, -0.80, 71, 179.70, 2.95, 3.27, 20.3, 236),
        "M": Bead(1.29, -0.63, 70, 160.03, 2.61, 3.07, 18.7, 224),
        "F": Bead(1.32, -0.55, 78, 205.93, 2.92, 3.38, 23.7, 240),
        "P": Bead(0.00, -0.77, 52, 129.87, 1.89, 2.56, 15.0, 159),
        "S": Bead(0.08, -0.51, 46, 95.82, 1.86, 2.36, 9.9, 155),
        "T": Bead(0.37, -0.58, 54, 122.56, 1.96, 2.54, 13.9, 172),
        "W": Bead(1.86, -0.38, 98, 246.45, 3.36, 3.74, 28.2, 285),
        "Y": Bead(1.61, -0.59, 86, 215.06, 3.28, 3.53, 27.0, 263),
        "V": Bead(0.46, -0.51, 54, 140.17, 1.99, 2.65, 19.5, 174),
    }
)
"""Residues by their one-letter codes, uncharged histidine and charged K, R, D and E."""


def bead_of(letter: str) -> Bead:
    """The bead of a residue by its one-letter code; a small letter is a D residue, the mirror image.

    >>> bead_of("A").across, bead_of("a").across
    (-0.23, 0.23)
    """
    bead = BEADS[letter.upper()]
    return replace(bead, across=-bead.across) if letter.islower() else bead


def amplitudes(beads: Sequence[Bead], q: Tensor) -> tuple[Tensor, Tensor]:
    """F(q) and ⟨|F|²⟩ − F² of each bead, float64 (A, Q) each, in electrons and electrons².

    Args:
        beads: the residues, (A,).
        q: momentum transfers in 1/Å, float64 (Q,).

    >>> [part.tolist() for part in amplitudes([BEADS["G"]], torch.tensor([0.0], dtype=torch.float64))]
    [[[9.976...]], [[0.0]]]
    """

    def column(name: str) -> Tensor:
        return torch.tensor([getattr(bead, name) for bead in beads], dtype=torch.float64)[:, None]

    cloud = column("electrons") * (-(q**2) * column("radius") ** 2 / 6).exp()
    water = WATER_DENSITY * column("volume") * (-(q**2) * column("displaced_radius") ** 2 / 6).exp()
    return cloud - water, (column("dipole") * q) ** 2 / 3


def bead_positions(ca: Tensor, beads: Sequence[Bead]) -> Tensor:
    """Positions of the beads of one chain, (B, A, 3), Å; those of the first and last residue are their Cα.

    Args:
        ca: Cα of consecutive residues, (B, A, 3), Å.
        beads: the residues, (A,).
    """
    step = _direction(ca[:, 1:] - ca[:, :-1])
    before, after = step[:, :-1], step[:, 1:]
    out, across = _direction(before - after), _direction(torch.linalg.cross(before, after))
    inner = beads[1:-1]
    u, v = (ca.new_tensor([getattr(bead, name) for bead in inner])[:, None] for name in ("out", "across"))
    return torch.cat([ca[:, :1], ca[:, 1:-1] + u * out + v * across, ca[:, -1:]], dim=1) if inner else ca


def exposed_areas(distance2: Tensor, beads: Sequence[Bead]) -> Tensor:
    """Accessible areas of the residues by the numbers of their neighbours, (B, A), Å².

    Args:
        distance2: squared distances of the beads, (B, A, A), Å².
        beads: the residues, (A,).
    """
    neighbours = torch.sigmoid((_NEIGHBOUR**2 - distance2) / _EDGE).sum(dim=2) - 1
    largest = distance2.new_tensor([bead.area for bead in beads])
    return largest * torch.sigmoid((_HALF_BURIED - neighbours) / _STEP)


def _direction(vector: Tensor) -> Tensor:
    return vector / (vector.square().sum(dim=-1, keepdim=True) + _SOFT**2).sqrt()

"""Labels: distances between them by surrogate atoms, the efficiency of FRET, and relaxation by an unpaired electron.

    E = 1/(1 + (r/R₀)⁶)        R₀: Förster radius (Förster, Ann. Phys. 437, 55, 1948)
    Γ₂ = K r⁻⁶ (4τ + 3τ/(1 + ω²τ²))        (Solomon, Phys. Rev. 99, 559, 1955)
    K = S(S+1) γ² g² μ_B² (μ₀/4π)²/15 = 1.23·10¹⁰ nm⁶/s²

A label sits at a surrogate, an atom or the Cβ that a backbone implies. A flexible one is spread about it: E is then
averaged over a normal displacement of standard deviation s along each axis, of each label, by quadrature. Both hold for
labels that turn fast and structures that change slowly, so that averages over structures are E and Γ₂ themselves. The
ratio of intensities is a function of the average Γ₂, :class:`leastwork.data.functions.Attenuation`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.built_atoms import beta_carbon
from leastwork.observables.couplings import Backbone
from leastwork.observables.distances import pick
from leastwork.observables.function import Observable

__all__ = ["beta_distances", "fret", "fret_error", "pre_rates"]

_NANOMETRE = {"nm": 1.0, "Å": 0.1}
_PRE = 1.2339e10  # nm⁶/s²
_NODES, _WEIGHTS = (torch.from_numpy(np.array(part)) for part in np.polynomial.hermite_e.hermegauss(32))
_SMALLEST = 1e-3  # nm, distances below which labels are in one place


def beta_distances(
    backbone: Backbone, pairs: Sequence[tuple[int, int]], sequence: str | None = None, unit: str = "nm"
) -> Observable:
    """Distances of the Cβ of pairs of residues, (B, K), nm; Cβ is built where the backbone puts it.

    Args:
        backbone: indices of N, Cα and C′.
        pairs: pairs of residues, numbered as the backbone numbers them.
        sequence: one-letter codes of the residues, to refuse glycine, which has no Cβ.
        unit: unit of the model's coordinates, "nm" or "Å".

    Raises:
        LeastworkError: there are no pairs, a residue does not exist, is paired with itself or is glycine.

    >>> beta_distances(Backbone.chain(3), [(1, 3)]).names
    ('Cβ 1 – Cβ 3',)
    """
    if unit not in _NANOMETRE:
        raise LeastworkError(f"unit = {unit!r}: labels take coordinates in nm or Å")
    if not pairs:
        raise LeastworkError("there are no pairs of labels: give at least one")
    for i, j in pairs:
        for residue in (i, j):
            _check_residue(residue, backbone, sequence)
        if i == j:
            raise LeastworkError(f"residue {i} is paired with itself: give two residues")
    places = tuple((i - backbone.first, j - backbone.first) for i, j in pairs)
    atoms = tuple(zip(backbone.n, backbone.ca, backbone.c, strict=True))
    fn = _BetaDistances(atoms, places, _NANOMETRE[unit])
    return Observable(fn, tuple(f"Cβ {i} – Cβ {j}" for i, j in pairs), "nm")


def fret(distances: Observable, radius: float, spread: float = 0.0) -> Observable:
    """Efficiencies E of pairs of labels, (B, K).

    Args:
        distances: their distances, such as :func:`beta_distances`, or ``distances`` of Cα atoms.
        radius: R₀, in the unit of the distances; about 5.4 nm for Alexa 488 and 594.
        spread: s of each label along each axis, in the same unit; 0 for labels that sit still.

    Raises:
        LeastworkError: the radius is not positive, or the spread negative.

    >>> from leastwork.observables.distances import distances
    >>> fret(distances([(0, 1)]), radius=5.0)(torch.tensor([[[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]]))
    tensor([[0.5000]])
    """
    if not 0 < radius < math.inf:
        raise LeastworkError(f"radius = {radius}: give the Förster radius, a positive length")
    if not 0 <= spread < math.inf:
        raise LeastworkError(f"spread = {spread}: give 0 for labels that sit still, or a positive length")
    names = tuple(f"E {name}" for name in distances.names)
    return Observable(_Efficiency(distances, float(radius), float(spread)), names)


def fret_error(efficiency: Tensor, radius_error: float) -> Tensor:
    """Standard error of E from that of R₀: |∂E/∂ln R₀| δ = 6 E (1 − E) δ, of the shape of ``efficiency``.

    Args:
        efficiency: E.
        radius_error: relative standard error δ of R₀; 0.05 to 0.1 is usual, most of it of the dyes' orientations.

    >>> fret_error(torch.tensor([0.5, 1.0]), 0.06)
    tensor([0.0900, 0.0000])
    """
    return 6 * efficiency * (1 - efficiency) * radius_error


def pre_rates(distances: Observable, correlation_time: float, larmor: float) -> Observable:
    """Γ₂ of protons by an unpaired electron of spin ½, (B, K), 1/s.

    Args:
        distances: from the label to the protons, nm.
        correlation_time: τ, ns; 2 to 10 for small proteins.
        larmor: ω/2π of the protons, MHz.

    Raises:
        LeastworkError: a number is not positive.

    >>> from leastwork.observables.distances import distances
    >>> pre_rates(distances([(0, 1)]), 4.0, 600.0)(torch.tensor([[[0.0, 0.0, 0.0], [1.5, 0.0, 0.0]]]))
    tensor([[17.38...]])
    """
    for value, what in ((correlation_time, "correlation_time, in ns"), (larmor, "larmor, in MHz")):
        if not 0 < value < math.inf:
            raise LeastworkError(f"{what}, is {value}: give a positive number")
    tau, omega = 1e-9 * correlation_time, 2e6 * math.pi * larmor
    factor = _PRE * (4 * tau + 3 * tau / (1 + (omega * tau) ** 2))
    names = tuple(f"Γ2 {name}" for name in distances.names)
    return Observable(_Relaxation(distances, factor), names, "1/s")


def _check_residue(residue: int, backbone: Backbone, sequence: str | None) -> None:
    if not backbone.first <= residue <= backbone.last:
        raise LeastworkError(
            f"there is no residue {residue}: the chain has residues {backbone.first} to {backbone.last}"
        )
    if sequence is None:
        return
    if len(sequence) != len(backbone.n):
        raise LeastworkError(f"a sequence of {len(sequence)} residues for {len(backbone.n)}: give one letter for each")
    if sequence[residue - backbone.first] == "G":
        raise LeastworkError(
            f"residue {residue} is glycine, which has no Cβ for a label: put the label at its Cα, by distances of atoms"
        )


@dataclass(frozen=True)
class _BetaDistances:
    atoms: tuple[tuple[int, int, int], ...]
    places: tuple[tuple[int, int], ...]
    nanometre: float

    def __call__(self, x: Tensor) -> Tensor:
        n, ca, c = pick(x, self.atoms)
        beta = beta_carbon(n * self.nanometre, ca * self.nanometre, c * self.nanometre)
        first, second = (beta[:, list(place)] for place in zip(*self.places, strict=True))
        return torch.linalg.vector_norm(first - second, dim=2)


@dataclass(frozen=True)
class _Efficiency:
    distances: Observable
    radius: float
    spread: float

    def __call__(self, x: Tensor) -> Tensor:
        length = self.distances(x)
        if not self.spread:
            return _efficiency(length / self.radius)
        # the length of r + ξ, ξ normal of variance σ² along each axis, has the density ρ/r φ((ρ − r)/σ)/σ on all ρ
        width = math.sqrt(2) * self.spread
        length = length.clamp(min=_SMALLEST)
        reached = length[..., None] + width * _NODES.to(length)
        share = _WEIGHTS.to(length) / _WEIGHTS.sum() * reached / length[..., None]
        return (share * _efficiency(reached / self.radius)).sum(dim=-1)


@dataclass(frozen=True)
class _Relaxation:
    distances: Observable
    factor: float

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * self.distances(x) ** -6


def _efficiency(ratio: Tensor) -> Tensor:
    return 1 / (1 + ratio**6)

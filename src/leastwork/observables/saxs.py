"""Small-angle X-ray scattering I(q) of a protein in water, from its Cα atoms.

    I(q) = Σ_ij F_i F_j sin(q r_ij)/(q r_ij) + Σ_i (p_i q)²/3          i, j: a bead for each residue, and for its water
    F_water,i = d c s_i exp(−q²d²/6)      s_i: exposed area, c: excess density of the layer, d: its thickness, 3 Å

The beads of water lie 5 Å farther out than those of their residues, away from the neighbours, and stand for the layer
of denser water of a protein (Svergun, Barberato & Koch, J. Appl. Cryst. 28, 768, 1995: c ≈ 0.03 electrons/Å³).
Beads of residues and their amplitudes are in :mod:`leastwork.observables.residue_beads`.

Against all atoms without the layer (pyausaxs 1.3.0, displaced volumes of Fraser) I(q)/I(0) of 20 proteins of 27 to 345
residues differs by at most 0.029 for q ≤ 0.3 1/Å, 0.006 in the median. Relative to I(q) itself the root mean square
error grows as :func:`saxs_error` says. D residues are written in small letters. Caps, ligands and everything else
without a Cα have no bead, and do not scatter.

Dipoles of residues, of a dense backbone and light side chains, are taken to point anywhere. Gramicidin A is missed by
0.12, also by beads in the very centres of its residues: all of its side chains point outward and are light, so that
dipoles add up. Residues whose excess electrons are few beside their dipoles are warned of: 0.45 per Å in gramicidin,
and 0.58 to 0.82 in those 20 proteins.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.observables.debye import debye_of_groups, squared_distances
from leastwork.observables.distances import pick
from leastwork.observables.function import Observable
from leastwork.observables.residue_beads import (
    BEADS,
    WATER_DENSITY,
    Bead,
    amplitudes,
    bead_of,
    bead_positions,
    exposed_areas,
)

__all__ = ["saxs", "saxs_error"]

_ANGSTROM = {"nm": 10.0, "Å": 1.0}
_LARGEST_Q = 0.5  # 1/Å
_LAYER = 3.0  # Å
_OUTWARD, _AROUND, _AROUND_EDGE = 5.0, 144.0, 24.0  # Å, Å², Å²: neighbours that say where outward is
_DISTANCES = 1 << 16  # at a time, which stay in a core's cache
_LEAST_EXCESS = 0.5  # excess electrons per electron Å of the residues' dipoles
_NEGLIGIBLE = 1e-10  # of the amplitudes
_ERROR_AT_03 = 0.1


def saxs(
    q: Sequence[float] | Tensor,
    sequence: str,
    *,
    hydration: float = 0.03,
    ca: Sequence[int] | None = None,
    unit: str = "nm",
) -> Observable:
    """I(q) of structures of one chain, (B, Q), in electrons²; data are known up to a scale, and may have an offset.

    Args:
        q: momentum transfers 4π sin(θ)/wavelength, 1/Å, (Q,), from 0 to 0.5.
        sequence: one-letter codes of the A residues, small letters for D residues among L residues.
        hydration: excess density c of the layer of water, electrons/Å³; 0 for none.
        ca: indices of the Cα atoms, (A,); by default a state is all Cα, (A, 3).
        unit: unit of the model's coordinates, "nm" or "Å".

    Warns:
        LeastworkWarning: the residues are so hydrophobic that beads may miss their scattering.

    Raises:
        LeastworkError: a q is out of range or given twice, the sequence has an unknown letter, or there is not one atom
            for each residue; on evaluation, a state has other atoms.

    >>> curve = saxs([0.0, 0.1], "GG", hydration=0)
    >>> curve.names, curve(torch.tensor([[[0.0, 0.0, 0.0], [0.38, 0.0, 0.0]]])).tolist()
    (('I(0)', 'I(0.1)'), [[398.1..., 395.8...]])
    """
    momenta = _checked_momenta(q)
    unknown = next((letter for letter in sequence if letter.upper() not in BEADS), None)
    if unknown is not None or not sequence:
        raise LeastworkError(
            f"sequence = {sequence[:40]!r}: give the residues by one-letter codes, {''.join(BEADS)}, at least one"
        )
    if sequence.islower():
        raise LeastworkError(
            f"sequence = {sequence[:40]!r}: small letters are D residues: write L residues in capitals, of D residues "
            "alone take the mirror image, which scatters alike"
        )
    atoms = None if ca is None else tuple(int(i) for i in ca)
    if atoms is not None and (len(atoms) != len(sequence) or min(atoms) < 0 or len(set(atoms)) < len(atoms)):
        raise LeastworkError(f"{len(atoms)} Cα atoms for {len(sequence)} residues: give a different one for each")
    _warn_of_dipoles([bead_of(letter) for letter in sequence])
    if unit not in _ANGSTROM:
        raise LeastworkError(f"unit = {unit!r}: SAXS takes coordinates in nm or Å")
    if not 0 <= hydration < math.inf:
        raise LeastworkError(f"hydration = {hydration}: give 0, or an excess density in electrons/Å³, usually 0.03")
    fn = _Saxs(momenta, sequence, float(hydration), atoms, _ANGSTROM[unit])
    return Observable(fn, tuple(f"I({value:g})" for value in momenta), "e^2")


def _warn_of_dipoles(beads: Sequence[Bead]) -> None:
    excess = sum(bead.electrons - WATER_DENSITY * bead.volume for bead in beads) / sum(bead.dipole for bead in beads)
    if excess < _LEAST_EXCESS:
        warnings.warn(
            f"these residues scatter {excess:.2f} electrons for each electron Å of their dipoles, where proteins have "
            "0.6 to 0.8, so beads may miss their SAXS, by a tenth of I(0) in gramicidin: compute it from all atoms, as "
            "by pyausaxs",
            LeastworkWarning,
            stacklevel=3,
        )


def saxs_error(q: float | Sequence[float] | Tensor) -> Tensor:
    """Relative standard error of the beads' I(q), float64, of the shape of q in 1/Å: 0.1 (q/0.3)².

    It is the root mean square difference from all atoms over 20 proteins, each curve divided by I(0).

    >>> saxs_error([0.0, 0.3]).tolist()
    [0.0, 0.1]
    """
    return _ERROR_AT_03 * (torch.as_tensor(q, dtype=torch.float64) / 0.3) ** 2


def _checked_momenta(q: Sequence[float] | Tensor) -> tuple[float, ...]:
    momenta = tuple(float(value) for value in q)
    if not momenta:
        raise LeastworkError("there are no q: give at least one")
    for value in momenta:
        if not 0 <= value <= _LARGEST_Q:
            raise LeastworkError(
                f"q = {value:g}: residues as beads hold from 0 to {_LARGEST_Q} 1/Å; a q in 1/nm is ten times one in 1/Å"
            )
    names = [f"{value:g}" for value in momenta]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise LeastworkError(f"q = {twice} is given twice: keep one of them")
    return momenta


@dataclass(frozen=True)
class _Saxs:
    momenta: tuple[float, ...]
    sequence: str
    hydration: float
    ca: tuple[int, ...] | None
    angstrom: float

    def __call__(self, x: Tensor) -> Tensor:
        x = self._alpha_carbons(x) * self.angstrom
        rows = len(x) if torch.is_grad_enabled() else max(1, _DISTANCES // x.shape[1] ** 2)
        return torch.cat([self._of_chains(part) for part in x.split(max(1, rows))])

    def _of_chains(self, ca: Tensor) -> Tensor:
        beads = [bead_of(letter) for letter in self.sequence]
        x = bead_positions(ca, beads)
        q = torch.tensor(self.momenta, dtype=torch.float64, device=x.device)
        amplitude, of_itself = (part.to(x.device) for part in amplitudes(beads, q))
        weights, shapes = _separated(amplitude)
        residues = (slice(0, len(beads)), weights.to(x), shapes.to(x))
        groups = [residues]
        if self.hydration:
            places, excess = self._water(x, beads)
            x = torch.cat([x, places], dim=1)
            shape = (-(q**2) * _LAYER**2 / 6).exp()[None].to(x)
            groups = [residues, (slice(len(beads), None), excess[:, :, None], shape)]
        return debye_of_groups(x, groups, q) + of_itself.sum(dim=0).to(x)

    def _alpha_carbons(self, x: Tensor) -> Tensor:
        pick(x, ((0,) if self.ca is None else self.ca,))
        if self.ca is not None:
            return x[:, list(self.ca)]
        if x.shape[1] != len(self.sequence):
            raise LeastworkError(
                f"a sequence of {len(self.sequence)} residues for a structure of {x.shape[1]} atoms: give the sequence "
                "of the model's chain, or say by ca= which atoms are Cα"
            )
        return x

    def _water(self, x: Tensor, beads: Sequence[Bead]) -> tuple[Tensor, Tensor]:
        """Positions of the residues' water, (B, A, 3), and its excess electrons, (B, A)."""
        distance2 = squared_distances(x)
        near = torch.sigmoid((_AROUND - distance2) / _AROUND_EDGE)
        away = near.sum(dim=2, keepdim=True) * x - near @ x  # the sum of near_ij (x_i − x_j)
        outward = away / (away.square().sum(dim=2, keepdim=True) + 1).sqrt()
        return x + _OUTWARD * outward, self.hydration * _LAYER * exposed_areas(distance2, beads)


def _separated(amplitude: Tensor) -> tuple[Tensor, Tensor]:
    """w (A, C) and φ (C, Q) with w φ = F, by the singular values: amplitudes of residues are much alike."""
    left, size, right = torch.linalg.svd(amplitude, full_matrices=False)
    kept = size > _NEGLIGIBLE * size[0]
    return left[:, kept] * size[kept], right[kept]

"""Residual dipolar couplings D of a backbone's bonds in a frame, by a tensor that is given or fitted.

    D = D_max Σ_ab S_ab ⟨n_a n_b⟩        D_max = −μ₀ γ_i γ_j h/(8π³ r³)        S symmetric, traceless (Saupe, 1964)

n is the bond's direction in the frame of a reference, on which each structure is laid. D is linear in the averages
D_max ⟨n_a n_b⟩, five numbers of a bond, so that a tensor that is not known is fitted to these averages by a linear
model (:class:`leastwork.data.functions.LinearModel`; Losonczi et al., J. Magn. Reson. 138, 334, 1999). One tensor for
all structures holds where they differ little in shape.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.built_atoms import alpha_hydrogen, amide_hydrogen
from leastwork.observables.couplings import Backbone
from leastwork.observables.distances import pick
from leastwork.observables.function import Observable

__all__ = ["BONDS", "bond_tensors", "residual_couplings"]

_PLANCK, _MU0 = 6.62607015e-34, 1.25663706e-6
_GAMMA = {"H": 2.6752218744e8, "N": -2.7126180e7, "C": 6.728284e7}  # rad/(s T), CODATA and IUPAC
_BONDS = {"N-H": 1.04e-10, "CA-HA": 1.117e-10, "CA-C": 1.526e-10, "C-N": 1.329e-10}  # m, with vibrations


def _largest(bond: str) -> float:
    """D_max of a bond, Hz."""
    first, second = (_GAMMA[atom[0]] for atom in bond.split("-"))
    return -_MU0 * first * second * _PLANCK / (8 * math.pi**3 * _BONDS[bond] ** 3)


BONDS: Mapping[str, float] = MappingProxyType({bond: _largest(bond) for bond in _BONDS})
"""D_max of the bonds of a residue, Hz; C-N is that from C′ to N of the next residue."""


def bond_tensors(backbone: Backbone, bonds: Sequence[tuple[str, int]], reference: Tensor | None = None) -> Observable:
    """D_max (n_x² − n_z², n_y² − n_z², 2 n_x n_y, 2 n_x n_z, 2 n_y n_z) of each bond, (B, 5K), Hz.

    Args:
        backbone: indices of N, Cα and C′; hydrogens are built.
        bonds: K pairs of a name in :data:`BONDS` and the number of a residue.
        reference: the structure that each is laid on, (A, 3); by default none, for states that are aligned.

    Raises:
        LeastworkError: there are no bonds, one is unknown, or a terminus lacks one of its atoms.

    >>> bond_tensors(Backbone.chain(2), [("CA-C", 1)]).names
    ('xx−zz CA-C 1', 'yy−zz CA-C 1', 'xy CA-C 1', 'xz CA-C 1', 'yz CA-C 1')
    """
    _check(backbone, bonds)
    parts = ("xx−zz", "yy−zz", "xy", "xz", "yz")
    names = tuple(f"{part} {bond} {residue}" for bond, residue in bonds for part in parts)
    return Observable(_BondTensors(backbone, tuple(bonds), reference), names, "Hz")


def residual_couplings(
    backbone: Backbone, bonds: Sequence[tuple[str, int]], tensor: Sequence[float], reference: Tensor | None = None
) -> Observable:
    """D of each bond by a tensor that is known, (B, K), Hz.

    Args:
        backbone: as in :func:`bond_tensors`, as are bonds and reference.
        tensor: S_xx, S_yy, S_xy, S_xz, S_yz.

    Raises:
        LeastworkError: as :func:`bond_tensors`; or the tensor is not five finite numbers.

    >>> residual_couplings(Backbone.chain(2), [("N-H", 2)], [1e-3, 0, 0, 0, 0]).names
    ('D(N-H) 2',)
    """
    numbers = tuple(float(value) for value in tensor)
    if len(numbers) != 5 or not all(map(math.isfinite, numbers)):
        raise LeastworkError(f"tensor = {numbers}: give S_xx, S_yy, S_xy, S_xz and S_yz")
    _check(backbone, bonds)
    fn = _Couplings(_BondTensors(backbone, tuple(bonds), reference), numbers)
    return Observable(fn, tuple(f"D({bond}) {residue}" for bond, residue in bonds), "Hz")


def _check(backbone: Backbone, bonds: Sequence[tuple[str, int]]) -> None:
    if not bonds:
        raise LeastworkError("there are no bonds: give (name, residue) of at least one")
    for bond, residue in bonds:
        if bond not in BONDS:
            raise LeastworkError(f"there is no bond {bond!r}: known are {', '.join(BONDS)}")
        if not backbone.first <= residue <= backbone.last:
            raise LeastworkError(
                f"there is no residue {residue}: the chain has residues {backbone.first} to {backbone.last}"
            )
        if bond == "N-H" and residue == backbone.first:
            raise LeastworkError(f"N-H of residue {residue}, the first, has no direction: no C' comes before its N")
        if bond == "C-N" and residue == backbone.last:
            raise LeastworkError(f"C-N of residue {residue}, the last, has no N: leave it out")
        if list(bonds).count((bond, residue)) > 1:
            raise LeastworkError(f"{bond} of residue {residue} stands twice among the bonds: keep one of them")


@dataclass(frozen=True, eq=False)
class _BondTensors:
    backbone: Backbone
    bonds: tuple[tuple[str, int], ...]
    reference: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        atoms = tuple(zip(self.backbone.n, self.backbone.ca, self.backbone.c, strict=True))
        n, ca, c = pick(x, atoms)
        along = _bond_vectors(n, ca, c)
        picked = torch.stack([along[bond][:, residue - self.backbone.first] for bond, residue in self.bonds], dim=1)
        if self.reference is not None:
            points = torch.stack([n, ca, c], dim=2).flatten(1, 2)
            fixed = self.reference.to(points)[[atom for residue in atoms for atom in residue]]
            picked = picked @ _turn(points, fixed)
        largest = picked.new_tensor([BONDS[bond] for bond, _ in self.bonds])
        return (largest[:, None] * _second_moments(picked)).flatten(1)


def _bond_vectors(n: Tensor, ca: Tensor, c: Tensor) -> dict[str, Tensor]:
    """The bonds of each residue, (B, N, 3); zero where a terminus has none."""
    none = torch.zeros_like(n[:, :1])
    amide = amide_hydrogen(c[:, :-1], n[:, 1:], ca[:, 1:]) - n[:, 1:]
    return {
        "N-H": torch.cat([none, amide], dim=1),
        "CA-HA": alpha_hydrogen(n, ca, c) - ca,
        "CA-C": c - ca,
        "C-N": torch.cat([n[:, 1:] - c[:, :-1], none], dim=1),
    }


def _turn(points: Tensor, fixed: Tensor) -> Tensor:
    """R of each sample, (B, 3, 3): rows x R lie on the fixed points (Kabsch, Acta Cryst. A32, 922, 1976)."""
    centred, target = points - points.mean(dim=1, keepdim=True), fixed - fixed.mean(dim=0)
    left, _, right = torch.linalg.svd(centred.mT @ target)
    mirror = torch.linalg.det(left @ right).sign()
    last = torch.stack([torch.ones_like(mirror), torch.ones_like(mirror), mirror], dim=1)
    return left @ (last[:, :, None] * right)


def _second_moments(along: Tensor) -> Tensor:
    x, y, z = (along / along.norm(dim=-1, keepdim=True).clamp(min=1e-9)).unbind(-1)
    return torch.stack([x * x - z * z, y * y - z * z, 2 * x * y, 2 * x * z, 2 * y * z], dim=-1)


@dataclass(frozen=True, eq=False)
class _Couplings:
    tensors: _BondTensors
    tensor: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        moments = self.tensors(x)
        return moments.unflatten(1, (-1, 5)) @ moments.new_tensor(self.tensor)

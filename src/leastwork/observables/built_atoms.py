"""Atoms that a backbone of N, Cα and C′ lacks, at their usual places: amide hydrogen, Hα and Cβ.

    H = N − 1.01 Å (û + v̂)°        û = (C′_{i−1} − N)°, v̂ = (Cα − N)°
    Cβ = Cα + 1.53 Å (−(â + b̂)° cos 54.7° + (â × b̂)° sin 54.7°)        â = (N − Cα)°, b̂ = (C′ − Cα)°

and Hα = Cα + 1.09 Å (−(â + b̂)° cos 54.7° − (â × b̂)° sin 54.7°): Cα is a tetrahedron of L residues. ° is the unit
vector. The bonds are those of Engh & Huber (Acta Cryst. A47, 392, 1991).
"""

import math

import torch
from torch import Tensor

__all__ = ["alpha_hydrogen", "amide_hydrogen", "beta_carbon"]

_NH, _CH, _CC = 0.101, 0.109, 0.153  # nm
_HALF = math.acos(-1 / 3) / 2  # half of the tetrahedron's angle


def amide_hydrogen(before: Tensor, n: Tensor, ca: Tensor) -> Tensor:
    """H of the amide, (…, 3), in the plane of C′_{i−1}, N and Cα.

    Args:
        before: C′ of the residue before, (…, 3), nm.
        n: N, (…, 3), nm.
        ca: Cα, (…, 3), nm.
    """
    return n - _NH * _unit(_unit(before - n) + _unit(ca - n))


def beta_carbon(n: Tensor, ca: Tensor, c: Tensor) -> Tensor:
    """Cβ of an L residue, (…, 3), of any residue but glycine; arguments as in :func:`amide_hydrogen`, c is C′."""
    away, across = _at_alpha(n, ca, c)
    return ca + _CC * (math.cos(_HALF) * away + math.sin(_HALF) * across)


def alpha_hydrogen(n: Tensor, ca: Tensor, c: Tensor) -> Tensor:
    """Hα of an L residue, (…, 3); arguments as in :func:`beta_carbon`."""
    away, across = _at_alpha(n, ca, c)
    return ca + _CH * (math.cos(_HALF) * away - math.sin(_HALF) * across)


def _at_alpha(n: Tensor, ca: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _unit(n - ca), _unit(c - ca)
    return -_unit(a + b), _unit(torch.linalg.cross(a, b))


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp(min=1e-9)

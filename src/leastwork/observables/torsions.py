"""Torsion angles φ of four atoms, in radians from −π to π, by the signs of IUPAC (cis is 0, clockwise positive).

    φ = atan2(|b₂| b₁·(b₂ × b₃), (b₁ × b₂)·(b₂ × b₃))        b_k = x_{k+1} − x_k

An angle has no average, but its cosine and sine have. The torsions of consecutive Cα atoms are the pseudo-torsions of a
chain; they change sign in a mirror image and so determine handedness.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.distances import atoms_of, pick
from leastwork.observables.function import Observable

__all__ = ["cosines_and_sines", "pseudo_torsions", "torsions"]


def torsions(quadruples: Sequence[tuple[int, int, int, int]]) -> Observable:
    """The torsion angles φ of quadruples of atoms, (B, K), rad.

    Args:
        quadruples: quadruples of atoms, counted from 0, (K, 4).

    Raises:
        LeastworkError: there are no quadruples, one has an atom twice, or one is given twice.

    >>> cis = torch.tensor([[[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    >>> torsions([(0, 1, 2, 3)])(cis).item()
    0.0
    """
    index = atoms_of(quadruples, 4, "quadruples")
    return Observable(_Torsions(index), tuple(f"φ({','.join(map(str, group))})" for group in index), "rad")


def pseudo_torsions(atoms: int) -> Observable:
    """The torsion angles of consecutive atoms of a chain, (B, A − 3), rad.

    Args:
        atoms: number A of atoms, at least four.

    Raises:
        LeastworkError: there are fewer than four atoms.
    """
    if atoms < 4:
        raise LeastworkError(f"a chain of {atoms} atoms has no torsion: it takes four")
    return torsions([(i, i + 1, i + 2, i + 3) for i in range(atoms - 3)])


def cosines_and_sines(quadruples: Sequence[tuple[int, int, int, int]]) -> Observable:
    """cos φ of all quadruples, then sin φ of all, (B, 2K); they are smooth across ±π, so that averages make sense."""
    index = atoms_of(quadruples, 4, "quadruples")
    names = [f"{fn} φ({','.join(map(str, group))})" for fn in ("cos", "sin") for group in index]
    return Observable(_CosinesAndSines(index), tuple(names))


@dataclass(frozen=True)
class _Torsions:
    quadruples: tuple[tuple[int, ...], ...]

    def __call__(self, x: Tensor) -> Tensor:
        sine, cosine = _parts(x, self.quadruples)
        return torch.atan2(sine, cosine)


@dataclass(frozen=True)
class _CosinesAndSines:
    quadruples: tuple[tuple[int, ...], ...]

    def __call__(self, x: Tensor) -> Tensor:
        sine, cosine = _parts(x, self.quadruples)
        size = torch.hypot(sine, cosine)
        return torch.cat([cosine / size, sine / size], dim=1)


def _parts(x: Tensor, quadruples: tuple[tuple[int, ...], ...]) -> tuple[Tensor, Tensor]:
    """sin φ and cos φ, both multiplied by |b₁ × b₂||b₂ × b₃|, (B, K)."""
    a, b, c, d = pick(x, quadruples)
    first, axis, last = b - a, c - b, d - c
    left, right = torch.linalg.cross(first, axis), torch.linalg.cross(axis, last)
    return torch.linalg.vector_norm(axis, dim=2) * (first * right).sum(dim=2), (left * right).sum(dim=2)

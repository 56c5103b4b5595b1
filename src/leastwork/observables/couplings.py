"""Scalar couplings J (Hz) of a backbone from its torsions θ by Karplus relations (J. Am. Chem. Soc. 85, 2870, 1963).

    J = A cos²(θ + δ) + B cos(θ + δ) + C        φ_i = C_{i−1} N_i Cα_i C_i        ψ_i = N_i Cα_i C_i N_{i+1}

³J(HN,Hα), ³J(HN,Cβ), ³J(HN,C′) and ³J(Hα,C′) depend on φ_i, ¹J(N,Cα) on ψ_i, ²J(N,Cα) on ψ_{i−1} of the residue before,
and ³J(HN,Cα) on φ_i and ψ_{i−1} (Hennig, Bermel, Schwalbe & Griesinger, J. Am. Chem. Soc. 122, 6268, 2000). The residue
i is that of the amide, or of Hα: the second atom of ³J(Hα,C′), ³J(HN,Cα) and ²J(N,Cα) is one residue before.

A relation has itself an error σ, which is correlated between the residues that use it:

    Σ_ij = σ_i σ_j (1 if i = j, ρ if i and j are of one kind, else 0)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index as whole
from types import MappingProxyType

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.distances import atoms_of
from leastwork.observables.function import Observable
from leastwork.observables.karplus import KARPLUS, KarplusSet, Relation
from leastwork.observables.torsions import torsions

__all__ = ["KINDS", "Backbone", "forward_model_covariance", "scalar_couplings"]

_PHI, _PSI, _PREVIOUS_PSI = "phi", "psi", "psi of the residue before"

_TORSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "3J(HN,HA)": (_PHI,),
        "3J(HN,CB)": (_PHI,),
        "3J(HN,C')": (_PHI,),
        "3J(HA,C')": (_PHI,),
        "3J(HN,CA)": (_PHI, _PREVIOUS_PSI),
        "1J(N,CA)": (_PSI,),
        "2J(N,CA)": (_PREVIOUS_PSI,),
    }
)

KINDS: tuple[str, ...] = tuple(_TORSIONS)
"""The kinds of couplings for which there are relations."""


@dataclass(frozen=True)
class Backbone:
    """Indices of the backbone atoms of a chain; residues are numbered as in the data.

    Args:
        n: index of the atom N of each residue, counted from 0.
        ca: index of the atom Cα of each residue.
        c: index of the atom C′ of each residue.
        end: index of an oxygen of the terminal carboxyl group, which replaces N_{i+1} in the last ψ, or None.
        first: the number of the first residue.

    Raises:
        LeastworkError: the numbers of atoms differ or are zero, or an atom is given twice.

    >>> chain = Backbone.chain(2, end=True)
    >>> chain.phi(2), chain.psi(2)
    ((2, 3, 4, 5), (3, 4, 5, 6))
    """

    n: tuple[int, ...]
    ca: tuple[int, ...]
    c: tuple[int, ...]
    end: int | None = None
    first: int = 1

    def __post_init__(self) -> None:
        parts = {name: tuple(whole(i) for i in getattr(self, name)) for name in ("n", "ca", "c")}
        if len({len(atoms) for atoms in parts.values()}) > 1:
            counts = ", ".join(f"{len(atoms)} atoms {name.upper()}" for name, atoms in parts.items())
            raise LeastworkError(f"the residues of a backbone have one N, CA and C each, not {counts}")
        everything = [i for atoms in parts.values() for i in atoms] + ([] if self.end is None else [self.end])
        if not parts["n"]:
            raise LeastworkError("a backbone without residues has no torsions: give the atoms of at least one")
        atoms_of([everything], len(everything), "backbones")
        for name, atoms in parts.items():
            object.__setattr__(self, name, atoms)

    @classmethod
    def chain(cls, residues: int, *, end: bool = False, first: int = 1) -> "Backbone":
        """The backbone of a structure of N, Cα, C′ of each residue, in this order, and perhaps a terminal oxygen.

        Args:
            residues: number of residues.
            end: whether a terminal oxygen is the last atom.
            first: the number of the first residue.
        """
        start = range(0, 3 * residues, 3)
        n, ca, c = (tuple(i + k for i in start) for k in range(3))
        return cls(n, ca, c, 3 * residues if end else None, first)

    @property
    def last(self) -> int:
        """The number of the last residue."""
        return self.first + len(self.n) - 1

    def phi(self, residue: int) -> tuple[int, int, int, int]:
        """Indices of the atoms C_{i−1} N_i Cα_i C_i.

        Raises:
            LeastworkError: there is no such residue, or it is the first, whose φ is undefined.
        """
        i = self._place(residue)
        if i == 0:
            raise LeastworkError(f"phi of residue {residue}, the first, is undefined: no C' comes before its N")
        return self.c[i - 1], self.n[i], self.ca[i], self.c[i]

    def psi(self, residue: int) -> tuple[int, int, int, int]:
        """Indices of the atoms N_i Cα_i C_i N_{i+1}, with the terminal oxygen in place of N_{i+1} for the last residue.

        Raises:
            LeastworkError: there is no such residue, or it is the last and there is no oxygen, so that ψ is undefined.
        """
        i = self._place(residue)
        after = self.n[i + 1] if i + 1 < len(self.n) else self.end
        if after is None:
            raise LeastworkError(
                f"psi of residue {residue}, the last, is undefined without the terminal oxygen: give it as end="
            )
        return self.n[i], self.ca[i], self.c[i], after

    def torsions_of(self, kind: str, residue: int) -> tuple[tuple[int, int, int, int], ...]:
        """The quadruples of atoms on whose torsions a coupling depends.

        Args:
            kind: one of :data:`KINDS`.
            residue: number of the residue.

        Raises:
            LeastworkError: the kind is unknown, there is no such residue, or a torsion is undefined at a terminus.
        """
        if kind not in _TORSIONS:
            raise LeastworkError(f"there is no relation for a coupling {kind!r}: known are {', '.join(KINDS)}")
        self._place(residue)
        angles = _TORSIONS[kind]
        if residue == self.first and angles != (_PSI,):
            missing = "its phi" if _PHI in angles else "the psi of a residue before it"
            raise LeastworkError(
                f"{kind} of residue {residue}, the first, is undefined, for it depends on {missing}: leave it out"
            )
        if residue == self.last and _PSI in angles and self.end is None:
            raise LeastworkError(
                f"{kind} of residue {residue}, the last, is undefined without the terminal oxygen: leave it out, or "
                "give the oxygen to the backbone as end="
            )
        at = {_PHI: lambda: self.phi(residue), _PSI: lambda: self.psi(residue)}
        at[_PREVIOUS_PSI] = lambda: self.psi(residue - 1)
        return tuple(at[angle]() for angle in angles)

    def _place(self, residue: int) -> int:
        if not self.first <= residue <= self.last:
            raise LeastworkError(f"there is no residue {residue}: the chain has residues {self.first} to {self.last}")
        return residue - self.first


def scalar_couplings(
    backbone: Backbone, data: Sequence[tuple[str, int]], karplus: KarplusSet = KARPLUS["vogeli2007"]
) -> Observable:
    """The couplings J of given kinds and residues, (B, K), Hz.

    Args:
        backbone: indices of the atoms N, Cα and C′ in structures (B, A, 3), in any unit of length.
        data: K pairs (kind, residue), with kinds from :data:`KINDS`.
        karplus: a relation for each kind, such as ``KARPLUS["vogeli2007"]``.

    Raises:
        LeastworkError: there are no data, or one is given twice; a kind is unknown or has no relation in the set; a
            residue does not exist; or a coupling is undefined at a terminus.

    >>> both = scalar_couplings(Backbone.chain(3), [("3J(HN,HA)", 2), ("2J(N,CA)", 3)])
    >>> both.names, both.unit
    (('3J(HN,HA) 2', '2J(N,CA) 3'), 'Hz')
    """
    data = [(kind, whole(residue)) for kind, residue in data]
    if not data:
        raise LeastworkError("there are no couplings: give (kind, residue) of at least one")
    quadruples: dict[tuple[int, int, int, int], int] = {}  # column of each quadruple
    of_relation: dict[Relation, list[tuple[int, tuple[int, ...]]]] = {}  # column of J, columns of its torsions
    for column, (kind, residue) in enumerate(data):
        if data.count((kind, residue)) > 1:
            raise LeastworkError(f"{kind} of residue {residue} stands twice among the couplings: keep one of them")
        atoms = backbone.torsions_of(kind, residue)
        places = tuple(quadruples.setdefault(each, len(quadruples)) for each in atoms)
        of_relation.setdefault(_relation(karplus, kind), []).append((column, places))
    groups = tuple(
        (relation, tuple(zip(*(places for _, places in members), strict=True)))
        for relation, members in of_relation.items()
    )
    columns = [column for members in of_relation.values() for column, _ in members]
    order = tuple(columns.index(column) for column in range(len(data)))
    fn = _ScalarCouplings(torsions(list(quadruples)), groups, order)
    return Observable(fn, tuple(f"{kind} {residue}" for kind, residue in data), "Hz")


def forward_model_covariance(
    kinds: Sequence[str], karplus: KarplusSet = KARPLUS["vogeli2007"], *, shared: float = 0.5
) -> Tensor:
    """Σ of the relations' own errors, float64 (K, K), Hz².

    Args:
        kinds: the kind of each datum, (K,).
        karplus: a relation for each kind.
        shared: ρ, the correlation of the errors of one relation at two residues: 0 for independent errors, 1 for the
            same error at all residues. Which part of a relation's error is due to its coefficients, and which to the
            residue, is not published; one half is a compromise.

    Raises:
        LeastworkError: ``shared`` is not in [0, 1], or a kind has no relation.

    >>> forward_model_covariance(["3J(HN,CA)", "3J(HN,CA)", "2J(N,CA)"])
    tensor([[0.0100, 0.0050, 0.0000],
            [0.0050, 0.0100, 0.0000],
            [0.0000, 0.0000, 0.2500]], dtype=torch.float64)
    """
    if not 0 <= shared <= 1:
        raise LeastworkError(
            f"shared = {shared}: give a correlation from 0, errors of their own, to 1, one error for all residues"
        )
    sigma = torch.tensor([_relation(karplus, kind).sigma for kind in kinds], dtype=torch.float64)
    number = {kind: k for k, kind in enumerate(dict.fromkeys(kinds))}
    which = torch.tensor([number[kind] for kind in kinds])
    same = (which[:, None] == which).to(torch.float64)
    correlation = shared * same + (1 - shared) * torch.eye(len(kinds), dtype=torch.float64)
    return sigma[:, None] * sigma * correlation


def _relation(karplus: KarplusSet, kind: str) -> Relation:
    if kind not in karplus:
        raise LeastworkError(f"the Karplus set has no relation for {kind}: it has {', '.join(karplus)}")
    return karplus[kind]


@dataclass(frozen=True)
class _ScalarCouplings:
    """Evaluates each relation for all of its residues at once, then sorts the couplings as the data."""

    angles: Observable
    groups: tuple[tuple[Relation, tuple[tuple[int, ...], ...]], ...]
    order: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        angles = self.angles(x)
        values = [relation(*(angles[:, list(each)] for each in places)) for relation, places in self.groups]
        return torch.cat(values, dim=1)[:, list(self.order)]

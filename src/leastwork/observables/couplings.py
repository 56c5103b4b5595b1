"""Scalar couplings J of a backbone, from its torsions θ by relations of Karplus (J. Am. Chem. Soc. 85, 2870, 1963), Hz.

    J = A cos²(θ + δ) + B cos(θ + δ) + C        φ_i = C_{i−1} N_i Cα_i C_i        ψ_i = N_i Cα_i C_i N_{i+1}

³J(HN,Hα), ³J(HN,Cβ), ³J(HN,C′) and ³J(Hα,C′) see φ_i; ¹J(N,Cα) sees ψ_i, ²J(N,Cα) the ψ_{i−1} of the residue before;
³J(HN,Cα) sees φ_i and ψ_{i−1} (Hennig, Bermel, Schwalbe & Griesinger, J. Am. Chem. Soc. 122, 6268, 2000). The residue
i is that of the amide, or of Hα: the second atom of ³J(Hα,C′), ³J(HN,Cα) and ²J(N,Cα) is one residue before it.

A relation is itself in error, by σ, and by much the same amount for all residues that use it:

    Σ_ij = σ_i σ_j (1 if i = j, ρ if i and j are of one kind, else 0)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index as whole
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from leastwork.errors import ConfigError, LeastworkError
from leastwork.observables.distances import atoms_of
from leastwork.observables.function import Observable
from leastwork.observables.torsions import torsions

__all__ = [
    "KARPLUS",
    "KINDS",
    "Backbone",
    "Karplus",
    "KarplusSet",
    "Relation",
    "TwoTorsions",
    "forward_model_covariance",
    "karplus_set",
    "scalar_couplings",
]

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
"""The couplings that there are relations for."""


@dataclass(frozen=True)
class Karplus:
    """J = A cos²(θ + δ) + B cos(θ + δ) + C.

    Args:
        a: A, Hz.
        b: B, Hz.
        c: C, Hz.
        delta: δ, degrees.
        sigma: σ, the relation's own error, Hz.
        citation: where the numbers stand.

    >>> strand = torch.tensor(-120.0).deg2rad()
    >>> round(KARPLUS["vogeli2007"]["3J(HN,HA)"](strand).item(), 2)
    9.86
    """

    a: float
    b: float
    c: float
    delta: float
    sigma: float
    citation: str

    def __call__(self, angle: Tensor) -> Tensor:
        """J, Hz, of a torsion in rad, of any shape."""
        cosine = (angle + math.radians(self.delta)).cos()
        return (self.a * cosine + self.b) * cosine + self.c


@dataclass(frozen=True)
class TwoTorsions:
    """J = C + linear in cos φ, sin φ, cos ψ, sin ψ and their four products, with ψ of the residue before.

    Args:
        c: C, Hz.
        cos_phi: and all that follow: the coefficients, Hz.
        sigma: σ, the relation's own error, Hz.
        citation: where the numbers stand.
    """

    c: float
    cos_phi: float
    cos_psi: float
    sin_phi: float
    sin_psi: float
    cos_phi_cos_psi: float
    cos_phi_sin_psi: float
    sin_phi_cos_psi: float
    sin_phi_sin_psi: float
    sigma: float
    citation: str

    def __call__(self, phi: Tensor, psi: Tensor) -> Tensor:
        """J, Hz, of torsions in rad, of one shape."""
        cosine, sine = psi.cos(), psi.sin()
        rest = self.c + self.cos_psi * cosine + self.sin_psi * sine
        of_cosine = self.cos_phi + self.cos_phi_cos_psi * cosine + self.cos_phi_sin_psi * sine
        of_sine = self.sin_phi + self.sin_phi_cos_psi * cosine + self.sin_phi_sin_psi * sine
        return rest + of_cosine * phi.cos() + of_sine * phi.sin()


Relation: TypeAlias = Karplus | TwoTorsions
KarplusSet: TypeAlias = Mapping[str, Relation]
"""A relation for each kind of coupling."""

_VOGELI = "Vögeli, Ying, Grishaev & Bax, J. Am. Chem. Soc. 129, 9377, 2007"
_HU = "Hu & Bax, J. Am. Chem. Soc. 119, 6360, 1997"
_SCHMIDT = "Schmidt, Blümel, Löhr & Rüterjans, J. Biomol. NMR 14, 1, 1999"
_WIRMER = "Wirmer & Schwalbe, J. Biomol. NMR 23, 47, 2002"
_DING = "Ding & Gronenborn, J. Am. Chem. Soc. 126, 6232, 2004"
_HENNIG = "Hennig, Bermel, Schwalbe & Griesinger, J. Am. Chem. Soc. 122, 6268, 2000"

# What sees ψ has one published relation, whatever the set.
_OF_PSI: KarplusSet = {
    "3J(HN,CA)": TwoTorsions(
        c=0.54,
        cos_phi=-0.23,
        cos_psi=-0.20,
        sin_phi=0.07,
        sin_psi=0.08,
        cos_phi_cos_psi=0.07,
        cos_phi_sin_psi=0.12,
        sin_phi_cos_psi=-0.08,
        sin_phi_sin_psi=-0.14,
        sigma=0.10,
        citation=_HENNIG,
    ),
    "1J(N,CA)": Karplus(1.70, -0.98, 9.51, 0.0, 0.59, _WIRMER),
    "2J(N,CA)": Karplus(-0.66, -1.52, 7.85, 0.0, 0.50, _DING),
}
_HA_C = Karplus(3.72, -2.18, 1.28, 120.0, 0.38, _HU)

KARPLUS: Mapping[str, KarplusSet] = MappingProxyType(
    {
        "vogeli2007": MappingProxyType(
            {
                "3J(HN,HA)": Karplus(7.97, -1.26, 0.63, -60.0, 0.42, _VOGELI),
                "3J(HN,CB)": Karplus(3.51, -0.53, 0.14, 60.0, 0.25, _VOGELI),
                "3J(HN,C')": Karplus(4.12, -1.10, 0.11, 180.0, 0.31, _VOGELI),
                "3J(HA,C')": _HA_C,
                **_OF_PSI,
            }
        ),
        "vogeli2007-mdtraj": MappingProxyType(
            {
                "3J(HN,HA)": Karplus(8.40, -1.36, 0.33, -60.0, 0.36, _VOGELI),
                "3J(HN,CB)": Karplus(3.71, -0.59, 0.08, 60.0, 0.22, _VOGELI),
                "3J(HN,C')": Karplus(4.36, -1.08, -0.01, 180.0, 0.30, _VOGELI),
                "3J(HA,C')": _HA_C,
                **_OF_PSI,
            }
        ),
        "schmidt1999": MappingProxyType(
            {
                "3J(HN,HA)": Karplus(7.90, -1.05, 0.65, -60.0, 0.35, _SCHMIDT),
                "3J(HN,CB)": Karplus(2.90, -0.56, 0.18, 60.0, 0.35, _SCHMIDT),
                "3J(HN,C')": Karplus(4.41, -1.36, 0.24, 180.0, 0.35, _SCHMIDT),
                "3J(HA,C')": Karplus(3.76, -1.63, 0.89, 120.0, 0.35, _SCHMIDT),
                **_OF_PSI,
            }
        ),
        "hu1997": MappingProxyType(
            {
                "3J(HN,HA)": Karplus(7.09, -1.42, 1.55, -60.0, 0.91, _HU),
                "3J(HN,CB)": Karplus(3.06, -0.74, 0.13, 60.0, 0.39, _HU),
                "3J(HN,C')": Karplus(4.29, -1.01, 0.00, 180.0, 0.59, _HU),
                "3J(HA,C')": _HA_C,
                **_OF_PSI,
            }
        ),
    }
)
"""Named sets, each with a relation for every kind; the citation of each relation says whose it is.

What a set's own paper lacks is filled: ³J(Hα,C′) of both sets of Vögeli et al. is that of Hu & Bax 1997, and ³J(HN,Cα),
¹J(N,Cα) and ²J(N,Cα) of all sets are those of Hennig et al. 2000, Wirmer & Schwalbe 2002 and Ding & Gronenborn 2004.

``vogeli2007-mdtraj`` has the other coefficients of Vögeli et al., which mdtraj calls Bax2007. Two errors are in use for
³J(HN,Hα) of Hu & Bax, 0.91 Hz here and 0.39 Hz in mdtraj, and for ³J(HN,Hα) of Schmidt et al., 0.35 and 0.25 Hz; the
larger ones are taken.
"""


def karplus_set(name: str) -> KarplusSet:
    """A named set of relations.

    Args:
        name: one of :data:`KARPLUS`.

    Raises:
        ConfigError: there is no such set; lists those that there are.

    >>> karplus_set("schmidt1999")["3J(HN,HA)"].citation
    'Schmidt, Blümel, Löhr & Rüterjans, J. Biomol. NMR 14, 1, 1999'
    """
    if name not in KARPLUS:
        raise ConfigError(f"there is no Karplus set {name!r}: known are {', '.join(KARPLUS)}")
    return KARPLUS[name]


@dataclass(frozen=True)
class Backbone:
    """Which atoms of a structure are a chain's backbone; residues are numbered as in the data.

    Args:
        n: the atom N of each residue, counted from 0.
        ca: the atom Cα of each.
        c: the atom C′ of each.
        end: the oxygen of the terminal carboxyl group that stands for N_{i+1} in ψ of the last residue, or None.
        first: the number of the first residue.

    Raises:
        LeastworkError: unequal numbers of atoms, none, or an atom given twice.

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
        """A structure of nothing but N Cα C′ of each residue, in this order, and the terminal oxygen last, if any.

        Args:
            residues: how many.
            end: the terminal oxygen is the last atom.
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
        """C_{i−1} N_i Cα_i C_i.

        Raises:
            LeastworkError: no such residue, or the first, whose φ is undefined.
        """
        i = self._place(residue)
        if i == 0:
            raise LeastworkError(f"phi of residue {residue}, the first, is undefined: no C' comes before its N")
        return self.c[i - 1], self.n[i], self.ca[i], self.c[i]

    def psi(self, residue: int) -> tuple[int, int, int, int]:
        """N_i Cα_i C_i N_{i+1}, or the terminal oxygen in the place of N_{i+1}.

        Raises:
            LeastworkError: no such residue, or the last of a backbone without the oxygen, whose ψ is undefined.
        """
        i = self._place(residue)
        after = self.n[i + 1] if i + 1 < len(self.n) else self.end
        if after is None:
            raise LeastworkError(
                f"psi of residue {residue}, the last, is undefined without the terminal oxygen: give it as end="
            )
        return self.n[i], self.ca[i], self.c[i], after

    def torsions_of(self, kind: str, residue: int) -> tuple[tuple[int, int, int, int], ...]:
        """The quadruples of atoms whose torsions a coupling sees.

        Args:
            kind: one of :data:`KINDS`.
            residue: its number.

        Raises:
            LeastworkError: an unknown kind, a residue that is not there, or a torsion undefined at a terminus.
        """
        if kind not in _TORSIONS:
            raise LeastworkError(f"there is no relation for a coupling {kind!r}: known are {', '.join(KINDS)}")
        self._place(residue)
        angles = _TORSIONS[kind]
        if residue == self.first and angles != (_PSI,):
            missing = "its phi" if _PHI in angles else "the psi of a residue before it"
            raise LeastworkError(
                f"{kind} of residue {residue}, the first, is undefined, for it sees {missing}: leave it out"
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
    """J of each kind and residue, (B, K), Hz; differentiable.

    Args:
        backbone: which atoms of a structure (B, A, 3), in any unit of length, are N, Cα and C′.
        data: (kind, residue), kinds from :data:`KINDS`, (K,).
        karplus: a relation for each kind, such as ``KARPLUS["vogeli2007"]``.

    Raises:
        LeastworkError: no data, one given twice, an unknown kind or one the set has no relation for, a residue that is
            not there, or a coupling undefined at a terminus.

    >>> both = scalar_couplings(Backbone.chain(3), [("3J(HN,HA)", 2), ("2J(N,CA)", 3)])
    >>> both.names, both.unit
    (('3J(HN,HA) 2', '2J(N,CA) 3'), 'Hz')
    """
    data = [(kind, whole(residue)) for kind, residue in data]
    if not data:
        raise LeastworkError("there are no couplings: give (kind, residue) of at least one")
    quadruples: dict[tuple[int, int, int, int], int] = {}  # in the order of their columns
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
        kinds: of the data, in their order.
        karplus: a relation for each kind.
        shared: ρ, the correlation of the errors of one relation at two residues: 0 for independent errors, 1 for one
            error that all residues share. How far a relation's error is one of its coefficients, and how far the
            residue's own, is not published; one half is a compromise.

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
    """Relation by relation, each for all of its residues at once; then in the order of the data."""

    angles: Observable
    groups: tuple[tuple[Relation, tuple[tuple[int, ...], ...]], ...]
    order: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        angles = self.angles(x)
        values = [relation(*(angles[:, list(each)] for each in places)) for relation, places in self.groups]
        return torch.cat(values, dim=1)[:, list(self.order)]

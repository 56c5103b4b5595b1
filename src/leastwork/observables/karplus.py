"""Karplus relations J = A cos²(θ + δ) + B cos(θ + δ) + C, relations of two torsions, and published sets by name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor

from leastwork.errors import ConfigError

__all__ = ["KARPLUS", "Karplus", "KarplusSet", "Relation", "TwoTorsions", "karplus_set"]


_CIRCLE = torch.linspace(-math.pi, math.pi, 361, dtype=torch.float64)


@dataclass(frozen=True)
class Karplus:
    """J = A cos²(θ + δ) + B cos(θ + δ) + C.

    Args:
        a: A, Hz.
        b: B, Hz.
        c: C, Hz.
        delta: δ, degrees.
        sigma: σ, the relation's own error, Hz.
        citation: the paper with the numbers.

    >>> import torch
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
        """J, Hz, for torsions in rad, of any shape."""
        cosine = (angle + math.radians(self.delta)).cos()
        return (self.a * cosine + self.b) * cosine + self.c

    @property
    def reach(self) -> tuple[float, float]:
        """The smallest and the largest J of any torsion, Hz."""
        values = self(_CIRCLE)
        return float(values.min()), float(values.max())


@dataclass(frozen=True)
class TwoTorsions:
    """J = C + linear in cos φ, sin φ, cos ψ, sin ψ and their four products, with ψ of the residue before.

    Args:
        c: C, Hz.
        cos_phi: this and the following arguments are the coefficients, Hz.
        sigma: σ, the relation's own error, Hz.
        citation: the paper with the numbers.
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
        """J, Hz, for torsions φ and ψ in rad, of equal shape."""
        cosine, sine = psi.cos(), psi.sin()
        rest = self.c + self.cos_psi * cosine + self.sin_psi * sine
        of_cosine = self.cos_phi + self.cos_phi_cos_psi * cosine + self.cos_phi_sin_psi * sine
        of_sine = self.sin_phi + self.sin_phi_cos_psi * cosine + self.sin_phi_sin_psi * sine
        return rest + of_cosine * phi.cos() + of_sine * phi.sin()

    @property
    def reach(self) -> tuple[float, float]:
        """The smallest and the largest J of any two torsions, Hz."""
        values = self(_CIRCLE[:, None], _CIRCLE[None])
        return float(values.min()), float(values.max())


Relation: TypeAlias = Karplus | TwoTorsions
KarplusSet: TypeAlias = Mapping[str, Relation]
"""A relation for each kind of coupling."""

_VOGELI = "Vögeli, Ying, Grishaev & Bax, J. Am. Chem. Soc. 129, 9377, 2007"
_HU = "Hu & Bax, J. Am. Chem. Soc. 119, 6360, 1997"
_SCHMIDT = "Schmidt, Blümel, Löhr & Rüterjans, J. Biomol. NMR 14, 1, 1999"
_WIRMER = "Wirmer & Schwalbe, J. Biomol. NMR 23, 47, 2002"
_DING = "Ding & Gronenborn, J. Am. Chem. Soc. 126, 6232, 2004"
_HENNIG = "Hennig, Bermel, Schwalbe & Griesinger, J. Am. Chem. Soc. 122, 6268, 2000"

# Couplings that depend on ψ have one published relation, which all sets share.
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
"""Named sets with a relation for every kind of coupling; each relation has the citation of its paper.

Relations missing in a set's own paper are added: ³J(Hα,C′) of both sets of Vögeli et al. is that of Hu & Bax 1997, and
³J(HN,Cα), ¹J(N,Cα) and ²J(N,Cα) of all sets are those of Hennig et al. 2000, Wirmer & Schwalbe 2002 and Ding &
Gronenborn 2004.

``vogeli2007-mdtraj`` has the other coefficients of Vögeli et al., which mdtraj calls Bax2007. Two errors are in use for
³J(HN,Hα) of Hu & Bax, 0.91 Hz here and 0.39 Hz in mdtraj, and for ³J(HN,Hα) of Schmidt et al., 0.35 and 0.25 Hz; the
larger ones are taken.
"""


def karplus_set(name: str) -> KarplusSet:
    """A named set of relations.

    Args:
        name: one of :data:`KARPLUS`.

    Raises:
        ConfigError: there is no such set; the message lists all.

    >>> karplus_set("schmidt1999")["3J(HN,HA)"].citation
    'Schmidt, Blümel, Löhr & Rüterjans, J. Biomol. NMR 14, 1, 1999'
    """
    if name not in KARPLUS:
        raise ConfigError(f"there is no Karplus set {name!r}: known are {', '.join(KARPLUS)}")
    return KARPLUS[name]

"""The alanine pentapeptide, H₃N⁺-AAAAA-COOH: its measured scalar couplings, its backbone and the basins of φ and ψ.

    A state is N Cα C′ of the five residues, then the terminal oxygen, (16, 3), nm; ψ₅ = N₅ Cα₅ C₅ O.

The couplings are those of Graf, Nguyen, Stock & Schwalbe (J. Am. Chem. Soc. 129, 1179, 2007), in water, of the peptide
with both ends protonated. Force fields of the time give too much helix, or too little (Best, Buchete & Hummer, Biophys.
J. 95, L07, 2008). A simulation needs OpenMM (:mod:`leastwork.cases.ala5.simulation`); this module does not.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from leastwork.data.couplings import Couplings
from leastwork.errors import LeastworkError
from leastwork.observables import Backbone, Observable, torsions

__all__ = [
    "BACKBONE",
    "BASINS",
    "DATA",
    "SEQUENCE",
    "TEMPERATURE",
    "Ensembles",
    "couplings",
    "ensembles",
    "populations",
]

DATA = Path(__file__).parent / "data"

SEQUENCE = ("ALA",) * 5
TEMPERATURE = 300.0
"""K."""
BACKBONE = Backbone.chain(len(SEQUENCE), end=True)
"""N Cα C′ of each residue, then the oxygen of the terminal carboxyl group."""


def _helical(psi: Tensor) -> Tensor:
    return (psi >= -120) & (psi < 50)


BASINS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "PPII": lambda phi, psi: (phi >= -90) & (phi < 0) & ~_helical(psi),
        "beta": lambda phi, psi: ((phi < -90) | (phi >= 160)) & ~_helical(psi),
        "alpha_R": lambda phi, psi: (phi < 0) & _helical(psi),
        "alpha_L": lambda phi, psi: (phi >= 0) & (phi < 160) & (psi >= -90) & (psi < 120),
    }
)
"""Regions of φ and ψ, in degrees from −180 to 180, that do not overlap; together with the rest they are everything.

=======  =========================  =====================
basin    φ                          ψ
=======  =========================  =====================
PPII     [−90, 0)                   < −120 or ≥ 50
beta     < −90 or ≥ 160             < −120 or ≥ 50
alpha_R  < 0                        [−120, 50)
alpha_L  [0, 160)                   [−90, 120)
=======  =========================  =====================

After Best, Buchete & Hummer (Biophys. J. 95, L07, 2008), whose boundaries at ψ = −120°, 50° and φ = −90° these are;
the outer ones are moved so that all of the left half is divided among the first three.
"""
_REST = "other"


def populations() -> Observable:
    """Indicators, 1 or 0, of the basins of residues 2 to 5: "PPII 2", …, "other 5", (B, 20); they have no gradient.

    >>> populations().names[:5]
    ('PPII 2', 'beta 2', 'alpha_R 2', 'alpha_L 2', 'other 2')
    """
    residues = range(BACKBONE.first + 1, BACKBONE.last + 1)
    names = tuple(f"{basin} {residue}" for residue in residues for basin in (*BASINS, _REST))
    phi, psi = torsions([BACKBONE.phi(i) for i in residues]), torsions([BACKBONE.psi(i) for i in residues])
    return Observable(_Populations(phi, psi), names)


@dataclass(frozen=True)
class _Populations:
    phi: Observable
    psi: Observable

    def __call__(self, x: Tensor) -> Tensor:
        phi, psi = self.phi(x).rad2deg(), self.psi(x).rad2deg()
        inside = torch.stack([basin(phi, psi) for basin in BASINS.values()], dim=2)
        everything = torch.cat([inside, ~inside.any(dim=2, keepdim=True)], dim=2)
        return everything.flatten(start_dim=1).to(x.dtype)


@cache
def couplings() -> Couplings:
    """The 27 measured couplings; ³J(HN,Hα) and ¹J(N,Cα) are to be fitted, the other five kinds are held out."""
    return Couplings.from_csv(DATA / "couplings.csv")


@dataclass(frozen=True, eq=False)
class Ensembles:
    """Thinned frames of the simulations.

    Args:
        biased: frames of the force field whose couplings agree less with the measured ones, float32 (n, 16, 3), nm.
        other: frames of the force field whose couplings agree better, float32 (n, 16, 3), nm.
        record: settings, seeds, and statistics of the whole trajectories with their block errors.
    """

    biased: Tensor
    other: Tensor
    record: Mapping[str, Any]


@cache
def ensembles() -> Ensembles:
    """The frames that ship with the package; scripts/simulate_ala5.py made them.

    Raises:
        LeastworkError: the file of frames is missing.
    """
    frames, record = DATA / "frames.safetensors", DATA / "simulation.json"
    for file in (frames, record):
        if not file.is_file():
            raise LeastworkError(f"{file}: there is no such file: make it with scripts/simulate_ala5.py --ship")
    about = json.loads(record.read_text(encoding="utf-8"))
    stored = load_file(frames)
    biased, other = (stored[name].float() * about["frames"]["unit_nm"] for name in ("biased", "other"))
    return Ensembles(biased, other, about)

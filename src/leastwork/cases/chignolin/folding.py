"""Chignolin CLN025 (YYDPETGTWY) as ten Cα beads: its measured stability and a structure-based force field.

    U = ½k_b Σ (b − b₀)² + ½k_a Σ (θ − θ₀)² + Σ k₁(1 − cos(φ − φ₀)) + k₃(1 − cos 3(φ − φ₀)) + ε Σ (σ/r)¹² − E (Q T)^p

    Q = mean over native contacts of 1/(1 + exp(β(r − λ r₀)))        T = mean over torsions of ½(1 + cos(φ − φ₀))

Bonds b, angles θ, torsions φ and contacts r₀ are those of the crystal structure (PDB 5AWL; Honda et al., J. Am. Chem.
Soc. 130, 15327, 2008), whose Cα atoms stand below. Ten residues with pairwise contacts fold downhill; the cooperative
power p gives a barrier (Eastwood & Wolynes, J. Chem. Phys. 114, 4702, 2001), and T in it handedness: the mirror image
has the same contacts.

The *reference* force field has the energy E with which the molecule is folded as often as measured,
f = 1/(1 + exp(−ΔG/RT)) with ΔG = ΔH(1 − T/T_m); the *biased* one is too weak. The simulation itself needs OpenMM
(:mod:`leastwork.cases.chignolin.simulation`); this module does not.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from leastwork.cases.chignolin.markov_committor import Committor, TransitionRegion, load_committor
from leastwork.errors import LeastworkError
from leastwork.observables import Observable, contacts, native_fraction, pseudo_torsions, smooth_above
from leastwork.observables.contacts import pairs_in_contact

__all__ = [
    "BIASED",
    "BOLTZMANN",
    "DATA",
    "FOLDED",
    "NATIVE",
    "REFERENCE",
    "SEQUENCE",
    "TEMPERATURE",
    "Ensembles",
    "ForceField",
    "committor",
    "contact_map",
    "ensembles",
    "folded",
    "folded_fraction",
    "is_folded",
    "native",
    "native_contacts",
    "nativeness",
    "transition_region",
]

DATA = Path(__file__).parent / "data"

SEQUENCE = ("TYR", "TYR", "ASP", "PRO", "GLU", "THR", "GLY", "THR", "TRP", "TYR")
BOLTZMANN = 8.31446261815324e-3
"""kJ/(mol K)."""
TEMPERATURE = 340.15
"""K, at which the force fields are calibrated and simulated."""

_MELTING = 342.8  # K; Honda et al. 2008
_ENTHALPY = 47.7  # kJ/mol, with ΔCp = 0
_MEASURED = (273.15, 373.15)  # K, the range of liquid water, in which stability was measured

NATIVE: Tensor = 0.1 * torch.tensor(
    [
        [24.935, 20.652, 10.774],
        [21.801, 19.381, 9.017],
        [18.477, 20.539, 10.432],
        [16.223, 17.660, 11.537],
        [13.040, 19.289, 10.212],
        [14.200, 20.806, 6.941],
        [17.256, 18.676, 6.039],
        [19.242, 21.760, 5.125],
        [22.762, 22.680, 6.241],
        [23.135, 25.467, 8.794],
    ],
    dtype=torch.float64,
)
"""Cα atoms of the crystal structure, (10, 3), nm."""


def folded_fraction(temperature: float) -> float:
    """The measured share of folded molecules in water, by ΔH = 47.7 kJ/mol and T_m = 342.8 K.

    Args:
        temperature: K.

    Raises:
        LeastworkError: a temperature outside the measured range.

    >>> round(folded_fraction(340.15), 3), round(folded_fraction(300.15), 3)
    (0.533, 0.915)
    """
    low, high = _MEASURED
    if not low <= temperature <= high:
        raise LeastworkError(
            f"there is no measured stability of chignolin at {temperature:g} K: give {low:g} to {high:g} K"
        )
    stability = _ENTHALPY * (1 - temperature / _MELTING)
    return 1 / (1 + math.exp(-stability / (BOLTZMANN * temperature)))


def native_contacts() -> tuple[Tensor, Tensor]:
    """Pairs (i, j), int (C, 2), four places or more apart along the chain and nearer than 0.95 nm; and r₀, nm.

    >>> len(native_contacts()[0])
    14
    """
    pairs, lengths = pairs_in_contact(NATIVE)
    return torch.tensor(pairs), torch.tensor(lengths, dtype=torch.float64)


@dataclass(frozen=True)
class ForceField:
    """Strengths of the terms; lengths in nm, energies in kJ/mol.

    Args:
        contacts: E, of all native contacts and torsions together.
        power: p.
        bond: k_b, kJ/(mol nm²).
        angle: k_a, kJ/(mol rad²).
        torsion: k₁ and k₃.
        repulsion: ε, between beads three or more apart along the chain.
        radius: σ of the repulsion.
        steepness: β of a contact, 1/nm.
        reach: λ.
    """

    contacts: float
    power: int = 4
    bond: float = 20_000.0
    angle: float = 20.0
    torsion: tuple[float, float] = (1.0, 0.5)
    repulsion: float = 4.0
    radius: float = 0.4
    steepness: float = 20.0
    reach: float = 1.2


REFERENCE = ForceField(contacts=66.9)
"""Folded as often as measured at 340.15 K."""
BIASED = ForceField(contacts=58.0)
"""Its contacts are too weak: it is folded in 15 % of the frames."""

FOLDED, EDGE = 0.7, 0.05
"""Q at the top of the barrier, above which a structure is folded, and the width of the smooth indicator's edge."""


def native() -> Observable:
    """Q with the parameters of the force field, (B, 1)."""
    return native_fraction(*pairs_in_contact(NATIVE), REFERENCE.steepness, REFERENCE.reach)


def contact_map() -> Observable:
    """Native contacts with the parameters of the force field, (B, 14)."""
    return contacts(*pairs_in_contact(NATIVE), REFERENCE.steepness, REFERENCE.reach)


def folded() -> Observable:
    """The share of folded structures, smooth: 1/(1 + exp(−(Q − 0.7)/0.05)), (B, 1)."""
    return smooth_above(native(), FOLDED, EDGE, "folded")


def is_folded(x: Tensor) -> Tensor:
    """Q > 0.7, bool (B,); x: (B, 10, 3), nm."""
    return native()(x)[:, 0] > FOLDED


def nativeness(x: Tensor) -> Tensor:
    """(Q T)^p, (B,), the factor of E; x: (B, 10, 3), nm."""
    chain = pseudo_torsions(len(NATIVE))
    twist = 0.5 * (1 + (chain(x) - chain(NATIVE[None]).to(x)).cos()).mean(dim=1)
    return (native()(x)[:, 0] * twist) ** REFERENCE.power


@dataclass(frozen=True, eq=False)
class Ensembles:
    """Thinned frames of the simulations.

    Args:
        biased: frames of the biased force field, float32 (n, 10, 3), centred, nm.
        reference: frames of the reference force field, float32 (n, 10, 3), centred, nm.
        transition: all biased frames in the transition region, except the bundled guides.
        record: settings, seeds, and statistics of the whole trajectories with their block errors.
    """

    biased: Tensor
    reference: Tensor
    transition: Tensor
    record: Mapping[str, Any]


@cache
def ensembles() -> Ensembles:
    """The frames that ship with the package; scripts/simulate_chignolin.py made them."""
    frames = load_file(DATA / "frames.safetensors")
    record = json.loads((DATA / "simulation.json").read_text(encoding="utf-8"))
    unit = record["frames"]["unit_nm"]
    biased, reference, transition = (frames[name].float() * unit for name in ("biased", "reference", "transition"))
    return Ensembles(biased, reference, transition, record)


@cache
def committor() -> Committor:
    """The committor of the biased dynamics: the probability to fold before unfolding."""
    return load_committor(DATA / "committor.safetensors")


def transition_region() -> TransitionRegion:
    """A = {x: 0.4 ≤ q(x) ≤ 0.6}, the transition states of the biased dynamics."""
    return TransitionRegion(committor())

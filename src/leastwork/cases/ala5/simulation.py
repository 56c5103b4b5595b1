"""Langevin dynamics of the alanine pentapeptide Ala5, all atoms, implicit solvent, in OpenMM (Eastman et al., J. Phys.
Chem. B 128, 109, 2024).

The molecule is H₃N⁺-AAAAA-COOH, of charge +1, as in the water of pH 2 in which its scalar couplings were measured
(Graf, Nguyen, Stock & Schwalbe, J. Am. Chem. Soc. 129, 1179, 2007) and as simulated against them (Best, Buchete &
Hummer, Biophys. J. 95, L07, 2008). The force fields are Amber ff99SB (Hornak et al., Proteins 65, 712, 2006) and ff03
(Duan et al., J. Comput. Chem. 24, 1999, 2003), both with the generalised Born solvent OBC-2 and its surface term
(Onufriev, Bashford & Case, Proteins 55, 383, 2004), without cutoff.

Neither has a protonated C-terminus. The residue here is the force field's own inner ALA, with O, OXT and HXT for its C
and O: these three and C have the types, charges and Born radii of the carboxyl group of its GLH. What this leaves of
charge, a tenth of e, is put on Cα, so that the residue is neutral.

Hydrogen atoms are 2.5 u heavy, taken from the atom they are bound to, and these bonds are rigid: neither changes the
distribution of the torsions other than through the bond lengths, and steps of 5 fs become possible.

A frame holds the 16 atoms that the backbone torsions need, in chain order, N Cα C of each residue and OXT:

    φ_i = C_{i−1} N_i Cα_i C_i        ψ_i = N_i Cα_i C_i N_{i+1}        ψ_5 = N_5 Cα_5 C_5 OXT

where OXT is the oxygen that carries the hydrogen.

Two barriers make sampling slow: that of ψ between α_R and β, and that of φ around 0, beyond which is α_L. Both can be
lowered,

    V = −k_BT Σ d exp(κ (cos(θ − θ₀) − 1)) ≤ 0

over φ of residues 2 to 5 and ψ of 2 to 4, and then frames are kept with the probability exp(V/k_BT): what is left has
the distribution of the unchanged force field, exactly, and nearly all of what is thrown away are frames on barriers.
"""

import io
import xml.etree.ElementTree as xml
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwork.cases.ala5.peptide import SEQUENCE, TEMPERATURE
from leastwork.cases.chignolin.folding import BOLTZMANN
from leastwork.cases.chignolin.motion import Motion
from leastwork.errors import ConfigError, LeastworkError
from leastwork.observables import torsions
from leastwork.support.extras import needs

__all__ = [
    "ATOMS",
    "BACKBONE",
    "FORCE_FIELDS",
    "FRICTION",
    "HYDROGEN_MASS",
    "LOWERED",
    "RESIDUES",
    "STARTS",
    "TEMPERATURE",
    "TIMESTEP",
    "Lowered",
    "Phase",
    "Simulation",
    "atom",
    "built",
    "kept",
    "lowering",
]

RESIDUES = len(SEQUENCE)
FRICTION = 1.0  # 1/ps
TIMESTEP = 0.005  # ps
HYDROGEN_MASS = 2.5  # u

FORCE_FIELDS: Mapping[str, tuple[str, str]] = {
    "ff99sb": ("amber99sb.xml", "amber99_obc.xml"),
    "ff03": ("amber03.xml", "amber03_obc.xml"),
}
"""OpenMM's files of each: of the molecule, of the solvent."""

STARTS: tuple[tuple[float, float], ...] = ((-75.0, 145.0), (-65.0, -40.0), (-140.0, 150.0), (-70.0, 60.0))
"""φ and ψ of all residues at the start of a run, degrees: PPII, α_R, β, and a turn."""


@dataclass(frozen=True)
class _Place:
    """An atom by its bond to ``to``, the angle with ``via`` and the torsion from ``across``: nm, degrees.

    A name with + or − is an atom of the next or the last residue; the torsion may be "phi" or "psi".
    """

    name: str
    element: str
    to: str
    via: str
    across: str
    length: float
    angle: float
    torsion: float | str


_SIDE = (
    _Place("HA", "H", "CA", "N", "C", 0.109, 109.5, 119.0),
    _Place("CB", "C", "CA", "N", "C", 0.1526, 110.0, -122.0),
    *(_Place(f"HB{k + 1}", "H", "CB", "CA", "N", 0.109, 109.5, 60.0 + 120.0 * k) for k in range(3)),
)
_LAST = RESIDUES - 1
_RIGHT = 180.0


@cache
def _residue(i: int) -> tuple[_Place, ...]:
    """The atoms of residue i, counted from 0, in an order in which each can be placed."""
    chain = [
        _Place("N", "N", "-C", "-CA", "-N", 0.1335, 116.6, "psi"),
        _Place("CA", "C", "N", "-C", "-CA", 0.1449, 121.9, _RIGHT),
        _Place("C", "C", "CA", "N", "-C", 0.1522, 110.1, "phi"),
    ]
    if i == 0:
        hydrogens = [_Place(f"H{k + 1}", "H", "N", "CA", "C", 0.101, 109.5, 60.0 + 120.0 * k) for k in range(3)]
    else:
        hydrogens = [_Place("H", "H", "N", "CA", "-C", 0.101, 118.0, _RIGHT)]
    end = [_Place("O", "O", "C", "CA", "N", 0.1229, 120.4, "psi+180")]
    if i == _LAST:
        end += [
            _Place("OXT", "O", "C", "CA", "N", 0.1364, 110.0, "psi"),
            _Place("HXT", "H", "OXT", "C", "CA", 0.096, 113.0, _RIGHT),
        ]
    return (*chain, *hydrogens, *_SIDE, *end)


_NAMES: tuple[tuple[int, str], ...] = tuple((i, place.name) for i in range(RESIDUES) for place in _residue(i))

ATOMS: int = len(_NAMES)
"""54."""


def atom(residue: int, name: str) -> int:
    """Index of an atom.

    Args:
        residue: counted from 0.
        name: name as in the PDB: N, CA, C, O, HA, CB, …; the first residue has H1, H2 and H3, the last OXT and HXT.

    Raises:
        LeastworkError: the residue has no such atom.

    >>> atom(0, "N"), atom(4, "HXT")
    (0, 53)
    """
    try:
        return _NAMES.index((residue, name))
    except ValueError:
        raise LeastworkError(f"there is no atom {name} in residue {residue}, counted from 0") from None


BACKBONE: tuple[int, ...] = (
    *(atom(i, name) for i in range(RESIDUES) for name in ("N", "CA", "C")),
    atom(_LAST, "OXT"),
)
"""Indices of the atoms in a frame: N₁ Cα₁ C₁ N₂ … C₅ OXT₅."""


@dataclass(frozen=True)
class Lowered:
    """A barrier of a torsion that is lowered.

    Args:
        torsion: four atoms of a frame.
        depth: d, by which the barrier is lowered, k_BT.
        sharpness: κ.
        at: θ₀, the position of the barrier, degrees.
    """

    torsion: tuple[int, int, int, int]
    depth: float
    sharpness: float
    at: float


LOWERED: tuple[Lowered, ...] = (
    *(Lowered((3 * i - 1, 3 * i, 3 * i + 1, 3 * i + 2), 6.0, 10.0, 0.0) for i in (1, 2, 3, 4)),
    *(Lowered((3 * i, 3 * i + 1, 3 * i + 2, 3 * i + 3), 2.0, 6.0, 88.0) for i in (1, 2, 3)),
)
"""φ of residues 2 to 5, ψ of 2 to 4."""


def lowering(x: Tensor) -> Tensor:
    """−V/k_BT of frames (B, 16, 3), (B,), float64."""
    theta = torsions([each.torsion for each in LOWERED])(x.double())
    depth, sharpness, at = (
        torch.tensor([getattr(each, name) for each in LOWERED], dtype=torch.float64)
        for name in ("depth", "sharpness", "at")
    )
    return (depth * (sharpness * ((theta - at.deg2rad()).cos() - 1)).exp()).sum(dim=1)


def kept(x: Tensor, seed: int) -> Tensor:
    """Select frames of a simulation with lowered barriers so that they have the unbiased distribution.

    Args:
        x: (B, 16, 3), nm.
        seed: seed of the selection.
    """
    chance = torch.rand(len(x), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x[chance < (-lowering(x)).exp()]


def built(phi: float, psi: float) -> np.ndarray:
    """Positions of all atoms of a peptide of L residues with equal torsions, (54, 3), nm.

    Args:
        phi: degrees.
        psi: degrees.
    """
    at: dict[tuple[int, str], np.ndarray] = {}
    ab, angle = 0.1449, np.radians(110.1)
    at[0, "N"], at[0, "CA"] = np.zeros(3), np.array([ab, 0.0, 0.0])
    at[0, "C"] = at[0, "CA"] + 0.1522 * np.array([-np.cos(angle), np.sin(angle), 0.0])
    turns = {"phi": phi, "psi": psi, "psi+180": psi + _RIGHT}
    for i in range(RESIDUES):
        for place in _residue(i):
            if (i, place.name) in at:
                continue
            a, b, c = (
                at[(i - 1, name[1:]) if name[0] == "-" else (i, name)] for name in (place.across, place.via, place.to)
            )
            torsion = turns[place.torsion] if isinstance(place.torsion, str) else place.torsion
            at[i, place.name] = _placed(a, b, c, place.length, np.radians(place.angle), np.radians(torsion))
    return np.stack([at[key] for key in _NAMES])


def _placed(a: np.ndarray, b: np.ndarray, c: np.ndarray, length: float, angle: float, torsion: float) -> np.ndarray:
    """Position of d, at a distance from c, with the angle b c d and the torsion a b c d."""
    along = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, along)
    normal /= np.linalg.norm(normal)
    aside = np.cross(normal, along)
    return c + length * (-np.cos(angle) * along + np.sin(angle) * (np.cos(torsion) * aside + np.sin(torsion) * normal))


@dataclass(frozen=True)
class Phase:
    """Positions, (54, 3), nm, and velocities, (54, 3), nm/ps, of all atoms."""

    positions: Tensor
    velocities: Tensor


class Simulation(Motion):
    """One molecule in motion.

    OpenMM's Reference platform has one source of random numbers, which each new simulation seeds again: make one, run
    it, then make the next, and the same seed gives the same frames.

    Args:
        force_field: name of the force field, one of ``FORCE_FIELDS``.
        seed: seed of the thermostat and the initial velocities, 1 or more.
        start: initial φ and ψ of all residues, degrees, or the last phase of another simulation.
        temperature: temperature, K.
        lowered: whether barriers are lowered, see :func:`kept`; their depths are in k_BT at this temperature.
        platform: name of OpenMM's platform.

    Raises:
        LeastworkError: OpenMM is not installed.
        ConfigError: there is no such force field.
    """

    def __init__(
        self,
        force_field: str,
        seed: int,
        start: Sequence[float] | Phase = STARTS[0],
        temperature: float = TEMPERATURE,
        lowered: bool = False,
        platform: str = "Reference",
    ) -> None:
        openmm = needs("openmm", "protein")
        self.system: Any = _system(force_field)
        if lowered:
            self.system = deepcopy(self.system)
            self.system.addForce(_bias(openmm, BOLTZMANN * temperature))
        integrator = openmm.LangevinMiddleIntegrator(temperature, FRICTION, TIMESTEP)
        integrator.setRandomNumberSeed(seed)
        integrator.setConstraintTolerance(1e-6)
        kind = openmm.Platform.getPlatformByName(platform)
        threads = {"Threads": "1"} if platform == "CPU" else {}
        super().__init__(openmm.Context(self.system, integrator, kind, threads), integrator, BACKBONE)
        if isinstance(start, Phase):
            self._context.setPositions(start.positions.to(torch.float64).numpy())
            self._context.setVelocities(start.velocities.to(torch.float64).numpy())
        else:
            phi, psi = start
            self._context.setPositions(built(phi, psi))
            openmm.LocalEnergyMinimizer.minimize(self._context, 10.0, 200)
            self._context.setVelocitiesToTemperature(temperature, seed)

    @property
    def phase(self) -> Phase:
        """The phase from which a simulation can go on."""
        state = self._context.getState(getPositions=True, getVelocities=True)
        x, v = state.getPositions(asNumpy=True)._value, state.getVelocities(asNumpy=True)._value
        return Phase(torch.tensor(x), torch.tensor(v))

    @property
    def kinetic_temperature(self) -> float:
        """Temperature of the present velocities, K."""
        kinetic = self._context.getState(getEnergy=True).getKineticEnergy()._value
        return 2 * kinetic / (BOLTZMANN * (3 * ATOMS - self.system.getNumConstraints()))


def _bias(openmm: Any, energy: float) -> Any:
    force = openmm.CustomTorsionForce("-depth*exp(sharpness*(cos(theta-at)-1))")
    for name in ("depth", "sharpness", "at"):
        force.addPerTorsionParameter(name)
    for each in LOWERED:
        parameters = [energy * each.depth, each.sharpness, np.radians(each.at)]
        force.addTorsion(*(BACKBONE[i] for i in each.torsion), parameters)
    return force


@cache
def _system(name: str) -> Any:
    if name not in FORCE_FIELDS:
        raise ConfigError(f"no force field {name!r}: there are {', '.join(FORCE_FIELDS)}")
    app = needs("openmm.app", "protein")
    molecule, solvent = FORCE_FIELDS[name]
    field = app.ForceField(molecule, solvent, io.StringIO(_protonated_end(Path(app.__file__).parent / "data", name)))
    return field.createSystem(
        _topology(app),
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=HYDROGEN_MASS,
        removeCMMotion=False,
    )


def _topology(app: Any) -> Any:
    """The molecule with its bonds: every atom to the one that it is placed from."""
    topology = app.Topology()
    chain = topology.addChain()
    atoms: dict[tuple[int, str], Any] = {}
    for i in range(RESIDUES):
        residue = topology.addResidue("ALA", chain)
        for place in _residue(i):
            atoms[i, place.name] = topology.addAtom(place.name, app.Element.getBySymbol(place.element), residue)
    for i in range(RESIDUES):
        for place in _residue(i):
            if place.to[0] != "-":
                topology.addBond(atoms[i, place.to], atoms[i, place.name])
            elif i:
                topology.addBond(atoms[i - 1, place.to[1:]], atoms[i, place.name])
    return topology


def _protonated_end(data: Path, name: str) -> str:
    """OpenMM's description of the residue with the end COOH, from the force field's own ALA and GLH."""
    molecule, solvent = (xml.parse(data / file).getroot() for file in FORCE_FIELDS[name])
    alanine, acid = (
        {each.attrib["name"]: each.attrib["type"] for each in molecule.findall(f"Residues/Residue[@name='{it}']/Atom")}
        for it in ("ALA", "GLH")
    )
    types = {each: alanine[each] for each in ("N", "H", "CA", "HA", "CB", "HB1", "HB2", "HB3")}
    types |= {"C": acid["CD"], "O": acid["OE1"], "OXT": acid["OE2"], "HXT": acid["HE2"]}
    kind = dict(_one(molecule, f"AtomTypes/Type[@name='{types['CA']}']").attrib)
    vacuum = _one(molecule, "NonbondedForce")
    pairs = dict(_one(vacuum, f"Atom[@type='{types['CA']}']").attrib)
    born = dict(_one(solvent, f"GBSAOBCForce/Atom[@type='{types['CA']}']").attrib)
    surplus = sum(float(_one(vacuum, f"Atom[@type='{each}']").attrib["charge"]) for each in types.values())
    own = {"type": "CA-COOH", "charge": f"{float(pairs['charge']) - surplus:.6f}"}
    types["CA"] = kind["name"] = own["type"]
    root = xml.Element("ForceField")
    xml.SubElement(xml.SubElement(root, "AtomTypes"), "Type", kind)
    residue = xml.SubElement(xml.SubElement(root, "Residues"), "Residue", {"name": "ALA-COOH"})
    places = _residue(_LAST)
    for place in places:
        xml.SubElement(residue, "Atom", {"name": place.name, "type": types[place.name]})
    for place in places[1:]:
        xml.SubElement(residue, "Bond", {"atomName1": place.to, "atomName2": place.name})
    xml.SubElement(residue, "ExternalBond", {"atomName": "N"})
    xml.SubElement(xml.SubElement(root, "NonbondedForce", vacuum.attrib), "Atom", pairs | own)
    xml.SubElement(xml.SubElement(root, "GBSAOBCForce"), "Atom", born | own)
    return xml.tostring(root, encoding="unicode")


def _one(root: xml.Element, path: str) -> xml.Element:
    found = root.find(path)
    if found is None:
        raise LeastworkError(f"this version of OpenMM's force field has no {path}")
    return found

"""Langevin dynamics of the Cα model of chignolin in OpenMM (Eastman et al., J. Phys. Chem. B 128, 109, 2024)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwork.cases.chignolin.folding import NATIVE, TEMPERATURE, ForceField, native_contacts
from leastwork.cases.chignolin.motion import Motion
from leastwork.observables import torsions
from leastwork.support.extras import needs

__all__ = ["FRICTION", "MASS", "TIMESTEP", "Simulation"]

MASS = 100.0  # u, of a bead
FRICTION = 1.0  # 1/ps
TIMESTEP = 0.010  # ps


class Simulation(Motion):
    """One molecule in motion.

    Args:
        force_field: the force field.
        seed: seed of the thermostat and the initial velocities, 1 or more.
        temperature: temperature, K.

    Raises:
        LeastworkError: OpenMM is not installed.
    """

    def __init__(self, force_field: ForceField, seed: int, temperature: float = TEMPERATURE) -> None:
        openmm = needs("openmm", "protein")
        system = openmm.System()
        for _ in range(len(NATIVE)):
            system.addParticle(MASS)
        for force in _forces(openmm, force_field):
            system.addForce(force)
        integrator = openmm.LangevinMiddleIntegrator(temperature, FRICTION, TIMESTEP)
        integrator.setRandomNumberSeed(seed)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
        super().__init__(context, integrator, range(len(NATIVE)))
        self._temperature, self._seed = temperature, seed
        self.place(NATIVE)

    def place(self, x: Tensor, seed: int | None = None) -> None:
        """Put the beads at x, (10, 3), nm, with velocities drawn anew."""
        self._context.setPositions(x.to(torch.float64).numpy())
        self._context.setVelocitiesToTemperature(self._temperature, self._seed if seed is None else seed)

    @property
    def forces(self) -> np.ndarray:
        """−∇U, (10, 3), kJ/(mol nm)."""
        return self._context.getState(getForces=True).getForces(asNumpy=True)._value

    def until(self, done: Callable[[np.ndarray], int | None], every: int, most: int) -> int | None:
        """Run until ``done`` returns a number for the positions, checked each ``every`` steps; returns that number."""
        for _ in range(most):
            self.step(every)
            answer = done(self.positions)
            if answer is not None:
                return answer
        return None


def _forces(openmm: Any, field: ForceField) -> list[Any]:
    n = len(NATIVE)
    pairs, lengths = native_contacts()
    bonds = openmm.HarmonicBondForce()
    for i in range(n - 1):
        bonds.addBond(i, i + 1, float((NATIVE[i + 1] - NATIVE[i]).norm()), field.bond)
    angles = openmm.HarmonicAngleForce()
    for i in range(n - 2):
        angles.addAngle(i, i + 1, i + 2, _angle(i), field.angle)
    torsions = openmm.PeriodicTorsionForce()
    for i in range(n - 3):
        native = _torsion(i)
        for k, period in zip(field.torsion, (1, 3), strict=True):
            torsions.addTorsion(i, i + 1, i + 2, i + 3, period, period * native + np.pi, k)
    repulsion = openmm.CustomBondForce("eps*(sigma/r)^12")
    repulsion.addGlobalParameter("eps", field.repulsion)
    repulsion.addGlobalParameter("sigma", field.radius)
    for i in range(n):
        for j in range(i + 3, n):
            repulsion.addBond(i, j)
    contact = openmm.CustomBondForce(f"1/({len(pairs)}*(1+exp(beta*(r-reach*r0))))")
    contact.addGlobalParameter("beta", field.steepness)
    contact.addGlobalParameter("reach", field.reach)
    contact.addPerBondParameter("r0")
    for (i, j), r0 in zip(pairs.tolist(), lengths.tolist(), strict=True):
        contact.addBond(i, j, [r0])
    twist = openmm.CustomTorsionForce(f"(1+cos(theta-native))/{2 * (n - 3)}")
    twist.addPerTorsionParameter("native")
    for i in range(n - 3):
        twist.addTorsion(i, i + 1, i + 2, i + 3, [_torsion(i)])
    attraction = openmm.CustomCVForce(f"-contacts*(Q*T)^{field.power}")
    attraction.addGlobalParameter("contacts", field.contacts)
    attraction.addCollectiveVariable("Q", contact)
    attraction.addCollectiveVariable("T", twist)
    return [bonds, angles, torsions, repulsion, attraction]


def _angle(i: int) -> float:
    a, b = NATIVE[i] - NATIVE[i + 1], NATIVE[i + 2] - NATIVE[i + 1]
    return float(torch.acos((a @ b) / (a.norm() * b.norm())))


def _torsion(i: int) -> float:
    return float(torsions(((i, i + 1, i + 2, i + 3),))(NATIVE[None])[0, 0])

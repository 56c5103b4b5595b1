"""Dynamics of a molecule in OpenMM (Eastman et al., J. Phys. Chem. B 128, 109, 2024): steps, energy, frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import NonFiniteError
from leastwork.support.progress import Progress, no_progress

__all__ = ["Motion"]


class Motion:
    """Base class of the simulations.

    Args:
        context: OpenMM's context, with positions and velocities.
        integrator: integrator of the context.
        shown: indices of the atoms in a frame.
    """

    def __init__(self, context: Any, integrator: Any, shown: Sequence[int]) -> None:
        self._context = context
        self._integrator = integrator
        self._shown = list(shown)

    def step(self, steps: int) -> None:
        """Advance the dynamics by ``steps`` steps."""
        self._integrator.step(steps)

    @property
    def positions(self) -> np.ndarray:
        """Positions of all atoms, (A, 3), nm."""
        return self._context.getState(getPositions=True).getPositions(asNumpy=True)._value

    @property
    def energy(self) -> float:
        """U, kJ/mol."""
        return float(self._context.getState(getEnergy=True).getPotentialEnergy()._value)

    def trajectory(self, frames: int, every: int, progress: Progress = no_progress) -> Tensor:
        """Centred frames, float32 (frames, N, 3), nm; one each ``every`` steps.

        Raises:
            NonFiniteError: the dynamics exploded.
        """
        x = np.empty((frames, len(self._shown), 3), dtype=np.float32)
        with progress("simulating", frames) as tick:
            for i in range(frames):
                self.step(every)
                at = self.positions[self._shown]
                if not np.isfinite(at).all():
                    raise NonFiniteError(
                        f"the simulation exploded before frame {i}: take another seed, or smaller steps"
                    )
                x[i] = at - at.mean(axis=0)
                tick()
        return torch.from_numpy(x)

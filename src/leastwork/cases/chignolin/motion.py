"""A molecule in motion in OpenMM (Eastman et al., J. Phys. Chem. B 128, 109, 2024): steps, energy, centred frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import NonFiniteError
from leastwork.support.progress import Progress, no_progress

__all__ = ["Motion"]


class Motion:
    """What all simulations have in common.

    Args:
        context: OpenMM's, with positions and velocities.
        integrator: of the context.
        shown: which atoms a frame holds.
    """

    def __init__(self, context: Any, integrator: Any, shown: Sequence[int]) -> None:
        self._context = context
        self._integrator = integrator
        self._shown = list(shown)

    def step(self, steps: int) -> None:
        """Go on for so many steps."""
        self._integrator.step(steps)

    @property
    def positions(self) -> np.ndarray:
        """Where all atoms are, (A, 3), nm."""
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

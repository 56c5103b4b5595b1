"""DEER: the dipolar modulation of two spin labels a distance r apart, averaged over orientations in a powder.

    K(t, r) = ∫₀¹ cos((3z² − 1) ω t) dz        ω = 2π · 52.041 MHz nm³/r³

(Pannier et al., J. Magn. Reson. 142, 331, 2000). The trace without its background is 1 − Δ + Δ ⟨K⟩ with the modulation
depth Δ: an average of K with an unknown factor and an unknown offset. The integral is taken by Gauss' rule, with more
nodes for later times and shorter distances.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables.function import Observable

__all__ = ["deer"]

_DIPOLAR = 2 * math.pi * 52.041016  # rad/µs at 1 nm, both g = 2.0023
_PER_RADIAN, _FEWEST = 0.6, 40  # nodes of the quadrature
_MOST_PHASE = 2000.0  # rad


def deer(distance: Observable, times: Sequence[float]) -> Observable:
    """K at each time, (B, T), from the distance of one pair of labels.

    Args:
        distance: the distance in nm, one column, such as :func:`~leastwork.observables.beta_distances`.
        times: t, µs, (T,).

    Raises:
        LeastworkError: there is not one distance, or the times are not finite, or one is given twice; on evaluation,
            labels are so near and times so late that the phase exceeds 2,000 rad.

    >>> from leastwork.observables.distances import distances
    >>> trace = deer(distances([(0, 1)]), [0.0, 0.5])
    >>> trace.names, trace(torch.tensor([[[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]]]))
    (('K(0)', 'K(0.5)'), tensor([[1.0000, 0.0972]]))
    """
    moments = tuple(float(time) for time in times)
    if distance.count != 1:
        raise LeastworkError(f"a trace is of one pair of labels, and there are {distance.count} distances: give one")
    if not moments or not all(math.isfinite(time) for time in moments) or len(set(moments)) < len(moments):
        raise LeastworkError("the times of a trace must be finite numbers in µs, at least one, and each once")
    names = tuple(f"K({time:g})" for time in moments)
    return Observable(_Kernel(distance, moments), names)


@dataclass(frozen=True)
class _Kernel:
    distance: Observable
    times: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        length = self.distance(x)
        frequency = _DIPOLAR * length.clamp(min=1e-2) ** -3
        times = length.new_tensor(self.times)
        apart = frequency.detach()[length > 0]  # labels in one place, as in a probe of shapes, turn without end
        latest = float(times.abs().max()) * float(apart.max() if len(apart) else 0.0)
        if latest > _MOST_PHASE and bool((length > 0).all()):
            raise LeastworkError(
                f"labels {float(length.min()):.3g} nm apart turn by {latest:.3g} rad until the latest time: DEER sees "
                "1.5 nm and more, end the trace earlier or leave these structures out"
            )
        count = math.ceil(_FEWEST + _PER_RADIAN * 3 * min(latest, _MOST_PHASE))
        z, weights = (part.to(length) for part in _rule(count))
        phase = (frequency * times)[..., None] * (3 * z**2 - 1)
        return phase.cos() @ weights


@cache
def _rule(count: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss' rule on [0, 1], float64."""
    z, weights = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy((z + 1) / 2), torch.from_numpy(weights / 2)

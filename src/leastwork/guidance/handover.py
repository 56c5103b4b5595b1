"""One guidance while there is much noise, another where there is little: h = (1 − g) h₁ + g h₂.

g = 1/(1 + e^{−(ℓ − ℓ₀)/w}), ℓ the log-SNR. A learned guidance knows which basin to go to, and is coarse at the border
of a region; one that is exact for a small spread (:mod:`leastwork.guidance.interval`) is the other way round.
"""

import math
from dataclasses import dataclass

import torch

from leastwork.geometry.state import State, smap
from leastwork.guidance.base import Composable, Find, Guidance, Parts, register
from leastwork.models.predictions import Moments
from leastwork.schedules.base import Schedule
from leastwork.schedules.files import describe_schedule, schedule_from

__all__ = ["Handover"]

_ALL = 1e-3  # a share of less than that is not worth its evaluation


@register("handover")
@dataclass(frozen=True, eq=False)
class Handover(Composable):
    """h₁ below the log-SNR ``at``, h₂ above it.

    Args:
        early: h₁.
        late: h₂.
        schedule: α and σ of the model.
        at: ℓ₀.
        width: w.
    """

    early: Guidance
    late: Guidance
    schedule: Schedule
    at: float
    width: float = 0.3

    @property
    def through_network(self) -> bool:
        return self.early.through_network or self.late.through_network

    def share(self, t: float) -> float:
        """g, how much of h is h₂ at time t."""
        m = Moments.at(self.schedule, float(t))
        log_snr = 2 * math.log(m.alpha / m.sigma) if m.alpha > 0 else -math.inf
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, (log_snr - self.at) / self.width))))

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, (B, *event)."""
        g = self.share(t)
        if g < _ALL:
            return _of(self.early, x, t, denoised)
        if g > 1 - _ALL:
            return _of(self.late, x, t, denoised)
        return smap(lambda a, b: a + g * (b - a), _of(self.early, x, t, denoised), _of(self.late, x, t, denoised))

    def parts(self) -> Parts:
        own = {name: getattr(self, name) for name in ("early", "late", "at", "width")}
        return {**own, "schedule": describe_schedule(self.schedule)}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "Handover":
        return cls(**{**parts, "schedule": schedule_from(parts["schedule"])})


def _of(guidance: Guidance, x: State, t: float, denoised: State) -> State:
    """h; where it needs no graph, none is made of what the other one needs it for."""
    if guidance.through_network:
        return guidance(x, t, denoised)
    return guidance(smap(torch.detach, x), t, smap(torch.detach, denoised))

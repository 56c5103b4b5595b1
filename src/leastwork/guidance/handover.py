"""Handover from one guidance at high noise to another at low noise: h = (1 − g) h₁ + g h₂.

g = 1/(1 + e^{−(ℓ − ℓ₀)/w}), with ℓ the log-SNR. A learned guidance is good at high noise, where samples choose a basin,
but coarse at the border of a region; interval guidance (:mod:`leastwork.guidance.interval`), which is accurate if the
spread of the coordinate given x_t is small, resolves the border but not the choice of basin.
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

_LEAST_SHARE = 1e-3  # a guidance whose share in h is smaller is not evaluated


@register("handover")
@dataclass(frozen=True, eq=False)
class Handover(Composable):
    """h₁ below the log-SNR ``at``, h₂ above.

    Args:
        early: h₁, the guidance at high noise.
        late: h₂, the guidance at low noise.
        schedule: the model's schedule, α and σ.
        at: ℓ₀, the log-SNR of the handover.
        width: w, the width of the handover in log-SNR.
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
        """g, the share of h₂ at time t."""
        m = Moments.at(self.schedule, float(t))
        log_snr = 2 * math.log(m.alpha / m.sigma) if m.alpha > 0 else -math.inf
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, (log_snr - self.at) / self.width))))

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, (B, *event)."""
        g = self.share(t)
        if g < _LEAST_SHARE:
            return _evaluate(self.early, x, t, denoised)
        if g > 1 - _LEAST_SHARE:
            return _evaluate(self.late, x, t, denoised)
        early, late = _evaluate(self.early, x, t, denoised), _evaluate(self.late, x, t, denoised)
        return smap(lambda a, b: a + g * (b - a), early, late)

    def parts(self) -> Parts:
        own = {name: getattr(self, name) for name in ("early", "late", "at", "width")}
        return {**own, "schedule": describe_schedule(self.schedule)}

    @classmethod
    def from_parts(cls, parts: Parts, find: Find) -> "Handover":
        return cls(**{**parts, "schedule": schedule_from(parts["schedule"])})


def _evaluate(guidance: Guidance, x: State, t: float, denoised: State) -> State:
    """h of one guidance; the graph that the other guidance needs is not used if this one needs none."""
    if guidance.through_network:
        return guidance(x, t, denoised)
    return guidance(smap(torch.detach, x), t, smap(torch.detach, denoised))

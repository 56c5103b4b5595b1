"""Guidance towards another model: h = s′ − s, the difference of two scores.

    h(x, t) = (α/σ²) (D′(x, t) − D(x, t))

Guided at full strength a model draws the samples of the other; the path weights then say what every one of them is
worth under the model itself. Where the other was fine-tuned to p·e^r/Z and has learned it, h = ∇V is that of the
least work.
"""

from dataclasses import dataclass

from leastwork.geometry.state import State, smap
from leastwork.guidance.base import Composable
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments

__all__ = ["TunedGuidance"]


@dataclass(frozen=True, eq=False)
class TunedGuidance(Composable):
    """h = s′ − s.

    Args:
        model: the other model, on the same schedule and in the same units as the one that is guided.

    >>> import torch
    >>> import leastwork as lw
    >>> model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(1,))
    >>> x = torch.randn(4, 1)
    >>> TunedGuidance(model)(x, 0.5, model.denoise(x, 0.5)).abs().max().item()  # towards itself
    0.0
    """

    model: DiffusionModel

    @property
    def through_network(self) -> bool:
        return False

    def __call__(self, x: State, t: float, denoised: State) -> State:
        """h(x, t), network units, (B, *event)."""
        m = Moments.at(self.model.schedule, float(t))
        factor = m.alpha / m.sigma**2
        return smap(lambda a, b: factor * (a - b), self.model.denoise(x, float(t)), denoised)

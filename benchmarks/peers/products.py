"""Products of equal factors p(x) = Π_i p₁(x_i), whose V = Σ_i V₁(x_i, t) is a sum over the factors.

If the tilt is such a sum, r(x) = Σ_i r₁(x_i), so is ln E[e^r | x_t]: what is learned for one factor guides them all.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

import leastwork as lw
from leastwork.geometry.state import State
from leastwork.guidance.base import Composable, Guidance
from leastwork.models.base import is_scored
from leastwork.models.predictions import Moments
from leastwork.sampling.process import Process
from leastwork.sampling.solvers.steps import Steps
from leastwork.systems.mixtures import GaussianMixture

__all__ = ["Factors", "Stationary", "Tabled", "product_model", "tabled"]


@dataclass(frozen=True)
class Factors(Composable):
    """h of the first ``count`` coordinates, each guided by itself; the others are not guided.

    Args:
        guidance: guidance of one factor, event shape (1,), which does not differentiate through the network.
        count: number of guided coordinates.
    """

    guidance: Guidance
    count: int
    through_network: bool = False

    def __call__(self, x: State, t: float, denoised: State) -> Tensor:
        """h(x, t): (B, d) -> (B, d)."""
        assert isinstance(x, Tensor)
        assert isinstance(denoised, Tensor)
        guided = self.guidance(x[:, : self.count].reshape(-1, 1), t, denoised[:, : self.count].reshape(-1, 1))
        assert isinstance(guided, Tensor)
        return torch.cat([guided.reshape(-1, self.count), torch.zeros_like(x[:, self.count :])], dim=1)


@dataclass(frozen=True, eq=False)
class Tabled(Composable):
    """h of one coordinate, linear between points of a table at the times of the steps; constant beyond its ends.

    Path weights are those of the tabulated h, so that they stay exact.

    Args:
        rows: h at points from −reach to reach, (points,), by time.
        reach: end of the table.
    """

    rows: dict[float, Tensor]
    reach: float
    through_network: bool = False

    def __call__(self, x: State, t: float, denoised: State) -> Tensor:
        """h(x, t): (B, d) -> (B, d), each coordinate by itself."""
        assert isinstance(x, Tensor)
        return self.look(x, t)[0]

    def look(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """h and ∂h/∂x."""
        row = self.rows[float(t)]
        last = len(row) - 1
        place = ((x + self.reach) * (last / (2 * self.reach))).clamp(0, last)
        left = place.long().clamp(max=last - 1)
        low = row[left]
        rise = row[left + 1] - low
        return low + (place - left) * rise, rise * (x.abs() < self.reach) * (last / (2 * self.reach))


def tabled(guidance: Guidance, times: Tensor, reach: float = 6.0, points: int = 8193) -> Tabled:
    """A table of a guidance of one coordinate, at the times at which steps begin, which costs no network to draw by."""
    x = torch.linspace(-reach, reach, points)[:, None]
    found: dict[float, Tensor] = {}
    for t in times.tolist():
        h = guidance(x, t, x)
        assert isinstance(h, Tensor)
        found[t] = h.detach()[:, 0].clone()
    return Tabled(found, reach)


def product_model(factor: GaussianMixture, dim: int, schedule: lw.VPSchedule) -> lw.DiffusionModel:
    """The exact model of ``dim`` independent coordinates, each a draw of the mixture ``factor`` of one dimension."""

    def net(x: Tensor, t: Tensor) -> Tensor:
        m = Moments.at(schedule, float(t))
        return factor.denoise(x.reshape(-1, 1), m.alpha, m.sigma).reshape(x.shape)

    return lw.DiffusionModel(net, schedule, predicts="data", event_shape=(dim,))


@dataclass(frozen=True)
class Stationary:
    """The exact chain of the model N(0, I) under a schedule with α² + σ² = 1, which every step keeps.

        x_s = ρ x_t + (1 − ρ²)/ρ h + √(1 − ρ²) z        ρ = α_t/α_s

    So ln Z of a tilt of N(0, I) has no error of discretisation at any number of steps, as in denoising diffusion
    samplers (Vargas et al., ICLR 2023), and e is that of the best step, with ∇V_t = ρ E[∇V_s].
    """

    evaluations: int = 1

    def steps(self, process: Process, times: Tensor) -> Steps:
        assert is_scored(process.model)
        alpha = process.model.schedule.alpha(times)
        rho = alpha[:-1] / alpha[1:]
        zero, variance = torch.zeros_like(rho), 1 - rho.square()
        return Steps(times, rho, zero, zero, variance / rho, zero, variance.sqrt())

"""The Müller–Brown potential: three wells and two saddles in the plane.

    V(x, y) = Σ_k A_k exp[a_k (x − x_k)² + b_k (x − x_k)(y − y_k) + c_k (y − y_k)²]

(Müller & Brown, Theor. Chim. Acta 53, 75, 1979). The depths of the wells are of the order of 100. The wells of the
density e^{−V/20} hold nearly all of the probability, the deepest 0.8; the saddle between the upper two wells holds very
little.
"""

import torch
from torch import Tensor

from leastwork.systems.plane import PlaneDensity

__all__ = ["SADDLE", "muller_brown", "potential"]

TEMPERATURE = 20.0
"""k_B T in units of the potential."""

SADDLE = (-0.822, 0.6243)
"""The saddle between the deepest well (−0.558, 1.442) and the well in the middle (−0.050, 0.467); V = −40.66 there."""

_TERMS = torch.tensor(  # A, a, b, c, x, y
    [
        [-200.0, -1.0, 0.0, -10.0, 1.0, 0.0],
        [-100.0, -1.0, 0.0, -10.0, 0.0, 0.5],
        [-170.0, -6.5, 11.0, -6.5, -0.5, 1.5],
        [15.0, 0.7, 0.6, 0.7, -1.0, 1.0],
    ],
    dtype=torch.float64,
)


def potential(x: Tensor) -> Tensor:
    """V(x): (B, 2) -> (B,).

    >>> potential(torch.tensor([[-0.558, 1.442], [0.623, 0.028], list(SADDLE)]).double()).round(decimals=1).tolist()
    [-146.7, -108.2, -40.7]
    """
    height, a, b, c, x0, y0 = _TERMS.to(x).T
    u, v = x[:, :1] - x0, x[:, 1:] - y0
    return (height * (a * u**2 + b * u * v + c * v**2).exp()).sum(dim=1)


def muller_brown(points: int = 600) -> PlaneDensity:
    """The density e^{−V/20}/Z.

    >>> density = muller_brown(200)
    >>> round(density.probability(lambda x: x[:, 1] > 0.75), 1)  # the deepest well
    0.8
    """
    return PlaneDensity(lambda x: -potential(x) / TEMPERATURE, (-3.6, -1.8), (2.2, 3.8), points)

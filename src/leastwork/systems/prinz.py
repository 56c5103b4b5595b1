"""Prinz's four wells: V(x) = 4 (x⁸ + 0.8 e^{−80x²} + 0.2 e^{−80(x−½)²} + ½ e^{−40(x+½)²}), in k_B T.

(Prinz et al., J. Chem. Phys. 134, 174105, 2011.) The true density is e^{−V}/Z. The *biased* density of an imperfect
model is e^{−V − tanh 3x}/Z: the added energy rises by two k_B T from left to right, which changes the population right
of the middle barrier from 0.60 to 0.24. On a line everything is exact by quadrature: averages, samples, the
maximum-entropy correction, the denoiser, and Doob's transform

    h*(x, t) = ∇ₓ ln E[e^{r(x_0)} | x_t = x] = (α/σ²) (D_q − D_p)(x, t),      q = p e^r / Z.
"""

import torch
from torch import Tensor

from leastwork.systems.line import LineDensity

__all__ = ["PRINZ_BARRIERS", "position", "potential", "prinz", "prinz_biased", "well_populations"]

PRINZ_BARRIERS = (-0.5015979524335832, -7.0953944444896135e-06, 0.5020093813164574)
"""Positions of the barrier tops of V, which separate the four wells, numbered from the left."""


def position(x: Tensor) -> Tensor:
    """The observable O(x) = x: (B, 1) -> (B,)."""
    return x[:, 0]


def potential(x: Tensor) -> Tensor:
    """V(x) in k_B T: (B, 1) -> (B,).

    >>> potential(torch.tensor([[0.0]])).item()
    3.2000...
    """
    x = x[:, 0]
    walls = x**8
    bumps = 0.8 * (-80 * x**2).exp() + 0.2 * (-80 * (x - 0.5) ** 2).exp() + 0.5 * (-40 * (x + 0.5) ** 2).exp()
    return 4 * (walls + bumps)


def prinz(points: int = 1201) -> LineDensity:
    """The Boltzmann density e^{−V}/Z."""
    return LineDensity(lambda x: -potential(x), -1.5, 1.5, points)


def prinz_biased(points: int = 1201, bias: float = 1.0) -> LineDensity:
    """The density e^{−V − b}/Z with b(x) = bias · tanh(3x), in k_B T.

    >>> round(prinz().probability(0.0, 1.5), 2), round(prinz_biased().probability(0.0, 1.5), 2)
    (0.6, 0.24)
    """
    return LineDensity(lambda x: -potential(x) - bias * torch.tanh(3 * x[:, 0]), -1.5, 1.5, points)


def well_populations(x: Tensor) -> Tensor:
    """Indicators of the four wells, an observable: (B, 1) -> (B, 4).

    >>> well_populations(torch.tensor([[-0.7], [0.2]])).tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    """
    tops = torch.tensor(PRINZ_BARRIERS, dtype=x.dtype, device=x.device)
    well = torch.bucketize(x[:, 0].contiguous(), tops)
    return torch.nn.functional.one_hot(well, len(tops) + 1).to(x.dtype)

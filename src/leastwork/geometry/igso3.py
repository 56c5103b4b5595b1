"""The isotropic Gaussian on rotations, the law of Brownian motion R → R exp(ω̂) of variance σ² a coordinate.

    f(θ) = Σ_l (2l + 1) e^{−l(l+1)σ²/2} sin((l + ½)θ)/sin(θ/2)
         = e^{σ²/8} √(2π) σ⁻³ Σ_k (−1)^k (θ − 2πk) e^{−(θ − 2πk)²/2σ²}/sin(θ/2)

is its density against the uniform law at the angle θ from its mean (Nikolayev & Savyolov, Textures Microstruct. 29,
201, 1997); the angle itself has density f(θ)(1 − cos θ)/π. The two sums are one by Poisson's formula: the first
converges fast for wide laws, the second for narrow ones. Two such motions in a row add their σ².
"""

import math

import torch
from torch import Tensor

from leastwork.geometry.rotations import exp, log

__all__ = ["angles", "log_density", "noised", "offset_between", "score"]

_WIDE = 1.5  # σ from which the sum over l is taken
_TERMS = 12  # of the sum over l: e^{−l(l+1)σ²/2} is 10⁻⁷⁰ at the last
_WINDINGS = (-2, -1, 0, 1, 2)
_NEAR = 2e-3  # rad from 0 and from π, where the slope is that of the parabola
_GRID = 2048  # angles at which the distribution function is tabulated


def log_density(theta: Tensor, sigma: Tensor) -> Tensor:
    """ln f(θ), any shape, float64; theta: in [0, π]; sigma: broadcasts with it."""
    return _log_density_and_slope(theta.double(), sigma.double())[0]


def score(offset: Tensor, sigma: Tensor) -> Tensor:
    """∇ ln f at R = R_0 exp(offset): body frame, (..., 3), in the dtype of ``offset``.

    Args:
        offset: log(R_0ᵀR), (..., 3), of length at most π.
        sigma: σ, broadcasts with offset's leading shape.

    >>> score(torch.tensor([0.01, 0.0, 0.0]), torch.tensor(0.1)).round(decimals=2) + 0.0  # −ω/σ²
    tensor([-1.,  0.,  0.])
    """
    theta = offset.double().norm(dim=-1)
    inside = theta.clamp(_NEAR, math.pi - _NEAR)
    slope = _log_density_and_slope(inside, sigma.double())[1]
    fading = ((math.pi - theta) / (math.pi - inside)).clamp(0.0, 1.0)  # to zero at half a turn
    return (fading * slope / inside).to(offset)[..., None] * offset


def _log_density_and_slope(theta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """ln f and d ln f/dθ."""
    inside = theta.clamp(_NEAR, math.pi - _NEAR)
    is_narrow = sigma < _WIDE
    if bool(is_narrow.all()):
        value, slope = _narrow(inside, sigma)
    elif not bool(is_narrow.any()):
        value, slope = _wide(inside, sigma)
    else:
        both = _narrow(inside, sigma.clamp(max=_WIDE)), _wide(inside, sigma.clamp(min=_WIDE))
        value, slope = (torch.where(is_narrow, a, b) for a, b in zip(*both, strict=True))
    half = 0.5 * inside
    value, slope = value - half.sin().log(), slope - 0.5 / half.tan()
    # beyond ``inside`` on either side, a parabola whose slope vanishes at 0 and at π
    end = torch.where(theta < inside, 0.0, math.pi)
    off = (theta - inside) * (0.5 * (theta + inside) - end) / (inside - end)
    return value + slope * off, slope


def _narrow(theta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    variance = sigma.square()
    total, change = torch.zeros_like(theta * sigma), torch.zeros_like(theta * sigma)
    for k in _WINDINGS:
        turned = theta - 2 * math.pi * k
        factor = (-1) ** k * torch.exp(-2 * math.pi * k * (math.pi * k - theta) / variance)
        total = total + factor * turned
        change = change + factor * (1 - turned.square() / variance)
    value = variance / 8 + 0.5 * math.log(2 * math.pi) - 3 * sigma.log() - theta.square() / (2 * variance)
    return value + total.log(), change / total


def _wide(theta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    l = torch.arange(_TERMS, dtype=theta.dtype, device=theta.device)  # noqa: E741
    weight = (2 * l + 1) * torch.exp(-0.5 * l * (l + 1) * sigma[..., None].square())
    phase = (l + 0.5) * theta[..., None]
    total, change = (weight * phase.sin()).sum(dim=-1), (weight * (l + 0.5) * phase.cos()).sum(dim=-1)
    return total.log(), change / total


def angles(uniform: Tensor, sigma: float) -> Tensor:
    """Angles of random rotations, by inverting their distribution function; uniform: in (0, 1), any shape."""
    end = min(math.pi, 12 * sigma)
    theta = torch.linspace(0.0, end, _GRID + 1, dtype=torch.float64)
    density = log_density(theta, torch.tensor(sigma, dtype=torch.float64)).exp() * (1 - theta.cos())
    cumulative = torch.cat([density.new_zeros(1), 0.5 * (density[1:] + density[:-1]).cumsum(dim=0)])
    cumulative = cumulative / cumulative[-1]
    u = uniform.double().cpu()
    right = torch.searchsorted(cumulative, u.flatten()).clamp(1, _GRID).reshape(u.shape)
    low, high = cumulative[right - 1], cumulative[right]
    share = ((u - low) / (high - low).clamp(min=1e-300)).clamp(0.0, 1.0)
    return (theta[right - 1] + share * (theta[1] - theta[0])).to(uniform)


def noised(rotation: Tensor, sigma: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """R_0 carried by Brownian motion to variance σ², and its score ∇ ln f there, body frame.

    Args:
        rotation: R_0, (..., 3, 3).
        sigma: σ.
        random: of the noise, on the CPU.
    """
    shape = rotation.shape[:-2]
    axis = torch.randn(*shape, 3, generator=random, dtype=torch.float64)
    angle = angles(torch.rand(shape, generator=random, dtype=torch.float64), sigma)
    offset = (angle / axis.norm(dim=-1))[..., None] * axis
    slope = score(offset, torch.tensor(sigma, dtype=torch.float64))
    return rotation @ exp(offset).to(rotation), slope.to(rotation)


def offset_between(mean: Tensor, rotation: Tensor) -> Tensor:
    """log(R_0ᵀR), (..., 3)."""
    return log(mean.transpose(-1, -2) @ rotation)

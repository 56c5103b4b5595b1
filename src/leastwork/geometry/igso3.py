"""Isotropic Gaussian on rotations: the distribution of Brownian motion R → R exp(ω̂) with variance σ² per coordinate.

    f(θ) = Σ_l (2l + 1) e^{−l(l+1)σ²/2} sin((l + ½)θ)/sin(θ/2)
         = e^{σ²/8} √(2π) σ⁻³ Σ_k (−1)^k (θ − 2πk) e^{−(θ − 2πk)²/2σ²}/sin(θ/2)

is its density relative to the uniform distribution, at the angle θ from its mean (Nikolayev & Savyolov, Textures
Microstruct. 29, 201, 1997); the angle itself has density f(θ)(1 − cos θ)/π. The two sums are equal by Poisson's
formula: the first converges fast for large σ, the second for small σ. The σ² of two successive motions add.
"""

import math

import torch
from torch import Tensor

from leastwork.geometry.rotations import exp, log

__all__ = ["angles", "log_density", "noised", "offset_between", "score"]

_WIDE = 1.5  # σ, rad, from which the sum over l is used
_TERMS = 12  # terms of the sum over l: e^{−l(l+1)σ²/2} of the last is 10⁻⁷⁰
_WINDINGS = (-2, -1, 0, 1, 2)  # terms k of the second sum
_NEAR = 2e-3  # distance from 0 and from π, rad, within which the slope is that of a parabola
_GRID = 2048  # angles at which the distribution function is tabulated


def log_density(theta: Tensor, sigma: Tensor) -> Tensor:
    """ln f(θ), float64, for theta in [0, π] of any shape; sigma broadcasts with theta."""
    return _log_density_and_slope(theta.double(), sigma.double())[0]


def score(offset: Tensor, sigma: Tensor) -> Tensor:
    """∇ ln f at R = R_0 exp(offset), in the body's frame, (..., 3), in the dtype of ``offset``.

    Args:
        offset: log(R_0ᵀR), (..., 3), of length at most π.
        sigma: σ, rad, broadcasts with the leading shape of ``offset``.

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
    # outside ``inside`` on either side, a parabola whose slope vanishes at 0 and at π
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
    """Angles of random rotations from uniform numbers in (0, 1), any shape, by the inverse distribution function."""
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
    """R_0 after Brownian motion of variance σ², and the score ∇ ln f there, in the body's frame.

    Args:
        rotation: R_0, (..., 3, 3).
        sigma: σ, rad.
        random: generator of the noise, on the CPU.
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

"""Angles, rad: states on the torus, and the wrapped normal distribution of θ_0 + σε modulo 2π,

    f(δ) = Σ_n N(δ + 2πn; 0, σ²)  =  (1 + 2 Σ_k e^{−k²σ²/2} cos kδ)/2π

(Jing et al., Torsional Diffusion, NeurIPS 2022, arXiv 2206.01729). The two sums are equal by Poisson's formula: the
first converges fast for small σ, the second for large σ, and its slope keeps all digits as f becomes uniform. The σ² of
two successive motions add.
"""

import math

import torch
from torch import Tensor

__all__ = [
    "circular_mean",
    "log_wrapped_normal",
    "log_wrapped_normal_and_score",
    "noise_on_circle",
    "uniform_angles",
    "wrap",
    "wrapped_score",
]

_WIDE = math.sqrt(2 * math.pi)  # σ, rad, at which both sums converge alike
_TURNS, _FEW_TURNS, _FEW = 3, 1, 1.0  # largest |n| of the first sum, and up to σ = 1: the rest is below 10⁻¹⁶ of f
_ORDERS = torch.arange(1, 5, dtype=torch.float64)  # k of the second sum, likewise


def wrap(x: Tensor) -> Tensor:
    """Angles in [−π, π) that are equal modulo 2π; its gradient is one.

    >>> wrap(torch.tensor([0.5, 0.5 + 2 * math.pi, -4.0]))
    tensor([0.5000, 0.5000, 2.2832])
    """
    return torch.remainder(x + math.pi, 2 * math.pi) - math.pi


def circular_mean(x: Tensor, weights: Tensor | None = None) -> Tensor:
    """The direction of Σ w e^{iθ} over samples: (n, ...) -> (...), in [−π, π].

    >>> circular_mean(torch.tensor([3.0, -3.0])).abs()
    tensor(3.1416)
    """
    w = torch.ones_like(x) if weights is None else weights.reshape(-1, *[1] * (x.ndim - 1)).to(x)
    return torch.atan2((w * x.sin()).sum(dim=0), (w * x.cos()).sum(dim=0))


def uniform_angles(noise: Tensor) -> Tensor:
    """Uniform angles in [−π, π] from standard normal noise of any shape, 2πΦ(z) − π."""
    return math.pi * torch.erf(noise / math.sqrt(2))


def log_wrapped_normal(delta: Tensor, sigma: Tensor) -> Tensor:
    """ln f(δ), float64; δ of any shape, rad, with which σ broadcasts."""
    return log_wrapped_normal_and_score(delta, sigma)[0]


def wrapped_score(delta: Tensor, sigma: Tensor) -> Tensor:
    """d ln f/dδ, in the dtype of δ; σ broadcasts with δ.

    >>> wrapped_score(torch.tensor([0.01, 0.01 + 2 * math.pi]), torch.tensor(0.1)).round(decimals=3)  # −δ/σ²
    tensor([-1., -1.])
    >>> wrapped_score(torch.tensor([math.pi / 2]), torch.tensor(8.0))  # −2 e^{−σ²/2} sin δ
    tensor([-2.5328e-14])
    """
    return log_wrapped_normal_and_score(delta, sigma)[1].to(delta)


def noise_on_circle(noise: Tensor, sigma: float) -> Tensor:
    """−σ · d ln f/dδ at δ = σε: the mean of ε over all windings that lead to the same angle."""
    return -sigma * wrapped_score(sigma * noise, torch.tensor(sigma))


def log_wrapped_normal_and_score(delta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """ln f(δ) and its slope, float64."""
    delta, sigma = wrap(delta.double())[..., None], sigma.to(delta.device).double()[..., None]
    narrow = sigma < _WIDE
    if bool(narrow.all()):
        return _by_windings(delta, sigma)
    if not bool(narrow.any()):
        return _by_waves(delta, sigma)
    both = _by_windings(delta, sigma.clamp(max=_WIDE)), _by_waves(delta, sigma.clamp(min=_WIDE))
    value, slope = (torch.where(narrow[..., 0], a, b) for a, b in zip(*both, strict=True))
    return value, slope


def _by_windings(delta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    most = _FEW_TURNS if bool((sigma <= _FEW).all()) else _TURNS
    turned = delta + 2 * math.pi * torch.arange(-most, most + 1, dtype=delta.dtype, device=delta.device)
    exponent = -0.5 * (turned / sigma).square()
    value = exponent.logsumexp(dim=-1) - (sigma * math.sqrt(2 * math.pi)).log()[..., 0]
    return value, -(exponent.softmax(dim=-1) * turned / sigma.square()).sum(dim=-1)


def _by_waves(delta: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    k = _ORDERS.to(delta.device)
    weight, phase = torch.exp(-0.5 * (k * sigma).square()), k * delta
    total = 1 + 2 * (weight * phase.cos()).sum(dim=-1)
    return (total / (2 * math.pi)).log(), -2 * (weight * k * phase.sin()).sum(dim=-1) / total

"""Importance sampling of a density by Student's distribution, fitted to the draws so far and all draws kept

    w(x) = π(x) / Σ_r q_r(x)        q_r: Student's distribution with mean and covariance of the weighted draws before r

(adaptive multiple importance sampling; Cornuet, Marin, Mira & Robert, Scand. J. Stat. 39, 798, 2012). Covariances are
those of weights to a power below one where few of the weights count, as of a density at a higher temperature.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Drawn", "importance_draws"]

_DEGREES = 7  # of freedom of Student's distribution, whose tails are heavier than those of what is drawn
_LEAST = 4  # effective draws for each dimension, of which a covariance is computed
_ROUND, _FEWEST_ROUNDS = 400, 4  # draws from one distribution


@dataclass(frozen=True, eq=False)
class Drawn:
    """Places (S, D), their ln weights (S,), and what the density gave besides, each (S, …)."""

    places: Tensor
    log_weight: Tensor
    besides: tuple[Tensor, ...]


def importance_draws(
    log_density: Callable[[Tensor], tuple[Tensor, ...]],
    centre: Tensor,
    root: Tensor,
    draws: int,
    random: torch.Generator,
) -> Drawn:
    """Weighted draws of a density.

    Args:
        log_density: places (B, D) -> ln of the density (B,) up to a constant, and anything else of each place.
        centre: where the density is largest, about, float64 (D,).
        root: a root of the covariance that it has there, about, (D, D), not singular.
        draws: number of draws S.
        random: generator of all random numbers.

    >>> random = torch.Generator().manual_seed(0)
    >>> found = importance_draws(lambda x: (-0.5 * x[:, 0] ** 2,), torch.ones(1), 3 * torch.eye(1), 4000, random)
    >>> round(float(found.log_weight.softmax(dim=0) @ found.places[:, 0] ** 2), 1)
    1.0
    """
    proposals = [_Student(centre, root)]
    places, found, log_weight = [], [], torch.empty(0, dtype=centre.dtype)
    rounds = max(draws // _ROUND, _FEWEST_ROUNDS)
    for i in range(rounds):
        places.append(proposals[-1].draw(draws * (i + 1) // rounds - draws * i // rounds, random))
        found.append(log_density(places[-1]))
        every = torch.cat(places)
        mixture = torch.stack([one.log_density(every) for one in proposals]).logsumexp(dim=0)
        log_weight = torch.cat([one[0] for one in found]) - mixture
        proposals.append(proposals[-1].fitted_to(every, log_weight))
    besides = zip(*(one[1:] for one in found), strict=True)
    return Drawn(torch.cat(places), log_weight, tuple(torch.cat(column) for column in besides))


@dataclass(frozen=True, eq=False)
class _Student:
    """Student's distribution with a centre (D,) and a root of its scale, (D, D)."""

    centre: Tensor
    root: Tensor

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        kind = {"generator": random, "dtype": self.centre.dtype}
        normal = torch.randn(count, len(self.centre), **kind)
        chi = torch.randn(count, _DEGREES, **kind).square().sum(dim=1, keepdim=True)
        return self.centre + (normal * (_DEGREES / chi).sqrt()) @ self.root.T

    def log_density(self, places: Tensor) -> Tensor:
        """ln of the density of places (B, D), up to a number that is the same for all of these distributions."""
        step = torch.linalg.solve(self.root, (places - self.centre).T)
        size = torch.linalg.slogdet(self.root).logabsdet
        return -0.5 * (_DEGREES + len(self.centre)) * torch.log1p(step.square().sum(dim=0) / _DEGREES) - size

    def fitted_to(self, places: Tensor, log_weight: Tensor) -> "_Student":
        """That with mean and covariance of weighted places; few effective ones change mean and covariance little."""
        weight = _tempered(log_weight, _LEAST * (len(self.centre) + 1))
        mean = weight @ places
        centred = places - mean
        covariance = centred.T @ (weight[:, None] * centred)
        told = 1 / (1 + 2 * len(mean) * float(weight.square().sum()))
        scale = told * covariance * (_DEGREES - 2) / _DEGREES + (1 - told) * self.root @ self.root.T
        size, vectors = torch.linalg.eigh(scale)
        root = vectors * size.clamp(min=1e-12 * float(size.max())).sqrt()
        return _Student(told * mean + (1 - told) * self.centre, root)


def _tempered(log_weight: Tensor, least: float) -> Tensor:
    """Normalised weights to the largest power, 1 at most, that leaves so many of them effective."""
    low, power = 0.0, 1.0
    for k in range(1, 30):
        weight = (power * log_weight).softmax(dim=0)
        enough = 1 / float(weight.square().sum()) >= least
        low = power if enough else low
        if low == 1:
            break
        power += 0.5**k if enough else -(0.5**k)
    return (low * log_weight).softmax(dim=0)

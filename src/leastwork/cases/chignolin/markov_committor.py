"""The committor of a Markov model, q(x): the probability to reach B before A from x, as a function of structures.

    x → features (distances, cosines and sines of torsions) → TICA y → q = Σ_c w_c q_c,  w_c ∝ exp(−|y − y_c|²/2b²)

with q_c the committor of cluster c. A small b makes q smooth, so that a region of it has a border that guidance can
follow; it also tells the outcome of trajectories better than the nearest cluster does.
The model itself is made by deeptime (Hoffmann et al., Mach. Learn.: Sci. Technol. 3, 015009, 2022) from a trajectory;
here it is only read and evaluated, by torch, without any extra. Structures with q near one half are the transition
states between A and B.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from leastwork.geometry.state import State
from leastwork.observables import Observable, cosines_and_sines, distances

__all__ = ["Committor", "TransitionRegion", "chain_features", "load_committor"]

_LEAST = 1e-3
_LEAST_LOG_WEIGHT = -40.0  # below the resolution of a sum in single precision; denormal numbers would be slow
_BLOCK = 8192  # structures whose distances to all clusters are in memory at a time


def chain_features(x: Tensor) -> Tensor:
    """All distances, and cosines and sines of the chain's torsions, (B, F); x: (B, N, 3)."""
    n = x.shape[1]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    chain = [(i, i + 1, i + 2, i + 3) for i in range(n - 3)]
    return torch.cat([distances(pairs)(x), cosines_and_sines(chain)(x)], dim=1)


@dataclass(frozen=True, eq=False)
class Committor:
    """The committor q as a function of structures.

    Args:
        mean: mean of the features, (F,).
        directions: directions of TICA, (F, D).
        clusters: centres of the clusters, (C, D).
        values: q of each cluster, (C,).
        width: b, in TICA coordinates.
    """

    mean: Tensor
    directions: Tensor
    clusters: Tensor
    values: Tensor
    width: float

    def coordinates(self, x: Tensor) -> Tensor:
        """TICA coordinates, (B, D)."""
        return (chain_features(x.to(self.mean)) - self.mean) @ self.directions

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """q, (B,); x: (B, N, 3), data units."""
        weights = (self._weights(part) for part in x.split(_BLOCK))
        return torch.cat([w @ self._bounded / w.sum(dim=1) for w in weights])

    def log_odds(self, x: Tensor) -> Tensor:
        """ln q/(1 − q), differentiable, (B, 1)."""
        w, q = self._weights(x), self._bounded
        return ((w @ q).log() - (w @ (1 - q)).log())[:, None]

    @property
    def _bounded(self) -> Tensor:
        """q of each cluster, at least 10⁻³ away from 0 and 1, so that the log-odds are finite."""
        return self.values.clamp(_LEAST, 1 - _LEAST)

    def _weights(self, x: Tensor) -> Tensor:
        """w relative to the nearest cluster's, (B, C); |y|² is the same for all clusters and is left out."""
        nearness = self.coordinates(x) @ self.clusters.T - 0.5 * self.clusters.square().sum(dim=1)
        log_w = nearness / self.width**2
        return (log_w - log_w.detach().amax(dim=1, keepdim=True)).clamp(min=_LEAST_LOG_WEIGHT).exp()


@dataclass(frozen=True)
class TransitionRegion:
    """A = {x: lower ≤ q(x) ≤ upper}."""

    committor: Committor
    lower: float = 0.4
    upper: float = 0.6

    def __call__(self, x: State) -> Tensor:
        """Membership, bool (B,); x: (B, N, 3), data units."""
        assert isinstance(x, Tensor)
        q = self.committor(x)
        return (q >= self.lower) & (q <= self.upper)

    @property
    def interval(self) -> tuple[Observable, float, float]:
        """ln q/(1 − q) and its ends, between which a structure is a transition state."""
        coordinate = Observable(self.committor.log_odds, names=("log-odds of the committor",))
        return coordinate, _log_odds(self.lower), _log_odds(self.upper)

    @property
    def definition(self) -> str:
        """One sentence for a report."""
        return f"A = {{x: {self.lower:g} ≤ q(x) ≤ {self.upper:g}}}, q the committor of a Markov model"


def _log_odds(q: float) -> float:
    return math.log(q / (1 - q)) if 0 < q < 1 else math.copysign(math.inf, q - 0.5)


def load_committor(file: Path) -> Committor:
    """Read a committor from a file of tensors with the names of its arguments."""
    tensors: Mapping[str, Tensor] = load_file(file)
    width = float(tensors["width"])
    return Committor(tensors["mean"], tensors["directions"], tensors["clusters"], tensors["values"], width)

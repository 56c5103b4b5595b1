"""The network of DW-4's model, which turns with its four particles, mirrors and exchanges as they do.

    v(x, t) = Σ_{i<j} c_ij u_ij        c_ij = MLP(q_ij, log-SNR)        u_ij = r_ij/d_ij        d_ij = √(|r_ij|² + σ²)

Any score of a density of distances is of this form. q_ij are distances as the pair (i, j) sees them, {k, l} being the
other two: d_ij, d_kl, and what the exchanges of i with j and of k with l leave of the four distances between the pairs,
which is their sum, the squares of R, C and D, and the product RCD,

    R = d_ik + d_il − d_jk − d_jl        C = d_ik + d_jk − d_il − d_jl        D = d_ik + d_jl − d_il − d_jk

Distances are standardised at every noise level by the mean and variance that those of the data have after noise.
V of a tilt is learned as a function of the six distances in order of their size.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, silu

import leastwork as lw
from benchmarks.peers.double_well import COUNT, DIM, pair_vectors
from leastwork.networks.value import ValueNetwork

__all__ = ["PairNetwork", "SortedDistances", "value_of_pairs"]

_FEATURES = 7
_KNOTS = 14  # smooth steps in the log-SNR


def _seen_by_pairs() -> Tensor:
    """For each pair (i, j) the numbers of the pairs ij, kl, ik, il, jk, jl, (6, 6)."""
    first, second = torch.triu_indices(COUNT, COUNT, 1)
    number = torch.zeros(COUNT, COUNT, dtype=torch.long)
    number[first, second] = number[second, first] = torch.arange(len(first))
    rows = []
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        k, m = (one for one in range(COUNT) if one not in (i, j))
        rows.append([number[a, b] for a, b in ((i, j), (k, m), (i, k), (i, m), (j, k), (j, m))])
    return torch.tensor(rows)


class PairNetwork(nn.Module):
    """v of states (B, 6) in network units.

    Args:
        width: number of units in each hidden layer.
        depth: number of hidden layers.
    """

    centre: Tensor
    variance: Tensor
    knots: Tensor
    seen: Tensor

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.schedule = lw.VPSchedule()
        self.register_buffer("centre", torch.tensor(1.0))
        self.register_buffer("variance", torch.tensor(1.0))
        self.register_buffer("knots", torch.linspace(-7.0, 9.0, _KNOTS), persistent=False)
        self.register_buffer("seen", _seen_by_pairs(), persistent=False)
        self.first = nn.Linear(_FEATURES, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.time = nn.Linear(_KNOTS, 2 * depth * width)
        self.last = nn.Linear(width, 1)

    @torch.no_grad()
    def standardise(self, x: Tensor) -> "PairNetwork":
        """Take mean and variance of the distances from data (n, 6), network units."""
        d = pair_vectors(x).norm(dim=2)
        self.centre.fill_(float(d.mean()))
        self.variance.fill_(float(d.var()))
        return self

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """v at x (B, 6); t is a scalar, or (B,) for a time per sample, as in training."""
        t = t.reshape(-1, 1).double()
        alpha, sigma = self.schedule.alpha(t).to(x), self.schedule.sigma(t).to(x)
        lines, distance, middle, width = _measured(x, alpha, sigma, self.centre, self.variance)
        z = self._features((distance - middle) / width)
        tau = torch.sigmoid(self.schedule.log_snr(t).to(x) - self.knots)
        scales, shifts = self.time(tau).unflatten(1, (2, len(self.hidden) + 1, 1, -1)).unbind(1)
        z = silu(_scaled(self.first, z, 1 + scales[:, 0], shifts[:, 0]))
        for k, layer in enumerate(self.hidden, 1):
            assert isinstance(layer, nn.Linear)
            z = z + silu(_scaled(layer, z, 1 + scales[:, k], shifts[:, k]))
        coefficient = self.last(z)[..., 0] / distance
        return _back(coefficient[:, :, None] * lines)

    def _features(self, d: Tensor) -> Tensor:
        """q of standardised distances (B, 6), (B, 6, 7)."""
        own, other, ik, il, jk, jl = d[:, self.seen].unbind(2)
        total, r, c, e = ik + il + jk + jl, ik + il - jk - jl, ik + jk - il - jl, ik + jl - il - jk
        squares = [(1 + one.square()).sqrt() - 1 for one in (r, c, e)]
        product = r * c * e / (1 + r.square() + c.square() + e.square())
        return torch.stack([own, other, 0.5 * total, *squares, product], dim=2)


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Distances in order, (B, 6), the order, and the gradients of the distances by the vectors of pairs, (B, 6, 2)."""

    values: Tensor
    order: Tensor
    slopes: Tensor


class SortedDistances(nn.Module):
    """The view of V: six standardised distances in order of their size, which do not know which particles they join."""

    def __init__(self, centre: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", centre.clone())
        self.register_buffer("variance", variance.clone())

    centre: Tensor
    variance: Tensor
    count = 6

    def standardise(self, x: Tensor) -> "SortedDistances":
        """Nothing: mean and variance are those of the model's network."""
        return self

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> _Sorted:
        """The distances of x (B, 6); alpha and sigma have shape (1, 1), or (B, 1) for a time per sample."""
        lines, distance, middle, width = _measured(x, alpha, sigma, self.centre, self.variance)
        values, order = ((distance - middle) / width).sort(dim=1)
        return _Sorted(values, order, lines / (distance * width)[:, :, None])

    def pull(self, seen: _Sorted, c: Tensor) -> Tensor:
        """Jᵀc, (B, 6); c: (B, 6)."""
        return _back(torch.zeros_like(c).scatter(1, seen.order, c)[:, :, None] * seen.slopes)

    def push(self, seen: _Sorted, direction: Tensor) -> Tensor:
        """J u, (B, 6), the derivative of the values along u: (B, 6)."""
        return (pair_vectors(direction) * seen.slopes).sum(dim=2).gather(1, seen.order)


def value_of_pairs(net: PairNetwork, width: int = 64) -> ValueNetwork:
    """V = 0 of the distances in order, in the scale of the model's network; each view has six values."""
    network = ValueNetwork(DIM, width=width)
    network.view = SortedDistances(net.centre, net.variance)
    return network


def _measured(x: Tensor, alpha: Tensor, sigma: Tensor, centre: Tensor, variance: Tensor) -> tuple[Tensor, ...]:
    """Vectors of pairs (B, 6, 2), their lengths (B, 6), and mean and deviation of lengths at this noise."""
    lines = pair_vectors(x)
    distance = (lines.square().sum(dim=2) + sigma.square()).sqrt()
    middle = (alpha.square() * centre.square() + (1 + math.pi) * sigma.square()).sqrt()
    return lines, distance, middle, (alpha.square() * variance + (4 - math.pi) * sigma.square()).sqrt()


def _scaled(layer: nn.Linear, z: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(Wz + b) scale + shift, with the scale in the weights if all samples have one time."""
    if len(scale) == 1:
        return linear(z, layer.weight * scale[0].T, (layer.bias * scale + shift)[0, 0])
    return layer(z) * scale + shift


_INTO = pair_vectors(torch.eye(DIM, dtype=torch.float64)).flatten(1)  # x @ _INTO are the pair vectors


def _back(lines: Tensor) -> Tensor:
    """States along which vectors of pairs (B, 6, 2) pull, the transpose of ``pair_vectors``."""
    return lines.flatten(1) @ _INTO.T.to(lines)

"""DW-4: four particles in the plane whose six distances d each have two wells.

    E(x) = Σ_{i<j} a (d_ij − d_0)⁴ + b (d_ij − d_0)²        a = 0.9, b = −4, d_0 = 4        p ∝ e^{−E/T}

(Köhler, Klein and Noé, ICML 2020, section 6.) States are the six coordinates x = (x_1, x_2, x_3), each in the plane, of
an orthonormal basis of the arrangements whose centre is at the origin. Isotropic noise of x is then isotropic noise of
centred particles, and every method can use the model as one of plain coordinates.

A Markov chain draws references: Metropolis steps of one particle at a time, by turns small and as wide as the cluster,
in many chains at once.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["COUNT", "DIM", "Chains", "chains", "distances", "energy", "moved", "pair_vectors", "particles"]

COUNT, DIM = 4, 6
_A, _B, _MIDDLE = 0.9, -4.0, 4.0
_STEPS = (0.35, 0.35, 3.0)  # standard deviations of the proposals, used by turns
_FIRST, _SECOND = torch.triu_indices(COUNT, COUNT, 1)


def _basis() -> Tensor:
    """Orthonormal columns without mean, (4, 3), float64: those of Helmert."""
    columns = []
    for k in range(1, COUNT):
        column = torch.zeros(COUNT, dtype=torch.float64)
        column[:k], column[k] = 1.0, -float(k)
        columns.append(column / math.sqrt(k * (k + 1)))
    return torch.stack(columns, dim=1)


_BASIS = _basis()


def particles(x: Tensor) -> Tensor:
    """Centred positions (n, 4, 2) of states (n, 6)."""
    return _BASIS.to(x) @ x.unflatten(1, (COUNT - 1, 2))


def pair_vectors(x: Tensor) -> Tensor:
    """The vectors between the particles of states (n, 6), (n, 6, 2)."""
    at = particles(x)
    return at[:, _FIRST] - at[:, _SECOND]


def distances(x: Tensor) -> Tensor:
    """The six distances of states (n, 6), (n, 6)."""
    return pair_vectors(x).square().sum(dim=2).clamp(min=1e-12).sqrt()


def energy(x: Tensor) -> Tensor:
    """E of states (n, 6), (n,)."""
    off = (distances(x) - _MIDDLE).square()
    return (_A * off.square() + _B * off).sum(dim=1)


def moved(x: Tensor, random: torch.Generator) -> Tensor:
    """States turned, mirrored and with their particles exchanged at random, which leaves E as it is."""
    n = len(x)
    angle = 2 * math.pi * torch.rand(n, generator=random, dtype=torch.float64)
    hand = 1 - 2 * torch.randint(2, (n,), generator=random).double()
    turn = torch.stack([angle.cos(), -hand * angle.sin(), angle.sin(), hand * angle.cos()], dim=1).unflatten(1, (2, 2))
    order = torch.rand(n, COUNT, generator=random).argsort(dim=1)
    at = particles(x).gather(1, order[:, :, None].expand(-1, -1, 2)) @ turn.to(x)
    return (_BASIS.to(x).T @ at).flatten(1)


@dataclass(frozen=True)
class Chains:
    """States of Markov chains, and checks that they have forgotten where they began.

    Args:
        kept: states at the kept sweeps, (sweeps, chains, 6), float64.
        accepted: share of accepted steps for each width of the proposals.
    """

    kept: Tensor
    accepted: tuple[float, ...]

    @property
    def x(self) -> Tensor:
        """The last states, (chains, 6)."""
        return self.kept[-1]

    @cached_property
    def numbers(self) -> Tensor:
        """E, the shortest and the longest distance, (sweeps, chains, 3)."""
        flat = self.kept.flatten(0, 1)
        d = distances(flat)
        return torch.stack([energy(flat), d.amin(dim=1), d.amax(dim=1)], dim=1).unflatten(0, self.kept.shape[:2])

    def autocorrelation_times(self) -> list[float]:
        """Integrated autocorrelation time of each number, in kept sweeps, up to the first negative term."""
        found = []
        for column in self.numbers.unbind(dim=2):
            off = column - column.mean()
            variance, tau = off.square().mean(), 1.0
            for lag in range(1, len(off)):
                rho = float((off[lag:] * off[:-lag]).mean() / variance)
                if rho <= 0:
                    break
                tau += 2 * rho
            found.append(tau)
        return found

    def drift(self) -> list[float]:
        """Mean over chains of each number, second half of the sweeps minus first, in standard errors over chains."""
        half = len(self.kept) // 2
        off = self.numbers[half:].mean(dim=0) - self.numbers[:half].mean(dim=0)
        return (off.mean(dim=0) / (off.std(dim=0) / math.sqrt(len(off)))).tolist()


def chains(count: int, temperature: float, sweeps: int, seed: int, every: int = 10, burn: float = 0.5) -> Chains:
    """Chains from wide normal beginnings.

    Args:
        count: number of chains.
        temperature: T.
        sweeps: number of sweeps, each of which moves every particle by each width in turn.
        seed: seed of all random numbers.
        every: number of sweeps between two states that are kept.
        burn: share of the sweeps of which nothing is kept.
    """
    random = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(count, DIM, generator=random, dtype=torch.float64)
    e, kept, accepted = energy(x) / temperature, [], torch.zeros(len(_STEPS), dtype=torch.float64)
    for sweep in range(sweeps):
        for k, step in enumerate(_STEPS):
            for i in range(COUNT):
                shift = step * torch.randn(count, 1, 2, generator=random, dtype=torch.float64)
                other = x + (_BASIS[i][None, :, None] * shift).flatten(1)
                e_other = energy(other) / temperature
                taken = torch.rand(count, generator=random, dtype=torch.float64).log() < e - e_other
                x, e = torch.where(taken[:, None], other, x), torch.where(taken, e_other, e)
                accepted[k] += float(taken.double().mean())
        if sweep >= burn * sweeps and sweep % every == 0:
            kept.append(x)
    return Chains(torch.stack(kept), tuple((accepted / (sweeps * COUNT)).tolist()))

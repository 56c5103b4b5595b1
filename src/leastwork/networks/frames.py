"""Views of rigid frames for a value network: invariants under rigid motions, or the plain entries.

    d_ij = √(|r_ij|² + σ²)    u_ij = r_ij/d_ij    R_iᵀu_ij    R_jᵀu_ij    R_iᵀR_j        r_ij = p_j − p_i

of every pair of residues determine a structure up to a rigid motion, including its handedness. Distances are
standardised at every noise level as in :mod:`leastwork.networks.invariants`; entries of directions and relative
rotations are at most one anyway. For models that are not equivariant, the inputs are the positions and the nine entries
of R.

Both views give products with their Jacobian J on tangents (:mod:`leastwork.geometry.frames`): a rotation by ω changes R
by R ω̂, R_iᵀu by (R_iᵀu) × ω, and M = R_iᵀR_j by −ω̂_i M + M ω̂_j.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.geometry.rotations import hat, slope_of, vee

__all__ = ["FrameEntries", "FrameInvariants", "Turns", "turn_signal"]


_NO_SIGNAL = -40.0  # ln of a signal-to-noise ratio that counts as none


@dataclass(frozen=True, eq=False)
class _Entries:
    """Values (B, 12N), the derivative of the scaled positions (1 or B, 3N), and R (B, N, 3, 3)."""

    values: Tensor
    slope: Tensor
    rotation: Tensor


class FrameEntries(nn.Module):
    """Standardised positions, and the entries of R; states are flat, (B, 12N)."""

    mean: Tensor
    std: Tensor

    def __init__(self, residues: int) -> None:
        super().__init__()
        self.residues = residues
        self.register_buffer("mean", torch.zeros(3 * residues))
        self.register_buffer("std", torch.ones(3 * residues))

    @property
    def count(self) -> int:
        """F."""
        return 12 * self.residues

    @torch.no_grad()
    def standardise(self, x: Tensor) -> "FrameEntries":
        """Take mean and standard deviation of the positions from data, (n, 12N)."""
        position = x[:, : 3 * self.residues]
        std = position.std(dim=0)
        self.mean.copy_(position.mean(dim=0))
        self.std.copy_(torch.where(std > 1e-6 * std.max(), std, 1.0))
        return self

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> _Entries:
        """x: (B, 12N); alpha, sigma: (1, 1), or (B, 1) for a time per sample."""
        position, rotation = x.split([3 * self.residues, 9 * self.residues], dim=1)
        slope = (alpha.square() * self.std.square() + sigma.square()).rsqrt()
        values = torch.cat([(position - alpha * self.mean) * slope, rotation], dim=1)
        return _Entries(values, slope, rotation.unflatten(1, (-1, 3, 3)))

    def pull(self, seen: _Entries, c: Tensor) -> Tensor:
        """Jᵀc, (B, 6N); c: (B, F)."""
        position, rotation = c.split([3 * self.residues, 9 * self.residues], dim=1)
        turn = slope_of(seen.rotation, rotation.unflatten(1, (-1, 3, 3)))
        return torch.cat([position * seen.slope, turn.flatten(1)], dim=1)

    def push(self, seen: _Entries, direction: Tensor) -> Tensor:
        """J u, (B, F); direction: u, (B, 6N)."""
        shift, turn = direction.chunk(2, dim=1)
        moved = seen.rotation @ hat(turn.unflatten(1, (-1, 3)))
        return torch.cat([shift * seen.slope, moved.flatten(1)], dim=1)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Values (B, 16P), and the quantities for the Jacobian: u, 1/d, slope of d, both rotations, R_iᵀu, R_jᵀu and M."""

    values: Tensor
    line: Tensor
    inverse: Tensor
    slope: Tensor
    first: Tensor
    second: Tensor
    from_first: Tensor
    from_second: Tensor
    relative: Tensor


class FrameInvariants(nn.Module):
    """Distances, directions and relative rotations of all pairs; states are flat, (B, 12N), N ≥ 2."""

    centre: Tensor
    variance: Tensor
    i: Tensor
    j: Tensor

    def __init__(self, residues: int) -> None:
        super().__init__()
        i, j = torch.triu_indices(residues, residues, offset=1)
        self.residues, self.pairs = residues, len(i)
        self.register_buffer("i", i, persistent=False)
        self.register_buffer("j", j, persistent=False)
        self.register_buffer("centre", torch.ones(self.pairs))
        self.register_buffer("variance", torch.ones(self.pairs))

    @property
    def count(self) -> int:
        """F."""
        return 16 * self.pairs

    @torch.no_grad()
    def standardise(self, x: Tensor) -> "FrameInvariants":
        """Take mean and variance of the distances from data, (n, 12N)."""
        position = x[:: max(len(x) // 20_000, 1), : 3 * self.residues].unflatten(1, (-1, 3))
        distance = (position[:, self.j] - position[:, self.i]).norm(dim=2)
        self.centre.copy_(distance.mean(dim=0))
        self.variance.copy_(distance.var(dim=0))
        return self

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> _Pairs:
        """x: (B, 12N); alpha, sigma: (1, 1), or (B, 1) for a time per sample."""
        position, rotation = x.split([3 * self.residues, 9 * self.residues], dim=1)
        position, rotation = position.unflatten(1, (-1, 3)), rotation.unflatten(1, (-1, 3, 3))
        line = position[:, self.j] - position[:, self.i]
        noise, signal = sigma.square(), alpha.square()
        distance = (line.square().sum(dim=2) + noise).sqrt()
        middle = (signal * self.centre.square() + (16 / math.pi + 1) * noise).sqrt()
        slope = (signal * self.variance + 1.5 * noise).rsqrt()
        inverse = 1 / distance
        line = line * inverse[..., None]
        first, second = rotation[:, self.i], rotation[:, self.j]
        from_first, from_second = _in_frame(first, line), _in_frame(second, line)
        relative = first.transpose(-1, -2) @ second
        parts = [from_first, from_second, relative.flatten(2)]
        values = torch.cat([(distance - middle) * slope, *(part.flatten(1) for part in parts)], dim=1)
        return _Pairs(values, line, inverse, slope, first, second, from_first, from_second, relative)

    def pull(self, seen: _Pairs, c: Tensor) -> Tensor:
        """Jᵀc, (B, 6N); c: (B, F)."""
        p = self.pairs
        of_distance, of_first, of_second, of_relative = c.split([p, 3 * p, 3 * p, 9 * p], dim=1)
        of_first, of_second = of_first.unflatten(1, (-1, 3)), of_second.unflatten(1, (-1, 3))
        of_relative = of_relative.unflatten(1, (-1, 3, 3))
        across = _rotate(seen.first, of_first) + _rotate(seen.second, of_second)
        along = (of_distance * seen.slope - (across * seen.line).sum(dim=2) * seen.inverse)[..., None] * seen.line
        force = along + across * seen.inverse[..., None]
        turn_first = torch.linalg.cross(of_first, seen.from_first) - 2 * vee(of_relative @ seen.relative.mT)
        turn_second = torch.linalg.cross(of_second, seen.from_second) + 2 * vee(seen.relative.mT @ of_relative)
        shift = c.new_zeros(len(c), self.residues, 3)
        shift = shift.index_add(1, self.j, force).index_add(1, self.i, force, alpha=-1)
        turn = c.new_zeros(len(c), self.residues, 3)
        turn = turn.index_add(1, self.i, turn_first).index_add(1, self.j, turn_second)
        return torch.cat([shift.flatten(1), turn.flatten(1)], dim=1)

    def push(self, seen: _Pairs, direction: Tensor) -> Tensor:
        """J u, (B, F); direction: u, (B, 6N)."""
        shift, turn = (part.unflatten(1, (-1, 3)) for part in direction.chunk(2, dim=1))
        move = shift[:, self.j] - shift[:, self.i]
        stretch = (move * seen.line).sum(dim=2)
        line = (move - stretch[..., None] * seen.line) * seen.inverse[..., None]
        first, second = turn[:, self.i], turn[:, self.j]
        from_first = _in_frame(seen.first, line) + torch.linalg.cross(seen.from_first, first)
        from_second = _in_frame(seen.second, line) + torch.linalg.cross(seen.from_second, second)
        relative = seen.relative @ hat(second) - hat(first) @ seen.relative
        parts = [from_first, from_second, relative.flatten(2)]
        return torch.cat([stretch * seen.slope, *(part.flatten(1) for part in parts)], dim=1)


def turn_signal(rotations: Tensor, angle: Tensor) -> Tensor:
    """ln of the signal-to-noise ratio of rotations after Brownian motion, float64 in the shape of ``angle``.

    The mean of R_0 exp(ω̂) is e^{−σ_R²} R_0. So the entries of R keep the variance e^{−2σ_R²} v, where v is that of the
    data, and noise adds a variance of (1 − e^{−2σ_R²})/3.

    Args:
        rotations: rotations of the data, (n, N, 3, 3); v is the mean variance of their entries.
        angle: σ_R, rad, any shape.

    >>> from leastwork.geometry.rotations import random_rotations
    >>> R = random_rotations(1000, torch.Generator().manual_seed(0))[:, None]
    >>> turn_signal(R, torch.tensor([0.1, 1.0, 2.0])).round(decimals=1).tolist()
    [3.9, -1.9, -8.0]
    """
    variance = rotations.double().var(dim=0).mean().clamp(min=1e-12)
    return (3 * variance).log() - torch.expm1(2 * angle.double().square()).log()


class Turns(nn.Module):
    """The signal-to-noise ratio of rotations as a function of that of positions, by linear interpolation of logarithms.

    Rotations have a noise schedule of their own. Where positions have lost all signal, rotations may still decide which
    structure a noisy state becomes; then V depends on them, and must not vanish with the signal of the positions.

    Args:
        count: number of entries of the table, at equal distances in the log-SNR of the positions.
    """

    ends: Tensor
    signal: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("ends", torch.tensor([-1.0, 1.0]))
        self.register_buffer("signal", torch.full((count,), _NO_SIGNAL))

    def forward(self, log_snr: Tensor) -> Tensor:
        """ln SNR of the rotations, in the shape of ``log_snr`` = ln α²/σ²; beyond the table its ends."""
        last = len(self.signal) - 1
        place = ((log_snr - self.ends[0]) / (self.ends[1] - self.ends[0])).clamp(0.0, 1.0) * last
        left = place.long().clamp(max=last - 1)
        return torch.lerp(self.signal[left], self.signal[left + 1], place - left)


def _in_frame(rotation: Tensor, line: Tensor) -> Tensor:
    """Rᵀu, (B, P, 3)."""
    return (rotation * line[..., None]).sum(dim=-2)


def _rotate(rotation: Tensor, a: Tensor) -> Tensor:
    """R a, (B, P, 3)."""
    return (rotation * a[..., None, :]).sum(dim=-1)

"""Averages of the model from the samples of several guidances, by MBAR with path weights.

Part i has N_i samples of guided paths Q_i with path weights W = dP/dQ_i, guided towards p e^{r_i}/Z_i. For functions
β_i with Σ_i β_i(x) = 1, and for the normalisers of the tilts,

    E_P[φ] = Σ_i ⟨W β_i φ⟩_i          Z_i = ⟨W e^{r_i}⟩_i          ⟨·⟩_i the mean over the samples of part i

hold in expectation for the discretised model, without any bias (multiple importance sampling: Veach & Guibas, SIGGRAPH
1995). β is the balance heuristic of MBAR, with f from MBAR on samples that are resampled by W e^{r_i}
(:mod:`leastwork.free_energy.mbar`), and n_i = N_i ESS_i the number of effective samples:

    β_i(x) = n_i e^{f_i + r_i(x)} / Σ_j n_j e^{f_j + r_j(x)}

With perfect guidance W = Z_i e^{−r_i}, and the sum is MBAR's estimate Σ_n φ(x_n)/Σ_j N_j e^{f_j + r_j(x_n)}, but with
absolute normalisers: what MBAR has to find from overlaps, path weights know already. So there are two unbiased
estimates of every Z_j, one from all samples and one from those of its own part. Their difference

    D_j = Σ_i ⟨W β_i e^{r_j}⟩_i − ⟨W e^{r_j}⟩_j,          D_0 = Σ_i ⟨W β_i⟩_i − 1

has mean zero. These are control variates (Tan, J. Am. Stat. Assoc. 99, 1027, 2004; Owen & Zhou, ibid. 95, 135, 2000):
the estimate is E_P[φ] − a·D, with the a of least variance. The better the guidance, the more of the counting noise they
remove. The parts are independent, so their covariances over samples, divided by N_i, add up to that of the estimate.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from leastwork.errors import LeastworkWarning
from leastwork.free_energy.mbar import Mbar, solve_mbar
from leastwork.sampling.steer import systematic_ancestors
from leastwork.sampling.work import kish_ess
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import generator

__all__ = ["Joined", "Part", "join"]

_MOST_FOR_MBAR = 2000  # resampled samples of one window from which MBAR finds f
_LEAST_EIGENVALUE = 1e-6  # of the correlation matrix of the controls; a smaller one is a control that repeats another


@dataclass(frozen=True)
class Part:
    """Samples of one guidance.

    Args:
        log_weight: ln dP/dQ, float64 (n,).
        log_tilt: all tilts r_j at these samples, float64 (K, n); those of the model itself, j = 0, are zero.
        window: the number i of its own tilt; several parts may have the same.
    """

    log_weight: Tensor
    log_tilt: Tensor
    window: int

    @property
    def log_w(self) -> Tensor:
        """ln (dP/dQ · e^r), (n,)."""
        return self.log_weight + self.log_tilt[self.window]

    @cached_property
    def effective(self) -> float:
        """n·ESS of the samples as those of the window's target."""
        return len(self.log_weight) * float(kish_ess(self.log_w).value)

    @property
    def log_z(self) -> float:
        """ln ⟨W e^r⟩."""
        return float(torch.logsumexp(self.log_w, dim=0)) - math.log(len(self.log_w))


@dataclass(frozen=True)
class Joined:
    """Parts with their place in the mixture.

    Args:
        parts: the samples.
        mbar: f and overlaps of the windows, from resampled samples.
        effective: effective samples of each window, (K,).
        log_weight: for each part ln (W β_i/N_i), the weights under the model; those of all parts add up to about one.
    """

    parts: tuple[Part, ...]
    mbar: Mbar
    effective: Tensor
    log_weight: tuple[Tensor, ...] = field(repr=False)

    @property
    def log_z(self) -> Estimate:
        """ln Z of each window from its own path weights alone, (K,)."""
        log_z, shares = _normalisers(self.parts, len(self.effective))
        square = torch.zeros_like(log_z)
        for part, share in zip(self.parts, shares, strict=True):
            w = (part.log_w - log_z[part.window]).exp()
            square[part.window] += share**2 * float(w.var()) / len(w)
        return Estimate(log_z, square.sqrt())

    def averages(self, values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """E_P[φ], (M,), and its covariance (M, M), from φ of the samples of each part, (n_i, M)."""
        log_z, shares = _normalisers(self.parts, len(self.effective))
        count = values[0].shape[1]
        total, cov = torch.zeros(count + len(log_z)).double(), torch.zeros(2 * (count + len(log_z),)).double()
        for part, share, log_v, phi in zip(self.parts, shares, self.log_weight, values, strict=True):
            n = len(log_v)
            control = (math.log(n) + log_v + part.log_tilt - log_z[:, None]).exp().T
            own = share * (part.log_w - log_z[part.window]).exp()
            control[:, part.window] -= own
            terms = torch.cat([phi.double() * (math.log(n) + log_v).exp()[:, None], control], dim=1)
            total += terms.mean(dim=0)
            cov += torch.cov(terms.T) / n
        return _regressed(total, cov, count)


def join(parts: Sequence[Part], seed: int) -> Joined:
    """The parts with the weights of their samples under the model.

    Args:
        parts: samples of the model itself first.
        seed: seed of the resampling from which MBAR finds f.

    Raises:
        LeastworkError: pymbar is not installed.

    Warns:
        LeastworkWarning: MBAR does not converge, so that f of the path weights is taken.
    """
    count = parts[0].log_tilt.shape[0]
    log_z, shares = _normalisers(parts, count)
    effective = torch.zeros(count, dtype=torch.float64)
    for part in parts:
        effective[part.window] += part.effective
    found = solve_mbar([_resampled(parts, k, seed) for k in range(count)], -log_z)
    f = found.free_energies
    if not found.converged:
        f = -log_z
        warnings.warn(
            f"MBAR did not converge (its equations are violated by {found.violation:.2g} nats), so the windows are "
            "joined by the free energies of their path weights alone: look at the overlap matrix, and draw more "
            "samples in each window",
            LeastworkWarning,
            stacklevel=3,
        )
    mixture = [torch.logsumexp((effective.log() + f)[:, None] + one.log_tilt, dim=0) for one in parts]
    log_weight = tuple(
        one.log_weight + math.log(effective[one.window] * share / len(one.log_weight)) + f[one.window]
        + one.log_tilt[one.window] - mixed
        for one, share, mixed in zip(parts, shares, mixture, strict=True)
    )  # fmt: skip
    return Joined(tuple(parts), found, effective, log_weight)


def _normalisers(parts: Sequence[Part], count: int) -> tuple[Tensor, list[float]]:
    """ln Z of each window by its own parts, (K,), and the share of each part in it, by effective samples."""
    total = torch.zeros(count, dtype=torch.float64)
    for part in parts:
        total[part.window] += part.effective
    shares = [part.effective / float(total[part.window]) for part in parts]
    z = torch.full((count,), -math.inf, dtype=torch.float64)
    for part, share in zip(parts, shares, strict=True):
        z[part.window] = torch.logaddexp(z[part.window], torch.tensor(part.log_z + math.log(share)).double())
    return z, shares


def _resampled(parts: Sequence[Part], window: int, seed: int) -> Tensor:
    """All tilts at samples of a window that are resampled by W e^r, (K, n)."""
    own = [part for part in parts if part.window == window]
    tilts = torch.cat([part.log_tilt for part in own], dim=1)
    log_w = torch.cat([part.log_w for part in own])
    size = max(1, min(int(sum(part.effective for part in own)), _MOST_FOR_MBAR))
    random = generator(seed, f"resampling of window {window}")
    order = torch.randperm(len(log_w), generator=random)
    share = torch.softmax(log_w[order], dim=0)
    ancestors = systematic_ancestors(share[None], torch.rand(1, generator=random, dtype=torch.float64))[0]
    some = ancestors[torch.randperm(len(ancestors), generator=random)[:size]]
    return tilts[:, order[some]]


def _regressed(total: Tensor, cov: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first ``count`` averages less what the controls after them explain, and the covariance that is left."""
    spread = cov.diagonal()[count:].sqrt()
    used = spread > 1e-12
    if not bool(used.any()):
        return total[:count], cov[:count, :count]
    scale = spread[used]
    controls = cov[count:, count:][used][:, used] / scale[:, None] / scale
    cross = cov[:count, count:][:, used] / scale
    values, vectors = torch.linalg.eigh(controls)
    kept = values > _LEAST_EIGENVALUE * values[-1]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    slope = cross @ inverse
    return total[:count] - slope @ (total[count:][used] / scale), cov[:count, :count] - slope @ cross.T

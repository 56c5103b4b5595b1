"""Noised states from which V is learned: the inputs of V and products with the model's Jacobian."""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from leastwork.geometry.state import State, flatten, smap, take, unflatten
from leastwork.models.base import Scored
from leastwork.models.denoised import PULL, PUSH, denoised
from leastwork.models.placement import evaluating
from leastwork.networks.value import value_and_gradient
from leastwork.sampling.process import Process
from leastwork.support.checkpoints import each
from leastwork.support.progress import Progress, no_progress

__all__ = ["PROBES", "Noised", "Pool", "evaluations_of_noised", "noise_states", "pool_of"]

PROBES = 2  # random directions η for each noised sample

_NOISIEST = 9.0  # largest −log-SNR that is sampled: with more noise, x_t is independent of x_0
_NOISIEST_TURNS = 18.0  # the same for rigid frames, whose rotations may keep signal where positions have lost it
_CLEANEST = 12.0  # largest log-SNR that is sampled: with less noise, x_t is x_0
_PIECE = 1024  # noised samples in one evaluation of the model


@dataclass(frozen=True)
class Pool:
    """Samples x_0, flat (n, d) and as states, their weights ω (n,) of mean one, and the range of the log-SNR."""

    x0: Tensor
    like: State
    omega: Tensor
    ends: tuple[float, float]

    def log_snr(self, n: int, random: torch.Generator) -> Tensor:
        """n log-SNRs, stratified over the range, in rising order, float64 (n,)."""
        strata = (torch.arange(n) + torch.rand(n, generator=random, dtype=torch.float64)) / n
        return self.ends[0] + (self.ends[1] - self.ends[0]) * strata


@dataclass(frozen=True)
class Noised:
    """Noised samples: inputs of V (n, d), α and σ, weights ω, and the quantities that the loss needs of lever · ∇V.

    ``lever`` multiplies h: σ, (n, 1), or for frames one factor for each coordinate of the tangent. For the slope g of
    the network, (lever·h)·(ε − ε̂) = g·``along``, and |lever·h|² is the mean of (g·``probes``)², or |lever·g|² if there
    are no probes. ``known`` holds V₀ and its slope for the guidance of the stage before, if there is one.
    """

    seen: Tensor
    alpha: Tensor
    sigma: Tensor
    omega: Tensor
    along: Tensor
    lever: Tensor
    probes: Tensor
    known: tuple[Tensor, Tensor] | None

    def at(self, index: Tensor) -> "Noised":
        known = None if self.known is None else (self.known[0][index], self.known[1][index])
        rest = (self.seen, self.alpha, self.sigma, self.omega, self.along, self.lever, self.probes)
        return Noised(*[part[index] for part in rest], known=known)

    def square(self, slope: Tensor) -> Tensor:
        """|lever·h|², (B,), of slopes g."""
        if self.probes.shape[1]:
            return torch.einsum("bkd,bd->bk", self.probes, slope).square().mean(dim=1)
        return (self.lever * slope).square().sum(dim=1)


@torch.no_grad()
def noise_states(
    pool: Pool,
    index: Tensor,
    model: Scored,
    through: bool,
    reference: nn.Module | None,
    random: torch.Generator,
    progress: Progress = no_progress,
) -> Noised:
    """Noise samples, ``index`` (levels, n), each row to one log-SNR, and evaluate what the loss needs of the model."""
    log_snr = pool.log_snr(len(index), random)
    times = model.schedule.time_of(log_snr)
    alphas, sigmas = model.schedule.alpha(times).to(pool.x0), model.schedule.sigma(times).to(pool.x0)
    look = _inputs_of_denoised if through else _inputs_of_state
    with evaluating(model.net), progress("noising samples", len(index)) as tick:

        def level(i: int) -> list[tuple[Tensor, ...]]:
            t, alpha, sigma = float(times[i]), alphas[i], sigmas[i]
            parts: list[tuple[Tensor, ...]] = []
            for some in index[i].split(_PIECE):
                x, lever, noise = _noise(pool, some, model, t, random)
                found = look(model, x, t, (alpha, sigma), lever, noise, reference, random)
                of_all = (part.expand(len(some), *part.shape[1:]) for part in (alpha[None], sigma[None], lever))
                parts.append((pool.omega[some], *of_all, *found))
            tick()
            return parts

        parts = [part for level in each("noised states", len(index), level, random=random) for part in level]
    omega, alpha, sigma, lever, seen, along, probes, *known = (torch.cat(part) for part in zip(*parts, strict=True))
    return Noised(seen, alpha, sigma, omega, along, lever, probes, (known[0], known[1]) if known else None)


def _noise(pool: Pool, some: Tensor, model: Scored, t: float, random: torch.Generator) -> tuple[State, Tensor, Tensor]:
    """x_t of some samples, the lever (1, ·), and the noise ε, or for frames −lever · conditional score, (B, ·)."""
    return model.noised(unflatten(pool.x0[some], pool.like), t, random)


_Moments: TypeAlias = tuple[Tensor, Tensor]


def _inputs_of_state(
    model: Scored, x: State, t: float, at: _Moments, lever: Tensor, noise: Tensor, reference: nn.Module | None,
    random: torch.Generator,
) -> tuple[Tensor, ...]:  # fmt: skip
    """For a V that sees x_t: its input, ``along`` without ``probes``, and V₀ with its slope."""
    y = Process(model).evaluate(x, t)
    flat = flatten(x)
    noise = noise - model.expected_noise(x, y, t, lever)
    known = () if reference is None else value_and_gradient(reference, flat, *at)
    if known:
        noise = noise + lever * known[1]
    return flat, lever * noise, noise.new_zeros(len(noise), 0, noise.shape[1]), *known


def _inputs_of_denoised(
    model: Scored, x: State, t: float, at: _Moments, lever: Tensor, noise: Tensor, reference: nn.Module | None,
    random: torch.Generator,
) -> tuple[Tensor, ...]:  # fmt: skip
    """For a V that sees D(x, t): its input, ``along`` and ``probes``, and V₀ with its slope at D."""
    end = denoised(model, x, t)
    flat = flatten(end.state)
    noise = noise - model.expected_noise(x, smap(Tensor.detach, end.y), t, lever)
    known = () if reference is None else value_and_gradient(reference, flat, *at)
    if known:
        noise = noise + lever * model.project_tangent(x, end.pull(known[1]))
    n, k = noise.shape
    if k <= PROBES:
        axes = list(k**0.5 * torch.eye(k).to(noise)[:, None].expand(k, n, k))
    else:
        axes = [model.project_tangent(x, torch.randn(n, k, generator=random).to(noise)) for _ in range(PROBES)]
    along, *probes = end.pushes([lever * part for part in (noise, *axes)])
    return flat, along, torch.stack(probes, dim=1), *known


def evaluations_of_noised(through: bool, known: bool = False) -> int:
    """Number of network evaluations for one noised sample.

    Args:
        through: whether V sees the denoised state, which needs products with the model's Jacobian.
        known: whether the samples were drawn with guidance, so that its h is needed too.

    >>> evaluations_of_noised(False), evaluations_of_noised(True)
    (1, 8)
    """
    return 1 + through * (PULL + PUSH * (1 + PROBES) + PULL * known)


def pool_of(x0: State, omega: Tensor, model: Scored) -> Pool:
    schedule = model.schedule
    ends = schedule.log_snr(torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)).tolist()
    flat, noisiest = flatten(x0), _NOISIEST_TURNS if model.has_rotations else _NOISIEST
    return Pool(flat, take(x0, slice(1)), omega.to(flat), (max(ends[0], -noisiest), min(ends[1], _CLEANEST)))

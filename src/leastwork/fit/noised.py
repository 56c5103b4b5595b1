"""Noised states from which V is learned: the inputs of V and products with the model's Jacobian."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.geometry.state import State, flatten, smap, take, unflatten
from leastwork.models.base import Scored
from leastwork.models.denoised import PULL, PUSH, denoised
from leastwork.models.placement import evaluating
from leastwork.networks.value import value_and_gradient
from leastwork.sampling.process import Process
from leastwork.support.checkpoints import each
from leastwork.support.executors import pieces
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

    def drawn(i: int, random: torch.Generator | None) -> list[_Drawn]:
        level = float(times[i]), alphas[i], sigmas[i]
        return [_drawn(pool, some, model, *level, through, random) for some in index[i].split(_PIECE)]

    with (
        evaluating(model.net),
        progress("noising samples", len(index)) as tick,
        pieces(_looked_at, (model, through, reference), len(index), drawn, random) as piece,
    ):

        def level(i: int) -> list[tuple[Tensor, ...]]:
            found = piece(i)
            tick()
            return found

        parts = [part for level in each("noised states", len(index), level, random=random) for part in level]
    omega, alpha, sigma, lever, seen, along, probes, *known = (torch.cat(part) for part in zip(*parts, strict=True))
    return Noised(seen, alpha, sigma, omega, along, lever, probes, (known[0], known[1]) if known else None)


@dataclass(frozen=True)
class _Drawn:
    """Noised samples before the model is asked: all that is random.

    ``noise`` is ε, or for frames −lever · conditional score, (B, ·); ``lever`` is (1, ·), and ``axes`` are the random
    directions η, none where every axis of the space is one.
    """

    x: State
    t: float
    alpha: Tensor
    sigma: Tensor
    omega: Tensor
    lever: Tensor
    noise: Tensor
    axes: list[Tensor]


def _drawn(
    pool: Pool, some: Tensor, model: Scored, t: float, alpha: Tensor, sigma: Tensor, through: bool,
    random: torch.Generator | None,
) -> _Drawn:  # fmt: skip
    assert random is not None
    x, lever, noise = model.noised(unflatten(pool.x0[some], pool.like), t, random)
    n, k = noise.shape
    probed = PROBES if through and k > PROBES else 0
    axes = [torch.randn(n, k, generator=random) for _ in range(probed)]
    return _Drawn(x, t, alpha, sigma, pool.omega[some], lever, noise, axes)


@torch.no_grad()
def _looked_at(shared: tuple[Scored, bool, nn.Module | None], level: list[_Drawn]) -> list[tuple[Tensor, ...]]:
    """ω, α, σ, lever and all that the loss needs of the model, of the noised samples of one level."""
    model, through, reference = shared
    look = _inputs_of_denoised if through else _inputs_of_state
    found: list[tuple[Tensor, ...]] = []
    for one in level:
        of_all = (
            part.expand(len(one.omega), *part.shape[1:]) for part in (one.alpha[None], one.sigma[None], one.lever)
        )
        found.append((one.omega, *of_all, *look(model, one, reference)))
    return found


def _inputs_of_state(model: Scored, drawn: _Drawn, reference: nn.Module | None) -> tuple[Tensor, ...]:
    """For a V that sees x_t: its input, ``along`` without ``probes``, and V₀ with its slope."""
    x, lever = drawn.x, drawn.lever
    y = Process(model).evaluate(x, drawn.t)
    flat = flatten(x)
    noise = drawn.noise - model.expected_noise(x, y, drawn.t, lever)
    known = () if reference is None else value_and_gradient(reference, flat, drawn.alpha, drawn.sigma)
    if known:
        noise = noise + lever * known[1]
    return flat, lever * noise, noise.new_zeros(len(noise), 0, noise.shape[1]), *known


def _inputs_of_denoised(model: Scored, drawn: _Drawn, reference: nn.Module | None) -> tuple[Tensor, ...]:
    """For a V that sees D(x, t): its input, ``along`` and ``probes``, and V₀ with its slope at D."""
    x, lever = drawn.x, drawn.lever
    end = denoised(model, x, drawn.t)
    flat = flatten(end.state)
    noise = drawn.noise - model.expected_noise(x, smap(Tensor.detach, end.y), drawn.t, lever)
    known = () if reference is None else value_and_gradient(reference, flat, drawn.alpha, drawn.sigma)
    if known:
        noise = noise + lever * model.project_tangent(x, end.pull(known[1]))
    n, k = noise.shape
    axes = [model.project_tangent(x, axis.to(noise)) for axis in drawn.axes]
    if k <= PROBES:
        axes = list(k**0.5 * torch.eye(k).to(noise)[:, None].expand(k, n, k))
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

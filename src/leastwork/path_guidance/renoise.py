"""Many members of a rare region A from a few: noise them, let the model take the noise away, keep what is in A.

    x_t = α x_0 + σ ε      x_0′ ~ p(x_0 | x_t)      accept if x_0′ ∈ A, else stay

As (x_0, x_t) and (x_0′, x_t) have the same joint law, p is stationary under the move and the move reversible, so that
with the second step it is Metropolis' rule (J. Chem. Phys. 21, 1087, 1953) for p restricted to A: what chains of it
visit are draws of p(x | A), as far as the model's own paths are those of its score. How much noise decides how far a
move goes and how often it comes back: the log-SNR is drawn anew for every move, between the noise from which one in a
hundred returns and that from which half do. No density, gradient or weight is needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.geometry.state import State, batch_size, cat, leaves, shapes, smap, take
from leastwork.models.base import Scored
from leastwork.models.placement import evaluating
from leastwork.sampling.choices import USUAL, Choices
from leastwork.sampling.stepping import Carry, Sampler, advance
from leastwork.support.checkpoints import resumable
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import generator

__all__ = ["Members", "renoise"]

_STEPS = 60  # of a whole path, at most: what the chains visit is only learned from
_TRIED = 64, 256  # moves at each noise, before any chain starts, and at most
_SEARCH = 0.1  # of the budget for them
_NOISES = tuple(float(v) for v in range(-5, 9))  # log-SNR
_LOW, _HIGH = 0.01, 0.5  # acceptance at the most and the least noise
_PARTS = 8  # noises of one round
_PIECE = 1024
_ROUNDS = 20  # that a budget should pay for
_LEAST = 100  # members


@dataclass(frozen=True)
class Members:
    """Members of A, each as often as chains stayed at it.

    Args:
        x: network units, (m, *event).
        stays: how often each was counted, float64 (m,).
        acceptance: share of the moves that stayed in A.
        ends: range of the log-SNR of the moves.
        evaluations: of the model.
    """

    x: State
    stays: Tensor
    acceptance: float
    ends: tuple[float, float]
    evaluations: int


@torch.no_grad()
def renoise(
    model: Scored,
    region: Callable[[State], Tensor],
    points: State,
    *,
    budget: int = 2_000_000,
    most: int = 20_000,
    chains: int = 4096,
    seed: int = 0,
    progress: Progress = no_progress,
    choices: Choices = USUAL,
) -> Members:
    """Draw members of a region.

    Args:
        model: a DiffusionModel or a FrameModel.
        region: membership of A, data units (B, *event) -> bool (B,).
        points: members to start from, (M, *event), data units.
        budget: network evaluations, at most.
        most: accepted moves, at most; those of the first rounds, until each chain moved once, are dropped.
        chains: of them, at most; fewer where the budget pays for few moves.
        seed: of everything random.
        progress: ``leastwork.support.progress.bar`` shows one.
        choices: how samples are drawn, in 60 steps at most.

    Raises:
        LeastworkError: no point lies in A, or the model does not come back to it.
    """
    random = generator(seed, "renoise")
    inside = region(points).nonzero()[:, 0]
    if len(inside) == 0:
        raise LeastworkError("no guide lies in the region, so there is nothing to start from: check its units")
    start = model.to_network_units(take(points, inside))
    sampler = replace(choices, steps=min(choices.steps, _STEPS)).sampler(model)
    chains = min(max(budget // (_ROUNDS * _STEPS), _TRIED[0]), chains)
    tried = min(max(int(_SEARCH * budget / len(_NOISES) / _STEPS), _TRIED[0]), _TRIED[1])
    with evaluating(model.net):
        point = resumable("members of the region")
        found: list[State] = []
        visited: list[Tensor] = []
        if point.state is None:
            ends, evaluations = _ends(sampler, region, start, tried, random)
            x = _repeated(start, chains, random)
            where = torch.full((chains,), -1)
            moves = accepted = kept = 0
            settled = False
        else:
            ends, evaluations, x, where, found, visited, moves, accepted, kept, settled, drawn = point.state
            random.set_state(drawn)
        with progress("finding members of the region", budget) as tick:
            tick(evaluations)
            while evaluations < budget and kept < most:
                before = evaluations
                for part, chosen in enumerate(torch.randperm(chains, generator=random).chunk(_PARTS)):
                    share = (part + float(torch.rand((), generator=random))) / _PARTS
                    at = ends[0] + (ends[1] - ends[0]) * share
                    new, spent = _completed(sampler, take(x, chosen), at, random)
                    evaluations += spent
                    ok = region(model.to_data_units(new))
                    moves, accepted = moves + len(ok), accepted + int(ok.sum())
                    x = _placed(x, chosen[ok], take(new, ok))
                    if settled:
                        where[chosen[ok]] = kept + torch.arange(int(ok.sum()))
                        found.append(take(new, ok))
                        kept += int(ok.sum())
                if settled:
                    visited.append(where[where >= 0])
                settled = settled or accepted >= chains
                tick(evaluations - before)
                state = (ends, evaluations, x, where, found, visited, moves, accepted, kept, settled)
                point.save(partial(_with, state, random))
            state = (ends, evaluations, x, where, found, visited, moves, accepted, kept, settled)
            point.save(partial(_with, state, random), last=True)
    if kept < _LEAST:
        raise LeastworkError(
            f"{accepted} of {moves} moves stayed in the region, too few to learn from: give a wider region, guides "
            "that the model can produce, or a larger budget"
        )
    stays = torch.bincount(torch.cat(visited), minlength=kept).to(torch.float64)
    return Members(cat(found), stays, accepted / moves, ends, evaluations)


def _with(state: tuple[Any, ...], random: torch.Generator) -> tuple[Any, ...]:
    return (*state, random.get_state())


def _ends(
    sampler: Sampler, region: Callable[[State], Tensor], start: State, tried: int, random: torch.Generator
) -> tuple[tuple[float, float], int]:
    """The log-SNR from which one in a hundred returns and that from which half do; and evaluations."""
    schedule = cast(Scored, sampler.process.model).schedule
    model = sampler.process.model
    limits = schedule.log_snr(torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)).tolist()
    noises = [v for v in _NOISES if limits[0] < v < limits[1]]
    shares, evaluations = [], 0
    for at in noises:
        back, spent = _completed(sampler, _repeated(start, tried, random), at, random)
        evaluations += spent
        shares.append(float(region(model.to_data_units(back)).float().mean()))
    good = [at for at, share in zip(noises, shares, strict=True) if share >= _LOW]
    if not good:
        raise LeastworkError(
            f"of {tried} guides that were noised a little and denoised by the model, {max(shares):.1%} came back to "
            "the region: it is too thin for this model, or the guides are such as it cannot produce"
        )
    near = [at for at, share in zip(noises, shares, strict=True) if share >= _HIGH and at > good[0]]
    return (good[0], near[0] if near else noises[-1]), evaluations


def _completed(sampler: Sampler, x0: State, log_snr: float, random: torch.Generator) -> tuple[State, int]:
    """Noise states to about a log-SNR, denoise them by the model; network units, and evaluations."""
    process, times, table = sampler.process, sampler.steps.times, sampler.steps.table()
    model = cast(Scored, process.model)
    first = int((model.schedule.log_snr(times) >= log_snr).nonzero()[0])
    first = min(first, len(table) - 1)
    last = float(times[-1])
    done: list[State] = []
    for some in torch.arange(batch_size(x0)).split(_PIECE):
        x = take(x0, some)
        carry = Carry(_noised(model, x, float(times[first]), random))
        for step in table[first:]:
            carry, _ = advance(sampler, step, carry, _noise(model, x, random))
        done.append(process.endpoint(carry.x, process.evaluate(carry.x, last), last))
    return cat(done), batch_size(x0) * (len(table) - first + 1)


def _noised(model: Scored, x0: State, t: float, random: torch.Generator) -> State:
    """States carried to t by the model's own noise."""
    x, _, _ = model.noised(x0, t, random)
    return x


def _noise(model: Scored, like: State, random: torch.Generator) -> State:
    drawn = [torch.randn(batch_size(like), *shape, generator=random).to(leaves(like)[0]) for shape in
             shapes(model.noise_shape)]  # fmt: skip
    return model.project(tuple(drawn) if isinstance(like, tuple) else drawn[0])


def _repeated(x: State, n: int, random: torch.Generator) -> State:
    """n of them, each as often as any other but for one, in random order."""
    m = batch_size(x)
    index = torch.arange(math.ceil(n / m) * m) % m
    return take(x, index[torch.randperm(len(index), generator=random)][:n])


def _placed(x: State, index: Tensor, new: State) -> State:
    return smap(lambda leaf, other: leaf.index_copy(0, index, other), x, new)

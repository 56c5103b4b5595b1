"""Many members of a rare region A from a few: noise them, let the model denoise them, keep those that are in A.

    x_t = α x_0 + σ ε      x_0′ ~ p(x_0 | x_t)      accept if x_0′ ∈ A, else stay

(x_0, x_t) and (x_0′, x_t) have the same joint distribution, so p is stationary under the move and the move is
reversible. With the acceptance step it is Metropolis' rule (J. Chem. Phys. 21, 1087, 1953) for p restricted to A: the
chains visit draws of p(x | A), provided that the model's paths are those of its score. With more noise moves are longer
and return to A less often. The log-SNR is drawn anew for every move, between the noise from which one state in a
hundred returns and that from which half of them do. No density, gradient or weight is needed.
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
from leastwork.sampling.stepping import Carry, Sampler, move
from leastwork.support.checkpoints import resumable
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import generator

__all__ = ["Members", "renoise"]

_MOST_STEPS = 60  # steps of a whole path; so few suffice, since members only serve to learn V
_FEWEST_TRIALS, _MOST_TRIALS = 64, 256  # moves at each log-SNR that is tried before the chains start
_TRIAL_SHARE = 0.1  # share of the budget for these trials
_LOG_SNRS = tuple(float(v) for v in range(-5, 9))  # log-SNRs that are tried
_LOW, _HIGH = 0.01, 0.5  # acceptance at the most and at the least noise
_PARTS = 8  # parts of the chains in one round, each with its own log-SNR
_PIECE = 1024  # states that are denoised at a time
_ROUNDS = 20  # rounds for which the budget should suffice; it limits the number of chains
_FEWEST_MEMBERS = 100


@dataclass(frozen=True)
class Members:
    """Members of A, and how often the chains stayed at each.

    Args:
        x: members in network units, (m, *event).
        stays: number of rounds at whose end a chain was at the member, float64 (m,).
        acceptance: share of the moves that stayed in A.
        ends: range of the log-SNR of the moves.
        evaluations: number of evaluations of the model's network.
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
    """Draw members of a region A.

    Args:
        model: a DiffusionModel or a FrameModel.
        region: membership in A of states in data units, (B, *event) -> bool (B,).
        points: members from which the chains start, (M, *event), data units.
        budget: largest number of network evaluations.
        most: number of region members to find, at most. Moves are only counted after each chain has moved about once.
        chains: largest number of chains; fewer if the budget pays for few moves.
        seed: seed of all random numbers.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.
        choices: process and solver of the denoising, in at most 60 steps.

    Raises:
        LeastworkError: no point lies in A, or too few moves end in A.
    """
    random = generator(seed, "renoise")
    inside = region(points).nonzero()[:, 0]
    if len(inside) == 0:
        raise LeastworkError("no guide lies in the region, so there is nothing to start from: check its units")
    start = model.to_network_units(take(points, inside))
    sampler = replace(choices, steps=min(choices.steps, _MOST_STEPS)).sampler(model)
    chains = min(max(budget // (_ROUNDS * _MOST_STEPS), _FEWEST_TRIALS), chains)
    tried = min(max(int(_TRIAL_SHARE * budget / len(_LOG_SNRS) / _MOST_STEPS), _FEWEST_TRIALS), _MOST_TRIALS)
    with evaluating(model.net):
        point = resumable("members of the region")
        found: list[State] = []
        visited: list[Tensor] = []
        if point.state is None:
            ends, evaluations = _log_snr_range(sampler, region, start, tried, random)
            x = _repeat(start, chains, random)
            where = torch.full((chains,), -1)
            moves = accepted = kept = 0
            settled = False
        else:
            ends, evaluations, x, where, found, visited, moves, accepted, kept, settled, drawn = point.state
            random.set_state(drawn)
        with progress("finding members of the region", budget) as tick:
            tick(evaluations)
            while evaluations < budget and kept < most:
                parts = torch.randperm(chains, generator=random).chunk(_PARTS)
                shares = (torch.arange(len(parts)) + torch.rand(len(parts), generator=random)) / len(parts)
                levels = (ends[0] + (ends[1] - ends[0]) * shares).tolist()
                new, spent = _denoise_again(sampler, [take(x, part) for part in parts], levels, random)
                evaluations += spent
                ok, chosen = region(model.to_data_units(new)), torch.cat(parts)
                moves, accepted = moves + len(ok), accepted + int(ok.sum())
                x = _replace_at(x, chosen[ok], take(new, ok))
                if settled:
                    where[chosen[ok]] = kept + torch.arange(int(ok.sum()))
                    found.append(take(new, ok))
                    kept += int(ok.sum())
                if settled:
                    visited.append(where[where >= 0])
                settled = settled or accepted >= chains
                tick(spent)
                state = (ends, evaluations, x, where, found, visited, moves, accepted, kept, settled)
                point.save(partial(_with_random_state, state, random))
            state = (ends, evaluations, x, where, found, visited, moves, accepted, kept, settled)
            point.save(partial(_with_random_state, state, random), last=True)
    if kept < _FEWEST_MEMBERS:
        raise LeastworkError(
            f"{accepted} of {moves} moves stayed in the region, too few to learn from: give a wider region, guides "
            "that the model can produce, or a larger budget"
        )
    stays = torch.bincount(torch.cat(visited), minlength=kept).to(torch.float64)
    return Members(cat(found), stays, accepted / moves, ends, evaluations)


def _with_random_state(state: tuple[Any, ...], random: torch.Generator) -> tuple[Any, ...]:
    return (*state, random.get_state())


def _log_snr_range(
    sampler: Sampler, region: Callable[[State], Tensor], start: State, tried: int, random: torch.Generator
) -> tuple[tuple[float, float], int]:
    """Log-SNRs from which one state in a hundred and half of the states return to A; and the evaluations used."""
    schedule = cast(Scored, sampler.process.model).schedule
    model = sampler.process.model
    limits = schedule.log_snr(torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)).tolist()
    noises = [v for v in _LOG_SNRS if limits[0] < v < limits[1]]
    shares, evaluations = [], 0
    for at in noises:
        back, spent = _denoise_again(sampler, [_repeat(start, tried, random)], [at], random)
        evaluations += spent
        shares.append(float(region(model.to_data_units(back)).float().mean()))
    good = [at for at, share in zip(noises, shares, strict=True) if share >= _LOW]
    if not good:
        raise LeastworkError(
            f"of {tried} guides that were noised a little and denoised by the model, {max(shares):.1%} came back to "
            "the region: widen the region, or take guides that the model can produce"
        )
    near = [at for at, share in zip(noises, shares, strict=True) if share >= _HIGH and at > good[0]]
    return (good[0], near[0] if near else noises[-1]), evaluations


def _denoise_again(
    sampler: Sampler, parts: list[State], log_snr: list[float], random: torch.Generator
) -> tuple[State, int]:
    """Noise each part of the states to about its log-SNR, rising from part to part, and denoise all by the model.

    A part joins the others at the step of its noise, so that the network sees large batches.

    Returns:
        The states in the order of the parts, network units, and the evaluations used.
    """
    process, times, table = sampler.process, sampler.steps.times, sampler.steps.table()
    model = cast(Scored, process.model)
    rising = model.schedule.log_snr(times)
    firsts = [min(int((rising >= level).nonzero()[0]), len(table) - 1) for level in log_snr]
    sizes = [batch_size(part) for part in parts]
    carries: list[Carry] = []
    evaluations = 0
    for number, step in enumerate(table):
        joining = [part for part, first in zip(parts, firsts, strict=True) if first == number]
        carries += [Carry(_noised_states(model, part, step.t, random)) for part in joining]
        if not carries:
            continue
        y = _in_pieces(lambda x, t=step.t: process.evaluate(x, t), cat([carry.x for carry in carries]))
        evaluations += batch_size(y)
        found = [take(y, some) for some in torch.arange(batch_size(y)).split(sizes[: len(carries)])]
        carries = [
            move(sampler, step, carry, each, None, _draw_noise(model, carry.x, random))[0]
            for carry, each in zip(carries, found, strict=True)
        ]
    last = float(times[-1])
    end = cat([carry.x for carry in carries])
    x0 = _in_pieces(lambda x: process.endpoint(x, process.evaluate(x, last), last), end)
    return x0, evaluations + batch_size(x0)


def _in_pieces(function: Callable[[State], State], x: State) -> State:
    """A function of states, evaluated for some of them at a time."""
    return cat([function(take(x, some)) for some in torch.arange(batch_size(x)).split(_PIECE)])


def _noised_states(model: Scored, x0: State, t: float, random: torch.Generator) -> State:
    """States with the noise of time t."""
    x, _, _ = model.noised(x0, t, random)
    return x


def _draw_noise(model: Scored, like: State, random: torch.Generator) -> State:
    drawn = [torch.randn(batch_size(like), *shape, generator=random).to(leaves(like)[0]) for shape in
             shapes(model.noise_shape)]  # fmt: skip
    return model.project(tuple(drawn) if isinstance(like, tuple) else drawn[0])


def _repeat(x: State, n: int, random: torch.Generator) -> State:
    """n states in random order, in which the counts of any two of the given states differ by at most one."""
    m = batch_size(x)
    index = torch.arange(math.ceil(n / m) * m) % m
    return take(x, index[torch.randperm(len(index), generator=random)][:n])


def _replace_at(x: State, index: Tensor, new: State) -> State:
    return smap(lambda leaf, other: leaf.index_copy(0, index, other), x, new)

"""Least-work guidance into a rare region A of the model: stages along the guides' kernel, then the region itself.

    r_λ(x) = λ φ(x)          φ = ln k(x) − ln k_P(x)
    r(x)   = L 1_A(x)        L = ln [s (1 − p) / (p (1 − s))], which puts a share s of the target into A, p = p(A)

k is the guides' kernel density and k_P that of model samples with the same bandwidth, so that φ estimates
ln p(x|A)/p(x), and directions in which guides and model do not differ cancel. Putting a share s into A costs at least
s ln(s/p) + (1 − s) ln((1 − s)/(1 − p)), and p e^r/Z attains it. With s < 1 the tilt is finite: a sample that misses A
costs work, and does not make it infinite. A tilt by the kernel alone would not do: its own law differs from p
restricted to A by a divergence that no guidance towards it can save, so that it only leads there.

Stages raise λ from 0 by effective sample size, each drawn with the guidance so far and weighted by its path weights
(annealed importance sampling; Neal, Stat. Comput. 11, 125, 2001), until enough samples hit A; A itself is then learned,
again from its own samples where those before were few. Where their weights w leave few effective samples, a stage goes
a part of the way, to Q w^τ. Then the dissipation is brought down on the guided chain's paths, unless it exceeds that of
no guidance at all, (1 − p) ln((1 − p)/(1 − s)) + p ln(p/s), from where the way down is to do nothing. No gradient of φ
or of 1_A is taken.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from leastwork.ensemble import Ensemble
from leastwork.errors import LeastworkError
from leastwork.fit.network import value_network
from leastwork.fit.on_policy import Descent, descend, draw_response
from leastwork.fit.value import Check, LearningError, ValueFit, fit_value
from leastwork.geometry.state import State
from leastwork.guidance.learned import LearnedGuidance
from leastwork.models.frames import Scored
from leastwork.models.value_network import ValueNetwork
from leastwork.progress import Progress, no_progress
from leastwork.random import derive_seed
from leastwork.sampling import LAW, make_sampler, sample
from leastwork.work import kish_ess

__all__ = ["RegionFit", "RegionStage", "learn_region", "least_work"]

_KEEP = 0.4  # of the effective samples, from one λ to the next
_HITS = 1000  # effective samples in A with which A itself becomes the target; V learned from fewer leads some paths off
_FEW = 100  # and where the kernel's guidance is worn out before
_SEEN = 0.05  # ESS of samples of A that are good enough for the last V to be learned from
_PART = 0.25  # ESS that a stage on a part of the way to A keeps
_EACH, _NOISED = 100, 500_000  # noised copies of a sample that V is learned from, and of all at most
_ROUNDS = 6  # most stages at A
_WORN = 0.5  # ESS below which a stage on the way is improved on its paths before the next
_MAX_STAGES = 20
_FARTHEST = 1e3  # λ; the kernel's own region is reached long before
_TRUST = 0.5  # nats: largest divergence of one step of descent
_MAX_DESCENTS = 10
_GENTLE = 3e-4  # learning rate of a refinement, which is to move little


@dataclass(frozen=True)
class RegionStage:
    """One stage.

    Args:
        strength: λ of the kernel, or None for A itself.
        share: τ, how much of the way to its target it went.
        ess: of its tilt, under the guidance before.
        success: share of the samples before it that hit A.
        checks: how V was learned; none where its samples told nothing new.
    """

    strength: float | None
    share: float
    ess: float
    success: float
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class RegionFit:
    """The guidance, L and p(A) of its target, and what that took; the history has one entry a stage."""

    guidance: LearnedGuidance
    log_odds: float
    probability: float
    history: tuple[RegionStage, ...]
    descents: tuple[Descent, ...]
    network_evaluations: int
    seconds: float


def least_work(probability: float, success: float) -> float:
    """s ln(s/p) + (1 − s) ln((1 − s)/(1 − p)), nats: the least work that puts a share s into a region of probability p.

    >>> round(least_work(1e-3, 1.0), 4), least_work(0.3, 0.3)
    (6.9078, 0.0)
    """
    parts = ((success, probability), (1 - success, 1 - probability))
    return sum(q * math.log(q / p) for q, p in parts if q > 0)


def log_odds(probability: float, success: float) -> float:
    """L = ln [s (1 − p) / (p (1 − s))]: a tilt by L 1_A takes the share of A from p to s.

    >>> round(log_odds(1e-3, 0.5), 4)
    6.9068
    """
    return math.log(success) - math.log1p(-success) + math.log1p(-probability) - math.log(probability)


def part_of_the_way(log_w: Tensor) -> float:
    """The largest τ ≤ 1 that keeps a quarter of the samples effective under w^τ."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if kish_ess(middle * log_w).value >= _PART else (low, middle)
    return low


@dataclass(frozen=True)
class _Drawn:
    """Samples: states in data units, φ and 1_A, float64 (n,) each, ln dP/dQ (n,)."""

    x: State
    phi: Tensor
    inside: Tensor
    log_weight: Tensor

    @property
    def probability(self) -> float:
        """p(A) = ⟨dP/dQ 1_A⟩, not self-normalised: samples in A say nothing of the weight of what they left."""
        return float((self.log_weight.exp() * self.inside).mean())

    def ess(self, tilt: Tensor) -> float:
        return kish_ess(self.log_weight + tilt).value

    def tilt(self, success: float, hits: int) -> Tensor | None:
        """L 1_A, or None where too few samples hit A."""
        if not 0 < self.probability < 1:
            return None
        tilt = log_odds(self.probability, success) * self.inside
        return tilt if len(tilt) * self.ess(tilt) >= hits else None


@dataclass(frozen=True)
class _Task:
    model: Scored
    phi: Callable[[State], Tensor]
    region: Callable[[State], Tensor]
    success: float
    seed: int
    samples: int
    paths: int
    iterations: int
    progress: Progress
    choices: Mapping[str, Any]

    def guidance(self, network: ValueNetwork) -> LearnedGuidance:
        return LearnedGuidance(network, self.model.schedule)

    def observe(self, x: State, log_weight: Tensor) -> _Drawn:
        return _Drawn(x, self.phi(x).to(torch.float64), self.region(x).to(torch.float64), log_weight.to(torch.float64))

    def seed_of(self, purpose: str) -> int:
        return derive_seed(self.seed, purpose)

    def draw(self, network: ValueNetwork, purpose: str) -> tuple[_Drawn, int]:
        """Samples of a stage, and the evaluations they took."""
        drawn = sample(self.model, self.samples, self.guidance(network), seed=self.seed_of(purpose),
                       progress=self.progress, **self.choices)  # fmt: skip
        return self.observe(drawn.x, drawn.log_weight), drawn.network_evaluations

    def descend(self, network: ValueNetwork, tilt: Callable[[_Drawn], Tensor], purpose: str) -> tuple[Descent, int]:
        """One step on fresh paths towards a tilt of theirs, and the evaluations it took."""
        law = {name: value for name, value in self.choices.items() if name in LAW}
        sampler = make_sampler(self.model, self.guidance(network), **law)
        response = draw_response(sampler, self.paths, self.seed_of(purpose))
        done = descend(network, response, tilt(self.observe(response.x, response.log_weight)), _TRUST)
        return done, response.evaluations


def learn_region(
    model: Scored,
    phi: Callable[[State], Tensor],
    region: Callable[[State], Tensor],
    own: Ensemble,
    *,
    focus: State | None = None,
    success: float = 0.99,
    seed: int = 0,
    samples: int = 20_000,
    paths: int = 8192,
    rounds: int = 2,
    refinements: int = 1,
    iterations: int = 1500,
    progress: Progress = no_progress,
    **choices: Any,
) -> RegionFit:
    """Learn the guidance that puts a share of the samples into a region with the least work.

    Args:
        model: a DiffusionModel.
        phi: φ, data units (B, *event) -> (B,); finite, up to a constant.
        region: membership of A, data units (B, *event) -> bool (B,).
        own: the model's own samples, drawn with the same choices.
        focus: points of A, (M, *event), data units, M ≥ 2, by which V finds the scale of A; without them, that of the
            model.
        success: s, the share of the target inside A, below one.
        seed: of everything random.
        samples: of each stage.
        paths: of each step of descent.
        rounds: steps of descent, once they need not be cut short.
        refinements: times A is learned again from its own samples after that. Descent meets A by crowding into the
            middle of it; what the samples' weights then still say of its border is learned here.
        iterations: of the optimiser at A, half as many on the way there.
        progress: ``leastwork.progress.bar`` shows one.
        choices: as in :func:`leastwork.sample`, with path weights at κ = 1.

    Raises:
        LearningError: V was not learned.
        LeastworkError: stages that come no nearer to A.
    """
    begin = time.perf_counter()
    task = _Task(model, phi, region, success, seed, samples, paths, iterations, progress, choices)
    here = task.observe(own.x, torch.zeros(len(own)))
    spent = own.network_evaluations
    network = value_network(model, [phi, region], own.x, task.seed_of("network"), focus)
    strength, keep, reached, share, rounds_at_region = 0.0, 1.0, False, 1.0, 0
    history: list[RegionStage] = []
    for number in range(_MAX_STAGES):
        tilt, last = here.tilt(success, _HITS if keep >= _WORN and not reached else _FEW), False
        if reached and tilt is None:
            break
        found = None
        if tilt is not None:
            share = 1.0 if here.ess(tilt) >= _SEEN else part_of_the_way(here.log_weight + tilt)
            found, evaluations = _learn(task, network, here, tilt, number, True, share=share)
            spent += evaluations
        if tilt is not None and (found is not None or reached):
            aimed, ess, reached = None, here.ess(tilt), True
            rounds_at_region += 1
            last = found is None or share == 1 or rounds_at_region == _ROUNDS
        else:
            share = 1.0
            aimed = strength = _next_strength(here, strength, keep)
            tilt = strength * here.phi
            ess = here.ess(tilt)
            found, evaluations = _learn(task, network, here, tilt, number, False)
            spent += evaluations
        checks: tuple[Check, ...] = ()
        if found is not None:
            network, checks = _of_head(found), found.history
        history.append(RegionStage(aimed, share, ess, float(here.inside.mean()), checks))
        if last:
            break
        here, evaluations = task.draw(network, f"samples {number}")
        spent += evaluations
        keep = here.ess(strength * here.phi)
        if keep < _WORN and aimed is not None:
            done, evaluations = task.descend(network, lambda seen, at=strength: at * seen.phi, f"on the way {number}")
            network = done.network
            here, more = task.draw(network, f"samples again {number}")
            spent += evaluations + more
            keep = here.ess(strength * here.phi)
    else:
        raise LeastworkError(
            f"{_MAX_STAGES} stages did not reach the region, {history[-1].success:.1%} of the last samples hit it: "
            f"{_REMEDY}"
        )
    network, probability, descents, evaluations = _descend(task, network, here.probability, rounds)
    spent += evaluations
    odds = log_odds(probability, success)
    for _ in range(refinements):
        network, stage, evaluations = _refine(task, network, odds, len(history))
        spent += evaluations
        history.append(stage)
    seconds = time.perf_counter() - begin
    return RegionFit(task.guidance(network), odds, probability, tuple(history), descents, spent, seconds)


_REMEDY = "give more guides, a wider region, or more samples"


def _learn(
    task: _Task,
    network: ValueNetwork,
    here: _Drawn,
    tilt: Tensor,
    number: int,
    at_region: bool,
    learning_rate: float = 1e-3,
    share: float = 1.0,
) -> tuple[ValueFit | None, int]:
    """V with what is still missing, None where samples of A do not say enough of it; and the evaluations that took."""
    try:
        fit = fit_value(
            network,
            task.model,
            task.model.to_network_units(here.x),
            share * (here.log_weight + tilt),
            reference=network if number else None,
            learning_rate=learning_rate if number else 3e-3,  # it starts from what it knows
            iterations=task.iterations if at_region else task.iterations // 2,
            noised=min(_NOISED, _EACH * task.samples),
            seed=task.seed_of(f"stage {number}"),
            progress=task.progress,
        )
    except LearningError as error:
        if at_region:
            return None, error.network_evaluations
        raise
    return fit, fit.network_evaluations


def _of_head(fit: ValueFit) -> ValueNetwork:
    assert isinstance(fit.network, ValueNetwork)  # as it was before
    return fit.network


def _next_strength(here: _Drawn, strength: float, keep: float) -> float:
    """The largest λ that keeps enough of the effective samples."""
    enough = _KEEP * keep
    low, high = strength, max(2 * strength, 1 / max(float(here.phi.abs().max()), 1.0))
    while high < _FARTHEST and here.ess(high * here.phi) >= enough:
        low, high = high, 2 * high
    for _ in range(20):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if here.ess(middle * here.phi) >= enough else (low, middle)
    if low <= 1.01 * strength or low >= _FARTHEST:
        raise LeastworkError(
            f"guidance in stages stalls with {float(here.inside.mean()):.2%} of the samples in the region: {_REMEDY}"
        )
    return low


def _descend(
    task: _Task, network: ValueNetwork, probability: float, rounds: int
) -> tuple[ValueNetwork, float, tuple[Descent, ...], int]:
    """Less dissipation, on fresh paths; also p(A) by then, and the evaluations that took.

    Each step is judged by the paths of the next. One that made things worse, as a step does that leads single paths
    astray, is halved.
    """
    found = [probability]
    descents: list[Descent] = []
    accepted: list[Descent] = []
    evaluations = 0

    def tilt(seen: _Drawn) -> Tensor:
        found.append(seen.probability)
        return log_odds(sum(found) / len(found), task.success) * seen.inside  # each of them is unbiased

    with task.progress("descending on paths", rounds) as tick:
        while len(descents) < _MAX_DESCENTS:
            done, spent = task.descend(network, tilt, f"descent {len(descents)}")
            descents.append(done)
            evaluations += spent
            seen = sum(found) / len(found)
            idle = least_work(task.success, seen)  # dissipation of no guidance: the same divergence, the other way
            if not accepted and done.dissipation > idle + 3 * done.stderr:
                return network, seen, tuple(descents), evaluations
            if accepted and done.dissipation > accepted[-1].dissipation + 3 * accepted[-1].stderr:
                network = _between(accepted[-1].start, network)
                continue
            accepted.append(done)
            if sum(each.taken == 1 for each in accepted[:-1]) >= rounds or done.taken == 0:
                break
            tick(int(done.taken == 1))
            network = done.network
    ends = [each.start for each in accepted[-2:]]
    return _between(ends[0], ends[-1]), sum(found) / len(found), tuple(descents), evaluations


def _refine(task: _Task, network: ValueNetwork, odds: float, number: int) -> tuple[ValueNetwork, RegionStage, int]:
    """V learned gently from its own samples of A; also the evaluations that took."""
    here, evaluations = task.draw(network, f"samples {number}")
    tilt = odds * here.inside
    found, more = _learn(task, network, here, tilt, number, True, _GENTLE)
    checks = () if found is None else found.history
    stage = RegionStage(None, 1.0, here.ess(tilt), float(here.inside.mean()), checks)
    return network if found is None else _of_head(found), stage, evaluations + more


def _between(a: ValueNetwork, b: ValueNetwork) -> ValueNetwork:
    """The mean of two heads: successive steps overshoot by turns, and the dissipation is convex about its minimum."""
    change = torch.cat([(b.head.weight - a.head.weight).T, (b.head.bias - a.head.bias)[None]])
    return a.with_head(0.5 * change.detach())

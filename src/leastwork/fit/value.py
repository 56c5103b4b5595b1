"""Learning V(x, t) = ln E[e^{r(x_0)}/Z | x_t = x] from samples of the model, noised analytically: x_t = α x_0 + σ ε.

With ω = e^r/Z, and t uniform in the log-SNR ℓ, so that ½∫σ²|h|² dℓ = ½∫g²|h|² dt is the work of h = ∇V, minimise

    E[¼ (e^V − ω V)]  +  E[¼ (ω + c) |σh|² + (ω − c) σh·(ε − ε̂)],        c = e^V, held fixed

The first term is the Bregman divergence of e^V; its weight decides only how fast each term is learned. The second is
weighted score matching less its unweighted fit: its minimiser solves ½(ω̄ + c) σh = −E[(ω − c)(ε − ε̂) | x_t], which at
c = ω̄ = E[ω | x_t] is h = ∇ω̄/ω̄ whatever ε̂ is. With ε̂(x_t, t) the model's estimate of the noise, most of the noise is
gone, so that h is learned from a few times fewer samples; where x_t tells ω, on the clean side, so does ω − c → 0. The
first term alone validates, since the second is no objective while c moves. A conditional mean of ω cannot exceed its
largest value: beyond it e^V goes on as its tangent, which moves no minimum.

Of rigid frames h is a tangent, and in place of σ(ε − ε̂) stands the difference of the model's score and that of the
noise added; rotations have as lever, in place of σ, what makes ½∫|lever·h|² dℓ the work.

A network that sees the denoised state has ∇V = Jᵀ∇V̂ with J = ∂D/∂x, and the loss takes J by two of its products
alone, both made once for each noised state and used again at every visit:

    ∇V·(ε − ε̂) = ∇V̂ · J(ε − ε̂)          |∇V|² = E (∇V̂ · Jη)²,  η ~ N(0, I)

so that the optimiser never runs the model. Hutchinson's estimate of the square is unbiased and its noise is far below
that of the samples; in one and two dimensions η are the axes, and nothing is estimated.

Where the target is known by samples of its own, such as members of a rare region, V is the log-ratio of two noised
populations, and both terms are theirs: logistic regression tells V, since at its minimum e^V = q_t/p_t, and the
target's samples tell h = s_q − s,

    ½ E_p[ln (1 + e^V)] + ½ E_q[ln (1 + e^{−V})]          E_q[½ |σh|² + σh·(ε − ε̂)]

Samples of a guided model learn what is still missing: ω = dP/dQ · e^r/Z is then their own weight, V − V₀ and h − h₀
take the place of V and h, and ε̂ − σh₀ that of ε̂, where V₀ is the value that guided them.
"""

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.fit.noised import PROBES, Noised, Pool, evaluations_of_noised, noise_states, pool_of
from leastwork.fit.training import follow, restore, state_of, warm_cosine
from leastwork.geometry.state import State, cat
from leastwork.geometry.state import batch_size as batch_size_of
from leastwork.models.base import Scored
from leastwork.networks.value import sees_denoised, value_and_gradient
from leastwork.support.checkpoints import resumable
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import generator

__all__ = ["Check", "LearningError", "ValueFit", "fit_ratio", "fit_value"]
_HELD_OUT = 7  # one sample in so many
_CHECKS = 20  # validations in a full run
_PATIENCE = 8  # of them without improvement end it
_LEVELS = 64  # of the log-SNR, among the held-out samples
_BREGMAN = 0.25  # weight of the first term
_HELD = 2**28  # numbers of the noised samples, 1 GiB in float32
_SURE = 4.0  # evidence that it takes; noise alone reaches 2.5 in the best of the validations


@dataclass(frozen=True)
class Check:
    """After so many iterations: the training loss, and the Bregman loss on held-out samples; V = 0, or V₀, has 1.

    ``evidence`` is √(n−1) times the correlation of V with ω, or with √ω if that is larger, over the n held-out samples:
    each is a standard normal number where the tilt has nothing to do with the state, since then any permutation of ω is
    as likely. The first finds a few heavy weights that sit together, which the mean of the loss is too noisy for, the
    second what many light ones say where some heavy ones drown them.
    """

    iteration: int
    training: float
    validation: float
    evidence: float


class LearningError(LeastworkError):
    """V was not learned; ``history`` tells how it went, after so many evaluations of the model."""

    def __init__(self, message: str, history: tuple[Check, ...], network_evaluations: int) -> None:
        super().__init__(message)
        self.history = history
        self.network_evaluations = network_evaluations


@dataclass(frozen=True)
class ValueFit:
    """The network with the best validation loss, how it was found, and evaluations of the model that took."""

    network: nn.Module
    history: tuple[Check, ...]
    network_evaluations: int
    seconds: float


Terms: TypeAlias = tuple[Tensor, Tensor, Tensor]


def _tilted(ceiling: float, network: nn.Module, seen: Noised) -> Terms:
    """Both terms of the loss of a tilt, and V or V − V₀, (B,) each."""
    value, slope = _known_off(network, seen)
    within = value.clamp(max=ceiling)
    tilt = within.exp()
    bregman = tilt + tilt.detach() * (value - within) - seen.omega * value
    level = tilt.detach()
    score = 0.25 * (seen.omega + level) * seen.square(slope)
    return bregman, score + (seen.omega - level) * (slope * seen.along).sum(dim=1), value


def _compared(network: nn.Module, seen: Noised) -> Terms:
    """Both terms of the loss of two populations, ω = 0 and ω = 2, and V, (B,) each."""
    value, slope = _known_off(network, seen)
    member = seen.omega > 0
    logistic = torch.nn.functional.softplus(torch.where(member, -value, value)) / math.log(2)
    score = 0.5 * seen.square(slope) + (slope * seen.along).sum(dim=1)
    return logistic, torch.where(member, score, 0.0), value


def _known_off(network: nn.Module, seen: Noised) -> tuple[Tensor, Tensor]:
    """V and its slope, less those that are known."""
    value, slope = value_and_gradient(network, seen.seen, seen.alpha, seen.sigma)
    return (value, slope) if seen.known is None else (value - seen.known[0], slope - seen.known[1])


def fit_value(
    network: nn.Module,
    model: Scored,
    x0: State,
    log_tilt: Tensor,
    *,
    reference: nn.Module | None = None,
    iterations: int = 1500,
    batch_size: int = 512,
    noised: int = 500_000,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ValueFit:
    """Learn V; the network is copied, not changed.

    Args:
        network: V(x, α, σ), where the search starts.
        model: whose samples they are, or were before guidance.
        x0: samples in network units, (n, *event).
        log_tilt: r of the model's samples, or ln dP/dQ + r of guided ones, up to a constant, (n,).
        reference: V₀ of the guidance that drew them, or None for the model's own.
        iterations: steps of the optimiser, at most.
        batch_size: noised samples a step, each of another log-SNR.
        noised: how many there are to draw from, at most, and no more than a GiB of them; each takes an evaluation of
            the model.
        learning_rate: its largest value; it rises over a tenth of the run and falls as a cosine.
        seed: of the split, the order and the noise.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.

    Raises:
        NonFiniteError: r or a weight is not finite on some samples.
        LearningError: the loss diverged, or V knows no more of held-out samples than h = 0 (or h₀) does.
    """
    log_omega = _checked(log_tilt, batch_size_of(x0))
    pool = pool_of(x0, log_omega.exp(), model)
    random = generator(seed, "value fit")
    return _learned(
        network, model, pool, partial(_tilted, float(log_omega.max())), _split(pool.omega.cpu(), random), random,
        reference, iterations, batch_size, noised, learning_rate, progress,
    )  # fmt: skip


def fit_ratio(
    network: nn.Module,
    model: Scored,
    x0: State,
    members: State,
    *,
    iterations: int = 1500,
    batch_size: int = 512,
    noised: int = 500_000,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ValueFit:
    """Learn V as the log-ratio of two populations; the network is copied, not changed.

    Args:
        network: V(x, α, σ), where the search starts.
        model: whose samples the first are.
        x0: samples of the model, network units, (n, *event).
        members: samples of the target, as many of each as it weighs, (m, *event).
        iterations, batch_size, noised, learning_rate, seed, progress: as in :func:`fit_value`.

    Raises:
        LearningError: the loss diverged, or V cannot tell the populations apart.
    """
    n, m = batch_size_of(x0), batch_size_of(members)
    omega = torch.cat([torch.zeros(n), torch.full((m,), 2.0)])
    pool = pool_of(cat([x0, members]), omega, model)
    random = generator(seed, "ratio fit")
    parts = [_split(torch.zeros(k), random) for k in (n, m)]
    held, learned = (_in_turn(a, n + b, random) for a, b in zip(*parts, strict=True))
    return _learned(
        network, model, pool, _compared, (held, learned), random, None, iterations, batch_size, noised, learning_rate,
        progress,
    )  # fmt: skip


def _in_turn(first: Tensor, second: Tensor, random: torch.Generator) -> Tensor:
    """Two sets of indices, each as often as the other."""
    size = max(len(first), len(second))
    return torch.cat([part[torch.randint(len(part), (size,), generator=random)] for part in (first, second)])


def _learned(
    network: nn.Module,
    model: Scored,
    pool: Pool,
    loss_of: Callable[[nn.Module, Noised], Terms],
    parts: tuple[Tensor, Tensor],
    random: torch.Generator,
    reference: nn.Module | None,
    iterations: int,
    batch_size: int,
    noised: int,
    learning_rate: float,
    progress: Progress,
) -> ValueFit:
    """The network with the least validation loss; parts: held-out samples and those that are learned from."""
    begin = time.perf_counter()
    validation, training = parts
    through = sees_denoised(network)
    most = min(noised, _HELD // ((3 + PROBES * through) * pool.x0.shape[1]))  # of each, so many vectors are kept
    columns = max(1, min(iterations, most // batch_size))
    order = _shuffled(training, batch_size, columns, random)
    seen = noise_states(pool, order, model, through, reference, random, progress)
    judged = _shuffled(validation, _LEVELS, max(1, min(8 * len(validation), 8192) // _LEVELS), random)
    trial = noise_states(pool, judged, model, through, reference, random)
    rows = torch.arange(batch_size) * columns
    evaluations = evaluations_of_noised(through, reference is not None) * (len(seen.seen) + len(trial.seen))

    network = deepcopy(network)
    parameters = [p for p in network.parameters() if p.requires_grad]
    average, best = deepcopy(network), deepcopy(network)
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    every = max(1, iterations // _CHECKS)
    history: list[Check] = []
    since = first = 0
    point = resumable("learning V", Check)
    if point.state is not None:
        first, since, history, loaded = point.state
        restore(loaded, (network, average, best), optimiser, random)
    with progress("learning V", iterations) as tick, torch.enable_grad():
        tick(first)
        for i in range(first, iterations):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * warm_cosine((i + 1) / iterations)
            batch = seen.at(rows + torch.randint(columns, (batch_size,), generator=random))
            bregman, score, _ = loss_of(network, batch)
            loss = (_BREGMAN * bregman + score).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            follow(average, network, min(0.98, (i + 1) / (i + 10)))
            tick()
            if (i + 1) % every and i + 1 < iterations:
                point.save(partial(_state, i + 1, since, history, (network, average, best), optimiser, random))
                continue
            with torch.no_grad():
                bregman, _, value = loss_of(average, trial)
            found = float(bregman.mean())
            evidence = _evidence(*_of_each(judged.flatten(), value, pool.omega))
            history.append(Check(i + 1, float(loss.detach()), found, evidence))
            if not math.isfinite(found):
                raise LearningError(
                    f"learning V diverged after {i + 1} iterations: {_REMEDY}", tuple(history), evaluations
                )
            if found <= min(check.validation for check in history):
                best.load_state_dict(average.state_dict())
                since = 0
            else:
                since += 1
            if since == _PATIENCE:
                break
        point.save(partial(_state, iterations, since, history, (network, average, best), optimiser, random), last=True)
    least = min(history, key=lambda check: check.validation)
    if least.validation >= 1 or least.evidence < _SURE:
        start = "h = 0" if reference is None else "the guidance before it"
        raise LearningError(
            f"V does not beat {start} on held-out samples: its loss there is {least.validation:.6g} (wanted: < 1) and "
            f"its correlation with their tilt {least.evidence:.2g} standard errors (wanted: {_SURE:g}), as if the tilt "
            f"had nothing to do with the state: {_REMEDY}",
            tuple(history),
            evaluations,
        )
    return ValueFit(best, tuple(history), evaluations, time.perf_counter() - begin)


def _state(
    done: int, since: int, history: list[Check], networks: Sequence[nn.Module], optimiser: torch.optim.Optimizer,
    random: torch.Generator,
) -> tuple[Any, ...]:  # fmt: skip
    return done, since, history, state_of(networks, optimiser, random)


def _shuffled(samples: Tensor, levels: int, columns: int, random: torch.Generator) -> Tensor:
    """Samples in random order, each as often as any other but for one, (levels, columns)."""
    rounds = -(-levels * columns // len(samples))
    order = torch.cat([torch.randperm(len(samples), generator=random) for _ in range(rounds)])
    return samples[order[: levels * columns]].reshape(levels, columns)


def _of_each(index: Tensor, value: Tensor, omega: Tensor) -> tuple[Tensor, Tensor]:
    """Mean V of every sample that was noised, and its ω."""
    count = torch.bincount(index, minlength=len(omega))
    total = torch.zeros_like(omega).index_add(0, index.to(omega.device), value)
    there = count > 0
    return total[there] / count[there].to(total), omega[there]


def _evidence(value: Tensor, omega: Tensor) -> float:
    """√(n−1) times the correlation of V with ω or with √ω, whichever is larger."""
    return max(_correlation(value, omega), _correlation(value, omega.sqrt())) * math.sqrt(len(value) - 1)


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 0 else 0.0


def _split(omega: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Held-out and training samples; one of every seven of like weight, so that the few that matter are shared out."""
    n = len(omega)
    if n < 2 * _HELD_OUT:
        raise LeastworkError(f"V cannot be learned from {n} samples: draw at least {2 * _HELD_OUT}, better thousands")
    order = torch.argsort(omega, stable=True, descending=True)[: n // _HELD_OUT * _HELD_OUT].reshape(-1, _HELD_OUT)
    place = torch.randint(_HELD_OUT, (len(order),), generator=random)
    held = torch.zeros(n, dtype=torch.bool)
    held[order[torch.arange(len(order)), place]] = True
    return held.nonzero()[:, 0], (~held).nonzero()[:, 0]


_REMEDY = "draw more samples, lower the learning rate, or ask for less in one stage"


def _checked(log_tilt: Tensor, n: int) -> Tensor:
    """ln ω of mean one, float64 (n,)."""
    log_omega = log_tilt.detach().to(torch.float64)
    if log_omega.shape != (n,):
        raise LeastworkError(f"log_tilt has shape {tuple(log_omega.shape)} for {n} samples: pass ({n},), one each")
    bad = (~torch.isfinite(log_omega)).nonzero()[:, 0]
    if len(bad):
        raise NonFiniteError(
            f"the log-tilt is not finite for {len(bad)} of {n} samples, the first at index {int(bad[0])}: "
            "look at that sample, or at the observable there"
        )
    return torch.log_softmax(log_omega, dim=0) + math.log(n)

"""Learning V(x, t) = ln E[e^{r(x_0)}/Z | x_t = x] from samples of the model, noised analytically: x_t = α x_0 + σ ε.

With ω = e^r/Z, and t uniform in the log-SNR ℓ, so that ½∫σ²|h|² dℓ = ½∫g²|h|² dt is the work of h = ∇V, minimise

    E[¼ (e^V − ω V)]  +  E[¼ (ω + c) |σh|² + (ω − c) σh·(ε − ε̂)],        c = e^V, held fixed

The first term is the Bregman divergence of e^V; its weight only decides how fast each term is learned. The second is
weighted score matching minus its unweighted fit: its minimiser solves ½(ω̄ + c) σh = −E[(ω − c)(ε − ε̂) | x_t], which
at c = ω̄ = E[ω | x_t] is h = ∇ω̄/ω̄ for any ε̂. With the model's estimate of the noise as ε̂(x_t, t), most of the variance
cancels, so that h is learned from several times fewer samples; with little noise in x_t, ω is determined by x_t and
ω − c → 0 removes the variance too. Only the first term is used for validation, since the second is not an objective
while c changes. A conditional mean of ω cannot exceed the largest ω; above it e^V is continued by its tangent, which
does not change the minimum.

For rigid frames h is a tangent, and σ(ε − ε̂) is replaced by the difference of the model's score and the score of the
added noise. For rotations σ is replaced by the factor (``lever``) for which ½∫|lever·h|² dℓ is the work.

A network that sees the denoised state has ∇V = Jᵀ∇V̂ with J = ∂D/∂x. The loss needs only two kinds of products with J,
which are computed once for each noised state and used again at every visit,

    ∇V·(ε − ε̂) = ∇V̂ · J(ε − ε̂)          |∇V|² = E (∇V̂ · Jη)²,  η ~ N(0, I)

so that the optimiser never evaluates the model. Hutchinson's estimate of the square is unbiased, and its noise is far
below that of the samples; in one and two dimensions the η are the axes, which makes it exact.

If the target q is known by its own samples, such as members of a rare region, V is the log-ratio of two noised
populations, and both terms change: logistic regression determines V, since at its minimum e^V = q_t/p_t, and score
matching on the target's samples determines h = s_q − s,

    ½ E_p[ln (1 + e^V)] + ½ E_q[ln (1 + e^{−V})]          E_q[½ |σh|² + σh·(ε − ε̂)]

At little noise V is known: D is the sample itself, and V = r − ln Z. For a network of hundreds of inputs a third term
holds V̂ to r there,

    E[huber(V̂(x_0, ℓ) − r(x_0) + ln Z)],        ℓ uniform between 8 and 12

It takes no evaluation of the model and no derivative of r, and teaches on which of the inputs r depends, which the
noisy terms above leave half unknown; V at more noise is a mean over the same features. A network of few inputs learns
r without it, and would spend accuracy at more noise, where the work is done, on the sharpest features of r.

Heavy samples are noised more often, in proportion to (1 + ω)/2, and have the inverse weight in the loss, since a target
that is rare under the model would otherwise be seen in hardly any step of the optimiser.

From samples of a guided model, the correction to its value V₀ is learned: ω = dP/dQ · e^r/Z includes the path weight,
V − V₀ and h − h₀ replace V and h, and ε̂ − σh₀ replaces ε̂.
"""

import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.fit.losses import Terms, knows_clean, loss_of_clean, loss_of_ratio, loss_of_tilt
from leastwork.fit.noised import PROBES, Noised, Pool, evaluations_of_noised, noise_states, pool_of
from leastwork.fit.training import follow, optimiser_of, restore, state_of, take_step, warm_cosine
from leastwork.geometry.state import State, cat
from leastwork.geometry.state import batch_size as batch_size_of
from leastwork.models.base import Scored
from leastwork.networks.value import sees_denoised
from leastwork.support.checkpoints import resumable
from leastwork.support.metrics import report_metrics
from leastwork.support.progress import Progress, no_progress
from leastwork.support.random import generator

__all__ = ["Check", "LearningError", "ValueFit", "fit_ratio", "fit_value"]
_HELD_OUT_EVERY = 7  # one sample in this many is held out
_CHECKS = 20  # validations in a full run
_PATIENCE = 8  # validations without improvement after which training stops
_LEVELS = 64  # log-SNRs at which the held-out samples are noised
_BREGMAN_WEIGHT = 0.25  # weight of the first term of the loss
_MOST_NUMBERS = 2**28  # numbers that the noised samples may hold, 1 GiB in float32
_MORE = "learn it from more samples, as a guided run draws with a larger samples= or budget="
_SCALE = "scale a network of your own so that V is of order one"
_LEAST_EVIDENCE = 4.0  # standard errors; for a tilt unrelated to the state, the best validation reaches 2.5


@dataclass(frozen=True)
class Check:
    """One validation: training loss, and Bregman loss on held-out samples, which is 1 for V = 0 or V = V₀.

    ``evidence`` is √(n−1) times the larger of the correlations of V with ω and with √ω over the n held-out samples. If
    the tilt is unrelated to the state, each is a standard normal number, since all permutations of ω are then equally
    likely. The correlation with ω detects a few heavy weights at neighbouring states, for which the mean loss is too
    noisy; that with √ω detects many light weights besides a few heavy ones.
    """

    iteration: int
    training: float
    validation: float
    evidence: float


class LearningError(LeastworkError):
    """V was not learned; ``history`` has the validations, ``network_evaluations`` the cost."""

    def __init__(self, message: str, history: tuple[Check, ...], network_evaluations: int) -> None:
        super().__init__(message)
        self.history = history
        self.network_evaluations = network_evaluations


@dataclass(frozen=True)
class ValueFit:
    """The network with the lowest validation loss, the validations, and the number of evaluations of the model."""

    network: nn.Module
    history: tuple[Check, ...]
    network_evaluations: int
    seconds: float


def fit_value(
    network: nn.Module,
    model: Scored,
    x0: State,
    log_tilt: Tensor,
    *,
    log_weight: Tensor | None = None,
    reference: nn.Module | None = None,
    iterations: int = 1500,
    batch_size: int = 512,
    noised: int = 500_000,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ValueFit:
    """Learn V from samples and their log-tilt; the network is copied, not changed.

    Args:
        network: the network of the initial V(x, α, σ).
        model: the model from which the samples were drawn, with or without guidance.
        x0: samples in network units, (n, *event).
        log_tilt: r of the samples, up to a constant, nats, (n,).
        log_weight: ln dP/dQ of guided samples, nats, (n,); None for the model's own samples.
        reference: V₀ of the guidance that drew the samples, or None for the model's own samples.
        iterations: largest number of optimiser steps.
        batch_size: number of noised samples in each step, each with another log-SNR.
        noised: largest number of noised samples, which take at most 1 GiB; each needs at least one evaluation of the
            model.
        learning_rate: largest learning rate; the rate rises over a tenth of the run and then falls as a cosine.
        seed: seed of all random numbers.
        progress: pass ``leastwork.support.progress.bar`` for a progress bar.

    Raises:
        NonFiniteError: the log-tilt is not finite on some samples.
        LearningError: the loss diverged, or V is no better on held-out samples than V = 0 (or V₀).
    """
    ratio = 0.0 if log_weight is None else log_weight.detach().to(torch.float64)
    log_omega = _log_omega(log_tilt + ratio, batch_size_of(x0))
    pool = pool_of(x0, log_omega.exp(), model)
    random = generator(seed, "value fit")
    return _train(
        network, model, pool, partial(loss_of_tilt, float(log_omega.max())), _split(pool.omega.cpu(), random),
        _shares(pool.omega.cpu()), random, reference, iterations, batch_size, noised, learning_rate, progress,
        (log_omega - ratio).to(pool.omega) if knows_clean(network, pool) else None,
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
    """Learn V as the log-ratio of two noised populations; the network is copied, not changed.

    Args:
        network: the network of the initial V(x, α, σ).
        model: the model from which ``x0`` was drawn.
        x0: samples of the model, network units, (n, *event).
        members: samples of the target, each repeated according to its weight, network units, (m, *event).
        iterations, batch_size, noised, learning_rate, seed, progress: as in :func:`fit_value`.

    Raises:
        LearningError: the loss diverged, or V does not distinguish the populations on held-out samples.
    """
    n, m = batch_size_of(x0), batch_size_of(members)
    omega = torch.cat([torch.zeros(n), torch.full((m,), 2.0)])
    pool = pool_of(cat([x0, members]), omega, model)
    random = generator(seed, "ratio fit")
    parts = [_split(torch.zeros(k), random) for k in (n, m)]
    held, learned = (_equally_many(a, n + b, random) for a, b in zip(*parts, strict=True))
    return _train(
        network, model, pool, loss_of_ratio, (held, learned), torch.ones(n + m), random, None, iterations, batch_size,
        noised, learning_rate, progress,
    )  # fmt: skip


def _shares(omega: Tensor) -> Tensor:
    """How often each sample is noised, (1 + ω)/2: a half for its weight 1 in e^V, and a half for its weight ω."""
    return 0.5 * (1 + omega)


def _equally_many(first: Tensor, second: Tensor, random: torch.Generator) -> Tensor:
    """Draws from two sets of indices, equally many from each."""
    size = max(len(first), len(second))
    return torch.cat([part[torch.randint(len(part), (size,), generator=random)] for part in (first, second)])


def _train(
    network: nn.Module,
    model: Scored,
    pool: Pool,
    loss_of: Callable[[nn.Module, Noised], Terms],
    parts: tuple[Tensor, Tensor],
    share: Tensor,
    random: torch.Generator,
    reference: nn.Module | None,
    iterations: int,
    batch_size: int,
    noised: int,
    learning_rate: float,
    progress: Progress,
    clean: Tensor | None = None,
) -> ValueFit:
    """Minimise the loss and keep the network with the least validation loss.

    ``parts`` are the held-out and the training samples, and ``share`` says how often each sample is noised, relative
    to the others; its loss has the inverse weight. ``clean`` is V of the samples without noise, (n,), if it is known.
    """
    begin = time.perf_counter()
    validation, training = parts
    through = sees_denoised(network)
    vectors = 3 + PROBES * through  # stored for each noised sample
    most = min(noised, _MOST_NUMBERS // (vectors * pool.x0.shape[1]))
    columns = max(1, min(iterations, most // batch_size))
    order = _shuffle(training, batch_size, columns, random, share[training])
    rarely = (1 / share).to(pool.omega)[order.flatten()]
    seen = noise_states(pool, order, model, through, reference, random, progress)
    judged = _shuffle(validation, _LEVELS, max(1, min(8 * len(validation), 8192) // _LEVELS), random)
    trial = noise_states(pool, judged, model, through, reference, random)
    rows = torch.arange(batch_size) * columns
    evaluations = evaluations_of_noised(through, reference is not None) * (len(seen.seen) + len(trial.seen))

    network = deepcopy(network)
    average, best = deepcopy(network), deepcopy(network)
    optimiser = optimiser_of(network, learning_rate)
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
            drawn = rows + torch.randint(columns, (batch_size,), generator=random)
            bregman, score, _ = loss_of(network, seen.at(drawn))
            loss = (rarely[drawn] * (_BREGMAN_WEIGHT * bregman + score)).mean()
            if clean is not None:
                loss = loss + loss_of_clean(network, pool, order.flatten(), clean, model.schedule, random)
            take_step(optimiser, loss, learning_rate * warm_cosine((i + 1) / iterations))
            follow(average, network, min(0.98, (i + 1) / (i + 10)))
            tick()
            if (i + 1) % every and i + 1 < iterations:
                point.save(partial(_state, i + 1, since, history, (network, average, best), optimiser, random))
                continue
            with torch.no_grad():
                bregman, _, value = loss_of(average, trial)
            found = float(bregman.mean())
            evidence = _evidence(*_mean_by_sample(judged.flatten(), value, pool.omega))
            history.append(Check(i + 1, float(loss.detach()), found, evidence))
            report_metrics("learning V", vars(history[-1]))
            if not math.isfinite(found):
                raise LearningError(
                    f"learning V diverged after {i + 1} iterations: {_SCALE}",
                    tuple(history),
                    evaluations,
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
    if least.validation >= 1 or least.evidence < _LEAST_EVIDENCE:
        start = "h = 0" if reference is None else "the guidance before it"
        unrelated = ", as if the tilt were unrelated to the state" if least.evidence < _LEAST_EVIDENCE else ""
        remedy = _MORE if unrelated else f"{_MORE}, and {_SCALE}"
        raise LearningError(
            f"V does not beat {start} on held-out samples: its loss there is {least.validation:.6g} (wanted: < 1) and "
            f"its correlation with their tilt {least.evidence:.2g} standard errors (wanted: {_LEAST_EVIDENCE:g})"
            f"{unrelated}: {remedy}",
            tuple(history),
            evaluations,
        )
    return ValueFit(best, tuple(history), evaluations, time.perf_counter() - begin)


def _state(
    done: int, since: int, history: list[Check], networks: Sequence[nn.Module], optimiser: torch.optim.Optimizer,
    random: torch.Generator,
) -> tuple[Any, ...]:  # fmt: skip
    return done, since, history, state_of(networks, optimiser, random)


def _shuffle(
    samples: Tensor, levels: int, columns: int, random: torch.Generator, share: Tensor | None = None
) -> Tensor:
    """Samples in random order, (levels, columns), in rounds of as many as there are.

    In each round a sample comes once, or if there are shares, in proportion to its share with its count rounded up or
    down at random.
    """
    n = len(samples)
    rounds = -(-levels * columns // n)

    def one() -> Tensor:
        order = torch.randperm(n, generator=random)
        if share is None:
            return order
        ends = share.double().cumsum(dim=0)
        places = (torch.arange(n) + torch.rand((), generator=random, dtype=torch.float64)) / n * ends[-1]
        return torch.searchsorted(ends, places).clamp(max=n - 1)[order]

    order = torch.cat([one() for _ in range(rounds)])
    return samples[order[: levels * columns]].reshape(levels, columns)


def _mean_by_sample(index: Tensor, value: Tensor, omega: Tensor) -> tuple[Tensor, Tensor]:
    """Mean V and ω of every sample that was noised."""
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
    """Held-out and training samples: of every seven samples of similar weight, one is held out."""
    n = len(omega)
    every = _HELD_OUT_EVERY
    if n < 2 * every:
        raise LeastworkError(f"V cannot be learned from {n} samples: draw at least {2 * every}, better thousands")
    order = torch.argsort(omega, stable=True, descending=True)[: n // every * every].reshape(-1, every)
    place = torch.randint(every, (len(order),), generator=random)
    held = torch.zeros(n, dtype=torch.bool)
    held[order[torch.arange(len(order)), place]] = True
    return held.nonzero()[:, 0], (~held).nonzero()[:, 0]


def _log_omega(log_tilt: Tensor, n: int) -> Tensor:
    """ln ω, with ω of mean one, float64 (n,), after a check of the log-tilt."""
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

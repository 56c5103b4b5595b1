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

Samples of a guided model learn what is still missing: ω = dP/dQ · e^r/Z is then their own weight, V − V₀ and h − h₀
take the place of V and h, and ε̂ − σh₀ that of ε̂, where V₀ is the value that guided them.
"""

import math
import time
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.geometry.state import State, batch_size, take
from leastwork.guidance.learned import flatten, unflatten
from leastwork.models.frames import FrameModel, Scored
from leastwork.models.predictions import Moments
from leastwork.models.value_network import value_and_gradient
from leastwork.progress import Progress, no_progress
from leastwork.random import generator
from leastwork.sampling import evaluating

__all__ = ["Check", "LearningError", "ValueFit", "fit_value"]

_EDGE = 9.0  # beyond this |log-SNR| on the noisy side, x_t says nothing of x_0
_CLEAN = 12.0  # beyond it, on the clean side, everything
_HELD_OUT = 7  # one sample in so many
_CHECKS = 20  # validations in a full run
_PATIENCE = 8  # of them without improvement end it
_LEVELS = 64  # of the log-SNR, among the held-out samples
_BREGMAN = 0.25  # weight of the first term
_HELD = 2**28  # numbers of the noised samples, 1 GiB in float32
_PIECE = 1024  # noised samples that the model sees at a time
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


@dataclass(frozen=True)
class _Pool:
    """Samples x_0 (n, d), as states too; weight ω (n,) with mean one, ln of the largest, and range of the log-SNR."""

    x0: Tensor
    like: State
    omega: Tensor
    ceiling: float
    ends: tuple[float, float]

    def log_snr(self, n: int, random: torch.Generator) -> Tensor:
        """Stratified over the range, rising, float64 (n,)."""
        strata = (torch.arange(n) + torch.rand(n, generator=random, dtype=torch.float64)) / n
        return self.ends[0] + (self.ends[1] - self.ends[0]) * strata


@dataclass(frozen=True)
class _Noised:
    """Noised samples: x_t (n, d), with α and σ, weight ω, ε − ε̂, and V₀ and h₀ of the guidance before, if any.

    ``lever`` multiplies h: σ, (n, 1), or one for each coordinate of a tangent of frames, of which ``noise`` then is.
    """

    x: Tensor
    alpha: Tensor
    sigma: Tensor
    omega: Tensor
    lever: Tensor
    noise: Tensor
    known: tuple[Tensor, Tensor] | None

    def at(self, index: Tensor) -> "_Noised":
        known = None if self.known is None else (self.known[0][index], self.known[1][index])
        x, alpha, sigma, omega = self.x[index], self.alpha[index], self.sigma[index], self.omega[index]
        return _Noised(x, alpha, sigma, omega, self.lever[index], self.noise[index], known)


@torch.no_grad()
def _noised(pool: _Pool, index: Tensor, model: Scored, reference: nn.Module | None, random: torch.Generator) -> _Noised:
    """Noise samples, index: (levels, n), each row to one log-SNR; ε̂ of the model and of the guidance before."""
    log_snr = pool.log_snr(len(index), random)
    times = model.schedule.time_of(log_snr)
    alphas, sigmas = model.schedule.alpha(times).to(pool.x0), model.schedule.sigma(times).to(pool.x0)
    parts: list[tuple[Tensor, ...]] = []
    with evaluating(model):
        for row, t, alpha, sigma in zip(index, times.tolist(), alphas, sigmas, strict=True):
            for some in row.split(_PIECE):
                x, lever, noise = _noise(pool, some, model, t, random)
                known = () if reference is None else value_and_gradient(reference, x, alpha, sigma)
                if known:
                    noise = noise + lever * known[1]
                of_all = (part.expand(len(x), *part.shape[1:]) for part in (alpha[None], sigma[None], lever))
                parts.append((x, *of_all, pool.omega[some], noise, *known))
    x, alpha, sigma, lever, omega, noise, *known = (torch.cat(part) for part in zip(*parts, strict=True))
    return _Noised(x, alpha, sigma, omega, lever, noise, (known[0], known[1]) if known else None)


def _noise(
    pool: _Pool, some: Tensor, model: Scored, t: float, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """x_t of some samples (B, d), the lever (1, ·) and ε − ε̂ (B, ·)."""
    x0 = pool.x0[some]
    if isinstance(model, FrameModel):
        x, lever, difference = model.noised(unflatten(x0, pool.like), t, random)
        return flatten(x), lever[None], -difference
    m = Moments.at(model.schedule, t)
    noise = torch.randn(x0.shape, generator=random).to(x0)
    noise = flatten(model.project(unflatten(noise, pool.like)))
    x = m.alpha * x0 + m.sigma * noise
    noise = noise - flatten(model.as_prediction("noise", unflatten(x, pool.like), t))
    return x, x0.new_full((1, 1), m.sigma), noise


def _loss(network: nn.Module, ceiling: float, seen: _Noised) -> tuple[Tensor, Tensor, Tensor]:
    """Both terms of the loss, and V or V − V₀, (B,) each."""
    value, gradient = value_and_gradient(network, seen.x, seen.alpha, seen.sigma)
    if seen.known is not None:
        value, gradient = value - seen.known[0], gradient - seen.known[1]
    pull = seen.lever * gradient
    within = value.clamp(max=ceiling)
    tilt = within.exp()
    bregman = tilt + tilt.detach() * (value - within) - seen.omega * value
    level = tilt.detach()
    score = 0.25 * (seen.omega + level) * pull.square().sum(dim=1)
    return bregman, score + (seen.omega - level) * (pull * seen.noise).sum(dim=1), value


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
        progress: ``leastwork.progress.bar`` shows one.

    Raises:
        NonFiniteError: r or a weight is not finite on some samples.
        LearningError: the loss diverged, or V knows no more of held-out samples than h = 0 (or h₀) does.
    """
    begin = time.perf_counter()
    random = generator(seed, "value fit")
    pool = _pool(x0, log_tilt, model)
    validation, training = _split(pool.omega.cpu(), random)
    most = min(noised, _HELD // (3 * pool.x0.shape[1]))  # x, noise and h₀ of each
    columns = max(1, min(iterations, most // batch_size))
    seen = _noised(pool, _shuffled(training, batch_size, columns, random), model, reference, random)
    judged = _shuffled(validation, _LEVELS, max(1, min(8 * len(validation), 8192) // _LEVELS), random)
    trial = _noised(pool, judged, model, reference, random)
    rows = torch.arange(batch_size) * columns
    evaluations = len(seen.x) + len(trial.x)

    network = deepcopy(network)
    parameters = [p for p in network.parameters() if p.requires_grad]
    average, best = deepcopy(network), deepcopy(network)
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=1e-4)
    every = max(1, iterations // _CHECKS)
    history: list[Check] = []
    since = 0
    with progress("learning V", iterations) as tick, torch.enable_grad():
        for i in range(iterations):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * warm_cosine((i + 1) / iterations)
            batch = seen.at(rows + torch.randint(columns, (batch_size,), generator=random))
            bregman, score, _ = _loss(network, pool.ceiling, batch)
            loss = (_BREGMAN * bregman + score).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            _follow(average, network, min(0.98, (i + 1) / (i + 10)))
            tick()
            if (i + 1) % every and i + 1 < iterations:
                continue
            with torch.no_grad():
                bregman, _, value = _loss(average, pool.ceiling, trial)
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


def warm_cosine(progress: float) -> float:
    """The learning rate over its largest value: it rises over a tenth of the run and falls as a cosine."""
    return min(10 * progress, 1.0) * 0.5 * (1 + math.cos(math.pi * max(0.0, progress - 0.1) / 0.9))


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    for a, b in zip(average.parameters(), network.parameters(), strict=True):
        a.lerp_(b, 1 - keep)


def _pool(x0: State, log_tilt: Tensor, model: Scored) -> _Pool:
    n = batch_size(x0)
    log_omega = log_tilt.detach().to(torch.float64)
    if log_omega.shape != (n,):
        raise LeastworkError(f"log_tilt has shape {tuple(log_omega.shape)} for {n} samples: pass ({n},), one each")
    bad = (~torch.isfinite(log_omega)).nonzero()[:, 0]
    if len(bad):
        raise NonFiniteError(
            f"the log-tilt is not finite for {len(bad)} of {n} samples, the first at index {int(bad[0])}: "
            "look at that sample, or at the observable there"
        )
    log_omega = torch.log_softmax(log_omega, dim=0) + math.log(n)
    schedule = model.schedule
    ends = schedule.log_snr(torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)).tolist()
    ends = (max(ends[0], -_EDGE), min(ends[1], _CLEAN))
    flat = flatten(x0)
    return _Pool(flat, take(x0, slice(1)), log_omega.exp().to(flat), float(log_omega.max()), ends)

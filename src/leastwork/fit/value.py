"""Learning V(x, t) = ln E[e^{r(x_0)}/Z | x_t = x] from samples of the model, noised analytically: x_t = α x_0 + σ ε.

With ω = e^r/Z, and t uniform in the log-SNR ℓ, so that ½∫σ²|h|² dℓ = ½∫g²|h|² dt is the work of h = ∇V, minimise

    E[e^V − ω V]  +  E[¼ (ω + c) |σh|² + (ω − c) σh·ε],        c = e^V, held fixed

The first term is the Bregman divergence of e^V. The second is weighted score matching less its unweighted fit: its
minimiser solves ½(ω̄ + c) σh = −E[(ω − c) ε | x_t], which at c = ω̄ = E[ω | x_t] is h = ∇ω̄/ω̄ whatever the score of the
model, so that the base network is never called; there ω − c vanishes with the noise, where −ωε alone would diverge,
and elsewhere |h| stays bounded. The first term alone validates, since the second is no objective while c moves. A
conditional mean of ω cannot exceed its largest value: beyond it e^V goes on as its tangent, which moves no minimum.

Samples of a guided model learn what is still missing: ω = dP/dQ · e^r/Z is then their own weight, and V − V₀ and h − h₀
take the place of V and h, where V₀ is the value that guided them.
"""

import math
import time
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError, NonFiniteError
from leastwork.models.value_network import value_and_gradient
from leastwork.progress import Progress, no_progress
from leastwork.random import generator
from leastwork.schedules import Schedule

__all__ = ["Check", "LearningError", "ValueFit", "fit_value"]

_EDGE = 9.0  # beyond this |log-SNR| on the noisy side, x_t says nothing of x_0
_CLEAN = 12.0  # beyond it, on the clean side, everything
_HELD_OUT = 7  # one sample in so many
_CHECKS = 20  # validations in a full run
_PATIENCE = 8  # of them without improvement end it
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
    """V was not learned; ``history`` tells how it went."""

    def __init__(self, message: str, history: tuple[Check, ...]) -> None:
        super().__init__(message)
        self.history = history


@dataclass(frozen=True)
class ValueFit:
    """The network with the best validation loss, and how it was found."""

    network: nn.Module
    history: tuple[Check, ...]
    seconds: float


@dataclass(frozen=True)
class _Pool:
    """Samples x_0 (n, d), their weight ω (n,) with mean one, ln of the largest, and the range of the log-SNR."""

    x0: Tensor
    omega: Tensor
    ceiling: float
    ends: tuple[float, float]

    def draw(self, index: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Samples, stratified log-SNR and noise, each with its mirror image −ε."""
        n = len(index)
        strata = (torch.randperm(n, generator=random) + torch.rand(n, generator=random)) / n
        log_snr = (self.ends[0] + (self.ends[1] - self.ends[0]) * strata).to(self.x0)
        noise = torch.randn(n, self.x0.shape[1], generator=random).to(self.x0)
        return index.repeat(2), log_snr.repeat(2), torch.cat([noise, -noise])


def _loss(
    network: nn.Module,
    reference: nn.Module | None,
    pool: _Pool,
    schedule: Schedule,
    drawn: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Both terms of the loss, and V or V − V₀, (B,) each."""
    index, log_snr, noise = drawn
    t = schedule.time_of(log_snr.to(torch.float64))
    alpha, sigma = schedule.alpha(t).to(pool.x0), schedule.sigma(t).to(pool.x0)
    x = alpha[:, None] * pool.x0[index] + sigma[:, None] * noise
    omega = pool.omega[index]
    value, gradient = value_and_gradient(network, x, alpha, sigma)
    if reference is not None:
        with torch.no_grad():
            known, known_gradient = value_and_gradient(reference, x, alpha, sigma)
        value, gradient = value - known, gradient - known_gradient
    pull = sigma[:, None] * gradient
    within = value.clamp(max=pool.ceiling)
    tilt = within.exp()
    bregman = tilt + tilt.detach() * (value - within) - omega * value
    level = tilt.detach()
    score = 0.25 * (omega + level) * pull.square().sum(dim=1) + (omega - level) * (pull * noise).sum(dim=1)
    return bregman, score, value


def fit_value(
    network: nn.Module,
    schedule: Schedule,
    x0: Tensor,
    log_tilt: Tensor,
    *,
    reference: nn.Module | None = None,
    iterations: int = 1500,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ValueFit:
    """Learn V; the network is copied, not changed.

    Args:
        network: V(x, α, σ), where the search starts.
        schedule: α and σ.
        x0: samples in network units, flat, (n, d).
        log_tilt: r of the model's samples, or ln dP/dQ + r of guided ones, up to a constant, (n,).
        reference: V₀ of the guidance that drew them, or None for the model's own.
        iterations: steps of the optimiser, at most.
        batch_size: samples a step; each is used with ε and −ε.
        learning_rate: its largest value; it rises over a tenth of the run and falls as a cosine.
        seed: of the split, the order and the noise.
        progress: ``leastwork.progress.bar`` shows one.

    Raises:
        NonFiniteError: r or a weight is not finite on some samples.
        LearningError: the loss diverged, or V knows no more of held-out samples than h = 0 (or h₀) does.
    """
    begin = time.perf_counter()
    random = generator(seed, "value fit")
    pool = _pool(x0, log_tilt, schedule)
    validation, training = _split(pool.omega, random)
    copies = max(1, 8192 // len(validation))
    trial = [pool.draw(validation, random) for _ in range(min(copies, 8))]

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
            index = training[torch.randint(len(training), (batch_size,), generator=random)]
            bregman, score, _ = _loss(network, reference, pool, schedule, pool.draw(index, random))
            loss = (bregman + score).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            _follow(average, network, min(0.98, (i + 1) / (i + 10)))
            tick()
            if (i + 1) % every and i + 1 < iterations:
                continue
            with torch.no_grad():
                terms = [_loss(average, reference, pool, schedule, drawn) for drawn in trial]
            bregman, value = (torch.cat([term[k] for term in terms]) for k in (0, 2))
            found = float(bregman.mean())
            evidence = _evidence(value.reshape(-1, len(validation)).mean(dim=0), pool.omega[validation])
            history.append(Check(i + 1, float(loss.detach()), found, evidence))
            if not math.isfinite(found):
                raise LearningError(f"learning V diverged after {i + 1} iterations: {_REMEDY}", tuple(history))
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
        )
    return ValueFit(best, tuple(history), time.perf_counter() - begin)


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


def _pool(x0: Tensor, log_tilt: Tensor, schedule: Schedule) -> _Pool:
    n = len(x0)
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
    ends = schedule.log_snr(torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)).tolist()
    ends = (max(ends[0], -_EDGE), min(ends[1], _CLEAN))
    return _Pool(x0, log_omega.exp().to(x0), float(log_omega.max()), ends)

"""Fine-tuning: denoising score matching from the model's own weights, on samples x_0 of weight ω.

    minimise  E[½ ω |q|² + (ω − u c) q·(ε − ε̂)]      q = ε̂ − ε̂_θ = σ h      x_t = α x_0 + σ ε

ε̂ is the model's estimate of the noise and ε̂_θ that of its copy; u is the weight of a sample under the model, one for
its own, and ω that under the target; t is uniform in the log-SNR, in which ½∫|q|² dℓ is the
work of h. The minimiser is the score of the law of the weighted samples for every c(x_t): with samples of the model,
E[ε − ε̂ | x_t] = 0, and c near E[ω | x_t] takes away most of the noise (:mod:`leastwork.fit.value`); with samples of
the target alone, ω = 1 and c = 0, and this is score matching as the model was trained (Vincent, Neural Comput. 23,
1661, 2011), from where its training ended. What the network knows of the model need not be learned again, and far
fewer samples teach it what is different.
"""

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from leastwork.errors import LeastworkError
from leastwork.fit.value import warm_cosine
from leastwork.geometry.state import State, batch_size, inner, leaves, smap, take
from leastwork.guidance.learned import flatten
from leastwork.models.diffusion import DiffusionModel
from leastwork.models.predictions import Moments, data_weights
from leastwork.progress import Progress, no_progress
from leastwork.random import generator
from leastwork.sampling import evaluating

__all__ = ["Tuned", "fine_tune"]

_EDGE, _CLEAN = -6.0, 9.0  # log-SNR: beyond, x_t says nothing of x_0, or all
_LEVELS = 2048  # of the log-SNR
_FEW = 16  # levels in a batch, for a network that takes one time at a call
_KEEP = 0.999  # share of the average that a step keeps, in the end

Baseline = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Tuned:
    """The tuned model, its loss along the way (nats, negative where it knows more than the model), and seconds."""

    model: DiffusionModel
    losses: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class _Levels:
    """α, σ, and ε̂ = p x + q · prediction at rising log-SNR, (K,) each; and its range."""

    times: Tensor
    alpha: Tensor
    sigma: Tensor
    on_x: Tensor
    on_prediction: Tensor
    range: float


def fine_tune(
    model: DiffusionModel,
    x0: State,
    omega: Tensor | None = None,
    of_model: Tensor | None = None,
    *,
    start: DiffusionModel | None = None,
    baseline: Baseline | None = None,
    iterations: int = 6000,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    most: float = math.inf,
    seed: int = 0,
    progress: Progress = no_progress,
    label: str = "fine-tuning the model",
) -> Tuned:
    """A copy of the model that knows the law of weighted samples.

    Args:
        model: whose network is an ``nn.Module``; it is copied, not changed.
        x0: samples in network units, (n, *event): of the target, or of the model with ``omega``.
        omega: ω, weights under the target, of mean one, (n,); by default one.
        of_model: u, weights under the model, of mean one, (n,); by default one.
        start: a copy that was tuned before, to go on from; by default the model.
        baseline: c, flat states, α and σ -> (B,); by default 0, the only choice where u is not known.
        iterations: steps of Adam.
        batch_size: samples of a step.
        learning_rate: its largest value; it rises over a tenth of the run and falls as a cosine.
        most: the largest log-SNR that is learned; beyond it the copy answers as it comes.
        seed: of the order and the noise.
        progress: ``leastwork.progress.bar`` shows one.
        label: what it says.

    Raises:
        LeastworkError: a model whose network is a plain function or has nothing to train, or training that diverged.
    """
    begin = time.perf_counter()
    net = model.net
    if not isinstance(net, nn.Module) or not any(p.is_floating_point() for p in net.parameters()):
        raise LeastworkError("only a network that is a torch.nn.Module with weights can be tuned: use 'least-work'")
    random = generator(seed, "fine-tuning")
    first = net if start is None else start.net
    assert isinstance(first, nn.Module)
    tuned, average = deepcopy(first).requires_grad_(True), deepcopy(first).requires_grad_(False)
    copy = replace(model, net=tuned)
    levels, together = _levels(model, most), _takes_many_times(model, x0)
    optimiser = torch.optim.Adam(tuned.parameters(), lr=learning_rate, betas=(0.9, 0.99))
    losses: list[float] = []
    with progress(label, iterations) as tick, evaluating(model), evaluating(copy), torch.enable_grad():
        for i in range(iterations):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * warm_cosine((i + 1) / iterations)
            index = torch.randint(len(leaves(x0)[0]), (batch_size,), generator=random)
            level = _stratified(batch_size if together else _FEW, batch_size, random)
            weights = _at(omega, index), _at(of_model, index)
            loss = _loss(model, copy, levels, level, take(x0, index), *weights, baseline, random, together)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            if not math.isfinite(losses[-1]):
                raise LeastworkError(f"fine-tuning diverged after {i + 1} iterations: lower the learning rate")
            with torch.no_grad():
                keep = min(_KEEP, (i + 1) / (i + 10))
                for a, b in zip(average.parameters(), tuned.parameters(), strict=True):
                    a.lerp_(b, 1 - keep)
            tick()
    return Tuned(replace(model, net=average), tuple(losses), time.perf_counter() - begin)


def _loss(
    model: DiffusionModel,
    copy: DiffusionModel,
    levels: _Levels,
    level: Tensor,
    x0: State,
    omega: Tensor | None,
    of_model: Tensor | None,
    baseline: Baseline | None,
    random: torch.Generator,
    together: bool,
) -> Tensor:
    """The loss of one batch, times the width of the range, nats."""
    alpha, sigma = levels.alpha[level], levels.sigma[level]
    noise = model.project(smap(lambda leaf: torch.randn(leaf.shape, generator=random).to(leaf), x0))
    x = smap(lambda a, b: _over(alpha, a) * a + _over(sigma, b) * b, x0, noise)
    with torch.no_grad():
        known = _noise_estimate(model, levels, level, x, together)
    pull = smap(torch.sub, known, _noise_estimate(copy, levels, level, x, together))
    first = leaves(x0)[0]
    one = first.new_ones(batch_size(x0))
    weight = one if omega is None else omega.to(first)
    c = torch.zeros_like(one)
    if baseline is not None:
        with torch.no_grad():
            c = baseline(flatten(x), alpha.to(first), sigma.to(first))
            c = c * (one if of_model is None else of_model.to(first))
    missing = smap(torch.sub, noise, known)
    each = 0.5 * weight * inner(pull, pull) + (weight - c) * inner(pull, missing)
    return levels.range * each.mean()


def _noise_estimate(model: DiffusionModel, levels: _Levels, level: Tensor, x: State, together: bool) -> State:
    times = levels.times[level]
    if together:
        prediction = model.net(x, times.to(leaves(x)[0]), **model.context)
    else:  # equal levels lie side by side
        pieces, start = [], 0
        for t, count in zip(*torch.unique_consecutive(times, return_counts=True), strict=True):
            some = take(x, slice(start, start + int(count)))
            pieces.append(model.net(some, t.to(leaves(x)[0]), **model.context))
            start += int(count)
        prediction = smap(lambda *parts: torch.cat(parts), *pieces)
    p, q = levels.on_x[level], levels.on_prediction[level]
    return model.project(smap(lambda a, b: _over(p, a) * a + _over(q, b) * b, x, prediction))


def _levels(model: DiffusionModel, most: float) -> _Levels:
    schedule = model.schedule
    limits = schedule.log_snr(torch.tensor([schedule.t_max, schedule.t_min], dtype=torch.float64)).tolist()
    ends = max(limits[0], _EDGE), min(limits[1], most, _CLEAN)
    places = (torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS
    times = schedule.time_of(ends[0] + (ends[1] - ends[0]) * places)
    p, q = [], []
    for t in times.tolist():
        m = Moments.at(schedule, t)
        on_prediction, on_x = data_weights(model.predicts, m)
        p.append((1 - m.alpha * on_x) / m.sigma)
        q.append(-m.alpha * on_prediction / m.sigma)
    return _Levels(
        times, schedule.alpha(times), schedule.sigma(times), torch.tensor(p), torch.tensor(q), ends[1] - ends[0]
    )


def _stratified(levels: int, n: int, random: torch.Generator) -> Tensor:
    """Levels of a batch, rising, (n,); so many different ones."""
    places = (torch.arange(levels) + torch.rand(levels, generator=random)) / levels
    return (places * _LEVELS).long().clamp(max=_LEVELS - 1).repeat_interleave(-(-n // levels))[:n]


@torch.no_grad()
def _takes_many_times(model: DiffusionModel, x0: State) -> bool:
    """Whether the network takes a time a sample, (B,), and then answers as it does one by one."""
    schedule = model.schedule
    some = take(x0, slice(0, 2))
    first = leaves(some)[0]
    times = torch.tensor([0.3, 0.7]).to(first) * (schedule.t_max - schedule.t_min) + schedule.t_min
    if batch_size(some) < 2:
        return False
    with evaluating(model):
        alone = [model.net(take(some, slice(k, k + 1)), times[k], **model.context) for k in range(2)]
        try:
            both = model.net(some, times, **model.context)
        except (RuntimeError, ValueError, TypeError, IndexError):
            return False
    apart = smap(lambda *parts: torch.cat(parts), *alone)
    return all(
        a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-3, atol=1e-4))
        for a, b in zip(leaves(both), leaves(apart), strict=True)
    )


def _over(values: Tensor, like: Tensor) -> Tensor:
    """(B,) shaped so that it multiplies (B, *event)."""
    return values.to(like).reshape(-1, *[1] * (like.ndim - 1))


def _at(omega: Tensor | None, index: Tensor) -> Tensor | None:
    return None if omega is None else omega[index]

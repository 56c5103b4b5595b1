"""Samples of a tilted model by every method, each with the same number of network evaluations.

A method without a fit spends all of them on samples. `loss`, `ram` and `least-work` spend first what their fit takes
and draw their samples with the rest, at least as many as asked for. `least-work` comes twice from one fit: its samples
as they are, and with their path weights.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

import leastwork as lw
from benchmarks.peers.given import given_tilt, sliced_wasserstein
from leastwork.models.denoised import PULL
from leastwork.observable_guidance.methods import Loss, ObservableMethod, RewardMatching
from leastwork.observable_guidance.run import ObservableRun
from leastwork.sampling.drift_control import drift_control
from leastwork.sampling.steer import systematic_ancestors
from leastwork.statistics.discrepancy import maximum_mean_discrepancy

__all__ = ["METHODS", "WEIGHTED", "Drawn", "drawn_by", "judged"]

METHODS = ("reweight", "smc", "driftlite", "loss", "ram", "least-work")
WEIGHTED = "least-work, path weights"
_LAW = {"solver": "exponential", "t_grid": "balanced"}
_GROUP = 1024  # particles in a system
_MOST_PAIRED = 16_384
_LEARNING_RATE = 3e-4  # of `ram`: the rewards of these problems differ by tens of nats, where its default diverges
_MOST_NOISY = 8  # coordinates above which V sees the denoised state, which takes a product with the Jacobian
_FOR_TILT = 1000  # the model's own samples by which `loss` and `ram` know the tilt


@dataclass(frozen=True)
class Drawn:
    """Samples of one method.

    Args:
        method: its name.
        x: samples, (n, d), float64.
        log_weight: ln w of each, (n,), float64.
        evaluations: network evaluations of everything.
        seconds: CPU seconds of everything.
        reason: why there are no samples, else empty.
    """

    method: str
    x: Tensor
    log_weight: Tensor
    evaluations: int
    seconds: float
    reason: str = ""


def drawn_by(
    method: str, model: lw.DiffusionModel, reward: Callable[[Any], Tensor], total: int, *, steps: int = 100,
    probes: int | None = None, least: int = 4096, seed: int = 0, network: nn.Module | None = None,
) -> list[Drawn]:  # fmt: skip
    """Samples of p·e^r/Z: one result, or two of `least-work`.

    Args:
        method: one of METHODS.
        model: a DiffusionModel of plain coordinates.
        reward: r, (B, d) -> (B,) nats.
        total: network evaluations, learning included; a method that cannot do with so few takes what it needs.
        steps: number of steps of the chain.
        probes: random signs of each trace of `driftlite`.
        least: smallest number of samples.
        seed: seed of all random numbers.
    """
    begin, law = time.process_time(), {**_LAW, "steps": steps}
    most = max(total // (steps + 1), least)
    try:
        if method == "reweight":
            ens = lw.sample(model, most, seed=seed, **law)
            found = [(method, ens, reward(_plain(ens)).double())]
        elif method == "smc":
            ens = lw.steer(model, most // _GROUP * _GROUP, reward, seed=seed, **law)
            found = [(method, ens, _target(ens))]
        elif method == "driftlite":
            traces = model.dimension if probes is None else probes
            n = max(total // (steps * (1 + PULL * traces) + 1), least) // _GROUP * _GROUP
            ens = drift_control(model, n, reward, probes=probes, steps=steps, t_grid="balanced", seed=seed)
            found = [(method, ens, _target(ens))]
        else:
            run = _fitted(method, model, reward, total, law, least, seed, network)
            n = max((total - run.network_evaluations) // run.sample(1, seed=2).network_evaluations, least)
            drawn = run.sample(n, seed=seed + 1)
            ens = replace(drawn, network_evaluations=drawn.network_evaluations + run.network_evaluations)
            found = [(method, ens, torch.zeros(n, dtype=torch.float64))]
            if method == "least-work":
                found.append((WEIGHTED, ens, ens.log_weight + reward(_plain(ens)).double()))
    except lw.LeastworkError as error:
        nothing = torch.zeros(0, dtype=torch.float64)
        return [Drawn(method, nothing, nothing, 0, time.process_time() - begin, str(error))]
    seconds = time.process_time() - begin
    return [Drawn(name, _plain(ens).double(), log_w, ens.network_evaluations, seconds) for name, ens, log_w in found]


def _fitted(
    method: str, model: lw.DiffusionModel, reward: Callable[[Any], Tensor], total: int, law: dict[str, Any],
    least: int, seed: int, network: nn.Module | None,
) -> ObservableRun:  # fmt: skip
    pull = PULL if model.dimension > _MOST_NOISY else 0
    data, left = given_tilt(reward), total - least * ((1 + pull) * law["steps"] + 1)
    if method == "least-work":
        budget = max(left, total // 2)
        return lw.guide_observables(model, data, seed=seed, network=network, budget=budget,
                                    certificate_samples=2, **law)  # fmt: skip
    chosen: ObservableMethod = Loss()
    if method == "ram":
        rounds = min(max(left // (_GROUP * ((1 + pull) * law["steps"] + 40)), 5), 40)
        chosen = RewardMatching(rounds=rounds, learning_rate=_LEARNING_RATE)
    return lw.guide_observables(model, data, chosen, seed=seed, samples=_FOR_TILT, certificate_samples=2, **law)


def judged(drawn: Drawn, exact: Tensor, bandwidth: float) -> tuple[float, float]:
    """MMD with a Gaussian kernel, of at most 16,384 samples, and sliced Wasserstein distance, from exact samples."""
    x, log_weight = drawn.x, drawn.log_weight
    if len(x) > _MOST_PAIRED:
        kept = systematic_ancestors(torch.softmax(log_weight, dim=0)[None], torch.full((1,), 0.5).double())[0]
        kept = kept[:: -(-len(x) // _MOST_PAIRED)]
        x, log_weight = x[kept], torch.zeros(len(kept), dtype=torch.float64)
    squared = maximum_mean_discrepancy(x, exact, bandwidth, log_weight_x=log_weight).value
    return max(squared, 0) ** 0.5, sliced_wasserstein(drawn.x, exact, drawn.log_weight)


def _plain(ensemble: lw.Ensemble) -> Tensor:
    assert isinstance(ensemble.x, Tensor)
    return ensemble.x


def _target(ensemble: lw.Ensemble) -> Tensor:
    assert ensemble.log_tilt is not None
    return ensemble.log_weight + ensemble.log_tilt

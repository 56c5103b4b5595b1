"""How far from the truth, where it is known: KL(truth ‖ samples) over the bins of a histogram, in nats.

The same number of samples is taken of the model, reweighted and guided, since a histogram's own noise adds about
(bins − 1)/2n. Standard errors are bootstrapped.
"""

from typing import Any

import torch
from torch import Tensor

from leastwork.random import generator
from leastwork.systems.prinz import LineDensity, kl_histogram, prinz

__all__ = ["quality", "truth"]

BINS = 100
_RESAMPLES = 50


def truth(system: str | None) -> LineDensity | None:
    """The exact density of a bundled system."""
    return prinz() if system == "prinz" else None


def quality(density: LineDensity, model: Tensor, log_tilt: Tensor, guided: Tensor | None, seed: int) -> dict[str, Any]:
    """KL of each kind of samples, as it stands in metrics.json.

    Args:
        density: the truth.
        model: the model's samples, (n,).
        log_tilt: r of these, (n,).
        guided: guided samples, (m,), or None.
        seed: of the bootstrap.
    """
    n = min(len(model), len(model if guided is None else guided))
    found: dict[str, Any] = {
        "kl_truth_model": _divergence(density, model[:n], None, seed),
        "kl_truth_reweighted": _divergence(density, model[:n], log_tilt[:n], seed),
    }
    if guided is not None:
        found["kl_truth_guided"] = _divergence(density, guided[:n], None, seed)
    return {**found, "samples": n, "bins": BINS, "histogram_noise": (BINS - 1) / (2 * n)}


def _divergence(density: LineDensity, x: Tensor, log_weight: Tensor | None, seed: int) -> dict[str, float]:
    random = generator(seed, "bootstrap")
    again = []
    for _ in range(_RESAMPLES):
        chosen = torch.randint(len(x), (len(x),), generator=random)
        weight = None if log_weight is None else log_weight[chosen]
        again.append(kl_histogram(x[chosen], density, BINS, log_weight=weight))
    value = kl_histogram(x, density, BINS, log_weight=log_weight)
    return {"value": value, "stderr": float(torch.tensor(again, dtype=torch.float64).std())}

"""Distance from the truth, if it is known: KL(truth ‖ samples) over the bins of a histogram, in nats.

The same number of samples is taken of the model, reweighted and guided, since a histogram's own noise adds about
(bins − 1)/2n. Standard errors are bootstrapped.

Where the model's density is known, so is the guidance of least work: at a finite number of steps it, too, dissipates.
Its efficiency with the run's own steps is the ceiling for any learned one to be compared with.
"""

from typing import Any, cast

import torch
from torch import Tensor

from leastwork.data.maxent import LogTilt
from leastwork.guidance.base import Guidance
from leastwork.models.base import Model, is_scored
from leastwork.models.units import Affine
from leastwork.runs.base.cases import case, find_case
from leastwork.sampling.choices import Choices
from leastwork.sampling.sample import draw
from leastwork.sampling.work import Certificate, certify
from leastwork.support.random import derive_seed, generator
from leastwork.systems.line import LineDensity, LineDoob, kl_histogram

__all__ = ["BINS", "ceiling", "quality", "truth"]

BINS = 100
_RESAMPLES = 50


def truth(system: str | None) -> LineDensity | None:
    """The exact density of a system, or None where it is not known."""
    density = None if system is None else case(system).density
    return None if density is None else density()


def ceiling(name: str, model: Model, log_tilt: LogTilt, n: int, seed: int, choices: Choices) -> Certificate | None:
    """The certificate of the exact h of a bundled model's density, for the same model, target and steps, or None.

    Args:
        name: the model's name in the run file; the case of the same name may know its density.
        model: that model.
        log_tilt: r, data units.
        n: samples.
        seed: seed of their noise.
        choices: process, solver and steps, which must have path weights.
    """
    known = find_case(name)
    if known is None or known.model_density is None or choices.kappa not in (None, 1.0) or choices.chain(model):
        return None
    assert is_scored(model)
    assert isinstance(model.units, Affine)
    density = known.model_density().rescaled(float(model.units.scale))
    exact = cast(Guidance, LineDoob(density, lambda z: log_tilt(model.to_data_units(z)), model.schedule))
    drawn = draw(model, n, choices, exact, seed=derive_seed(seed, "ceiling"))
    return certify(drawn.work, drawn.log_weight, log_tilt(drawn.x))


def quality(density: LineDensity, model: Tensor, log_tilt: Tensor, guided: Tensor | None, seed: int) -> dict[str, Any]:
    """KL of each kind of samples, as it stands in metrics.json.

    Args:
        density: the truth.
        model: the model's samples, (n,).
        log_tilt: r of these, (n,).
        guided: guided samples, (m,), or None.
        seed: seed of the bootstrap.
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

"""A target p·e^r/Z whose log-tilt r is given, as data for `lw.guide_observables` and `compare`.

With the one observable r, a value o and its error s, the maximum-entropy fit has λ = (E[r] − o)/s². For o = s² and a
large s, λ is −1 up to E[r]/s², whatever E[r] is; part of the way β to the datum is the tilt β r, so that the stages
anneal geometrically.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

import leastwork as lw
from leastwork.statistics.discrepancy import wasserstein

__all__ = ["given_tilt", "quiet", "sliced_wasserstein"]

_ERROR = 1e5


def given_tilt(log_tilt: Callable[[Tensor], Tensor]) -> lw.Experiment:
    """The experiment whose fit is the given tilt.

    Args:
        log_tilt: r, (B, d) -> (B,), nats.
    """
    observable = lw.Observable(lambda x: log_tilt(x)[:, None], names=("log-tilt",))
    return lw.Experiment(observable, values=[_ERROR**2], errors=[_ERROR])


def quiet() -> None:
    """Leave out the warnings that a datum of so large an error brings, that it lies far from the model."""
    warnings.filterwarnings("ignore", category=lw.LeastworkWarning)


def sliced_wasserstein(
    a: Tensor, b: Tensor, log_weight_a: Tensor | None = None, directions: int = 200, seed: int = 0
) -> float:
    """Mean over random directions of the distance W₁ between the projections of samples (n, d) and (m, d)."""
    random = torch.Generator().manual_seed(seed)
    along = torch.randn(a.shape[1], directions, generator=random, dtype=torch.float64)
    along = along / along.norm(dim=0)
    found = wasserstein(a.double() @ along, b.double() @ along, log_weight_a, None)
    return float(found.mean())

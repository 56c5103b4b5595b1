"""Which data and which averages to doubt: data left out and predicted by the others, and tails of weighted samples

    z_k = (o_k − E_{λ without k}[O_k]) √G_kk,      G = (Cov[O] + Σ)⁻¹

1/G_kk is the variance of a datum that the others predict (for Gaussian processes, Sundararajan & Keerthi, Neural
Comput. 13, 1103, 2001). An outlying datum contradicts another one if leaving out both brings it back:
G' = G − G_·j G_j· / G_jj,  (Λ'_k)² / G'_kk small, with Λ = λ of the fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.leave_out import precision, predictions
from leastwork.data.maxent import MaxEnt
from leastwork.statistics.tails import tail_index

__all__ = ["OUTLYING", "Suspect", "Tail", "suspects", "tails"]

OUTLYING = 3.0
"""Standard errors from the prediction of all others at which a datum is outlying: 0.3 % of data with right errors."""

_BACK = 2.0  # standard errors within which a datum is no longer outlying


@dataclass(frozen=True)
class Suspect:
    """A datum against what all others predict.

    Args:
        name: its name.
        datum: its value, or the bound that is nearer to the prediction.
        predicted, stderr: prediction by the others, and the standard error of the difference.
        z: the difference in standard errors; 0 inside of bounds.
        moves: the average that it moves most by its presence, and by how much, in standard deviations under the model.
        contradicts: another datum without which it is not outlying, or None.
    """

    name: str
    datum: float
    predicted: float
    stderr: float
    z: float
    moves: tuple[str, float]
    contradicts: str | None


@dataclass(frozen=True)
class Tail:
    """Tail indices of an observable's deviations from its average, among samples of the model and as weighted."""

    name: str
    model: float
    weighted: float


def suspects(
    observed: Tensor, experiment: Experiment, fit: MaxEnt, log_weight: Tensor | None = None
) -> tuple[Suspect, ...]:
    """Every fitted datum against the prediction by all others, the most outlying first.

    Args:
        observed: the observables of the model's samples, (n, K).
        experiment: the K data.
        fit: their fit.
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.
    """
    of = experiment.fitted
    if len(of) < 2:
        return ()
    left = predictions(observed, experiment, fit, [k[None] for k in of], log_weight)
    inverse = precision(observed, experiment, fit, log_weight)
    lower, upper = experiment.interval
    unit = torch.where(fit.model_std > 0, fit.model_std, 1.0)
    spread = inverse.diagonal().clamp(min=1e-300).rsqrt()
    found = []
    for i, k in enumerate(of.tolist()):
        predicted = float(left.predicted[i, k])
        datum = min(max(predicted, float(lower[k])), float(upper[k]))
        z = (datum - predicted) / float(spread[i])
        shift = (left.predicted[i] - fit.predicted).abs() / unit
        most = int(shift.argmax())
        near = float(lower[k]) if predicted - float(lower[k]) < float(upper[k]) - predicted else float(upper[k])
        found.append(
            Suspect(
                experiment.names[k],
                datum if z else near,
                predicted,
                float(spread[i]),
                z,
                (experiment.names[most], float(shift[most])),
                _contradicted(inverse, fit.lambdas[of], i, [experiment.names[j] for j in of.tolist()], abs(z)),
            )
        )
    return tuple(sorted(found, key=lambda one: -abs(one.z)))


def _contradicted(inverse: Tensor, lambdas: Tensor, k: int, names: Sequence[str], size: float) -> str | None:
    """The datum without which datum k is not outlying, if there is one."""
    if size <= OUTLYING:
        return None
    own = inverse.diagonal()
    pull = lambdas[k] - inverse[k] * lambdas / own
    left = own[k] - inverse[k].square() / own
    z = pull.abs() / left.clamp(min=1e-300).sqrt()
    z[(left <= 1e-9 * own[k]) | (torch.arange(len(own)) == k)] = torch.inf
    best = int(z.argmin())
    return names[best] if float(z[best]) < _BACK else None


def tails(observed: Tensor, names: Sequence[str], log_weight: Tensor) -> tuple[float, tuple[Tail, ...]]:
    """Tail index of the weights, and those of each observable.

    Args:
        observed: observables of the model's samples, (n, K).
        names: their names.
        log_weight: ln weights of the samples under the target, (n,).
    """
    weight = log_weight.to(torch.float64).softmax(dim=0)
    values = observed.to(torch.float64)
    model = (values - values.mean(dim=0)).abs()
    weighted = weight[:, None] * (values - weight @ values).abs()
    return tail_index(weight), tuple(
        Tail(name, tail_index(model[:, k]), tail_index(weighted[:, k])) for k, name in enumerate(names)
    )

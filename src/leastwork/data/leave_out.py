"""Averages that data predict for others: a group g of data is left out of the fit, which is λ_g = 0

    λ ← λ + P_g (E_λ[O] − o − Σλ),      P_g = G − G_·g (G_gg)⁻¹ G_g·,      G = (Cov_λ[O] + Σ)⁻¹ of the fit to all data

P_g is the inverse of the Hessian without the rows of g (a Schur complement), so that all fits without a group share one
factorisation and take their steps together, as one product of matrices. Where leaving a group out changes the Hessian
too much for that, P_g preconditions conjugate gradients for Newton's step (Steihaug, SIAM J. Numer. Anal. 20, 626,
1983), again of all fits together.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.errors import LeastworkWarning

__all__ = ["LeftOut", "precision", "predictions"]

_MAX_STEPS = 40
_TOLERANCE = 1e-10  # largest residual of an average, in standard deviations
_SHRINKS = 0.7  # largest ratio of the residuals of two steps, on average, before a fit goes on for itself
_MOST_HALVINGS = 30  # of a Newton step
_LEAST_WEIGHT = 1e-3  # smallest weight of a sample that counts in the curvature, relative to the average
_TOGETHER = 2**23  # weights of all fits that are in memory at a time


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Fits without each of G groups.

    Args:
        predicted: averages of all K observables without each group, (G, K).
        lambdas: λ without each group, (G, K).
        each: number of fits that were done for themselves.
    """

    predicted: Tensor
    lambdas: Tensor
    each: int


def precision(observed: Tensor, experiment: Experiment, fit: MaxEnt, log_weight: Tensor | None = None) -> Tensor:
    """G = (Cov_λ[O] + Σ)⁻¹ of the fitted data, (F, F), in inverse units of the observables.

    Args:
        observed: the observables of the model's samples, (n, K).
        experiment: the K data.
        fit: their fit.
        log_weight: ln dP/dQ of the samples, (n,).
    """
    of = experiment.fitted
    values = observed.to(torch.float64)
    weight = (fit.log_tilt_of(values) + (0.0 if log_weight is None else log_weight.to(values))).softmax(dim=0)
    z = (values - weight @ values)[:, of]
    matrix = z.T @ (weight[:, None] * z) + experiment.covariance[of][:, of]
    unit = matrix.diagonal().clamp(min=1e-300).rsqrt()
    return torch.linalg.pinv(matrix * unit[:, None] * unit, hermitian=True) * unit[:, None] * unit


def predictions(
    observed: Tensor,
    experiment: Experiment,
    fit: MaxEnt,
    groups: Sequence[Tensor],
    log_weight: Tensor | None = None,
) -> LeftOut:
    """Fit λ without each group of data.

    Args:
        observed: the observables of the model's samples, (n, K).
        experiment: the K data.
        fit: the fit to all of them, from :func:`~leastwork.data.maxent.fit_lambdas`.
        groups: indices of the data of each group, all of them fitted.
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.

    >>> from leastwork.observables import Observable
    >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> data = Experiment(Observable(lambda x: x, names=("a", "b")), values=[0.4, 0.2], errors=[0.1, 0.1])
    >>> found = predictions(x, data, fit_lambdas(x, data), [torch.tensor([0]), torch.tensor([1])])
    >>> found.lambdas[0, 0].item(), found.lambdas[1, 1].item(), found.each
    (0.0, 0.0, 0)
    """
    values = observed.detach().to("cpu", torch.float64)
    count = len(groups)
    if bool(experiment.values[experiment.fitted].isnan().any()):  # a bound may begin or cease to act
        return _alone(values, experiment, groups, log_weight, torch.arange(count), None)
    share = max(_TOGETHER // len(values), 1)
    parts = [_together(values, experiment, fit, groups[i : i + share], log_weight) for i in range(0, count, share)]
    return LeftOut(
        torch.cat([part.predicted for part in parts]),
        torch.cat([part.lambdas for part in parts]),
        sum(part.each for part in parts),
    )


@dataclass(frozen=True, eq=False)
class _Fits:
    """The duals of fits without a group each, standardised: z (F, n) about the averages of the fit to all data.

    Args:
        z, log_p: the fitted observables and ln weights of the samples.
        wanted, sigma: data and covariance in the same units.
        inverse: G in the same units.
        held: bool (G, F), the data of each group.
        inside, pulls: their indices, and G_·g (G_gg)⁻¹, (F, g).
    """

    z: Tensor
    log_p: Tensor
    wanted: Tensor
    sigma: Tensor
    inverse: Tensor
    held: Tensor
    inside: Sequence[Tensor]
    pulls: Sequence[Tensor]

    def some(self, which: Tensor) -> "_Fits":
        """Some of the fits."""
        kept = which.tolist()
        inside, pulls = [self.inside[i] for i in kept], [self.pulls[i] for i in kept]
        return replace(self, held=self.held[which], inside=inside, pulls=pulls)

    def without_groups(self, rows: Tensor) -> Tensor:
        """Rows (G, F) less what changes λ of the group of each."""
        for row, group, pull in zip(rows, self.inside, self.pulls, strict=True):
            row -= pull @ row[group]
            row[group] = 0.0
        return rows

    def preconditioned(self, rows: Tensor) -> Tensor:
        """P_g of rows, (G, F)."""
        return self.without_groups(rows @ self.inverse)

    def at(self, lambdas: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """𝒟 (G,), weights (G, n), averages (G, F) and the gradient of 𝒟 (G, F)."""
        exponent = self.log_p - lambdas @ self.z
        top = exponent.logsumexp(dim=1)
        weight = (exponent - top[:, None]).exp()
        mean = weight @ self.z.T
        value = -top - (lambdas * (self.wanted + 0.5 * lambdas @ self.sigma)).sum(dim=1)
        return value, weight, mean, torch.where(self.held, 0.0, mean - self.wanted - lambdas @ self.sigma)

    def curved(self, rows: Tensor, weight: Tensor, mean: Tensor) -> Tensor:
        """(Cov_λ[O] + Σ) of rows, (G, F), each with the weights of its fit."""
        along = rows @ self.z - (rows * mean).sum(dim=1, keepdim=True)
        return torch.where(self.held, 0.0, (weight * along) @ self.z.T + rows @ self.sigma)


def _together(
    values: Tensor, experiment: Experiment, fit: MaxEnt, groups: Sequence[Tensor], log_weight: Tensor | None
) -> LeftOut:
    of, centre = experiment.fitted, fit.predicted
    unit = torch.where(fit.model_std > 0, fit.model_std, 1.0)[of]
    place = {k: i for i, k in enumerate(of.tolist())}
    inside = [torch.tensor([place[k] for k in group.tolist()]) for group in groups]
    held = torch.zeros(len(groups), len(of), dtype=torch.bool)
    for row, group in zip(held, inside, strict=True):
        row[group] = True
    inverse = precision(values, experiment, fit, log_weight) * unit[:, None] * unit
    log_p = torch.zeros(len(values), dtype=torch.float64) if log_weight is None else log_weight.to(values)
    fits = _Fits(
        ((values - centre)[:, of] / unit).T.contiguous(),
        log_p.log_softmax(dim=0),
        (experiment.values - centre)[of] / unit,
        experiment.covariance[of][:, of] / (unit[:, None] * unit),
        inverse,
        held,
        inside,
        [inverse[:, group] @ torch.linalg.pinv(inverse[group][:, group], hermitian=True) for group in inside],
    )
    lambdas, left = _one_factorisation(fits, fits.without_groups((fit.lambdas[of] * unit).repeat(len(groups), 1)))
    if len(left):
        found, still = _conjugate_gradients(fits.some(left), lambdas[left])
        lambdas[left], left = found, left[still]
    final = torch.zeros(len(groups), len(experiment.names), dtype=torch.float64)
    final[:, of] = lambdas / unit
    predicted = (fits.log_p - lambdas @ fits.z).softmax(dim=1) @ values
    if len(left):
        alone = _alone(values, experiment, groups, log_weight, left, final)
        predicted[left], final[left] = alone.predicted, alone.lambdas
    return LeftOut(predicted, final, len(left))


def _one_factorisation(fits: _Fits, lambdas: Tensor) -> tuple[Tensor, Tensor]:
    """λ by steps with P_g, and which fits are not done, since their residuals shrink too slowly."""
    start, before = lambdas.clone(), torch.full((len(lambdas),), math.inf, dtype=torch.float64)
    failed = torch.zeros(len(lambdas), dtype=torch.bool)
    for _ in range(_MAX_STEPS):
        gradient = fits.at(lambdas)[3]
        size = gradient.abs().amax(dim=1)
        failed |= (size > _TOLERANCE) & ~(size < _SHRINKS * before)
        moving = (size > _TOLERANCE) & ~failed
        if not moving.any():
            break
        before = size
        lambdas = lambdas + torch.where(moving[:, None], fits.preconditioned(gradient), 0.0)
    left = failed | (fits.at(lambdas)[3].abs().amax(dim=1) > _TOLERANCE)
    lambdas = torch.where(left[:, None], start, lambdas)
    return lambdas, left.nonzero()[:, 0]


def _conjugate_gradients(fits: _Fits, lambdas: Tensor) -> tuple[Tensor, Tensor]:
    """λ by Newton steps, each from conjugate gradients with P_g, and which fits are not done after all."""
    value, weight, mean, gradient = fits.at(lambdas)
    size = gradient.abs().amax(dim=1)
    for _ in range(_MAX_STEPS):
        on = (size > _TOLERANCE).nonzero()[:, 0]
        if not len(on):
            break
        some = fits.some(on)
        move = _newton_step(some, weight[on], mean[on], gradient[on])
        slope = (gradient[on] * move).sum(dim=1)
        length = torch.ones(len(on), 1, dtype=torch.float64)
        trial = lambdas[on] + move
        found = some.at(trial)
        for _ in range(_MOST_HALVINGS):
            short = found[0] < value[on] + 1e-4 * length[:, 0] * slope - 1e-12 * (1 + value[on].abs())
            if not short.any():
                break
            length[short] *= 0.5
            trial = lambdas[on] + length * move
            found = some.at(trial)
        lambdas[on] = trial
        value[on], weight[on], mean[on], gradient[on] = found
        size = gradient.abs().amax(dim=1)
    return lambdas, (size > _TOLERANCE).nonzero()[:, 0]


def _newton_step(fits: _Fits, weight: Tensor, mean: Tensor, gradient: Tensor) -> Tensor:
    """(Cov_λ[O] + Σ)⁻¹ of the gradient, to a tenth or better, by conjugate gradients."""
    heavy = weight.amax(dim=0) > _LEAST_WEIGHT / weight.shape[1]  # the others do not change a step that is inexact
    fits, weight = replace(fits, z=fits.z[:, heavy].contiguous()), weight[:, heavy]
    move, rest = torch.zeros_like(gradient), gradient
    near = fits.preconditioned(rest.clone())
    direction, size = near, (rest * near).sum(dim=1)
    enough = size * torch.minimum(torch.tensor(0.01), rest.abs().amax(dim=1)).square().clamp(min=1e-8)
    for _ in range(_MAX_STEPS):
        on = size > enough
        if not on.any():
            break
        bent = fits.curved(direction, weight, mean)
        rate = torch.where(on, size / (direction * bent).sum(dim=1).clamp(min=1e-300), 0.0)[:, None]
        move, rest = move + rate * direction, rest - rate * bent
        near = fits.preconditioned(rest.clone())
        after = (rest * near).sum(dim=1)
        direction = near + torch.where(on, after / size.clamp(min=1e-300), 0.0)[:, None] * direction
        size = torch.where(on, after, size)
    return move


def _alone(
    values: Tensor,
    experiment: Experiment,
    groups: Sequence[Tensor],
    log_weight: Tensor | None,
    which: Tensor,
    start: Tensor | None,
) -> LeftOut:
    """The same by Newton's method, one after another."""
    fits = []
    for i in which.tolist():
        held_out = experiment.held_out.clone()
        held_out[groups[i]] = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeastworkWarning)  # of all data the warnings have been given
            first = None if start is None else start[i]
            fits.append(fit_lambdas(values, replace(experiment, held_out=held_out), log_weight, start=first))
    return LeftOut(torch.stack([f.predicted for f in fits]), torch.stack([f.lambdas for f in fits]), len(fits))

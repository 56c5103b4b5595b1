"""Maximum entropy: the distribution closest to the model that agrees with the data, p·exp(−λ·O)/Z; λ maximises the dual

    𝒟(λ) = −ln E_p[exp(−λ·(O−o))] − ½ λᵀΣλ        ∇𝒟 = E_λ[O] − o − Σλ        −∇²𝒟 = Cov_λ[O] + Σ

(Jaynes, Phys. Rev. 106, 620, 1957; with errors, Hummer & Köfinger, J. Chem. Phys. 143, 243150, 2015). A datum is an
interval [l, u], with l = u for a value, and λ·o stands for its support function Σ_k max(λ_k l_k, λ_k u_k): an upper
bound has λ_k ≥ 0, a lower bound λ_k ≤ 0, and a bound that the model meets anyway has λ_k = 0. Each Newton step
minimises the quadratic model of −𝒟 exactly, including the support function.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leastwork.data.dual import Dual, maximise, sampling_error
from leastwork.data.experiment import Experiment, as_experiment
from leastwork.data.infeasible import Array, Words
from leastwork.errors import LeastworkError, LeastworkWarning, NonFiniteError
from leastwork.geometry.state import State, tensor_of
from leastwork.observables.function import Observable
from leastwork.support.arguments import refused
from leastwork.support.html import html_table
from leastwork.support.numerals import fraction, plain, plus_minus

__all__ = ["Array", "LogTilt", "MaxEnt", "fit_lambdas", "warn_of_data"]

_MANY, _FEW = 100, 3  # number of samples, and the number of them that make half of the variance when they are named
_NARROWER = 1e-3  # ratio of the standard deviations under the tilt and before it below which λ is refined
_LEAST_ESS = 0.01  # Kish fraction below which a warning is given


def _log_tilt(observed: Tensor, lambdas: Tensor, reference: Tensor) -> Tensor:
    return (reference.to(observed) - observed) @ lambdas.to(observed)


@dataclass(frozen=True)
class LogTilt:
    """r(x) = −λ·(O(x) − reference), ln of the density ratio of the tilted distribution and the model, up to ln Z.

    Args:
        observable: the observables O, K columns.
        lambdas: λ in inverse units of the observables, float64 (K,).
        reference: reference values in units of the observables, float64 (K,), which keep r small.

    >>> tilt = LogTilt(Observable(lambda x: x), torch.tensor([2.0]), torch.tensor([0.5]))
    >>> tilt(torch.tensor([[1.0], [1.5]])).tolist()
    [-1.0, -2.0]
    """

    observable: Observable
    lambdas: Tensor
    reference: Tensor

    def __call__(self, x: State) -> Tensor:
        """r of every sample, (B,); differentiable in x."""
        return _log_tilt(self.observable(x), self.lambdas, self.reference)


@dataclass(frozen=True, eq=False)
class MaxEnt:
    """The maximum-entropy fit of K data; vectors are float64 (K,), λ in inverse units of the observables.

    Attributes:
        names: names of the observables.
        lambdas: λ; zero for data held out and for inactive bounds.
        stderr: standard error of λ due to the finite number of samples.
        target: target averages of guidance: o + Σλ for a value, the predicted average for other data.
        predicted: averages of all K observables under the tilted distribution.
        model_mean: averages under the model.
        model_std: standard deviations under the model, σ_O.
        reference: reference of the log-tilt r = −λ·(O − reference), equal to the target.
        log_z: ln E_p[e^r].
        kl: KL(tilted ‖ model) in nats, the least work that meets the data.
        ess: Kish fraction of the reweighted samples, in (0, 1].
        iterations: Newton steps taken.
        converged: always True; a fit that fails raises an error.
    """

    names: tuple[str, ...]
    lambdas: Tensor
    stderr: Tensor
    target: Tensor
    predicted: Tensor
    model_mean: Tensor
    model_std: Tensor
    reference: Tensor
    log_z: float
    kl: float
    ess: float
    iterations: int
    converged: bool

    def _repr_html_(self) -> str:
        columns = (self.lambdas, self.stderr, self.model_mean, self.model_std, self.target, self.predicted)
        rows = [
            (name, plus_minus(value, error), *map(plain, averages))
            for name, value, error, *averages in zip(self.names, *(one.tolist() for one in columns), strict=True)
        ]
        caption = f"Maximum entropy: least work {plain(self.kl)} k_BT, effective samples {fraction(self.ess)}"
        return html_table(caption, rows, ("observable", "λ", "model", "σ_O", "target", "predicted"))

    def log_tilt_of(self, observed: Tensor) -> Tensor:
        """r of samples from their observables, (n, K) -> (n,)."""
        return _log_tilt(observed, self.lambdas, self.reference)

    def log_tilt(self, observable: Observable) -> LogTilt:
        """r as a function of the state, for the observable of the experiment."""
        if observable.names != self.names:
            raise LeastworkError(
                f"λ were fitted for {self.names}, not {observable.names}: pass the experiment's observable"
            )
        return LogTilt(observable, self.lambdas, self.reference)


def fit_lambdas(
    observed: Tensor, experiment: Experiment, log_weight: Tensor | None = None, *, start: Tensor | None = None
) -> MaxEnt:
    """Find the λ for which the reweighted samples agree with the data and are as close to the model as possible.

    Redundant values (populations that sum to one, one distance in nm and in Å) leave λ undetermined along a direction
    that does not affect the tilt. Along it λ has minimum norm in units of 1/σ_O, so that λ does not depend on the
    choice of units and equivalent observables get the same λ.

    Args:
        observed: observables of the model's samples, (n, K), from `evaluate`.
        experiment: the K data.
        log_weight: ln dP/dQ of the samples, up to a constant, (n,), if they are not drawn from the model itself.
        start: λ of similar data, (K,), at which the search starts; by default 0.

    >>> x = torch.linspace(-3, 3, 1001, dtype=torch.float64)[:, None]
    >>> data = Experiment(Observable(lambda x: x, names="x"), values=[0.5])
    >>> fit = fit_lambdas(x, data, log_weight=-0.5 * x[:, 0] ** 2)
    >>> round(fit.lambdas.item(), 2), round(fit.predicted.item(), 9)
    (-0.52, 0.5)
    """
    values, log_p = _check_samples(observed, experiment, log_weight)
    n, count = values.shape
    p = np.exp(log_p)
    mean = p @ values
    centred = values - mean
    variance = p @ centred**2

    fitted = experiment.fitted.numpy()
    lower, upper = (end.numpy()[fitted] for end in experiment.interval)
    sigma = experiment.covariance.numpy()[np.ix_(fitted, fitted)]
    words = _words(values, experiment)
    words.check_reach(exact=sigma.diagonal() == 0)
    met = words.constant & ~words.outside  # there is nothing to weigh
    lower, upper = (np.where(met, mean[fitted], end) for end in (lower, upper))
    scale = np.sqrt(variance[fitted] + sigma.diagonal())
    scale[(sigma.diagonal() == 0) & words.constant] = 1.0
    centre, steps = mean, 0
    first = np.zeros(len(fitted)) if start is None else _start(start, len(experiment.names))[fitted] * scale
    while True:
        at = centre[fitted]
        z = np.divide(centred.T if len(fitted) == count else centred.T[fitted], scale[:, None], order="C")
        dual = Dual(z, log_p, (lower - at) / scale, (upper - at) / scale, sigma / np.outer(scale, scale))
        best = maximise(dual, words, at, scale, first)
        weight, steps = best.tilted.weight, steps + best.steps
        predicted = centre + weight @ centred
        narrower = np.sqrt(best.hessian.diagonal())
        narrower[words.constant | (narrower == 0)] = 1.0  # of those there is no scale
        if (narrower >= _NARROWER).all():
            break
        # a few samples made the whole spread and have lost their weight, so λ is refined on the scale of the others
        centre, centred = predicted, values - predicted
        first, scale = best.lambdas * narrower, scale * narrower
    lambdas, stderr = np.zeros(count), np.zeros(count)
    lambdas[fitted] = best.lambdas / scale
    stderr[fitted] = sampling_error(dual, best) / scale
    target = predicted.copy()
    target[fitted[dual.valued]] = (lower + scale * (dual.sigma @ best.lambdas))[dual.valued]
    log_z = best.tilted.log_mean + float(lambdas @ (target - centre))  # log_mean is relative to the centre
    ess = min(1 / (n * float(weight @ weight)), 1.0)
    _warn_of_data(words, values, mean[fitted], variance[fitted], p, sigma)
    if ess < _LEAST_ESS:
        warnings.warn(
            f"the data leave {n * ess:.3g} effective samples of {n} (ESS {ess:.2g}), so λ and all reweighted averages "
            "cannot be trusted: guide in stages, draw more samples, or give the data larger errors",
            LeastworkWarning,
            stacklevel=2,
        )
    vectors = (lambdas, stderr, target, predicted, mean, np.sqrt(variance), target.copy())
    return MaxEnt(
        experiment.names,
        *map(torch.from_numpy, vectors),
        log_z=log_z,
        kl=float(lambdas @ (target - predicted)) - log_z,
        ess=ess,
        iterations=steps,
        converged=True,
    )


def warn_of_data(observed: Tensor, experiment: Experiment) -> None:
    """Warn of data as :func:`fit_lambdas` does, but not of few effective samples, and without a fit.

    Args:
        observed: the observables of the model's samples, (n, K).
        experiment: the K data.

    Warns:
        LeastworkWarning: data lie far from the model, bounds do nothing, or a few samples decide λ.
    """
    values, log_p = _check_samples(observed, experiment, None)
    p, fitted = np.exp(log_p), experiment.fitted.numpy()
    mean, sigma = p @ values, experiment.covariance.numpy()[np.ix_(fitted, fitted)]
    variance = p @ (values - mean) ** 2
    _warn_of_data(_words(values, experiment), values, mean[fitted], variance[fitted], p, sigma)


def _words(values: Array, experiment: Experiment) -> Words:
    """Words on the fitted data; numbers that float32 holds are taken to be rounded to it, as the samples of models."""
    fitted = experiment.fitted.numpy()
    lower, upper = (end.numpy()[fitted] for end in experiment.interval)
    names, units = ([named[k] for k in fitted] for named in (experiment.names, experiment.units))
    with np.errstate(over="ignore"):
        coarse = (values.astype(np.float32) == values).all(axis=0)[fitted]
    rounding = np.where(coarse, 4 * np.finfo(np.float32).eps, 1e-12)
    return Words(names, units, lower, upper, values, fitted, rounding)


def _warn_of_data(words: Words, values: Array, mean: Array, variance: Array, p: Array, sigma: Array) -> None:
    _warn_of_few_samples(words, values, mean, variance, p)
    far = words.far_off(np.sqrt(variance), np.sqrt(sigma.diagonal()))
    if far:
        warnings.warn(f"the data lie far from the model: {far}", LeastworkWarning, stacklevel=3)
    idle = words.idle()
    if idle:
        warnings.warn(f"bounds do nothing: {idle}: check their unit", LeastworkWarning, stacklevel=3)


def _warn_of_few_samples(words: Words, values: Array, mean: Array, variance: Array, p: Array) -> None:
    """Warn of observables whose spread is that of a few samples, which then decide λ; of small sets nothing is said."""
    if len(values) < _MANY:
        return
    told, fewest = [], 0
    furthest = np.maximum(words.most - mean, mean - words.least)
    possible = (variance > 0) & (_FEW * p.max() * furthest**2 > 0.5 * variance)  # spares a pass over all other columns
    for k in np.flatnonzero(possible).tolist():
        column = values[:, words.fitted[k]]
        share = p * (column - mean[k]) ** 2
        largest = np.argsort(-share)[:_FEW]
        made = np.cumsum(share[largest])
        if made[-1] <= 0.5 * variance[k]:
            continue
        count = int((made <= 0.5 * variance[k]).sum()) + 1
        fewest = max(fewest, count)
        which = ", ".join([str(i) for i in largest[:count].tolist()])
        at = ", ".join([f"{column[i]:.4g}" for i in largest[:count].tolist()])
        told.append(
            f"sample{'s' * (count > 1)} {which}, where {words.names[k]!r} is {at}, make{'s' * (count == 1)} "
            f"{made[count - 1] / variance[k]:.1%} of its variance"
        )
    if told:
        who = "one sample decides" if fewest == 1 else "a few samples decide"
        warnings.warn(
            f"{who} λ: {'; '.join(told)}: look at these structures, leave them out, or measure something bounded",
            LeastworkWarning,
            stacklevel=4,
        )


def _start(start: Any, count: int) -> Array:
    found = tensor_of("start", start)
    if found.shape != (count,):
        raise refused("start", start, f"give λ of the {count} data")
    return found.to("cpu", torch.float64).numpy()


def _check_samples(observed: Tensor, experiment: Experiment, log_weight: Tensor | None) -> tuple[Array, Array]:
    """The observables (n, K) and normalised ln weights (n,) as arrays."""
    names = as_experiment(experiment).names
    values = np.ascontiguousarray(tensor_of("observed", observed).detach().to("cpu", torch.float64).numpy())
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] != len(names):
        raise LeastworkError(
            f"observed has shape {values.shape} for {len(names)} data {names}: pass (n, {len(names)}), a column each"
        )
    n = len(values)
    if n < 2:
        raise LeastworkError(f"λ cannot be fitted to {n} samples: draw at least two")
    finite = np.isfinite(values)
    if not finite.all():
        column = int(np.argmin(finite.all(axis=0)))
        bad = np.flatnonzero(~finite[:, column])
        raise NonFiniteError(
            f"observable {names[column]!r} is NaN or infinite for {len(bad)} of {n} samples, the first at index "
            f"{bad[0]}: look at that sample, or at the observable there"
        )
    if log_weight is None:
        return values, np.full(n, -math.log(n))
    log_p = tensor_of("log_weight", log_weight).detach().to("cpu", torch.float64).numpy()
    if log_p.shape != (n,):
        raise LeastworkError(f"log_weight has shape {log_p.shape} for {n} samples: pass ({n},), one per sample")
    if not np.isfinite(log_p).all():
        index = int(np.argmin(np.isfinite(log_p)))
        raise NonFiniteError(f"log_weight is {log_p[index]} at index {index}: look at that sample, or leave it out")
    log_p = log_p - log_p.max()
    return values, log_p - math.log(np.exp(log_p).sum())

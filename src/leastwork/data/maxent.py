"""The nearest distribution to the model that agrees with the data: p·exp(−λ·O)/Z, with λ the maximum of the dual

    𝒟(λ) = −ln E_p[exp(−λ·(O−o))] − ½ λᵀΣλ        ∇𝒟 = E_λ[O] − o − Σλ        −∇²𝒟 = Cov_λ[O] + Σ

(Jaynes, Phys. Rev. 106, 620, 1957; with errors, Hummer & Köfinger, J. Chem. Phys. 143, 243150, 2015). A datum is an
interval [l, u], a value one with l = u, and λ·o stands for its support function Σ_k max(λ_k l_k, λ_k u_k): an upper
bound has λ_k ≥ 0, a lower one λ_k ≤ 0, and a bound that the model already meets has λ_k = 0. Each Newton step
minimises the quadratic model of −𝒟 exactly, support function included.
"""

import math
import warnings
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.errors import InfeasibleError, LeastworkError, LeastworkWarning, NonFiniteError
from leastwork.geometry.state import State
from leastwork.observables.function import Observable

__all__ = ["LogTilt", "MaxEnt", "fit_lambdas"]

Array: TypeAlias = NDArray[np.float64]

_MAX_STEPS = 100
_TOLERANCE = 1e-12  # of the averages, in standard deviations
_STALLED = 1e-9  # good enough where rounding stops all progress
_RANK = 1e-10  # eigenvalues of the correlation matrix below this are redundancies
_RIDGE = 1e-13
_BLOCK = 2**17  # numbers that stay in the cache
_LEAST_ESS = 0.01


def _log_tilt(observed: Tensor, lambdas: Tensor, reference: Tensor) -> Tensor:
    return (reference.to(observed) - observed) @ lambdas.to(observed)


@dataclass(frozen=True)
class LogTilt:
    """r(x) = −λ·(O(x) − reference), the log-density of the tilted distribution over the model's, up to ln Z.

    Args:
        observable: O, K functions of a state.
        lambdas: λ, float64 (K,), in inverse units of the observables.
        reference: float64 (K,), in units of the observables; keeps r small.

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
        names: of the observables.
        lambdas: λ; zero for data held out and for bounds that do not bind.
        stderr: sampling error of λ from the finite number of samples.
        target: the averages that guided samples are judged by: o + Σλ for a value, the predicted average elsewhere.
        predicted: averages under the tilted distribution, of all K.
        model_mean: averages under the model.
        model_std: standard deviations under the model, σ_O.
        reference: of the log-tilt r = −λ·(O − reference), equal to the target.
        log_z: ln E_p[e^r].
        kl: KL(tilted ‖ model) in nats, the least work that meets the data.
        ess: Kish fraction of the reweighted samples, in (0, 1].
        iterations: Newton steps taken.
        converged: always true; a fit that fails raises.
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

    def log_tilt_of(self, observed: Tensor) -> Tensor:
        """r of samples whose observables are known, (n, K) -> (n,)."""
        return _log_tilt(observed, self.lambdas, self.reference)

    def log_tilt(self, observable: Observable) -> LogTilt:
        """r(x) as a function of the state; the observable is that of the experiment."""
        if observable.names != self.names:
            raise LeastworkError(
                f"λ were fitted for {self.names}, not {observable.names}: pass the experiment's observable"
            )
        return LogTilt(observable, self.lambdas, self.reference)


def fit_lambdas(observed: Tensor, experiment: Experiment, log_weight: Tensor | None = None) -> MaxEnt:
    """Find λ such that the reweighted samples agree with the data and stay as close to the model as that allows.

    Redundant values (populations that sum to one, one distance in nm and in Å) leave λ undetermined along some
    direction without any effect on the tilt; there λ has minimum norm in units of 1/σ_O, so that it follows a change
    of units and observables that play the same part get the same λ.

    Args:
        observed: O of the model's samples, (n, K), as `evaluate` returns it.
        experiment: the K data.
        log_weight: ln dP/dQ of the samples, (n,) up to a constant, where they are not drawn from the model itself.

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
    words = _Words([experiment.names[k] for k in fitted], lower, upper, values, fitted)
    words.check_reach(exact=sigma.diagonal() == 0)
    scale = np.sqrt(variance[fitted] + sigma.diagonal())
    scale[(sigma.diagonal() == 0) & words.constant] = 1.0
    centre = mean[fitted]
    z = (centred.T if len(fitted) == count else centred.T[fitted]) / scale[:, None]
    z = np.ascontiguousarray(z)
    dual = _Dual(z, log_p, (lower - centre) / scale, (upper - centre) / scale, sigma / np.outer(scale, scale))
    best = _maximise(dual, words, centre, scale)

    weight = best.tilted.weight
    lambdas, stderr = np.zeros(count), np.zeros(count)
    lambdas[fitted] = best.lambdas / scale
    stderr[fitted] = _sampling_error(dual, best) / scale
    predicted = mean + weight @ centred
    target = predicted.copy()
    target[fitted[dual.valued]] = (lower + scale * (dual.sigma @ best.lambdas))[dual.valued]
    log_z = best.tilted.log_mean + float(lambdas @ (target - mean))  # the tilted mean was taken about the model's
    ess = min(1 / (n * float(weight @ weight)), 1.0)
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
        iterations=best.steps,
        converged=True,
    )


def _check_samples(observed: Tensor, experiment: Experiment, log_weight: Tensor | None) -> tuple[Array, Array]:
    """The observables (n, K) and normalised ln weights (n,) as arrays."""
    names = experiment.names
    values = np.ascontiguousarray(observed.detach().to("cpu", torch.float64).numpy())
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
    log_p = log_weight.detach().to("cpu", torch.float64).numpy()
    if log_p.shape != (n,):
        raise LeastworkError(f"log_weight has shape {log_p.shape} for {n} samples: pass ({n},), one per sample")
    if not np.isfinite(log_p).all():
        index = int(np.argmin(np.isfinite(log_p)))
        raise NonFiniteError(f"log_weight is {log_p[index]} at index {index}: look at that sample, or leave it out")
    log_p = log_p - log_p.max()
    return values, log_p - math.log(np.exp(log_p).sum())


@dataclass(frozen=True)
class _Tilted:
    """The samples under exp(−λ·z): ln of the factor's mean, weights that sum to one, and the largest exponent."""

    log_mean: float
    weight: Array
    highest: float


@dataclass(frozen=True)
class _Dual:
    """−𝒟 of standardised data: z (K, n) has mean zero under the weights exp(log_p), and l and u are relative to it."""

    z: Array
    log_p: Array
    lower: Array
    upper: Array
    sigma: Array

    @property
    def valued(self) -> NDArray[np.bool_]:
        """Which data are values rather than bounds."""
        return np.equal(self.lower, self.upper)

    def tilt(self, lambdas: Array) -> _Tilted:
        exponent = -lambdas @ self.z
        highest = float(exponent.max())
        exponent += self.log_p
        top = float(exponent.max())
        exponent -= top
        weight = np.exp(exponent, out=exponent)
        total = float(weight.sum())
        weight /= total
        return _Tilted(top + math.log(total), weight, highest)

    def support(self, lambdas: Array) -> float:
        """Σ_k max(λ_k l_k, λ_k u_k)."""
        signed = lambdas != 0
        ends = np.where(lambdas > 0, self.upper, self.lower)
        return float(lambdas[signed] @ ends[signed])

    def value(self, lambdas: Array, tilted: _Tilted) -> float:
        return tilted.log_mean + self.support(lambdas) + 0.5 * float(lambdas @ self.sigma @ lambdas)

    def gradient(self, lambdas: Array, tilted: _Tilted) -> Array:
        """Of −𝒟 less its support function: Σλ − E_λ[z]."""
        return self.sigma @ lambdas - self.z @ tilted.weight

    def hessian(self, tilted: _Tilted) -> Array:
        """Cov_λ[z] + Σ."""
        return _second_moment(self.z, self.z @ tilted.weight, tilted.weight) + self.sigma

    def residual(self, lambdas: Array, gradient: Array) -> Array:
        """How far E_λ[z] − Σλ is from where the data want it; zero at the maximum."""
        met = -gradient
        wanted = np.clip(met, self.lower, self.upper)
        wanted = np.where(lambdas > 0, self.upper, np.where(lambdas < 0, self.lower, wanted))
        return met - wanted


def _second_moment(z: Array, mean: Array, weight: Array) -> Array:
    """Σ_i w_i (z_i − mean)(z_i − mean)ᵀ, in blocks that stay in the cache; z is (K, n)."""
    root = np.sqrt(weight)
    total = np.zeros((len(z), len(z)))
    rows = max(_BLOCK // len(z), 1)
    for i in range(0, len(weight), rows):
        block = (z[:, i : i + rows] - mean[:, None]) * root[i : i + rows]
        total += block @ block.T
    return total


@dataclass(frozen=True)
class _Maximum:
    """λ in units of 1/scale, the samples there, the directions in which λ could move (columns), and the steps taken."""

    lambdas: Array
    tilted: _Tilted
    directions: Array
    steps: int


def _maximise(dual: _Dual, words: "_Words", centre: Array, scale: Array) -> _Maximum:
    """Damped Newton from λ = 0, with Armijo's rule for the step."""
    valued = dual.valued
    lambdas = np.zeros(len(valued))
    tilted = dual.tilt(lambdas)
    hessian = dual.hessian(tilted)
    basis, contradiction = _basis(dual, hessian, valued)
    if contradiction is not None:
        raise words.contradictory(contradiction, centre, scale)
    free = basis.shape[1] - int((~valued).sum())
    exact = _exact_directions(dual.sigma)
    value = dual.value(lambdas, tilted)
    before = math.inf
    for step in range(_MAX_STEPS + 1):
        gradient = dual.gradient(lambdas, tilted)
        miss = float(np.abs(basis.T @ dual.residual(lambdas, gradient)).max(initial=0.0))
        if miss <= _TOLERANCE or 0.5 * before < miss <= _STALLED:
            moving = np.arange(basis.shape[1]) < free
            return _Maximum(lambdas, tilted, basis[:, moving | (basis.T @ lambdas != 0)], step)
        before = miss
        if _separates(dual, exact, lambdas, tilted):
            raise words.out_of_reach(exact @ lambdas)
        if step:
            hessian = dual.hessian(tilted)
        target = _newton_point(dual, basis, free, lambdas, gradient, hessian)
        slope = float(gradient @ (target - lambdas)) + dual.support(target) - dual.support(lambdas)
        slack = 1e-13 * (1 + abs(value))  # the rounding of the value
        length = 1.0
        while True:
            trial = target if length == 1 else lambdas + length * (target - lambdas)
            tilted = dual.tilt(trial)
            trial_value = dual.value(trial, tilted)
            if trial_value <= value + 1e-4 * length * slope + slack or length < 1e-18:
                break
            length /= 2
        lambdas, value = trial, trial_value
    raise words.at_the_edge(lambdas)


def _basis(dual: _Dual, hessian: Array, valued: NDArray[np.bool_]) -> tuple[Array, Array | None]:
    """The directions of λ that change the tilt, orthonormal columns: of the values first, then one for each bound.

    Along any other direction the samples and errors do not vary, so the values must agree with the samples there; where
    they do not, the second result is the direction, (K,).
    """
    values, bounds = np.flatnonzero(valued), np.flatnonzero(~valued)
    size, vectors = np.linalg.eigh(hessian[np.ix_(values, values)])
    redundant = size <= _RANK * max(size.max(initial=0.0), _RANK)
    contradiction = None
    if redundant.any():
        null = vectors[:, redundant]
        clash = null @ (null.T @ dual.lower[values])
        spread = math.sqrt(max(float(size[redundant].max()), 0.0))  # what rounding leaves of a sum that is constant
        if np.abs(clash).max() > 1e-9 + 6 * spread:
            contradiction = np.zeros(len(valued))
            contradiction[values] = clash
        vectors = vectors[:, ~redundant]
    rank = vectors.shape[1]
    basis = np.zeros((len(valued), rank + len(bounds)))
    basis[values, :rank] = vectors
    basis[bounds, rank + np.arange(len(bounds))] = 1.0
    return basis, contradiction


def _newton_point(dual: _Dual, basis: Array, free: int, lambdas: Array, gradient: Array, hessian: Array) -> Array:
    """The λ at which the quadratic model of −𝒟, support function included, is least.

    Which bounds bind is found by block pivoting (Júdice & Pires, Comput. Oper. Res. 21, 587, 1994): flip all wrong
    signs at once while that leaves fewer of them, else the last one only, which cannot cycle.
    """
    hess = basis.T @ hessian @ basis
    hess += max(_RIDGE * hess.diagonal().max(), _RIDGE**2) * np.eye(len(hess))
    linear = basis.T @ gradient - hess @ (basis.T @ lambdas)
    valued = dual.valued
    agreed = (basis.T @ np.where(valued, dual.lower, 0.0))[:free]
    if free == len(hess):
        return basis @ np.linalg.solve(hess, -linear - agreed)
    lower = np.concatenate([agreed, dual.lower[~valued]])
    upper = np.concatenate([agreed, dual.upper[~valued]])
    signs = np.sign(basis.T @ lambdas)
    signs[:free] = 1.0
    point = np.zeros(len(signs))
    fewest, patience = len(signs) + 1, 3
    for _ in range(20 + 10 * len(signs)):
        on = signs != 0
        point = np.zeros(len(signs))
        end = np.where(signs > 0, upper, lower)
        point[on] = np.linalg.solve(hess[np.ix_(on, on)], -(linear + end)[on])
        met = -(linear + hess @ point)
        beyond = 1.0 * (met > upper + 1e-14) - 1.0 * (met < lower - 1e-14)
        wrong = np.flatnonzero(np.where(on, point * signs < 0, beyond != 0)[free:]) + free
        if len(wrong) == 0:
            break
        if len(wrong) < fewest:
            fewest, patience = len(wrong), 3
        elif patience:
            patience -= 1
        else:
            wrong = wrong[-1:]
        signs[wrong] = np.where(on, 0.0, beyond)[wrong]
    return basis @ point


def _exact_directions(sigma: Array) -> Array:
    """The projector on the combinations of data that have no error."""
    if not sigma.any():
        return np.eye(len(sigma))
    size, vectors = np.linalg.eigh(sigma)
    null = vectors[:, size <= 1e-14 * size.max()]
    return null @ null.T


def _separates(dual: _Dual, exact: Array, lambdas: Array, tilted: _Tilted) -> bool:
    """Whether λ proves that no weighting of the samples meets the data: λ·z > λ·o for every one of them."""
    if not exact.any():
        return False
    direction = exact @ lambdas
    if np.array_equal(direction, lambdas):
        highest = tilted.highest
    elif tilted.weight.max() < 0.1:  # far from the edge, so do not look
        return False
    else:
        highest = float((-direction @ dual.z).max())
    return highest + dual.support(direction) < -1e-12 * float(np.abs(direction).sum())


def _sampling_error(dual: _Dual, best: _Maximum) -> Array:
    """Standard error of λ from its influence function ψ_i = (Cov_λ + Σ)⁻¹ n w_i (z_i − E_λ[z])."""
    n, weight, directions = len(dual.log_p), best.tilted.weight, best.directions
    scatter = _second_moment(dual.z, dual.z @ weight, weight**2) * (n / (n - 1))
    inverse = directions @ np.linalg.pinv(directions.T @ dual.hessian(best.tilted) @ directions, hermitian=True)
    inverse = inverse @ directions.T
    return np.sqrt(np.maximum((inverse @ scatter @ inverse).diagonal(), 0.0))


class _Words:
    """What to say of data that the samples cannot meet: names, intervals and what the samples reach, (K,)."""

    def __init__(self, names: list[str], lower: Array, upper: Array, values: Array, fitted: NDArray[np.int64]) -> None:
        self.names, self.lower, self.upper, self.n = names, lower, upper, len(values)
        self.least, self.most = values.min(axis=0)[fitted], values.max(axis=0)[fitted]
        self.constant = self.most - self.least <= 1e-12 * np.maximum(np.abs(self.least), np.abs(self.most))

    def check_reach(self, exact: NDArray[np.bool_]) -> None:
        """Data without error must lie strictly within what the samples reach, or on it where that is one number."""
        slack = np.where(self.constant, 1e-9 * np.abs(self.most), 0.0)
        high, low = self.upper - self.least, self.lower - self.most
        outside = np.where(self.constant, (high < -slack) | (low > slack), (high <= 0) | (low >= 0))
        for k in np.flatnonzero(outside & exact).tolist():
            raise InfeasibleError(
                f"the {self.n} samples reach [{self.least[k]:.6g}, {self.most[k]:.6g}] in {self.names[k]!r}, so no "
                f"weighting of them gives {self._datum(k)}: check its unit, draw more samples, guide in stages or give "
                "it an error"
            )

    def out_of_reach(self, direction: Array) -> InfeasibleError:
        """For data that only together are infeasible; those with the largest share in the direction are named."""
        return InfeasibleError(
            f"no weighting of the {self.n} samples meets these data together: {self._largest(direction)}: draw more "
            "samples, guide in stages or give the data errors"
        )

    def at_the_edge(self, direction: Array) -> InfeasibleError:
        return InfeasibleError(
            f"λ did not converge in {_MAX_STEPS} Newton steps, for these data lie at the edge of what the {self.n} "
            f"samples reach: {self._largest(direction)}: draw more samples, guide in stages or give the data errors"
        )

    def contradictory(self, direction: Array, centre: Array, scale: Array) -> InfeasibleError:
        """For values that contradict each other: a combination of observables is the same in every sample."""
        raw = direction / scale
        raw = raw / np.abs(raw).max()
        terms = [f"{raw[k]:+.4g} {self.names[k]!r}" for k in self._share(direction)]
        given = float(raw @ np.where(np.isfinite(self.lower), self.lower, 0.0))
        return InfeasibleError(
            f"the values contradict each other: {' '.join(terms)} is {float(raw @ centre):.6g} in every sample but "
            f"{given:.6g} by the data: correct a value, leave one out or give the data errors"
        )

    def _datum(self, k: int) -> str:
        if self.lower[k] == self.upper[k]:
            return f"its value {self.lower[k]:.6g}"
        if self.upper[k] <= self.least[k]:
            return f"its upper bound {self.upper[k]:.6g}"
        return f"its lower bound {self.lower[k]:.6g}"

    def _share(self, direction: Array) -> list[int]:
        """The data with the largest share in a direction, five at most."""
        size = np.abs(direction)
        return [int(k) for k in np.argsort(-size, kind="stable")[:5] if size[k] >= 0.1 * size.max()]

    def _largest(self, direction: Array) -> str:
        parts = []
        for k in self._share(direction):
            end = self.upper[k] if direction[k] > 0 else self.lower[k]
            sign = "=" if self.lower[k] == self.upper[k] else "<=" if direction[k] > 0 else ">="
            parts.append(
                f"{self.names[k]!r} {sign} {end:.6g} (samples reach [{self.least[k]:.6g}, {self.most[k]:.6g}])"
            )
        return ", ".join(parts)

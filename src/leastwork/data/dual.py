"""The dual function of maximum entropy, which is concave, and its maximum by Newton steps in float64."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leastwork.data.infeasible import MAX_STEPS, Array, Words

__all__ = ["Dual", "Maximum", "Tilted", "maximise", "sampling_error"]
_TOLERANCE = 1e-12  # largest residual of the averages, in standard deviations
_TOLERANCE_IF_STALLED = 1e-9  # the same if rounding errors stop all progress
_RANK_TOLERANCE = 1e-10  # smaller eigenvalues of the correlation matrix mark redundant data
_RIDGE = 1e-13  # added to the Hessian, relative to its size
_NEAR = 3.0  # sampling errors of an average within which a bound may act or not
_BLOCK = 2**17  # numbers in one block, which stays in the cache


@dataclass(frozen=True)
class Tilted:
    """The samples under the factor exp(−λ·z): ln of its mean, the weights (of sum one), and the largest exponent."""

    log_mean: float
    weight: Array
    highest: float


@dataclass(frozen=True)
class Dual:
    """−𝒟 of standardised data: z (K, n) has mean zero under the weights exp(log_p); l and u are standardised alike."""

    z: Array
    log_p: Array
    lower: Array
    upper: Array
    sigma: Array

    @property
    def valued(self) -> NDArray[np.bool_]:
        """Whether each datum is a value rather than a bound."""
        return np.equal(self.lower, self.upper)

    def tilt(self, lambdas: Array) -> Tilted:
        exponent = -lambdas @ self.z
        highest = float(exponent.max())
        exponent += self.log_p
        top = float(exponent.max())
        exponent -= top
        weight = np.exp(exponent, out=exponent)
        total = float(weight.sum())
        weight /= total
        return Tilted(top + math.log(total), weight, highest)

    def support(self, lambdas: Array) -> float:
        """Σ_k max(λ_k l_k, λ_k u_k)."""
        signed = lambdas != 0
        ends = np.where(lambdas > 0, self.upper, self.lower)
        return float(lambdas[signed] @ ends[signed])

    def value(self, lambdas: Array, tilted: Tilted) -> float:
        return tilted.log_mean + self.support(lambdas) + 0.5 * float(lambdas @ self.sigma @ lambdas)

    def gradient(self, lambdas: Array, tilted: Tilted) -> Array:
        """Gradient of −𝒟 without its support function: Σλ − E_λ[z]."""
        return self.sigma @ lambdas - self.z @ tilted.weight

    def hessian(self, tilted: Tilted) -> Array:
        """Cov_λ[z] + Σ."""
        return _second_moment(self.z, self.z @ tilted.weight, tilted.weight) + self.sigma

    def residual(self, lambdas: Array, gradient: Array) -> Array:
        """Distance of E_λ[z] − Σλ from the intervals of the data; zero at the maximum."""
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
        block = z[:, i : i + rows] - mean[:, None]
        block *= root[i : i + rows]
        total += block @ block.T
    return total


@dataclass(frozen=True)
class Maximum:
    """λ in units of 1/scale, the tilted samples, Cov_λ[z] + Σ, the directions that change the tilt (columns), steps."""

    lambdas: Array
    tilted: Tilted
    hessian: Array
    directions: Array
    steps: int


def maximise(dual: Dual, words: "Words", centre: Array, scale: Array, start: Array) -> Maximum:
    """Damped Newton from a first λ, with Armijo's rule for the step."""
    valued = dual.valued
    lambdas = start
    tilted = dual.tilt(lambdas)
    hessian = dual.hessian(tilted)
    basis, contradiction = _basis(dual, hessian, valued)
    if contradiction is not None:
        raise words.contradictory(contradiction, centre, scale)
    free = basis.shape[1] - int((~valued).sum())
    exact = _exact_directions(dual.sigma)
    value = dual.value(lambdas, tilted)
    before = math.inf
    for step in range(MAX_STEPS + 1):
        gradient = dual.gradient(lambdas, tilted)
        if step:
            hessian = dual.hessian(tilted)
        miss = float(np.abs(basis.T @ dual.residual(lambdas, gradient)).max(initial=0.0))
        if miss <= _TOLERANCE or 0.5 * before < miss <= _TOLERANCE_IF_STALLED:
            moving = np.arange(basis.shape[1]) < free
            return Maximum(lambdas, tilted, hessian, basis[:, moving | (basis.T @ lambdas != 0)], step)
        before = miss
        if _separates(dual, exact, lambdas, tilted):
            raise words.out_of_reach(exact @ lambdas)
        target = _newton_point(dual, basis, free, lambdas, gradient, hessian)
        slope = float(gradient @ (target - lambdas)) + dual.support(target) - dual.support(lambdas)
        slack = 1e-13 * (1 + abs(value))  # rounding error of the value
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


def _basis(dual: Dual, hessian: Array, valued: NDArray[np.bool_]) -> tuple[Array, Array | None]:
    """The directions of λ that change the tilt, as orthonormal columns: those of values, then one for each bound.

    Along any other direction neither samples nor errors vary, so the values must agree with the samples there. If they
    do not, the second result is that direction, (K,).
    """
    values, bounds = np.flatnonzero(valued), np.flatnonzero(~valued)
    size, vectors = np.linalg.eigh(hessian[np.ix_(values, values)])
    redundant = size <= _RANK_TOLERANCE * max(size.max(initial=0.0), _RANK_TOLERANCE)
    contradiction = None
    if redundant.any():
        null = vectors[:, redundant]
        clash = null @ (null.T @ dual.lower[values])
        spread = math.sqrt(max(float(size[redundant].max()), 0.0))  # rounding error of a constant sum
        if np.abs(clash).max() > 1e-9 + 6 * spread:
            contradiction = np.zeros(len(valued))
            contradiction[values] = clash
        vectors = vectors[:, ~redundant]
    rank = vectors.shape[1]
    basis = np.zeros((len(valued), rank + len(bounds)))
    basis[values, :rank] = vectors
    basis[bounds, rank + np.arange(len(bounds))] = 1.0
    return basis, contradiction


def _newton_point(dual: Dual, basis: Array, free: int, lambdas: Array, gradient: Array, hessian: Array) -> Array:
    """The λ that minimises the quadratic model of −𝒟, including its support function.

    The active bounds are found by block pivoting (Júdice & Pires, Comput. Oper. Res. 21, 587, 1994): all wrong signs
    are flipped at once as long as their number falls, otherwise only the last one, which cannot cycle.
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
    """Projector onto the combinations of data that have no error."""
    if not sigma.any():
        return np.eye(len(sigma))
    size, vectors = np.linalg.eigh(sigma)
    null = vectors[:, size <= 1e-14 * size.max()]
    return null @ null.T


def _separates(dual: Dual, exact: Array, lambdas: Array, tilted: Tilted) -> bool:
    """Whether λ proves that no weighting of the samples meets the data: λ·z > λ·o for every sample."""
    if not exact.any():
        return False
    direction = exact @ lambdas
    if np.array_equal(direction, lambdas):
        highest = tilted.highest
    elif tilted.weight.max() < 0.1:  # far from the edge of what the samples reach, so skip the test
        return False
    else:
        highest = float((-direction @ dual.z).max())
    return highest + dual.support(direction) < -1e-12 * float(np.abs(direction).sum())


def sampling_error(dual: Dual, best: Maximum) -> Array:
    """Standard error of λ from its influence function ψ_i = (Cov_λ + Σ)⁻¹ n w_i (z_i − E_λ[z]).

    A bound that other samples might have met or not counts as one that acts: its λ of zero is no more certain than that
    of a bound which only just acts.
    """
    n, weight = len(dual.log_p), best.tilted.weight
    mean = dual.z @ weight
    scatter = _second_moment(dual.z, mean, weight**2) * (n / (n - 1))
    slack = np.minimum(dual.upper - mean, mean - dual.lower)
    near = ~dual.valued & (best.lambdas == 0) & (slack < _NEAR * np.sqrt(scatter.diagonal()))
    directions = np.concatenate([best.directions, np.eye(len(mean))[:, near]], axis=1)
    inverse = directions @ np.linalg.pinv(directions.T @ best.hessian @ directions, hermitian=True)
    inverse = inverse @ directions.T
    return np.sqrt(np.maximum((inverse @ scatter @ inverse).diagonal(), 0.0))

"""The density of the posterior in λ and ln θ, its mode, and its curvature there

    ln π(m, θ) = −KL(m) − Σ_t [ ½ χ²_t(m)/θ_t + ½ K_t ln θ_t + (ln θ_t)²/2τ² ] + ln det Cov_λ[O] + const

Observables enter as V·O of uncorrelated columns with variance one under the model; combinations that are the same in
every sample, of which the data say nothing, are left out.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import fit_lambdas
from leastwork.data.mixture import Data
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.support.text import plural

__all__ = ["Problem", "bootstrapped", "check_posed", "log_density", "mode_and_root", "posed"]

_ROUNDS = 200  # of the search for the mode of θ
_MOST = 200  # fitted data, of whose covariance a determinant is taken for each draw
_TOGETHER = 2**19  # weights of samples in memory at a time: 4 MB, which a cache holds
_SAME = 1e-10  # variance of a combination of standardised observables that is the same in every sample


@dataclass(frozen=True, eq=False)
class Problem:
    """What the density is computed from.

    Args:
        values: the observables of the samples, (n, K), and ``log_p``, their ln weights under the model.
        data: the data, and ``of``, the F that are fitted.
        member: number of the technique of each fitted datum, −1 where its error is as stated; there are ``count``.
        spread: τ.
        basis: V, (F, R): λ = V l of fitted data, for the places l that are drawn.
    """

    values: Tensor
    log_p: Tensor
    data: Experiment
    of: Tensor
    member: Tensor
    count: int
    spread: float
    basis: Tensor

    @property
    def rank(self) -> int:
        """R, the number of coordinates of λ."""
        return self.basis.shape[1]

    @cached_property
    def precision(self) -> Tensor:
        """The inverse of the covariance of the fitted data's errors as stated, (F, F)."""
        return torch.linalg.pinv(self.data.covariance[self.of][:, self.of], hermitian=True)

    def lambdas(self, places: Tensor) -> Tensor:
        """λ of all data, (S, K), of places (S, R + T)."""
        whole = torch.zeros(len(places), len(self.data.names), dtype=torch.float64)
        whole[:, self.of] = places[:, : self.rank] @ self.basis.T
        return whole


def check_posed(data: Data) -> None:
    """Check that the fitted data have a posterior.

    Raises:
        LeastworkError: one of them has no error, or there are too many.
    """
    of = data.fitted
    if len(of) > _MOST:
        raise LeastworkError(
            f"{len(of)} fitted data are more than {_MOST}, whose covariance takes a determinant for each draw: hold "
            "some out, or take bootstrap_reweighted"
        )
    for k in of.tolist():
        if data.covariance[k, k] == 0:
            raise LeastworkError(f"{data.names[k]!r} has no error, so it has no posterior: give it one")


def posed(
    observed: Tensor,
    experiment: Experiment,
    techniques: Sequence[str] | None,
    spread: float,
    log_weight: Tensor | None,
) -> tuple[Problem, tuple[str, ...]]:
    """The problem and the names of techniques; raises as :func:`~leastwork.data.posterior.posterior`."""
    names = experiment.names
    if techniques is not None and len(techniques) != len(names):
        raise LeastworkError(f"{plural(len(techniques), 'technique')} for {plural(len(names), 'datum')}: name one each")
    if not spread > 0:
        raise LeastworkError(f"spread = {spread}: give a positive number, the standard deviation of ln θ")
    check_posed(experiment)
    of = experiment.fitted
    known: list[str] = [] if techniques is None else list(dict.fromkeys(techniques[int(k)] for k in of))
    member = torch.tensor([-1 if techniques is None else known.index(techniques[int(k)]) for k in of])
    values = observed.detach().to("cpu", torch.float64)
    values = values[:, None] if values.ndim == 1 else values
    log_p = torch.zeros(len(values), dtype=torch.float64) if log_weight is None else log_weight.to(values)
    log_p = log_p.log_softmax(dim=0)
    basis = _whitening(values[:, of], log_p.exp())
    if not basis.shape[1]:
        raise LeastworkError(
            "the observables of all fitted data are the same in every sample: there is no posterior, so ask for none"
        )
    return Problem(values, log_p, experiment, of, member, len(known), spread, basis), tuple(known)


def _whitening(values: Tensor, weight: Tensor) -> Tensor:
    """V (F, R) with Vᵀ Cov[O] V = 1, where R is the rank of Cov[O]."""
    covariance = _covariance(values, weight @ values, weight)
    deviation = covariance.diagonal().sqrt()
    level = 1e-12 * values.abs().amax(dim=0)
    deviation = torch.where(deviation > level, deviation, torch.inf)
    size, vectors = torch.linalg.eigh(covariance / deviation[:, None] / deviation)
    kept = size > _SAME * len(size)
    return (vectors[:, kept] / deviation[:, None]) * size[kept].rsqrt()


def bootstrapped(lambdas: Tensor, observed: Tensor, log_p: Tensor, random: torch.Generator, of: Tensor) -> Tensor:
    """Averages of values (n, M) with the weights of each draw, (S, M), each of another bootstrap of the samples."""
    found = []
    for block in lambdas.split(max(_TOGETHER // len(observed), 1)):
        weight = log_p - block @ observed.T
        weight = weight.sub_(weight.amax(dim=1, keepdim=True)).exp_()
        even = torch.rand(len(block), len(observed), dtype=torch.float64, generator=random)
        weight.mul_(even.neg_().log1p_().neg_())  # shares of a Bayesian bootstrap are exponential
        found.append((weight @ of) / weight.sum(dim=1, keepdim=True))
    return torch.cat(found)


def _scaled(problem: Problem, log_theta: Tensor) -> Tensor:
    """√θ of each fitted datum, (…, F)."""
    theta = torch.cat([log_theta, torch.zeros(*log_theta.shape[:-1], 1, dtype=torch.float64)], dim=-1)
    return (0.5 * theta[..., problem.member]).exp()


def log_density(problem: Problem, places: Tensor) -> tuple[Tensor, Tensor]:
    """ln π |∂m/∂λ| of places (S, R + T), and effective numbers of samples (S,)."""
    of = problem.of
    centre = problem.log_p.exp() @ problem.values
    z = (problem.values - centre)[:, of] @ problem.basis
    densities, samples = [], []
    for block in places.split(max(_TOGETHER // len(z), 1)):
        along, log = block[:, : problem.rank], block[:, problem.rank :]
        weight = problem.log_p - along @ z.T
        top = weight.amax(dim=1, keepdim=True)
        total = weight.sub_(top).exp_().sum(dim=1, keepdim=True)
        weight.div_(total)
        mean = weight @ z
        kl = -(along * mean).sum(dim=1) - (top + total.log())[:, 0]
        whole = weight @ problem.values
        miss = problem.data.outside(whole)[:, of] / _scaled(problem, log)
        chi = ((miss @ problem.precision) * miss).sum(dim=1)
        moments = torch.stack([weight @ (z * one[:, None]) for one in z.T], dim=1)  # about the model's averages
        size_of = torch.linalg.slogdet(moments - mean[:, :, None] * mean[:, None, :]).logabsdet
        of_theta = torch.zeros(len(block), dtype=torch.float64)
        if problem.count:
            number = torch.bincount(problem.member, minlength=problem.count).to(torch.float64)
            of_theta = -0.5 * (log @ number) - 0.5 * log.square().sum(dim=1) / problem.spread**2
        densities.append(-kl - 0.5 * chi + size_of + of_theta)
        samples.append(1 / weight.square().sum(dim=1))
    return torch.cat(densities), torch.cat(samples)


def _covariance(z: Tensor, mean: Tensor, weight: Tensor) -> Tensor:
    centred = z - mean
    return centred.T @ (weight[:, None] * centred)


def mode_and_root(problem: Problem) -> tuple[Tensor, Tensor]:
    """The place at which the posterior of m and ln θ is largest, (D,), and a root of the covariance there, (D, D)."""
    lambdas, log_theta = _mode(problem)
    values = problem.values[:, problem.of]
    weight = problem.log_p.exp()
    covariance = _covariance(values, weight @ values, weight)
    along = problem.basis.T @ covariance @ lambdas  # the inverse of λ = V l
    return torch.cat([along, log_theta]), _root(problem, lambdas, log_theta, covariance @ problem.basis)


def _mode(problem: Problem) -> tuple[Tensor, Tensor]:
    """λ of the fitted data and ln θ, by turns."""
    of = problem.of
    log_theta = torch.zeros(problem.count, dtype=torch.float64)
    start = None
    for _ in range(_ROUNDS):
        root = torch.ones(len(problem.data.names), dtype=torch.float64)
        root[of] = _scaled(problem, log_theta)
        data = replace(problem.data, errors=problem.data.covariance * root[:, None] * root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeastworkWarning)  # the fit itself has given them
            fit = fit_lambdas(problem.values, data, problem.log_p, start=start)
        start = fit.lambdas
        if not problem.count:
            break
        miss = problem.data.outside(fit.predicted)[of]
        found = log_theta.clone()
        for t in range(problem.count):
            mine = problem.member == t
            chi = float(miss[mine] @ problem.precision[mine][:, mine] @ miss[mine])
            found[t] = _log_theta(chi, int(mine.sum()), problem.spread)
        moved = float((found - log_theta).abs().max())
        log_theta = found
        if moved < 1e-8:
            break
    assert start is not None
    return start[of], log_theta


def _log_theta(chi: float, count: int, spread: float) -> float:
    """ln θ at which −½ χ²/θ − ½ K ln θ − (ln θ)²/2τ² is largest, by Newton's method; the function is concave."""
    value = 0.0
    for _ in range(100):
        pull = 0.5 * chi * math.exp(-value)
        step = (pull - 0.5 * count - value / spread**2) / (pull + 1 / spread**2)
        value += max(-1.0, min(1.0, step))
        if abs(step) < 1e-12:
            break
    return value


def _root(problem: Problem, lambdas: Tensor, log_theta: Tensor, back: Tensor) -> Tensor:
    """A root of the covariance at the mode, from the curvature in averages V·m and ln θ and δl = −C⁻¹ V·δm.

    Args:
        problem: the problem.
        lambdas, log_theta: the mode.
        back: ∂m/∂(V·m), (F, R), for the model.
    """
    of, rank, count = problem.of, problem.rank, problem.count
    z = problem.values[:, of] @ problem.basis
    weight = (problem.log_p - problem.values[:, of] @ lambdas).softmax(dim=0)
    inverse = torch.linalg.pinv(_covariance(z, weight @ z, weight), hermitian=True)
    root = _scaled(problem, log_theta)
    precision = torch.linalg.pinv(problem.data.covariance[of][:, of] * root[:, None] * root, hermitian=True)
    miss = problem.data.outside(weight @ problem.values)[of]
    acts = ((~problem.data.values[of].isnan()) | (miss != 0)).to(torch.float64)
    pull = precision @ miss
    curvature = torch.zeros(rank + count, rank + count, dtype=torch.float64)
    curvature[:rank, :rank] = inverse + back.T @ (precision * acts[:, None] * acts) @ back
    for t in range(count):
        mine = (problem.member == t).to(torch.float64)
        curvature[:rank, rank + t] = curvature[rank + t, :rank] = -back.T @ (pull * mine)
        curvature[rank + t, rank + t] = 0.5 * float((miss * mine) @ pull) + 1 / problem.spread**2
    size, vectors = torch.linalg.eigh(curvature)
    least = 1e-6 * float(size.max())
    to_places = torch.block_diag(-inverse, torch.eye(count, dtype=torch.float64))
    return to_places @ (vectors * size.clamp(min=least).rsqrt())

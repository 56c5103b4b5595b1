"""The posterior of averages and of errors: how far data with uncertain errors determine the ensemble

    ln π(m, θ) = −KL(m) − Σ_t [ ½ χ²_t(m)/θ_t + ½ K_t ln θ_t + (ln θ_t)²/2τ² ] + const

m are the averages of K observables, KL(m) is that of the maximum-entropy ensemble with these averages from the model,
and θ_t multiplies the covariance Σ_t of the errors of technique t. The prior of m is e^(−KL), flat in m: averages of
the truth lie about as far from the model as a nat allows. The mode of m at θ = 1 is the maximum-entropy fit (Hummer &
Köfinger, J. Chem. Phys. 143, 243150, 2015); θ_t has a log-normal prior about one, ln θ_t ~ N(0, τ²).

Draws come from Student's distribution around the mode, in λ and ln θ, with the curvature there, and carry weights
π |∂m/∂λ| / proposal, |∂m/∂λ| = det Cov_λ[O] (importance sampling; Kloek & van Dijk, Econometrica 46, 1, 1978).
The tail index of the weights says whether they do.

Samples end where the model is rare, and a truth beyond them is held too seldom by intervals of averages, more so with
more observables: ``python -m benchmarks.posterior_coverage`` tells coverage by the distance of the truth. Bootstraps of
the samples, which end in the same place, do not mend that.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import fit_lambdas
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.statistics.tails import NOT_TO_TRUST, tail_index
from leastwork.support.random import generator
from leastwork.support.text import plural

__all__ = ["Posterior", "posterior"]

_DEGREES = 7  # of freedom of the proposal, whose tails are heavier than those of the posterior
_ROUNDS = 200  # of the search for the mode of θ
_MOST = 200  # fitted data, of whose covariance a determinant is taken for each draw
_TOGETHER = 2**23  # weights of samples in memory at a time


@dataclass(frozen=True, eq=False)
class Posterior:
    """Weighted draws of the posterior; all float64.

    Args:
        names: names of the data.
        techniques: names of the techniques.
        lambdas: λ of each draw, (S, K); zero for data held out.
        averages: averages of all observables, (S, K).
        thetas: θ of each technique, (S, T).
        log_weight: ln weights of the draws, (S,).
        observed: the observables of the samples, (n, K), and ``log_p``, their ln weights under the model.
        tail: tail index of the weights of the draws; above 0.7 they are not to be trusted.
        ess: effective number of draws.
    """

    names: tuple[str, ...]
    techniques: tuple[str, ...]
    lambdas: Tensor
    averages: Tensor
    thetas: Tensor
    log_weight: Tensor
    observed: Tensor
    log_p: Tensor
    tail: float
    ess: float

    def interval(self, values: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """The credible interval with equal tails of a function of the draws.

        Args:
            values: its values, (S,) or (S, M).
            level: probability that it holds.

        Returns:
            Lower and upper ends, () or (M,).
        """
        if not 0 < level < 1:
            raise LeastworkError(f"level = {level}: give a probability between 0 and 1")
        columns = values[:, None] if values.ndim == 1 else values
        order = columns.argsort(dim=0)
        weight = self.log_weight.softmax(dim=0)[order].cumsum(dim=0)
        ends = []
        for share in (0.5 * (1 - level), 0.5 * (1 + level)):
            at = (weight < share).sum(dim=0).clamp(max=len(columns) - 1)
            ends.append(columns.gather(0, order.gather(0, at[None]))[0])
        return (ends[0][0], ends[1][0]) if values.ndim == 1 else (ends[0], ends[1])

    def averages_of(self, values: Tensor) -> Tensor:
        """Averages of any function of the samples in each draw, such as the population of a state.

        Args:
            values: the function's values for the samples, (n,) or (n, M).

        Returns:
            (S,) or (S, M); the interval of these is that of the average.
        """
        found = [w @ values.to(torch.float64) for w in _weights(self.lambdas, self.observed, self.log_p)]
        return torch.cat(found)


def posterior(
    observed: Tensor,
    experiment: Experiment,
    techniques: Sequence[str] | None = None,
    *,
    spread: float = math.log(2),
    log_weight: Tensor | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Posterior:
    """Draw averages, λ and the errors' θ of each technique from their posterior.

    Args:
        observed: the observables of the model's samples, (n, K).
        experiment: the K data; those that are fitted have errors.
        techniques: the technique of each datum, (K,), whose errors share one θ; None if the errors are as stated.
        spread: τ, the standard deviation of ln θ in the prior; ln 2 says that errors are right within √2, most likely.
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.
        draws: number of draws S.
        seed: seed of all random numbers.

    Raises:
        LeastworkError: a fitted datum has no error, there are too many data, or arguments do not match.

    A normal distribution of mean 0 and variance 1, with the datum 1 ± 1, has the posterior N(½, ½):

    >>> from leastwork.observables import Observable
    >>> x = torch.linspace(-6, 6, 1001, dtype=torch.float64)[:, None]
    >>> data = Experiment(Observable(lambda x: x, names="x"), values=[1.0], errors=[1.0])
    >>> found = posterior(x, data, log_weight=-0.5 * x[:, 0] ** 2)
    >>> [round(end.item(), 1) for end in found.interval(found.averages[:, 0])], round(found.ess / 2000, 1)
    ([-0.9, 1.9], 1.0)
    """
    problem, names = _problem(observed, experiment, techniques, spread, log_weight)
    if draws < 100:
        raise LeastworkError(f"draws = {draws}: give at least 100, so that intervals have ends")
    mode = _mode(problem)
    root = _proposal(problem, mode)
    count = len(mode)
    random = generator(seed, "posterior")
    normal = torch.randn(draws, count, generator=random, dtype=torch.float64)
    of_student = torch.randn(draws, _DEGREES, generator=random, dtype=torch.float64).square().sum(dim=1, keepdim=True)
    scale = (_DEGREES / of_student).sqrt()
    step = normal * scale
    places = mode + step @ root.T
    proposal = -0.5 * (_DEGREES + count) * torch.log1p(step.square().sum(dim=1) / _DEGREES)
    fitted = len(problem.of)
    lambdas, log_theta = places[:, :fitted], places[:, fitted:]
    density, averages = _density(problem, lambdas, log_theta)
    weight = density - proposal
    whole = torch.zeros(draws, len(experiment.names), dtype=torch.float64)
    whole[:, problem.of] = lambdas
    share = weight.softmax(dim=0)
    tail = tail_index(share)
    if tail > NOT_TO_TRUST:
        warnings.warn(
            f"the draws of the posterior have weights of tail index {tail:.2g} (above {NOT_TO_TRUST}), so its "
            "intervals rest on a few of them: take more samples of the model, or fewer data",
            LeastworkWarning,
            stacklevel=2,
        )
    return Posterior(
        experiment.names, names, whole, averages, log_theta.exp(), weight, problem.values, problem.log_p,
        tail, float(1 / share.square().sum()),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Problem:
    """Observables (n, K), ln weights, the data and their fitted ones, the technique of each of these, and τ."""

    values: Tensor
    log_p: Tensor
    data: Experiment
    of: Tensor
    member: Tensor
    count: int
    spread: float


def _problem(
    observed: Tensor,
    experiment: Experiment,
    techniques: Sequence[str] | None,
    spread: float,
    log_weight: Tensor | None,
) -> tuple[_Problem, tuple[str, ...]]:
    names = experiment.names
    if techniques is not None and len(techniques) != len(names):
        raise LeastworkError(f"{plural(len(techniques), 'technique')} for {plural(len(names), 'datum')}: name one each")
    if not spread > 0:
        raise LeastworkError(f"spread = {spread}: give a positive number, the standard deviation of ln θ")
    of = experiment.fitted
    if len(of) > _MOST:
        raise LeastworkError(
            f"{len(of)} fitted data are more than {_MOST}, whose covariance takes a determinant for each draw: hold "
            "some out, or take bootstrap_reweighted"
        )
    for k in of.tolist():
        if experiment.covariance[k, k] == 0:
            raise LeastworkError(f"{names[k]!r} has no error, so it has no posterior: give it one")
    known: list[str] = [] if techniques is None else list(dict.fromkeys(techniques[int(k)] for k in of))
    member = torch.tensor([-1 if techniques is None else known.index(techniques[int(k)]) for k in of])
    values = observed.detach().to("cpu", torch.float64)
    values = values[:, None] if values.ndim == 1 else values
    log_p = torch.zeros(len(values), dtype=torch.float64) if log_weight is None else log_weight.to(values)
    return _Problem(values, log_p.log_softmax(dim=0), experiment, of, member, len(known), spread), tuple(known)


def _weights(lambdas: Tensor, values: Tensor, log_p: Tensor) -> list[Tensor]:
    """Weights of the samples for each draw, in blocks (b, n)."""
    size = max(_TOGETHER // len(values), 1)
    blocks = (lambdas[i : i + size] for i in range(0, len(lambdas), size))
    return [(log_p - block @ values.T).softmax(dim=1) for block in blocks]


def _scaled(problem: _Problem, log_theta: Tensor) -> Tensor:
    """√θ of each fitted datum, (…, F)."""
    theta = torch.cat([log_theta, torch.zeros(*log_theta.shape[:-1], 1, dtype=torch.float64)], dim=-1)
    return (0.5 * theta[..., problem.member]).exp()


def _density(problem: _Problem, lambdas: Tensor, log_theta: Tensor) -> tuple[Tensor, Tensor]:
    """ln π |∂m/∂λ| of draws (S,), up to a constant, and the averages of all observables (S, K)."""
    of = problem.of
    centre = problem.log_p.exp() @ problem.values
    z = (problem.values - centre)[:, of]
    precision = torch.linalg.pinv(problem.data.covariance[of][:, of], hermitian=True)
    densities, averages = [], []
    size = max(_TOGETHER // z.numel(), 1)
    for i in range(0, len(lambdas), size):
        block, log = lambdas[i : i + size], log_theta[i : i + size]
        exponent = problem.log_p - block @ z.T
        log_z = exponent.logsumexp(dim=1)
        weight = (exponent - log_z[:, None]).exp()
        mean = weight @ z
        kl = -(block * mean).sum(dim=1) - log_z
        whole = weight @ problem.values
        miss = problem.data.outside(whole)[:, of] / _scaled(problem, log)
        chi = ((miss @ precision) * miss).sum(dim=1)
        moments = (weight[:, None, :] * z.T) @ z  # about the model's averages, so that little cancels
        size_of = torch.linalg.slogdet(moments - mean[:, :, None] * mean[:, None, :]).logabsdet
        of_theta = torch.zeros(len(block), dtype=torch.float64)
        if problem.count:
            number = torch.bincount(problem.member, minlength=problem.count).to(torch.float64)
            of_theta = -0.5 * (log @ number) - 0.5 * log.square().sum(dim=1) / problem.spread**2
        densities.append(-kl - 0.5 * chi + size_of + of_theta)
        averages.append(whole)
    return torch.cat(densities), torch.cat(averages)


def _covariance(z: Tensor, mean: Tensor, weight: Tensor) -> Tensor:
    centred = z - mean
    return centred.T @ (weight[:, None] * centred)


def _mode(problem: _Problem) -> Tensor:
    """λ and ln θ at which the posterior of m and ln θ is largest, by turns."""
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
        precision = torch.linalg.pinv(problem.data.covariance[of][:, of], hermitian=True)
        miss = problem.data.outside(fit.predicted)[of]
        found = log_theta.clone()
        for t in range(problem.count):
            mine = problem.member == t
            chi = float(miss[mine] @ precision[mine][:, mine] @ miss[mine])
            found[t] = _log_theta(chi, int(mine.sum()), problem.spread)
        moved = float((found - log_theta).abs().max())
        log_theta = found
        if moved < 1e-8:
            break
    assert start is not None
    return torch.cat([start[of], log_theta])


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


def _proposal(problem: _Problem, mode: Tensor) -> Tensor:
    """A root of the covariance of λ and ln θ at the mode, from the curvature in m and ln θ and δλ = −C⁻¹ δm."""
    of, count = problem.of, problem.count
    fitted = len(of)
    lambdas, log_theta = mode[:fitted], mode[fitted:]
    z = problem.values[:, of]
    weight = (problem.log_p - z @ lambdas).softmax(dim=0)
    mean = weight @ z
    spread = _covariance(z, mean, weight)
    inverse = torch.linalg.pinv(spread, hermitian=True)
    root = _scaled(problem, log_theta)
    precision = torch.linalg.pinv(problem.data.covariance[of][:, of] * root[:, None] * root, hermitian=True)
    whole = weight @ problem.values
    miss = problem.data.outside(whole)[of]
    acts = ((~problem.data.values[of].isnan()) | (miss != 0)).to(torch.float64)
    pull = precision @ miss
    curvature = torch.zeros(fitted + count, fitted + count, dtype=torch.float64)
    curvature[:fitted, :fitted] = inverse + precision * acts[:, None] * acts
    for t in range(count):
        mine = (problem.member == t).to(torch.float64)
        curvature[:fitted, fitted + t] = curvature[fitted + t, :fitted] = -pull * mine
        curvature[fitted + t, fitted + t] = 0.5 * float((miss * mine) @ pull) + 1 / problem.spread**2
    size, vectors = torch.linalg.eigh(curvature)
    least = 1e-6 * float(size.max())
    to_lambda = torch.block_diag(-inverse, torch.eye(count, dtype=torch.float64))
    return to_lambda @ (vectors * size.clamp(min=least).rsqrt())

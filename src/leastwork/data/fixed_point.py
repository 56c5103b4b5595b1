"""The fixed point of data on functions of averages: maximum entropy with f linearised at its own averages

    m ← E_λ[O],  η ← η − κ (∂f/∂η)ᵀ Λ,    λ of  f(m; η) + S (E[O] − m)  against y with covariance Σ + (∂f/∂η) κ (∂f/∂η)ᵀ

κ is a wide prior of η about its last value, a thousand times what the data tell (the proximal point method,
Rockafellar, SIAM J. Control Optim. 14, 877, 1976): where η stays, (∂f/∂η)ᵀ Λ = 0, which is the condition of a flat
prior. Unknowns on which only held-out data depend are found from these at the end. Steps are mixed by Anderson's method
(J. ACM 12, 547, 1965). Errors are those of the solution of the nonlinear
conditions: with C = Cov_λ[O], B the second derivatives of Λ·f, and ξ the noise of the averages of n samples,

    [1 + C B_mm   C Sᵀ   C B_mη ] [δm]   [ξ]
    [S            −Σ     ∂f/∂η  ] [δΛ] = [0]
    [B_ηm      (∂f/∂η)ᵀ  B_ηη   ] [δη]   [0]
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.indirect import Indirect
from leastwork.data.linear import (
    LinearColumns,
    Linearisation,
    bends,
    identity,
    inverse_covariance,
    largest,
    slopes,
    weighted_moments,
)
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.data.mixture import Data
from leastwork.data.profile import profiled, unknowns_of
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.geometry.state import tensor_of
from leastwork.statistics.estimate import Estimate
from leastwork.support.text import plural

__all__ = ["IndirectFit", "at_point", "fit_indirect", "on_averages"]

_MAX_STEPS = 300
_TOLERANCE = 1e-11  # largest remaining step, in standard deviations of O and standard errors of η
_TOLERANCE_IF_STALLED = 1e-8  # the same where rounding errors stop all progress
_WIDTH = 1e3  # variance of the prior of η about its last value, relative to what the data tell
_MEMORY = 6  # steps that are mixed
_MOST_BY_ONE, _MANY = 0.5, 100  # largest share of an average that one sample may make unsaid, of so many or more
_LEAST_CURVATURE = 1e-9  # smallest curvature along a combination of unknowns, relative to the largest


@dataclass(frozen=True, eq=False)
class IndirectFit:
    """A fit of data on functions of averages.

    Args:
        maxent: the fit of the linearised data; its λ are Λ, one for each datum, with errors of the nonlinear fit.
        experiment: the linearised data, which guidance takes.
        averages: m, the averages of the observables under the target, with their sampling errors, (K,).
        lambdas: λ of the observables, Sᵀ Λ, with sampling errors, (K,).
        predicted: f(m; η), with its sampling error, (J,).
        parameters: η by name, with standard errors from the curvature of the least F over q.
        point: where the functions are linearised.
        iterations: steps taken.
    """

    maxent: MaxEnt
    experiment: Experiment
    averages: Estimate
    lambdas: Estimate
    predicted: Estimate
    parameters: dict[str, Estimate]
    point: Linearisation
    iterations: int


def fit_indirect(observed: Tensor, data: Indirect, log_weight: Tensor | None = None) -> IndirectFit:
    """Fit λ and the unknowns to data on functions of averages.

    Args:
        observed: the observables of the model's samples, (n, K).
        data: the J data.
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.

    Raises:
        InfeasibleError: no weighting of the samples meets the data, or their linearisation on the way.
        NonFiniteError: a function is NaN or infinite on the way.
        LeastworkError: the unknowns cannot be told apart, one that must be positive is not, the samples are out of the
            data's reach, or the search does not converge.

    The ratio of averages of two independent normals, from samples on a grid:

    >>> from leastwork.observables import Observable
    >>> g = torch.linspace(-6, 6, 61, dtype=torch.float64)
    >>> x = torch.cartesian_prod(g, g)
    >>> both = Observable(lambda x: x + torch.tensor([1.0, 2.0]), names=("a", "b"))
    >>> data = Indirect(both, lambda m, eta: m[:1] / m[1:], names=("a / b",), values=[0.8], errors=[0.0])
    >>> fit = fit_indirect(both(x), data, log_weight=-0.5 * x.square().sum(dim=1))
    >>> round(fit.predicted.value.item(), 9), [round(m, 3) for m in fit.averages.value.tolist()]
    (0.8, [1.366, 1.707])
    """
    values = tensor_of("observed", observed).detach().to("cpu", torch.float64)
    values = values[:, None] if values.ndim == 1 else values
    if data.check is not None:
        data.check(values)
    problem = _Problem(values, data, log_weight)
    aside, of_aside = unknowns_of(data, problem.log_p.softmax(dim=0) @ values, data.stated.held_out)
    m, eta, steps, residual = _iterate(problem if not aside else problem.without(aside))
    eta, of_held_out = profiled(data, m, _among(data.start, eta, aside), of_aside, aside)
    for name, value in zip(data.parameters, eta.tolist(), strict=True):
        if name in data.positive and value <= 0:
            raise LeastworkError(
                f"{name!r} comes out as {value:.4g}, which must be positive: check signs and order of the data"
            )
    experiment = data.at(Linearisation(m, eta, torch.zeros_like(eta)))
    _warn_of_one_sample(problem, _columns(experiment).slope)
    maxent = fit_lambdas(problem.columns(experiment), experiment, log_weight)
    errors = _errors(problem, maxent, m, eta)
    model = data.evaluated(problem.log_p.softmax(dim=0) @ values, eta)
    of_unknowns = errors.parameters if not aside else torch.maximum(errors.parameters, of_held_out)
    point = Linearisation(m, eta, of_unknowns, model, tuple(data.parameters), residual)
    found = [Estimate(float(v), float(e)) for v, e in zip(eta, of_unknowns, strict=True)]
    slope = _columns(experiment).slope
    return IndirectFit(
        replace(maxent, stderr=errors.multipliers),
        experiment,
        Estimate(m, errors.averages),
        Estimate(slope.T @ maxent.lambdas, errors.lambdas),
        Estimate(_columns(experiment).constant, errors.predicted),
        dict(zip(data.parameters, found, strict=True)),
        point,
        steps,
    )


def on_averages(data: Data, observed: Tensor) -> tuple[Experiment, Tensor, IndirectFit | None]:
    """The data as data on averages, with the columns of these, (n, J), and the fit that this took, if it took one.

    Args:
        data: an experiment, which stays as it is, or data on functions of averages.
        observed: the observables of the model's samples, (n, K).

    Raises:
        LeastworkError: as in :func:`fit_indirect`.
    """
    if isinstance(data, Experiment):
        return data, observed, None
    fit = fit_indirect(observed, data)
    return fit.experiment, _columns(fit.experiment).of(observed.to(torch.float64)), fit


def at_point(data: Data, point: Linearisation | None) -> Experiment:
    """The same data at the point that a fit has found; an experiment as it is.

    Raises:
        LeastworkError: functions of averages without a point.
    """
    return data if isinstance(data, Experiment) else data.at(point)


def _among(start: Tensor, found: Tensor, aside: Sequence[int]) -> Tensor:
    """All unknowns: those that were found, with the start of those put aside."""
    if not aside:
        return found
    kept = [k for k in range(len(start)) if k not in aside]
    return start.index_put((torch.tensor(kept, dtype=torch.long),), found)


def _columns(experiment: Experiment) -> LinearColumns:
    columns = experiment.observable.fn
    assert isinstance(columns, LinearColumns)
    return columns


@dataclass(frozen=True, eq=False)
class _Problem:
    """Observables (n, K), the data, and ln dP/dQ."""

    values: Tensor
    data: Indirect
    log_weight: Tensor | None

    @property
    def log_p(self) -> Tensor:
        if self.log_weight is None:
            return torch.zeros(len(self.values), dtype=torch.float64)
        return self.log_weight.detach().to(self.values)

    def columns(self, experiment: Experiment) -> Tensor:
        return _columns(experiment).of(self.values)

    def without(self, aside: Sequence[int]) -> "_Problem":
        """The same without unknowns on which only held-out data depend."""
        start = self.data.start
        kept = {name: value for k, (name, value) in enumerate(self.data.parameters.items()) if k not in aside}

        def function(m: Tensor, eta: Tensor) -> Tensor:
            return self.data.function(m, _among(start, eta, aside))

        positive = tuple(name for name in self.data.positive if name in kept)
        return replace(self, data=replace(self.data, function=function, parameters=kept, positive=positive))

    def slope_of_parameters(self, m: Tensor, eta: Tensor) -> Tensor:
        """∂f/∂η of the data that are fitted, zero for others, (J, P)."""
        slope = slopes(lambda unknowns: self.data.function(m, unknowns), eta, len(self.data.names))
        return torch.where(self.data.stated.held_out[:, None], 0.0, slope)

    def told(self, slope: Tensor, spread: Tensor) -> Tensor:
        """What the data tell of η: (∂f/∂η)ᵀ (Σ + S C Sᵀ)⁻¹ ∂f/∂η, (P, P).

        Raises:
            LeastworkError: some combination of the unknowns changes nothing.
        """
        noise = self.data.covariance + spread
        if float(noise.diagonal().max()) <= 0:
            noise = identity(len(noise))
        found = slope.T @ inverse_covariance(noise) @ slope
        unit = found.diagonal().clamp(min=0).sqrt()
        correlation = found / (unit[:, None] * unit)
        if not correlation.isfinite().all() or float(torch.linalg.eigvalsh(correlation)[0]) <= _LEAST_CURVATURE:
            raise LeastworkError(
                f"the unknowns {', '.join(self.data.parameters)} cannot be told apart by the data: give more data, or "
                "the value of one of them"
            )
        return found


def _iterate(problem: _Problem) -> tuple[Tensor, Tensor, int, float]:
    """m and η at the fixed point, the steps taken, and the largest step that remains."""
    data, log_p = problem.data, problem.log_p
    m, covariance = weighted_moments(problem.values, log_p.softmax(dim=0))
    sigma = covariance.diagonal().sqrt()
    unit = torch.where(sigma > 0, sigma, 1.0)
    eta = _first_parameters(problem, m, covariance)
    count = len(m)
    places: list[Tensor] = []
    moves: list[Tensor] = []
    before, worse, mixing, root = float("inf"), 0, 1.0, identity(0)
    for step in range(_MAX_STEPS):
        experiment = data.at(Linearisation(m, eta, eta))
        slope = _columns(experiment).slope
        known = problem.slope_of_parameters(m, eta)
        told = problem.told(known, slope @ covariance @ slope.T) if len(eta) else identity(0)
        width = _WIDTH * torch.linalg.inv(told) if len(eta) else told
        wider = replace(experiment, errors=data.covariance + known @ width @ known.T) if len(eta) else experiment
        columns = problem.columns(experiment)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeastworkWarning)  # the last fit gives the warnings
            fit = fit_lambdas(columns, wider, problem.log_weight)
        weight = (log_p + fit.log_tilt_of(columns)).softmax(dim=0)
        next_m, covariance = weighted_moments(problem.values, weight)
        if step == 0 and len(eta):
            root = torch.linalg.cholesky(told).T  # of η, in standard errors
        move = torch.cat([(next_m - m) / unit, -root @ (width @ (known.T @ fit.lambdas))])
        size = largest(move)
        if size <= _TOLERANCE or 0.5 * before < size <= _TOLERANCE_IF_STALLED:
            return m, eta, step, size
        worse = worse + 1 if size >= before else 0
        if worse >= 3:  # mixing leads astray
            places, moves, worse, mixing = [], [], 0, 0.5 * mixing
        before = size
        place = torch.cat([m / unit, root @ eta])
        places, moves = [*places, place][-_MEMORY:], [*moves, move][-_MEMORY:]
        target = _mixed(places, moves, mixing)
        m = target[:count] * unit
        eta = torch.linalg.solve(root, target[count:]) if len(eta) else eta
    raise LeastworkError(
        f"functions of averages did not converge in {_MAX_STEPS} steps, the last moved averages by {before:.2g} "
        "standard deviations: give the data larger errors, or draw more samples"
    )


def _warn_of_one_sample(problem: _Problem, slope: Tensor) -> None:
    """Warn of averages that one sample makes, such as a rate by a near-contact; of data on averages the fit does."""
    values, names = problem.values, problem.data.observable.names
    share = problem.log_p.softmax(dim=0)[:, None] * values
    made, which = (share / share.sum(dim=0)).max(dim=0)
    of_functions = ~(slope == 1).any(dim=0)
    for k in (of_functions & (made > _MOST_BY_ONE) & (len(values) >= _MANY)).nonzero()[:3, 0].tolist():
        i = int(which[k])
        warnings.warn(
            f"one sample decides λ: sample {i}, where {names[k]!r} is {float(values[i, k]):.4g}, makes {made[k]:.1%} "
            "of its average: look at this structure, leave it out, or measure something bounded",
            LeastworkWarning,
            stacklevel=3,
        )


def _mixed(places: list[Tensor], moves: list[Tensor], mixing: float) -> Tensor:
    """Anderson's next place: that of least move among combinations of the last ones."""
    if len(moves) == 1:
        return places[0] + mixing * moves[0]
    of_moves = torch.stack([moves[-1] - move for move in moves[:-1]], dim=1)
    of_places = torch.stack([places[-1] - place for place in places[:-1]], dim=1)
    share = torch.linalg.lstsq(of_moves, moves[-1][:, None], driver="gelsd").solution[:, 0]
    return places[-1] + mixing * moves[-1] - (of_places + mixing * of_moves) @ share


def _first_parameters(problem: _Problem, m: Tensor, covariance: Tensor) -> Tensor:
    """η by least squares at the model's own averages, from the values that the data give (Gauss & Newton)."""
    data, eta = problem.data, problem.data.start
    if not len(eta):
        return eta
    valued = ~data.values.isnan() & ~data.stated.held_out
    _check_determined(problem, m)
    for _ in range(30):
        slope = _columns(data.at(Linearisation(m, eta, eta))).slope
        known = problem.slope_of_parameters(m, eta) * valued[:, None]
        noise = data.covariance + slope @ covariance @ slope.T
        noise = noise if float(noise.diagonal().max()) > 0 else identity(len(noise))
        precision = inverse_covariance(noise)
        miss = torch.where(valued, data.values.nan_to_num() - data.evaluated(m, eta), 0.0)
        told = known.T @ precision @ known
        change = torch.linalg.lstsq(told, (known.T @ precision @ miss)[:, None], driver="gelsd").solution[:, 0]
        eta = eta + change
        if float(change @ told @ change) < 1e-12:
            break
    return eta


def _check_determined(problem: _Problem, m: Tensor) -> None:
    """Refuse unknowns that take up all of the data that depend on them."""
    data = problem.data
    depends = problem.slope_of_parameters(m, data.start) != 0
    for k, name in enumerate(data.parameters):
        of = depends[:, k].nonzero()[:, 0]
        together = [other for j, other in enumerate(data.parameters) if bool(depends[of, j].any())]
        if len(of) <= len(together) or not len(of):
            raise LeastworkError(
                f"{plural(len(of), 'fitted value')} of {', '.join(data.names[j] for j in of[:3].tolist()) or name} for "
                f"{plural(max(len(together), 1), 'unknown')} ({', '.join(together or [name])}), which then agree with "
                f"any: give at least {max(len(together), 1) + 1}, or the values of the unknowns"
            )


@dataclass(frozen=True, eq=False)
class _Errors:
    """Standard errors: of η by the curvature, of all others by the samples' noise."""

    averages: Tensor
    multipliers: Tensor
    lambdas: Tensor
    predicted: Tensor
    parameters: Tensor


def _errors(problem: _Problem, maxent: MaxEnt, m: Tensor, eta: Tensor) -> _Errors:
    data, values = problem.data, problem.values
    experiment = data.at(Linearisation(m, eta, eta))
    slope, columns = _columns(experiment).slope, problem.columns(experiment)
    weight = (problem.log_p + maxent.log_tilt_of(columns)).softmax(dim=0)
    mean, covariance = weighted_moments(values, weight)
    noise = weight[:, None] * (values - mean)
    scatter = noise.T @ noise * len(values) / (len(values) - 1)
    stated = data.stated
    active = ((~stated.values.isnan() & ~stated.held_out) | (maxent.lambdas != 0)).nonzero()[:, 0]
    k, j, p = len(m), len(active), len(eta)

    def pulled(place: Tensor) -> Tensor:
        return maxent.lambdas @ data.function(place[:k], place[k:])

    bend = bends(pulled, torch.cat([m, eta]))
    known = problem.slope_of_parameters(m, eta)[active]
    s, sigma = slope[active], data.covariance[active][:, active]
    whole = torch.cat(
        [
            torch.cat([identity(k) + covariance @ bend[:k, :k], covariance @ s.T, covariance @ bend[:k, k:]], dim=1),
            torch.cat([s, -sigma, known], dim=1),
            torch.cat([bend[k:, :k], known.T, bend[k:, k:]], dim=1),
        ]
    )
    # in standard deviations, since units may differ by many orders of ten
    of_averages = torch.where(covariance.diagonal() > 0, covariance.diagonal(), 1.0).sqrt()
    spread = (s @ covariance @ s.T + sigma).diagonal().clamp(min=1e-300).sqrt()
    of_unknowns = (known / spread[:, None]).square().sum(dim=0).clamp(min=1e-300).rsqrt()
    rows = torch.cat([1 / of_averages, 1 / spread, of_unknowns])
    units = torch.cat([of_averages, 1 / spread, of_unknowns])
    scaled = rows[:, None] * whole * units
    # redundant data leave directions of Λ open
    response = (units[:, None] * torch.linalg.pinv(scaled) * rows)[:, :k]
    of_lambdas = bend[:k, :k] @ response[:k] + s.T @ response[k : k + j] + bend[:k, k:] @ response[k + j :]
    of_function = slope @ response[:k] + problem.slope_of_parameters(m, eta) @ response[k + j :]

    def error(rows: Tensor) -> Tensor:
        return (rows @ scatter @ rows.T).diagonal().clamp(min=0).sqrt()

    multipliers = torch.zeros_like(maxent.lambdas)
    multipliers[active] = error(response[k : k + j])
    inner, border = scaled[: k + j, : k + j], scaled[: k + j, k + j :]
    curvature = scaled[k + j :, k + j :] - scaled[k + j :, : k + j] @ torch.linalg.pinv(inner) @ border
    parameters = of_unknowns * torch.linalg.pinv(curvature).diagonal().clamp(min=0).sqrt() if p else eta
    return _Errors(error(response[:k]), multipliers, error(of_lambdas), error(of_function), parameters)

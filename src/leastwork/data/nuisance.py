"""Data of unknown scale and offset: o ≈ a_g E[O] + b_g in each group g of data, with a_g and b_g fitted beside λ.

    F(a, b) = min_q KL(q ‖ p) + ½ (o − a E_q[O] − b)ᵀ Σ⁻¹ (o − a E_q[O] − b)

    ∂F/∂b_g = Σ_{k∈g} λ_k        ∂F/∂ln a_g = Σ_{k∈g} λ_k a_g E_λ[O_k]

F is −ln of the posterior of tilt, a and b, with a flat prior of a and b, at its maximum over the tilt (Hummer &
Köfinger, J. Chem. Phys. 143, 243150, 2015; with nuisance parameters, Köfinger et al., J. Chem. Theory Comput. 15, 3390,
2019). Each value of F takes a maximum-entropy fit of the data rewritten as (o − b)/a. F is minimised by a damped Newton
method. Fitting λ and then a and b in turns would stall if errors are small, since λ then meets the data at any a and b.
"""

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.errors import InfeasibleError, LeastworkError, LeastworkWarning
from leastwork.statistics.estimate import Estimate
from leastwork.support.text import nearest, plural

__all__ = ["NuisanceFit", "fit_with_nuisance"]

_MAX_STEPS = 100  # Newton steps
_TOLERANCE = 1e-6  # largest remaining step of a and b, in their standard errors
_TOLERANCE_IF_STALLED = 1e-4  # the same if rounding errors stop all progress
_MOST_CHANGE = math.log(1e3)  # largest change of ln a from its initial value
_LEAST_CURVATURE = 1e-9  # smallest curvature of F, relative to that of χ² alone


@dataclass(frozen=True, eq=False)
class NuisanceFit:
    """Result of a joint fit of λ, scales and offsets.

    Args:
        maxent: the fit of the rewritten data; λ in inverse units of the observables.
        experiment: the data rewritten as (o − b)/a with covariance Σ_kl/(a_k a_l), which are averages of the
            observables and can be used for guidance. Held-out data of a group are rewritten too, but do not affect a
            and b.
        scales: a of each group with a scale, with its standard error from the curvature of F.
        offsets: b of each group with an offset, with its standard error, in units of the data.
        iterations: Newton steps taken.
    """

    maxent: MaxEnt
    experiment: Experiment
    scales: Mapping[str, Estimate]
    offsets: Mapping[str, Estimate]
    iterations: int


def fit_with_nuisance(
    observed: Tensor,
    experiment: Experiment,
    groups: Sequence[str | None],
    *,
    scale: bool | Collection[str] = True,
    offset: bool | Collection[str] = True,
    log_weight: Tensor | None = None,
) -> NuisanceFit:
    """Fit λ to data that are known up to a positive scale, an offset, or both.

    With offsets alone F has one minimum. With scales it may have several, and the one is taken that descent from the
    model's own averages reaches.

    Args:
        observed: observables of the model's samples, (n, K).
        experiment: the K data; those in a group must be values, not bounds.
        groups: the group of each datum, (K,); None for a datum without scale and offset.
        scale: whether all groups have a scale a > 0, or the names of those that have one.
        offset: whether all groups have an offset b, or the names of those that have one.
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.

    Raises:
        LeastworkError: the data do not determine a scale or offset, such as the scale of a single datum; a datum in a
            group is a bound; a name is unknown; or the fit does not converge, for instance as a scale grows without
            end.
        InfeasibleError: no weighting of the samples meets the data at the initial scales and offsets.

    >>> from leastwork.observables import Observable
    >>> x = torch.randn(5000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> shifts = Observable(lambda x: x, names=("H1", "H2", "H3"), unit="ppm")
    >>> data = Experiment(shifts, values=[7.2, 7.4, 7.6], errors=0.1)
    >>> fit_with_nuisance(x, data, ["H", "H", "H"], scale=False).offsets["H"]
    7.421 ± 0.59
    """
    groups_of = _group(experiment, groups, scale, offset)
    values = observed.detach().to("cpu", torch.float64)
    problem = _Problem(values[:, None] if values.ndim == 1 else values, experiment, log_weight, groups_of)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)  # the warning is given for the final fit
        point, steps = _descend(problem)
    errors = point.hessian.inverse().diagonal().sqrt()
    for name, error in zip(groups_of.scaled, errors.tolist(), strict=False):
        if error > 1:
            warnings.warn(
                f"the scale of {name!r} is known to {100 * error:.0f} % only, so any other may do: give more "
                "data of the group, or the scale",
                LeastworkWarning,
                stacklevel=2,
            )
    rewritten = problem.rewritten(point.place)
    maxent = fit_lambdas(observed, rewritten, log_weight)
    count, found = len(groups_of.scaled), point.place
    a = [Estimate(float(log_a.exp()), float(log_a.exp() * e)) for log_a, e in zip(found[:count], errors, strict=False)]
    b = [Estimate(float(value), float(e)) for value, e in zip(found[count:], errors[count:], strict=True)]
    scales, offsets = dict(zip(groups_of.scaled, a, strict=True)), dict(zip(groups_of.shifted, b, strict=True))
    return NuisanceFit(maxent, rewritten, MappingProxyType(scales), MappingProxyType(offsets), steps)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Names of groups with a scale and of those with an offset, and membership of the data, 0 or 1, (K, groups)."""

    scaled: tuple[str, ...]
    shifted: tuple[str, ...]
    scales: Tensor
    offsets: Tensor


@dataclass(frozen=True, eq=False)
class _Point:
    """F at (ln a, b), its gradient and Hessian, and the part of the Hessian that is never negative."""

    place: Tensor
    value: float
    gradient: Tensor
    hessian: Tensor
    stiffness: Tensor


@dataclass(frozen=True, eq=False)
class _Problem:
    observed: Tensor
    experiment: Experiment
    log_weight: Tensor | None
    groups: _Groups

    @property
    def log_p(self) -> Tensor:
        if self.log_weight is None:
            return torch.zeros(len(self.observed), dtype=torch.float64)
        return self.log_weight.detach().to(self.observed)

    def split(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """a and b of every datum, (K,)."""
        count = len(self.groups.scaled)
        return (self.groups.scales @ place[:count]).exp(), self.groups.offsets @ place[count:]

    def rewritten(self, place: Tensor) -> Experiment:
        a, b = self.split(place)
        data = self.experiment
        ends = {key: (getattr(data, key) - b) / a for key in ("values", "lower", "upper")}
        return replace(data, errors=data.covariance / (a[:, None] * a), **ends)

    def begin(self) -> Tensor:
        """Initial (ln a, b): least squares of the data on the model's averages in each group; a is positive."""
        p = self.log_p.softmax(dim=0)
        average = p @ self.observed
        error = p @ (self.observed - average).square() + self.experiment.covariance.diagonal()
        share = torch.where(self.experiment.held_out, 0.0, 1 / error.clamp(min=1e-300))
        o, groups = self.experiment.values.nan_to_num(), self.groups
        scales, offsets = {}, {}
        for name in (*groups.scaled, *groups.shifted):
            has_scale, has_offset = name in groups.scaled, name in groups.shifted
            kind = (groups.scales, groups.scaled) if has_scale else (groups.offsets, groups.shifted)
            w = kind[0][:, kind[1].index(name)] * share
            w = w / w.sum()
            x, y = (v - w @ v if has_offset else v for v in (average, o))
            a, xx, yy = 1.0, float(w @ x.square()), float(w @ y.square())
            if has_scale:
                if min(xx / float(w @ error), yy) <= _LEAST_CURVATURE**2:
                    which = "the model's averages" if yy > _LEAST_CURVATURE**2 else "the data"
                    raise LeastworkError(
                        f"{which} of group {name!r} {'are all alike' if has_offset else 'are zero'}, which tells "
                        "nothing about its scale: leave out the scale, or the group"
                    )
                a = float(w @ (x * y)) / xx
                a = a if a > 0 else math.sqrt(yy / xx)
            scales[name], offsets[name] = a, float(w @ (o - a * average))
        place = [math.log(scales[name]) for name in groups.scaled] + [offsets[name] for name in groups.shifted]
        return torch.tensor(place, dtype=torch.float64)

    def at(self, place: Tensor) -> _Point:
        """F from the dual 𝒟 of a O + b at its maximum λ, and ∇²F = 𝒟_θθ − 𝒟_θλ 𝒟_λλ⁻¹ 𝒟_λθ with θ = (ln a, b)."""
        a, _ = self.split(place)
        data = self.rewritten(place)
        fit = fit_lambdas(self.observed, data, self.log_weight)
        value = fit.kl + 0.5 * float(fit.lambdas @ data.covariance @ fit.lambdas)
        lambdas, average = fit.lambdas / a, fit.predicted * a
        pull = lambdas[:, None] * self.groups.scales  # u_g = Σ_{k∈g} λ_k a O_k
        weight = (self.log_p + fit.log_tilt_of(self.observed)).softmax(dim=0)
        centred = (self.observed - fit.predicted) * a
        covariance = centred.T @ (weight[:, None] * centred)
        mixed = torch.cat([self.groups.scales * average[:, None] - covariance @ pull, self.groups.offsets], dim=1)
        binds = (~self.experiment.values.isnan() & ~self.experiment.held_out) | (lambdas != 0)
        inverse = torch.linalg.pinv((covariance + self.experiment.covariance)[binds][:, binds], hermitian=True)
        stiffness = mixed[binds].T @ inverse @ mixed[binds]
        of_scales = torch.diag(pull.T @ average) - pull.T @ covariance @ pull
        hessian = stiffness + torch.block_diag(of_scales, torch.zeros([self.groups.offsets.shape[1]] * 2).to(of_scales))
        gradient = torch.cat([pull.T @ average, self.groups.offsets.T @ lambdas])
        return _Point(place, value, gradient, hessian, stiffness)


def _descend(problem: _Problem) -> tuple[_Point, int]:
    """Minimise F by Newton's method, with the absolute value of the curvature and Armijo's rule for the step."""
    start = problem.begin()
    point, before = problem.at(start), math.inf
    count = len(problem.groups.scaled)
    for step in range(_MAX_STEPS + 1):
        unit = point.stiffness.diagonal().clamp(min=1e-300).rsqrt()  # unit of each coordinate
        size, vectors = torch.linalg.eigh(point.hessian * unit[:, None] * unit)
        along = vectors.T @ (unit * point.gradient)
        length = float((along.square() / size.abs().clamp(min=_LEAST_CURVATURE)).sum().sqrt())  # in standard errors
        if length <= _TOLERANCE or 0.5 * before < length <= _TOLERANCE_IF_STALLED:
            if float(size[0]) <= _LEAST_CURVATURE:
                raise LeastworkError(f"{_names(problem.groups)} cannot be told apart by the data: leave one out")
            return point, step
        before = length
        move = -unit * (vectors @ (along / size.abs().clamp(min=1e-3)))
        move = move / max(1.0, float(move[:count].abs().max()) if count else 0.0)  # a factor of at most e for a scale
        slope, rest = float(point.gradient @ move), 1.0
        while True:
            trial = _value_at(problem, point.place + rest * move)
            if trial is not None and trial.value <= point.value + 1e-4 * rest * slope + 1e-12 * (1 + abs(point.value)):
                break
            rest /= 2
            if rest < 1e-12:
                raise _not_converged(problem)
        point = trial
        if count and float((point.place - start)[:count].abs().max()) > _MOST_CHANGE:
            raise LeastworkError(
                f"no convergence of {_names(problem.groups)}, for a scale moved by more than a factor "
                f"{math.exp(_MOST_CHANGE):.0f}: check signs and units of the data, or give the scale"
            )
    raise _not_converged(problem)


def _value_at(problem: _Problem, place: Tensor) -> _Point | None:
    """F at ``place``, or None if no weighting of the samples meets the data."""
    try:
        return problem.at(place)
    except InfeasibleError:
        return None


def _names(groups: _Groups) -> str:
    parts = [f"{what} of {', '.join(map(repr, names))}" for what, names in
             (("the scale", groups.scaled), ("the offset", groups.shifted)) if names]  # fmt: skip
    return " and ".join(parts)


def _not_converged(problem: _Problem) -> LeastworkError:
    return LeastworkError(
        f"no convergence of {_names(problem.groups)} in {_MAX_STEPS} Newton steps: give the data larger errors, or "
        "draw more samples"
    )


def _group(
    experiment: Experiment, groups: Sequence[str | None], scale: bool | Collection[str], offset: bool | Collection[str]
) -> _Groups:
    """The groups, after a check that each has enough data and no bounds."""
    count = len(experiment.names)
    if len(groups) != count:
        raise LeastworkError(f"{plural(len(groups), 'group')} for {count} data: name one for each, or None")
    members: dict[str, list[int]] = {}
    for k, name in enumerate(groups):
        if name is not None:
            members.setdefault(name, []).append(k)
    scaled, shifted = _chosen_names(scale, "scale", members), _chosen_names(offset, "offset", members)
    if not scaled and not shifted:
        raise LeastworkError("no group has a scale or an offset: name groups, or call fit_lambdas")
    for name, of in members.items():
        unknowns = (name in scaled) + (name in shifted)
        for k in of:
            if unknowns and bool(experiment.values[k].isnan()):
                raise LeastworkError(
                    f"{experiment.names[k]!r} of group {name!r} is a bound: only values can have a scale or an offset"
                )
        fitted = sum(not bool(experiment.held_out[k]) for k in of)
        if unknowns and fitted <= unknowns:
            raise LeastworkError(
                f"group {name!r} has {plural(fitted, 'fitted value')}, which {plural(unknowns, 'unknown')} (scale or "
                f"offset) take up altogether: give at least {unknowns + 1}, or leave out the unknown"
            )
    return _Groups(scaled, shifted, _indicator(groups, scaled), _indicator(groups, shifted))


def _indicator(groups: Sequence[str | None], names: Sequence[str]) -> Tensor:
    table = [[float(group == name) for name in names] for group in groups]
    return torch.tensor(table, dtype=torch.float64).reshape(len(groups), len(names))


def _chosen_names(which: bool | Collection[str], what: str, known: Mapping[str, object]) -> tuple[str, ...]:
    if isinstance(which, bool):
        return tuple(known) if which else ()
    for name in which:
        if name not in known:
            raise LeastworkError(f"{what}: there is no group {name!r} of data{nearest(name, list(known))}")
    return tuple(name for name in known if name in which)

"""Data of unknown scale and offset: o ≈ a_g E[O] + b_g in each group g of data, with a_g and b_g fitted beside λ.

    F(a, b) = min_q KL(q ‖ p) + ½ (o − a E_q[O] − b)ᵀ Σ⁻¹ (o − a E_q[O] − b)

F is −ln of the posterior of tilt, a and b, with a flat prior of a and b, at its maximum over the tilt (Hummer &
Köfinger, J. Chem. Phys. 143, 243150, 2015; with nuisance parameters, Köfinger et al., J. Chem. Theory Comput. 15, 3390,
2019). Its minimum is found by :mod:`leastwork.data.fixed_point`, for these are data on functions of averages; here they
are rewritten as data on averages, (o − b)/a.
"""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.fixed_point import fit_indirect
from leastwork.data.functions import Scaled
from leastwork.data.indirect import Indirect
from leastwork.data.maxent import MaxEnt, fit_lambdas
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.statistics.estimate import Estimate
from leastwork.support.text import nearest, plural

__all__ = ["NuisanceFit", "fit_with_nuisance"]

_NOTHING = 1e-18  # square of averages or data, relative to their errors, that tells nothing of a scale


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
        iterations: steps taken.
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

    With offsets alone F has one minimum. With scales it may have several, and the one is taken that the search from the
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
            group is a bound; a name is unknown; a scale comes out negative; or the fit does not converge.
        InfeasibleError: no weighting of the samples meets the data.

    >>> from leastwork.observables import Observable
    >>> x = torch.randn(5000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> shifts = Observable(lambda x: x, names=("H1", "H2", "H3"), unit="ppm")
    >>> data = Experiment(shifts, values=[7.2, 7.4, 7.6], errors=0.1)
    >>> fit_with_nuisance(x, data, ["H", "H", "H"], scale=False).offsets["H"]
    7.421 ± 0.59
    """
    scaled, shifted = _group(experiment, groups, scale, offset)
    values = observed.detach().to("cpu", torch.float64)
    values = values[:, None] if values.ndim == 1 else values
    for name in scaled:
        _check_scale(name, values, experiment, groups, name in shifted, log_weight)
    unknowns = [*((name, "scale") for name in scaled), *((name, "offset") for name in shifted)]
    titles = [f"the {what} of {name!r}" for name, what in unknowns]

    def numbers(what: str) -> tuple[int | None, ...]:
        return tuple(unknowns.index((name, what)) if (name, what) in unknowns else None for name in groups)

    ends = {key: getattr(experiment, key) for key in ("values", "errors", "lower", "upper", "held_out")}
    parameters = {title: float(what == "scale") for title, (_, what) in zip(titles, unknowns, strict=True)}
    function = Scaled(scales=numbers("scale"), offsets=numbers("offset"))
    positive = tuple(titles[: len(scaled)])
    whole = Indirect(
        experiment.observable, function, experiment.names, parameters=parameters, positive=positive,
        unit=experiment.units, **ends,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)  # the warning is given for the final fit
        fit = fit_indirect(values, whole, log_weight)
    for title in positive:
        share = fit.parameters[title].stderr / fit.parameters[title].value
        if share > 1:
            warnings.warn(
                f"{title} is known to {100 * share:.0f} % only, so any other may do: give more data of the group, or "
                "the scale",
                LeastworkWarning,
                stacklevel=2,
            )
    found = dict(zip(unknowns, (fit.parameters[title] for title in titles), strict=True))
    scales = {name: found[name, "scale"] for name in scaled}
    offsets = {name: found[name, "offset"] for name in shifted}
    rewritten = _rewritten(experiment, groups, scales, offsets)
    maxent = fit_lambdas(observed, rewritten, log_weight)
    return NuisanceFit(maxent, rewritten, MappingProxyType(scales), MappingProxyType(offsets), fit.iterations)


def _rewritten(
    data: Experiment, groups: Sequence[str | None], scales: Mapping[str, Estimate], offsets: Mapping[str, Estimate]
) -> Experiment:
    """(o − b)/a with covariance Σ_kl/(a_k a_l)."""
    a, b = torch.ones(len(groups), dtype=torch.float64), torch.zeros(len(groups), dtype=torch.float64)
    for k, name in enumerate(groups):
        a[k] = float(scales[name].value) if name in scales else 1.0
        b[k] = float(offsets[name].value) if name in offsets else 0.0
    ends = {key: (getattr(data, key) - b) / a for key in ("values", "lower", "upper")}
    return replace(data, errors=data.covariance / (a[:, None] * a), **ends)


def _check_scale(
    name: str,
    observed: Tensor,
    data: Experiment,
    groups: Sequence[str | None],
    has_offset: bool,
    log_weight: Tensor | None,
) -> None:
    """Refuse a scale of averages, or of data, that are zero, or alike beside an offset."""
    of = torch.tensor([k for k in data.fitted.tolist() if groups[k] == name])
    p = (torch.zeros(len(observed)) if log_weight is None else log_weight.detach()).to(observed).softmax(dim=0)
    average = p @ observed
    error = (p @ (observed - average).square() + data.covariance.diagonal())[of]
    x, y = ((v - v.mean() if has_offset else v).square().mean() for v in (average[of], data.values[of]))
    if min(float(x) / float(error.mean()), float(y)) <= _NOTHING:
        which = "the model's averages" if float(y) > _NOTHING else "the data"
        raise LeastworkError(
            f"{which} of group {name!r} {'are all alike' if has_offset else 'are zero'}, which tells nothing about its "
            "scale: leave out the scale, or the group"
        )


def _group(
    experiment: Experiment, groups: Sequence[str | None], scale: bool | Collection[str], offset: bool | Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Groups with a scale and groups with an offset, after a check that each has enough data and no bounds."""
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
    return scaled, shifted


def _chosen_names(which: bool | Collection[str], what: str, known: Mapping[str, object]) -> tuple[str, ...]:
    if isinstance(which, bool):
        return tuple(known) if which else ()
    for name in which:
        if name not in known:
            raise LeastworkError(f"{what}: there is no group {name!r} of data{nearest(name, list(known))}")
    return tuple(name for name in known if name in which)

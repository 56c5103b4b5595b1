"""Each technique left out in turn and predicted: χ² of its data by the model, and by the fit to all other data

    χ²_g = (y − f(m; η))_g · Σ_gg⁻¹ (y − f(m; η))_g / K_g        m = E[O] of the model; or E_λ[O], λ without g

Unknowns on which only the data of g depend, such as the scale of a curve, are taken where χ²_g is least, before as
after. Errors are those of the samples, by the Bayesian bootstrap, and of the data that are fitted, drawn anew from Σ;
the data of g are as measured, so that χ²_g of a perfect prediction is 1 ± √(2/K_g).
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.fixed_point import fit_indirect
from leastwork.data.functions import Identity
from leastwork.data.indirect import Indirect
from leastwork.data.mixture import Data
from leastwork.data.profile import profiled, unknowns_of
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.statistics.estimate import Estimate
from leastwork.support.random import generator

__all__ = ["Prediction", "check_left_out", "each_left_out"]


@dataclass(frozen=True)
class Prediction:
    """A group of data that was left out.

    Args:
        group: its name.
        count: number of its data.
        before: χ² per datum of the model's own averages.
        after: χ² per datum of averages under the fit to all other data.
        change: after less before; its error knows that both are of the same samples.
    """

    group: str
    count: int
    before: Estimate
    after: Estimate
    change: Estimate


def each_left_out(
    observed: Tensor,
    data: Data,
    groups: Sequence[str],
    *,
    log_weight: Tensor | None = None,
    repeats: int = 40,
    seed: int = 0,
) -> tuple[Prediction, ...]:
    """Leave out each group of data in turn, fit the others, and predict it.

    Args:
        observed: the observables of the model's samples, (n, K).
        data: the J data; those that are held out are never fitted, and are predicted with their group.
        groups: the group of each datum, (J,), such as its technique.
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.
        repeats: number of repeats of the bootstrap; the relative error of a standard error is 1/√(2 repeats).
        seed: seed of all random numbers.

    Raises:
        LeastworkError: there are fewer than two groups with fitted data, or a datum has no error.

    >>> from leastwork.observables import Observable
    >>> x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> x[:, 1] += x[:, 0]
    >>> both = Experiment(Observable(lambda x: x, names=("a", "b")), values=[0.5, 0.5], errors=[0.1, 0.1])
    >>> [one.change.value < -10 for one in each_left_out(x, both, ["a", "b"], repeats=2)]
    [True, True]
    """
    names = check_left_out(data, groups)
    values = observed.detach().to("cpu", torch.float64)
    base = torch.zeros(len(values), dtype=torch.float64) if log_weight is None else log_weight.to(values)
    whole = _on_functions(data)
    parts = [torch.tensor([group == name for group in groups]) for name in names]
    of_samples, of_data = generator(seed, "samples of data left out"), generator(seed, "data beside data left out")
    size, vectors = torch.linalg.eigh(data.covariance)
    root = vectors * size.clamp(min=0).sqrt()

    def all_of(log_p: Tensor, shown: Tensor) -> Tensor:
        return torch.stack([_before_and_after(values, whole, part, log_p, shown) for part in parts])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)  # the fit to all data has given them
        found = all_of(base, whole.values)
        drawn = []
        for _ in range(repeats):
            shares = torch.empty(len(values), dtype=torch.float64).exponential_(generator=of_samples)
            noise = root @ torch.randn(len(root), generator=of_data, dtype=torch.float64)
            drawn.append(all_of(base + shares.log(), whole.values + noise))
    spread = torch.stack(drawn)
    errors = torch.cat([spread, spread[..., 1:] - spread[..., :1]], dim=2).std(dim=0)
    return tuple(
        Prediction(
            name,
            int(part.sum()),
            *(Estimate(float(v), float(e)) for v, e in zip((one[0], one[1], one[1] - one[0]), error, strict=True)),
        )
        for name, part, one, error in zip(names, parts, found, errors, strict=True)
    )


def check_left_out(data: Data, groups: Sequence[str]) -> tuple[str, ...]:
    """Names of the groups, in order of appearance.

    Raises:
        LeastworkError: as in :func:`each_left_out`.
    """
    if len(groups) != len(data.names):
        raise LeastworkError(f"{len(groups)} groups for {len(data.names)} data: name one for each")
    fitted = {groups[k] for k in data.fitted.tolist()}
    if len(fitted) < 2:
        raise LeastworkError(
            f"all of the fitted data are of one group, {', '.join(map(str, fitted))}: two are needed to leave one out"
        )
    exact = (data.covariance.diagonal() == 0).nonzero()[:, 0].tolist()
    if exact:
        raise LeastworkError(f"{data.names[exact[0]]!r} has no error, so that χ² cannot be taken: give it one")
    return tuple(dict.fromkeys(groups))


def _on_functions(data: Data) -> Indirect:
    """All data as data on functions of averages."""
    if not isinstance(data, Experiment):
        return data
    ends = {key: getattr(data, key) for key in ("values", "errors", "lower", "upper", "held_out")}
    return Indirect(data.observable, Identity(len(data.names)), data.names, unit=data.units, **ends)


def _before_and_after(values: Tensor, data: Indirect, part: Tensor, log_p: Tensor, shown: Tensor) -> Tensor:
    """χ² per datum of a group, by the model and by the fit to the others, whose values are those shown, (2,)."""
    fit = fit_indirect(values, replace(data, values=shown, held_out=data.held_out | part), log_p)
    eta = torch.tensor([one.value for one in fit.parameters.values()], dtype=torch.float64)
    chi: Callable[[Tensor], float] = lambda m: _chi_squared(data, m, eta, part)  # noqa: E731
    return torch.tensor([chi(log_p.softmax(dim=0) @ values), chi(fit.averages.value)], dtype=torch.float64)


def _chi_squared(data: Indirect, m: Tensor, eta: Tensor, part: Tensor) -> float:
    own, of_own = unknowns_of(data, m, part)
    eta, _ = profiled(data, m, eta, of_own, own)
    outside = data.stated.outside(data.evaluated(m, eta))[part]
    return float(outside @ torch.linalg.solve(data.covariance[part][:, part], outside)) / len(outside)

"""Trust in the data: the factor θ of the covariance Σ of their errors, chosen by cross-validation over groups.

    λ_θ = argmax −ln E_p[exp(−λ·(O − o))] − ½ θ λᵀΣλ        χ²_g = (E_λ[O] − o)_g · Σ_gg⁻¹ (E_λ[O] − o)_g / K_g

θ → ∞ leaves the model unchanged, θ → 0 follows the data and their errors. Each group g of data, such as couplings of
one type, is left out of the fit in turn and then predicted, so that errors shared by the data of a group cannot be
fitted. Of all θ that predict left-out data as well as the best θ does, within a standard error of the difference, the
largest is taken, since it changes the model least (Hastie, Tibshirani & Friedman, The Elements of Statistical Learning,
7.10; for ensembles, Orioli et al., Prog. Mol. Biol. Transl. Sci. 170, 123, 2020).
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.data.leave_out import predictions
from leastwork.data.maxent import fit_lambdas
from leastwork.data.mixture import Data
from leastwork.errors import LeastworkError, LeastworkWarning
from leastwork.statistics.estimate import Estimate

__all__ = ["TrustCurve", "check_groups", "chi_squared", "is_singular", "trust", "with_theta"]

_LEAST_EIGENVALUE = 1e-12  # of the correlations of the errors, relative to the largest
_Data = TypeVar("_Data", bound=Data)
_THETAS = tuple(torch.logspace(-1, 3, 17, dtype=torch.float64).tolist())


@dataclass(frozen=True, eq=False)
class TrustCurve:
    """Results of the cross-validation for each θ; vectors are float64 (T,).

    Args:
        thetas: the values of θ, rising.
        fitted: χ² per datum if all data are fitted.
        held_out: χ² per datum of groups left out in turn, with the standard error over groups.
        by_group: χ² per datum of each group that is left out, (T, G).
        groups: names of the groups, in order of appearance.
        kl: KL(tilted ‖ model) with all data, nats.
        ess: Kish fraction of reweighting with all data.
        model: χ² per datum of the model itself.
        chosen: index of the chosen θ.
    """

    thetas: Tensor
    fitted: Tensor
    held_out: Estimate
    by_group: Tensor
    groups: tuple[str, ...]
    kl: Tensor
    ess: Tensor
    model: float
    chosen: int

    @property
    def theta(self) -> float:
        """The chosen θ."""
        return float(self.thetas[self.chosen])

    def parts(self) -> dict[str, Any]:
        """The curve as plain values; numbers are unchanged after writing and reading JSON."""
        return {
            "theta": self.theta,
            "chosen": self.chosen,
            "thetas": self.thetas.tolist(),
            "groups": list(self.groups),
            "held_out": self.held_out.value.tolist(),
            "held_out_stderr": self.held_out.stderr.tolist(),
            "by_group": self.by_group.tolist(),
            "fitted": self.fitted.tolist(),
            "model": self.model,
            "kl": self.kl.tolist(),
            "ess": self.ess.tolist(),
        }

    @classmethod
    def from_parts(cls, values: Mapping[str, Any]) -> "TrustCurve":
        """The curve from its :meth:`parts`.

        Raises:
            KeyError, TypeError, ValueError: the values are damaged.
        """

        def numbers(key: str) -> Tensor:
            return torch.tensor(values[key], dtype=torch.float64)

        return cls(
            numbers("thetas"),
            numbers("fitted"),
            Estimate(numbers("held_out"), numbers("held_out_stderr")),
            numbers("by_group"),
            tuple(values["groups"]),
            numbers("kl"),
            numbers("ess"),
            float(values["model"]),
            int(values["chosen"]),
        )


def trust(
    observed: Tensor,
    experiment: Experiment,
    groups: Sequence[str],
    thetas: Sequence[float] = _THETAS,
    log_weight: Tensor | None = None,
) -> TrustCurve:
    """Choose θ; data that the experiment holds out are not used.

    Args:
        observed: observables of the model's samples, (n, K).
        experiment: the K data, with their stated errors.
        groups: the group of each datum, (K,).
        thetas: values of θ > 0 that are tried.
        log_weight: ln dP/dQ of the samples, (n,), if they are not drawn from the model itself.

    Raises:
        LeastworkError: the fitted data have fewer than two groups, some data are exact, some errors are fully
            correlated, or a θ is not positive.

    >>> from leastwork.observables import Observable
    >>> x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> both = Observable(lambda x: x, names=("a", "b"))
    >>> trust(x, Experiment(both, values=[0.1, -0.1], errors=0.5), groups=["1", "2"]).theta  # nothing to be corrected
    1000.0
    """
    names = check_groups(experiment, groups)
    if not thetas or not all(0 < theta < math.inf for theta in thetas):
        raise LeastworkError(f"thetas = {tuple(thetas)}: give positive numbers")
    fitted = experiment.fitted
    rising = torch.tensor(sorted(thetas), dtype=torch.float64)
    by_group, all_data, kl, ess, model = [], [], [], [], math.nan
    members = [torch.tensor([k for k in fitted.tolist() if groups[k] == name]) for name in names]
    start = None
    for theta in reversed(rising.tolist()):  # from the model, λ = 0, to the data
        data = with_theta(experiment, theta)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeastworkWarning)  # the curve contains the ESS
            whole = fit_lambdas(observed, data, log_weight, start=start)
            others = predictions(observed, data, whole, members, log_weight).predicted
        start = whole.lambdas
        model = chi_squared(whole.model_mean, experiment, fitted)  # the same for every θ
        all_data.append(chi_squared(whole.predicted, experiment, fitted))
        by_group.append([chi_squared(average, experiment, g) for average, g in zip(others, members, strict=True)])
        kl.append(whole.kl)
        ess.append(whole.ess)
    for column in (by_group, all_data, kl, ess):
        column.reverse()
    left_out = torch.tensor(by_group, dtype=torch.float64)
    size = torch.tensor([len(g) for g in members], dtype=torch.float64)
    share = size / size.sum()
    return TrustCurve(
        rising,
        torch.tensor(all_data, dtype=torch.float64),
        _over_groups(left_out, share),
        left_out,
        names,
        torch.tensor(kl, dtype=torch.float64),
        torch.tensor(ess, dtype=torch.float64),
        model,
        _largest_as_good(left_out, share),
    )


def chi_squared(average: Tensor, experiment: Experiment, of: Tensor) -> float:
    """χ² per datum of some of the data, whose errors may be correlated.

    Args:
        average: E[O], float64 (K,).
        experiment: the K data.
        of: indices of the data, (G,).

    >>> from leastwork.observables import Observable
    >>> data = Experiment(Observable(lambda x: x, names=("a", "b")), values=[0.0, 0.0], errors=[1.0, 2.0])
    >>> chi_squared(torch.tensor([2.0, 2.0]), data, torch.tensor([0, 1]))
    2.5
    """
    outside = experiment.outside(average.to(torch.float64))[of]
    return float(outside @ torch.linalg.solve(experiment.covariance[of][:, of], outside)) / len(of)


def with_theta(experiment: _Data, theta: float) -> _Data:
    """The same data, with the covariance of their errors multiplied by θ.

    >>> from leastwork.observables import Observable
    >>> with_theta(Experiment(Observable(lambda x: x), values=[0.0], errors=[0.5]), 4.0).covariance.sqrt().item()
    1.0
    """
    return experiment if theta == 1 else replace(experiment, errors=theta * experiment.covariance)


def _over_groups(values: Tensor, share: Tensor) -> Estimate:
    """Weighted mean over groups, (T, G) -> (T,), with its standard error from their spread."""
    mean = values @ share
    count = len(share)
    spread = ((values - mean[:, None]) * share).square().sum(dim=1)
    return Estimate(mean, (spread * count / (count - 1)).sqrt())


def _largest_as_good(values: Tensor, share: Tensor) -> int:
    """Index of the largest θ whose loss exceeds the least by at most a standard error of the difference over groups."""
    best = int((values @ share).argmin())
    worse = _over_groups(values - values[best], share)
    return int((worse.value <= worse.stderr).nonzero()[-1])


def check_groups(experiment: Data, groups: Sequence[str]) -> tuple[str, ...]:
    """The groups of fitted data, in order of appearance.

    Args:
        experiment: K data.
        groups: the group of each datum, (K,).

    Raises:
        LeastworkError: there are too few groups for cross-validation, or no χ² can be computed, as in :func:`trust`.
    """
    count = len(experiment.names)
    if len(groups) != count:
        raise LeastworkError(f"{len(groups)} groups for {count} data: name one for each")
    fitted = experiment.fitted.tolist()
    names = tuple(dict.fromkeys(str(groups[k]) for k in fitted))
    if len(names) < 2:
        raise LeastworkError(f"all of the fitted data are of one group, {', '.join(names)}: cross-validation takes two")
    exact = [experiment.names[k] for k in fitted if experiment.covariance[k, k] == 0]
    if exact:
        raise LeastworkError(f"{exact[0]!r} has no error that θ could multiply: give all fitted data their errors")
    if is_singular(experiment.covariance[experiment.fitted][:, experiment.fitted]):
        raise LeastworkError(
            "the errors of some of the fitted data are fully correlated, so that no χ² can be computed: give each "
            "datum an error of its own besides the one that they share"
        )
    return names


def is_singular(covariance: Tensor) -> bool:
    """Whether the covariance of the errors is singular: some errors are zero or fully correlated, so χ² is undefined.

    Args:
        covariance: Σ of the data, (K, K).

    >>> is_singular(torch.ones(2, 2)), is_singular(torch.eye(2))
    (True, False)
    """
    spread = torch.linalg.eigvalsh(covariance)
    return bool(spread[0] <= _LEAST_EIGENVALUE * spread[-1])

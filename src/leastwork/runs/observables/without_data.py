"""Averages of what is reported without data: observables named beside couplings, and those of a system's case."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from leastwork.data.experiment import Experiment
from leastwork.observable_guidance.files import FitNumbers
from leastwork.observables import Observable
from leastwork.runs.base.cases import Case
from leastwork.runs.base.numbers import with_stderr
from leastwork.runs.observables.metrics import reweighted_averages
from leastwork.statistics.estimate import Estimate

__all__ = ["group_means", "reported"]


def reported(
    observable: Observable, data: Experiment, fitted: FitNumbers, before: Tensor, after: Tensor | None
) -> list[dict[str, Any]]:
    """An entry for each column, before and after.

    Args:
        observable: the observable that is reported.
        data: the experiment.
        fitted: λ of the data.
        before: values of the observable for the model's samples, (n, M).
        after: those for guided samples, (n, M), or None.
    """
    found = _averages(data, fitted, before, after)
    named = zip(observable.names, observable.units, strict=True)
    return [{"name": name, "unit": unit, **found[k]} for k, (name, unit) in enumerate(named)]


def group_means(
    known: Case, observable: Observable, data: Experiment, fitted: FitNumbers, before: Tensor, after: Tensor | None
) -> dict[str, list[dict[str, Any]]]:
    """Averages that a case derives from what it has reported, under the key that it gives them; none if it has none.

    Args:
        known: the case.
        observable, data, fitted, before, after: as in :func:`reported`; the columns are those that
            the case reports.
    """
    if known.means is None or known.reported is None:
        return {}
    means = known.means()
    columns = [observable.names.index(name) for name in known.reported().names]

    def derived(values: Tensor) -> Tensor:
        return means.values(values[:, columns].to(torch.float64))

    found = _averages(data, fitted, derived(before), None if after is None else derived(after))
    return {means.key: [{**label, **found[k]} for k, label in enumerate(means.labels)]}


def _averages(data: Experiment, fitted: FitNumbers, before: Tensor, after: Tensor | None) -> list[Mapping[str, Any]]:
    model, weighted = Estimate.from_samples(before), reweighted_averages(data, fitted, before.to(torch.float64))
    guided = None if after is None else Estimate.from_samples(after)

    def entry(one: Estimate | None, k: int) -> dict[str, Any] | None:
        return None if one is None else with_stderr(Estimate(one.value[k], one.stderr[k]))

    return [
        {"model": entry(model, k), "reweighted": entry(weighted, k), "guided": entry(guided, k)}
        for k in range(before.shape[1])
    ]

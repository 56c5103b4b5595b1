"""Averages of what is reported without data: observables named beside couplings, and a system's populations."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from leastwork.cases import ala5
from leastwork.data.experiment import Experiment
from leastwork.observables import Observable
from leastwork.runs.base.numbers import with_stderr
from leastwork.runs.observables.fitted import Fitted
from leastwork.runs.observables.metrics import reweighted_averages
from leastwork.statistics.estimate import Estimate

__all__ = ["populations", "reported"]


def reported(observable: Observable, data: Experiment, fitted: Fitted, after: Tensor | None) -> list[dict[str, Any]]:
    """An entry for each column, before and after.

    Args:
        observable: what is reported.
        data: the experiment.
        fitted: λ, and what is reported of the model's samples.
        after: of guided samples, (n, M), or None.
    """
    assert fitted.reported is not None
    found = _averages(data, fitted, fitted.reported, after)
    named = zip(observable.names, observable.units, strict=True)
    return [{"name": name, "unit": unit, **found[k]} for k, (name, unit) in enumerate(named)]


def populations(observable: Observable, data: Experiment, fitted: Fitted, after: Tensor | None) -> list[dict[str, Any]]:
    """How much of each basin there is, of each residue and, as that of none, of all together.

    Args:
        observable, data, fitted, after: as in :func:`reported`; the observable has the columns of ala5.populations().
    """
    assert fitted.reported is not None
    names = ala5.populations().names
    columns = [observable.names.index(name) for name in names]
    basins = list(dict.fromkeys(name.rsplit(" ", 1)[0] for name in names))

    def with_means(values: Tensor) -> Tensor:
        mine = values[:, columns].to(torch.float64)
        return torch.cat([mine, mine.unflatten(1, (-1, len(basins))).mean(dim=1)], dim=1)

    found = _averages(data, fitted, with_means(fitted.reported), None if after is None else with_means(after))
    places: Sequence[tuple[str, int | None]] = [
        *((name.rsplit(" ", 1)[0], int(name.rsplit(" ", 1)[1])) for name in names),
        *((basin, None) for basin in basins),
    ]
    return [{"basin": basin, "residue": residue, **found[k]} for k, (basin, residue) in enumerate(places)]


def _averages(data: Experiment, fitted: Fitted, before: Tensor, after: Tensor | None) -> list[Mapping[str, Any]]:
    model, weighted = Estimate.from_samples(before), reweighted_averages(data, fitted, before.to(torch.float64))
    guided = None if after is None else Estimate.from_samples(after)

    def entry(one: Estimate | None, k: int) -> dict[str, Any] | None:
        return None if one is None else with_stderr(Estimate(one.value[k], one.stderr[k]))

    return [
        {"model": entry(model, k), "reweighted": entry(weighted, k), "guided": entry(guided, k)}
        for k in range(before.shape[1])
    ]

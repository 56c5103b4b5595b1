"""A measured distribution as data: populations of the bins of a histogram, with the covariance of their errors

    p_b = ⟨1[e_b < O < e_{b+1}]⟩        Cov(p_a, p_b) = (δ_ab p_a − p_a p_b) / N    of N counts

Counts are taken with half a count more in each bin (Jeffreys' prior), so that an empty bin has an error. Edges between
bins are smooth over a width w, and the outer bins also hold what lies beyond them, so that the populations sum to one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from leastwork.data.functions import Identity
from leastwork.data.indirect import Indirect
from leastwork.errors import ConfigError, LeastworkError
from leastwork.geometry.state import State
from leastwork.observables.function import Observable
from leastwork.support.text import quoted

__all__ = ["distribution"]

_MOST_BEYOND = 1e-3  # largest share of the model's samples beyond the outer edges


def distribution(
    observable: Observable,
    edges: Sequence[float],
    *,
    counts: Sequence[float] | None = None,
    populations: Sequence[float] | None = None,
    errors: Any = None,
    width: float | None = None,
    held_out: bool = False,
) -> Indirect:
    """A histogram as data on the populations of its bins.

    Args:
        observable: O, one column, such as a distance or an efficiency.
        edges: edges of the B bins, rising, in units of O, (B + 1,).
        counts: what was counted in each bin, (B,), or
        populations: populations of the bins, (B,), which sum to one, with
        errors: their standard errors (B,) or covariance (B, B).
        width: w of an edge, in units of O; by default a tenth of the narrowest bin.
        held_out: True if the distribution only judges the fit.

    Raises:
        ConfigError: there are no bins, numbers do not match them, or the populations do not sum to one.

    Fits refuse samples of which more than one in a thousand lies beyond the outer edges.

    >>> distance = Observable(lambda x: x, names="d", unit="nm")
    >>> data = distribution(distance, [0.0, 1.0, 2.0, 4.0], counts=[10, 30, 60])
    >>> data.names, [round(p, 3) for p in data.values.tolist()]
    (('0 < d < 1', '1 < d < 2', '2 < d < 4'), [0.103, 0.3, 0.596])
    """
    ends = torch.as_tensor(edges, dtype=torch.float64)
    if observable.count != 1:
        raise ConfigError(f"a distribution is of one observable, and {', '.join(observable.names[:5])} are several")
    name = observable.names[0]
    if ends.ndim != 1 or len(ends) < 3 or not bool((ends.diff() > 0).all()):
        raise ConfigError(f"edges of bins of {quoted(name)} are {list(edges)}: give at least three, rising")
    bins = len(ends) - 1
    if (counts is None) == (populations is None):
        raise ConfigError(f"the distribution of {quoted(name)} needs either counts or populations: give one of them")
    values, covariance = (
        _counted(counts, bins, name) if counts is not None else _stated(populations, errors, bins, name)
    )
    w = 0.1 * float(ends.diff().min()) if width is None else float(width)
    if not w > 0:
        raise ConfigError(f"the width of an edge must be positive, not {width}")
    outer = tuple(ends.tolist())
    names = tuple(f"{low:g} < {name} < {high:g}" for low, high in pairwise(outer))
    beyond = f"beyond the bins of {name}"
    columns = Observable(_Bins(observable, outer, w), (*names, beyond), "", observable.differentiable)
    check = partial(_check_cover, name, observable.units[0], outer)
    return Indirect(columns, Identity(bins), names, values, covariance, held_out=[held_out] * bins, check=check)


def _counted(counts: Sequence[float], bins: int, name: str) -> tuple[Tensor, Tensor]:
    n = torch.as_tensor(counts, dtype=torch.float64)
    if n.shape != (bins,) or not bool((n >= 0).all()) or float(n.sum()) <= 0:
        raise ConfigError(f"counts of {quoted(name)} are {list(counts)}: give one for each of {bins} bins, 0 or more")
    total = float(n.sum()) + 0.5 * bins
    p = (n + 0.5) / total
    return p, (torch.diag(p) - torch.outer(p, p)) / total


def _stated(populations: Any, errors: Any, bins: int, name: str) -> tuple[Tensor, Tensor]:
    p = torch.as_tensor(populations, dtype=torch.float64)
    if errors is None:
        raise ConfigError(f"the populations of {quoted(name)} have no errors: give one for each, or a covariance")
    if p.shape != (bins,) or not bool((p >= 0).all()):
        raise ConfigError(
            f"populations of {quoted(name)} are {p.tolist()}: give one for each of {bins} bins, 0 or more"
        )
    if abs(float(p.sum()) - 1) > 1e-3:
        raise ConfigError(f"the populations of {quoted(name)} sum to {float(p.sum()):.4g}: they must sum to 1")
    return p / p.sum(), torch.as_tensor(errors, dtype=torch.float64)


def _check_cover(name: str, unit: str, edges: tuple[float, ...], observed: Tensor) -> None:
    """Refuse a bin that holds all of the model's samples, and bins that miss some, whose share is the last column."""
    populations = observed.to(torch.float64).mean(dim=0)
    fullest = int(populations[:-1].argmax())
    if populations[fullest] > 1 - 1e-6:
        raise LeastworkError(
            f"all of the model's samples lie in one bin of {quoted(name)}, {edges[fullest]:g} to "
            f"{edges[fullest + 1]:g}{f' {unit}' if unit else ''}, so that nothing can be weighted: check the unit of "
            "the edges, or give narrower bins"
        )
    beyond = float(populations[-1])
    if beyond > _MOST_BEYOND:
        raise LeastworkError(
            f"{beyond:.2%} of the model's samples lie beyond the bins of {quoted(name)}, {edges[0]:g} to {edges[-1]:g}"
            f"{f' {unit}' if unit else ''}, and their population is not known: add bins that reach as far as the "
            "samples, or check the unit"
        )


@dataclass(frozen=True)
class _Bins:
    """Smooth indicators of the bins, then a sharp one of what lies beyond them, (B, bins + 1)."""

    of: Observable
    edges: tuple[float, ...]
    width: float

    def __call__(self, x: State) -> Tensor:
        value = self.of(x)
        inner = torch.tensor(self.edges[1:-1]).to(value)
        above = torch.sigmoid((value - inner) / self.width)
        one, zero = torch.ones_like(value), torch.zeros_like(value)
        bins = torch.cat([one, above], dim=1) - torch.cat([above, zero], dim=1)
        beyond = (value < self.edges[0]) | (value > self.edges[-1])
        return torch.cat([bins, beyond.to(value)], dim=1)

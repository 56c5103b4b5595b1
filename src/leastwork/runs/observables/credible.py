"""Credible intervals of the posterior, in metrics.json and the report, where ``posterior`` is true."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leastwork.data.posterior import LEAST_DRAWS, Posterior
from leastwork.errors import LeastworkWarning
from leastwork.observable_guidance.run import ObservableRun
from leastwork.report.blocks import Mark, Section, Table
from leastwork.runs.base.typed import as_plain_values
from leastwork.runs.observables.numbers import CredibleInterval, PosteriorNumbers
from leastwork.support.numerals import count, fraction, plain

__all__ = ["credible", "credible_section", "warnings_of_posterior"]

_LEVEL = 0.95
_SPREAD = math.log(2)
_MANY_DRAWS = 16_000  # where the usual number leaves too few effective ones, as of more than a dozen data


def credible(
    run: ObservableRun, techniques: Sequence[str], names: Sequence[str] = (), values: Tensor | None = None
) -> dict[str, Any]:
    """What stands under ``posterior`` in the quality of a run.

    Args:
        run: the fit.
        techniques: the technique of each datum.
        names: names of what is reported without data.
        values: it, for the model's samples, (n, M).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeastworkWarning)  # its doubts stand in the report
        found = run.posterior(techniques or None, spread=_SPREAD)
        if found.ess < LEAST_DRAWS:
            found = run.posterior(techniques or None, spread=_SPREAD, draws=_MANY_DRAWS)
    fitted = run.data.fitted
    averages = torch.zeros(len(found.lambdas), 0) if values is None else found.averages_of(values)
    return as_plain_values(
        PosteriorNumbers(
            _LEVEL,
            _SPREAD,
            len(found.log_weight),
            found.ess,
            found.samples,
            found.doubts,
            _intervals(found, [found.names[k] for k in fitted.tolist()], found.lambdas[:, fitted]),
            _intervals(found, found.names, found.averages),
            _intervals(found, names, averages),
            _intervals(found, found.techniques, found.thetas),
        )
    )


def _intervals(found: Posterior, names: Sequence[str], drawn: Tensor) -> tuple[CredibleInterval, ...]:
    low, high = found.interval(drawn, _LEVEL)
    middle = found.interval(drawn, 1e-9)[0]
    columns = zip(names, low.tolist(), middle.tolist(), high.tolist(), strict=True)
    return tuple(CredibleInterval(*column) for column in columns)


def warnings_of_posterior(numbers: PosteriorNumbers | None) -> list[str]:
    """Why credible intervals are not to be believed, one sentence each with its remedy."""
    doubts = () if numbers is None else numbers.doubts
    return [f"Do not believe the credible intervals: {doubt}." for doubt in doubts]


def credible_section(numbers: PosteriorNumbers) -> Section:
    """Tables of credible intervals, and whether they are to be believed."""
    level = f"{100 * numbers.level:g} %"
    said = (
        f"With a probability of {level} the truth lies in these intervals, given the model as prior, the data, and "
        "errors of each technique that are right up to a factor √θ, with ln θ normal of standard deviation "
        f"{plain(numbers.spread, 2)}. They are not the standard errors of the other tables, which say how exactly the "
        f"fit with the stated errors is known from {count(round(numbers.samples))} effective samples."
    )
    tables = [
        _table(f"Averages under the target, with {level} credible intervals.", "observable", numbers.averages),
        _table(f"Multipliers λ, with {level} credible intervals.", "observable", numbers.lambdas),
    ]
    if numbers.reported:
        caption = f"Averages without data, such as populations, with {level} credible intervals."
        tables.insert(1, _table(caption, "average", numbers.reported))
    if numbers.thetas:
        caption = "θ, by which the squared errors of each technique are multiplied: above one where data scatter more."
        tables.append(_table(caption, "technique", numbers.thetas))
    told = f"{count(numbers.draws)} weighted draws, of which {fraction(numbers.ess / numbers.draws)} are effective."
    return Section("Posterior", [said, *warnings_of_posterior(numbers), told], [], tables)


def _table(caption: str, what: str, rows: Sequence[CredibleInterval]) -> Table:
    return Table(
        caption,
        [what, "lower", "median", "upper"],
        [[(Mark(row.name, "name"),), plain(row.lower), plain(row.median), plain(row.upper)] for row in rows],
    )

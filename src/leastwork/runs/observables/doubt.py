"""Doubt about data and averages, in ``metrics.json`` and in the report."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from leastwork.data.doubt import OUTLYING, suspects, tails
from leastwork.data.experiment import Experiment
from leastwork.errors import LeastworkError
from leastwork.observable_guidance.files import FitNumbers
from leastwork.report.blocks import Mark, Section, Table
from leastwork.runs.base.numbers import number
from leastwork.runs.observables.numbers import Doubt
from leastwork.sampling.work import kish_ess
from leastwork.statistics.tails import NOT_TO_TRUST
from leastwork.support.numerals import plain, plus_minus

__all__ = ["doubt_section", "doubts", "warnings_of_doubt"]

_MOST_DATA = 1000  # data that are left out one by one
_LEAST_ESS = 0.01  # of the model's samples under the target, below which they predict nothing
_SHOWN = 12  # rows of a table


def doubts(fitted: FitNumbers, data: Experiment) -> dict[str, Any]:
    """What stands under ``doubt`` in the quality of a run.

    Args:
        fitted: λ and the model's samples.
        data: the data as they were fitted, θ included.
    """
    log_weight = fitted.maxent.log_tilt_of(fitted.observed)
    weights, of = tails(fitted.observed, data.names, log_weight)
    told = len(data.fitted) <= _MOST_DATA and kish_ess(log_weight).value >= _LEAST_ESS
    try:
        found = suspects(fitted.observed, data, fitted.maxent) if told else ()
    except LeastworkError:  # without a datum the others contradict each other
        found = ()
    return {
        "weights": number(weights),
        "tails": [{"name": one.name, "model": number(one.model), "weighted": number(one.weighted)} for one in of],
        "data": [{**asdict(one), "moves": one.moves[0], "by": one.moves[1]} for one in found],
    }


def warnings_of_doubt(doubt: Doubt | None) -> list[str]:
    """What to beware of, one sentence each with its remedy."""
    if doubt is None:
        return []
    found = []
    if (doubt.weights or 0.0) > NOT_TO_TRUST:
        found.append(
            f"The weights have the tail index {plain(doubt.weights, 2)} (above {NOT_TO_TRUST}), so a few samples "
            "decide λ and all averages under the target: draw more samples, or give the data larger errors."
        )
    heavy = [(one.name, max(one.model or 0.0, one.weighted or 0.0)) for one in doubt.tails]
    heavy = sorted((one for one in heavy if one[1] > NOT_TO_TRUST), key=lambda one: -one[1])
    if heavy:
        named = ", ".join(f"{name} ({plain(index, 2)})" for name, index in heavy[:5])
        found.append(
            f"A few samples make the averages of {named}, whose tail index is above {NOT_TO_TRUST}: their errors mean "
            "little; look at the largest values, or measure something bounded."
        )
    far = [one for one in doubt.data if abs(one.z) > OUTLYING]
    pairs = {tuple(sorted((one.name, one.contradicts))): one for one in far if one.contradicts is not None}
    for one in list(pairs.values())[:3]:
        found.append(
            f"{one.name} and {one.contradicts} contradict each other: without {one.contradicts} {one.name} is no "
            "longer outlying; check both, or give them larger errors."
        )
    alone = [one for one in far if one.contradicts is None]
    if alone:
        named = ", ".join(f"{one.name} ({plain(one.z, 2)} standard errors)" for one in alone[:3])
        found.append(f"The other data do not predict {named}: check the value, its error and its unit.")
    return found


def doubt_section(doubt: Doubt) -> Section:
    """Tables of outlying data and of tail indices."""
    tables = []
    if doubt.data:
        tables.append(
            Table(
                "Each datum as all others predict it, the most outlying first. The standard error is that of the "
                f"difference, of datum and prediction together; beyond {plain(OUTLYING)} of them a datum is outlying. "
                "“Moves” is the average that changes most where the datum is left out, in standard deviations under "
                "the model.",
                ["datum", "measured", "predicted by the others", "z", "moves", "by", "contradicts"],
                [
                    [
                        (Mark(one.name, "name"),),
                        plain(one.datum),
                        plus_minus(one.predicted, one.stderr),
                        plain(one.z, 2),
                        (Mark(one.moves, "name"),),
                        plain(one.by, 2),
                        "–" if one.contradicts is None else (Mark(one.contradicts, "name"),),
                    ]
                    for one in doubt.data[:_SHOWN]
                ],
            )
        )
    rows = sorted(doubt.tails, key=lambda one: -max(one.model or 0.0, one.weighted or 0.0))
    tables.append(
        Table(
            f"Tail index of the weights ({_index(doubt.weights)}) and of the deviations of each observable from its "
            f"average. Below ½ an average has the error that is given; above {NOT_TO_TRUST} a few samples make it; "
            "above 1 it does not exist.",
            ["observable", "model", "weighted"],
            [[(Mark(one.name, "name"),), _index(one.model), _index(one.weighted)] for one in rows[:_SHOWN]],
        )
    )
    return Section("Doubt", [_summary(doubt)], [], tables)


def _index(value: float | None) -> str:
    return "–" if value is None else plain(value, 2)


def _summary(doubt: Doubt) -> str:
    far: Sequence[str] = [one.name for one in doubt.data if abs(one.z) > OUTLYING]
    if not doubt.data:
        return "No datum was left out and predicted, since there is one only or the weights leave too few samples."
    if not far:
        return "No datum is outlying: the others predict each within its error and theirs."
    return f"Outlying: {', '.join(far[:5])}{f' and {len(far) - 5} more' if len(far) > 5 else ''}."

"""The first screen of a report of Observable Guidance, in plain words: what was asked, whether it is met, what to
believe, and the traffic lights of its checks.
"""

import math
from collections.abc import Sequence

from leastwork.report.blocks import Check, Mark, Words, italic
from leastwork.runs.base.checks import (
    certificate_checks,
    effective_check,
    many,
    no_certificate,
    step_check,
    tail_check,
)
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.sentences import pm, share
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.numbers import ObservableNumbers, ObservableRow
from leastwork.runs.observables.sentences import may_be_chance, nothing_corrected, wanted
from leastwork.sampling.work import ON_TARGET
from leastwork.support.numerals import count, plain, plus_minus

__all__ = ["asked_for", "believable", "checks", "how_far_met", "lambda_in_words"]

_NAMED = 2  # data that are named; the table below has all
_LEAST_MISS = 0.001  # standard deviations; what is less is rounding
_CLEARLY = 2.0  # standard errors


def asked_for(config: RunConfig, metrics: ObservableNumbers) -> list[Words]:
    """What was asked of the run."""
    named: list[str | Mark] = []
    for row in metrics.fitted[:_NAMED]:
        named += ["; " if named else "", "the average of ", Mark(row.name, "name"), f" is to be {wanted(row)}"]
        named += [f" (the model alone gives {pm(row.before)})"]
    more = len(metrics.fitted) - _NAMED
    rest = f"; and {count(more)} more averages, in the section on observables" if more > 0 else ""
    ends = (
        "Samples of the model are to be changed as little as possible so that"
        if config.chosen.guides
        else "Samples of the model are to be weighted, and changed as little as possible, so that"
    )
    return [[f"{ends} ", *named, f"{rest}."]]


def how_far_met(config: RunConfig, metrics: ObservableNumbers) -> list[Words]:
    """Whether the fitted averages are where they should be."""
    nothing = nothing_corrected(metrics)
    if nothing:
        return [nothing]
    found = _misses(config, metrics)
    misses = [abs(miss) for _, miss, _ in found]
    if not misses:
        return ["No datum was fitted."]
    met = sum(miss <= ON_TARGET for miss in misses)
    chance = all(may_be_chance(*one[1:], ON_TARGET) for one in found)
    verdict = "Yes" if met == len(misses) else "Perhaps" if chance else "In part" if met else "Not yet"
    largest = plain(max(misses), 2) if max(misses) >= _LEAST_MISS else f"less than {plain(_LEAST_MISS)}"
    miss = f"{largest} standard deviations of the observable, where {plain(ON_TARGET)} are tolerated"
    if len(misses) > 1:
        return [
            f"{verdict}: {count(met)} of {count(len(misses))} averages are where they should be. The largest miss is "
            f"{miss}."
        ]
    row = metrics.fitted[0]
    after = pm(row.after(config.chosen.guides))
    return [[f"{verdict}: the average of ", Mark(row.name, "name"), f" is {after}, a miss of {miss}."]]


def believable(config: RunConfig, metrics: ObservableNumbers) -> list[Words]:
    """What to take from the run, and what not."""
    certificate, quality = metrics.certificate, metrics.quality
    found: list[Words] = []
    if not config.chosen.guides:
        n = many(quality.model_samples * quality.reweighting_ess)
        found.append(
            f"The samples are the model's own. Averages with their weights agree with the data, and count for {n} "
            "samples; without the weights they are the model's averages."
        )
    elif certificate is not None and certificate.ess.value is not None:
        n = many(certificate.samples * certificate.ess.value)
        found.append(
            f"The guided samples may be used as they are, as far as the first light below is green. With their "
            f"weights, averages are those of the target itself, and count for {n} samples."
        )
        if certificate.efficiency.value is not None:
            found.append(
                f"Of the work that the guidance spent, {share(certificate.efficiency)} was needed; the rest is waste, "
                "which costs effective samples and no correctness of weighted averages."
            )
    else:
        found.append(
            "The guided samples may be used as they are, as far as the first light below is green. They have no "
            "weights, so nothing says how far they are from the target in what was not fitted."
        )
    found.append(
        "What the data do not determine is the model's: it is changed as little as they demand, and is as wrong or "
        "right as the model was."
    )
    return found


def checks(run: Finished[RunConfig], metrics: ObservableNumbers) -> list[Check]:
    """The traffic lights of a run."""
    config, certificate, quality = run.config, metrics.certificate, metrics.quality
    remedy = config.chosen.remedy
    found = [_on_target(config, metrics), _held_out(config, metrics)]
    if not config.chosen.guides:
        guide = "guide by method: least-work, or give the data larger errors"
        tail = None if quality.doubt is None else quality.doubt.weights
        found.insert(
            1, effective_check(quality.model_samples, quality.reweighting_ess, f"take more fit.samples; or {guide}")
        )
        found.append(tail_check(tail, guide))
    elif certificate is not None:
        effective, bias, tail_of_weights = certificate_checks(run, certificate, remedy)
        found[1:1] = [effective, bias]
        found.append(tail_of_weights)
    else:
        found.append(no_certificate(run.ensemble.ledger.why_no_weights))
    return [*found, step_check(metrics)]


def _on_target(config: RunConfig, metrics: ObservableNumbers) -> Check:
    misses = _misses(config, metrics)
    off = sorted((one for one in misses if abs(one[1]) > ON_TARGET), key=lambda one: -abs(one[1]))
    name = "on target"
    if not misses:
        return Check(name, "unknown", "No datum was fitted.")
    if not off:
        whose = "The fitted average is" if len(misses) == 1 else f"All {count(len(misses))} fitted averages are"
        return Check(
            name, "good", f"{whose} within {plain(ON_TARGET)} standard deviations of the target distribution's average."
        )
    weighted = metrics.certificate is not None or not config.chosen.guides
    remedy = config.chosen.remedy if weighted else "take more sampling.steps"
    worst, miss, stderr = off[0]
    finding: Words = [
        f"{count(len(off))} of {count(len(misses))} fitted averages are off, the farthest ",
        Mark(worst, "name"),
        f", by {plus_minus(miss, stderr)} standard deviations (tolerated: {plain(ON_TARGET)}).",
    ]
    if all(may_be_chance(*one[1:], ON_TARGET) for one in off):
        finding.append(" With these sampling errors, that may be chance.")
        return Check(name, "doubtful", finding, f"draw more samples, which decide; if it stays, {remedy}")
    return Check(name, "bad", finding, remedy)


def _misses(config: RunConfig, metrics: ObservableNumbers) -> list[tuple[str, float, float]]:
    """The distance of each fitted average from its target, with its error, in standard deviations of the observable."""
    fitted = {row.name for row in metrics.fitted}
    if metrics.certificate is not None and metrics.certificate.miss is not None:
        return [
            (one.name, one.value or 0.0, one.stderr or 0.0) for one in metrics.certificate.miss if one.name in fitted
        ]
    return [
        (row.name, (value - row.optimum) / row.sigma, (row.after(config.chosen.guides).stderr or 0.0) / row.sigma)
        for row in metrics.fitted
        if row.sigma and row.optimum is not None and (value := row.after(config.chosen.guides).value) is not None
    ]


def _held_out(config: RunConfig, metrics: ObservableNumbers) -> Check:
    """Whether data that took no part in the fit are nearer than they were under the model."""
    name, guides = "held-out data", config.chosen.guides
    rows = [row for row in metrics.observables if row.held_out]
    steps = [step for row in rows if (step := _distances(row, guides)) is not None]
    if not steps:
        remedy = "keep some data out of the fit by held_out: true, if there are enough"
        return Check(name, "unknown", "No datum was held out, so nothing tests the change.", remedy)
    before, after = (math.sqrt(sum(step[i] ** 2 for step in steps) / len(steps)) for i in (0, 1))
    nearer = sum(step[1] <= step[0] for step in steps)
    worse = sum(step[1] - step[0] > _CLEARLY * step[2] for step in steps)
    finding = (
        f"{count(nearer)} of {count(len(steps))} came nearer to their measured values; the root mean square distance "
        f"went from {plain(before, 2)} to {plain(after, 2)} standard deviations of the observable."
    )
    if after > before and worse:
        remedy = "doubt the data, or the model where it disagrees; larger errors of the data change the model less"
        return Check(name, "bad", finding, remedy)
    if worse:
        remedy = "see in the section on observables which ones moved away"
        return Check(name, "doubtful", f"{finding} {count(worse)} moved away by more than two standard errors.", remedy)
    return Check(name, "good", finding)


def _distances(row: ObservableRow, guides: bool) -> tuple[float, float, float] | None:
    """Distances from a measured value before and after, and the standard error of their change, over σ."""
    before, after = row.before, row.after(guides)
    if row.target is None or not row.sigma or before.value is None or after.value is None:
        return None
    error = math.hypot(before.stderr or 0.0, after.stderr or 0.0)
    return abs(before.value - row.target) / row.sigma, abs(after.value - row.target) / row.sigma, error / row.sigma


def lambda_in_words(rows: Sequence[ObservableRow]) -> Words:
    """What λ means, told before it is printed."""
    largest = max((row for row in rows if not row.held_out), key=lambda row: abs(row.lambda_ or 0.0), default=None)
    words: list[str | Mark] = [
        "λ says how strongly the data pull on an observable ", italic("O"), ". Each state of the model counts "
        "exp(−λ·", italic("O"), ") times as much as before: where λ is negative, states of large ", italic("O"),
        " gain, where it is positive they lose, and λ = 0 changes nothing. One unit more of ", italic("O"),
        " divides a state's share by exp(λ).",
    ]  # fmt: skip
    if largest is not None and largest.lambda_ is not None and largest.sigma:
        factor = math.exp(min(abs(largest.lambda_) * largest.sigma, 700.0))
        words += [
            " The strongest here is that of ", Mark(largest.name, "name"),
            f": one standard deviation of it changes the share by a factor of {plain(factor, 3)}.",
        ]  # fmt: skip
    return words

"""The report of Observable Guidance: distributions, averages, work, multipliers and distance from the truth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from leastwork.errors import ConfigError
from leastwork.fit.methods import Told
from leastwork.observable_guidance.files import FitNumbers, read_numbers
from leastwork.report.blocks import Fact, Mark, Part, Section, Table, Words, italic
from leastwork.runs.base.checks import many
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.numbers import CertificateNumbers, Miss
from leastwork.runs.base.sections import (
    CITED_FOR_WORK,
    UNIT_OF_WORK,
    fact_of_effective,
    fact_of_work,
    made_with,
    work_section,
)
from leastwork.runs.base.sentences import pm, share
from leastwork.runs.observables.averages import averages_section, distributions_section, grey_rows, has_units, named
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.couplings.config import CouplingsConfig
from leastwork.runs.observables.couplings.sections import Extras, extras
from leastwork.runs.observables.credible import credible_section, warnings_of_posterior
from leastwork.runs.observables.doubt import doubt_section, warnings_of_doubt
from leastwork.runs.observables.first_screen import asked_for, believable, checks, how_far_met, lambda_in_words
from leastwork.runs.observables.left_out import left_out_section
from leastwork.runs.observables.numbers import (
    ObservableNumbers,
    ObservableQuality,
    ObservableRow,
    observable_numbers,
)
from leastwork.runs.observables.sentences import kind_of, methods, outcome, warnings
from leastwork.sampling.ensemble import Ledger
from leastwork.support.numerals import count, fraction, plain, plus_minus

__all__ = ["part"]


_EXTRAS: Mapping[str, Callable[[Any, str | None, ObservableQuality], Extras]] = {CouplingsConfig.form: extras}
"""What forms of data add to the report."""


def _besides(config: RunConfig, quality: ObservableQuality) -> Extras:
    """What the first member of the data that has anything to add does add; it speaks of all the data."""
    for member in config.data.members:
        if member.form in _EXTRAS:
            return _EXTRAS[member.form](member, config.system, quality)
    return Extras()


def part(run: Finished[RunConfig]) -> Part:
    """The content of the report of a run.

    Raises:
        ConfigError: the folder holds no fit.
    """
    fitted = read_numbers(run.folder)
    if fitted is None:
        raise ConfigError(f"{run.folder} holds no fit, fit/fit.json is missing: run it again")
    config, metrics, ledger = run.config, observable_numbers(run.metrics), run.ensemble.ledger
    besides = _besides(config, metrics.quality)
    told = Told(run.kind, run.schedule, fitted.stages)
    return Part(
        kind_of(config),
        outcome(config, metrics),
        _facts(config, metrics, ledger),
        [
            *warnings(config, metrics, ledger.why_no_weights, run.kind == "control"),
            *warnings_of_doubt(metrics.quality.doubt),
            *warnings_of_posterior(metrics.quality.posterior),
            *besides.warnings,
        ],
        [*_body(run, metrics, fitted), *besides.sections],
        " ".join(filter(None, (methods(config, metrics, told), besides.methods))),
        [
            *run.drawing_settings(),
            ("model samples", count(metrics.quality.model_samples)),
            *besides.settings,
            *config.chosen.table(told),
            *made_with(metrics),
        ],
        asked_for(config, metrics),
        how_far_met(config, metrics),
        believable(config, metrics),
        checks(run, metrics),
        ["maximum-entropy", *([] if metrics.certificate is None else CITED_FOR_WORK)],
    )


def _facts(config: RunConfig, metrics: ObservableNumbers, ledger: Ledger) -> list[Fact]:
    certificate, quality = metrics.certificate, metrics.quality
    if certificate is not None:
        return [
            fact_of_work("work spent", certificate.work),
            fact_of_work("unavoidable", certificate.bound),
            Fact("efficiency", share(certificate.efficiency)),
            fact_of_effective(certificate),
        ]
    facts = [
        Fact("least work possible", plain(quality.reweighting_kl), UNIT_OF_WORK),
        Fact(
            "effective samples (reweighting)",
            many(quality.model_samples * quality.reweighting_ess),
            f"of {count(quality.model_samples)}",
        ),
    ]
    if ledger.action is not None and config.chosen.guides:
        facts.append(Fact("kinetic action", plus_minus(float(ledger.action.mean()), _stderr(ledger.action))))
    return facts


def _stderr(values: torch.Tensor) -> float:
    return float(values.std()) / len(values) ** 0.5


def _body(run: Finished[RunConfig], metrics: ObservableNumbers, fitted: FitNumbers) -> list[Section]:
    ledger, quality = run.ensemble.ledger, metrics.quality
    found = [distributions_section(run, metrics, fitted), averages_section(run.config, metrics.observables)]
    if metrics.certificate is not None:
        weighted = ledger.log_weight is not None and run.config.chosen.guides
        model_ess = run.ensemble.ess if weighted else None
        found.append(work_section(run, metrics.certificate, quality.efficiency_of_exact, model_ess))
    found.append(_multipliers(metrics.observables, metrics.certificate))
    if quality.doubt is not None:
        found.append(doubt_section(quality.doubt))
    if quality.left_out:
        found.append(left_out_section(quality.left_out))
    if quality.posterior is not None:
        found.append(credible_section(quality.posterior))
    if quality.unknowns:
        found.append(_unknowns(quality))
    if quality.kl_truth_model is not None:
        found.append(_truth(quality))
    return [*found, _learning(fitted.stages)] if fitted.stages else found


def _multipliers(rows: Sequence[ObservableRow], certificate: CertificateNumbers | None) -> Section:
    units = has_units(rows)
    misses = [None] * len(rows) if certificate is None else certificate.miss or ()
    and_miss = "" if certificate is None else ", and how far the average of the guided samples is from it"
    table = Table(
        (
            "λ of the target distribution ", italic("p"), "·exp(−λ·O)/", italic("Z"),
            f" with its sampling error, the average of the observable under this target{and_miss}.",
        ),
        [
            "observable", *(["unit of λ"] if units else []), "λ", "target average",
            *([] if certificate is None else ["miss / standard deviation"]),
        ],
        [_multiplier(row, units, miss) for row, miss in zip(rows, misses, strict=True)],
        text_columns=2 if units else 1,
        grey_rows=grey_rows(rows),
    )  # fmt: skip
    return Section("Multipliers", [lambda_in_words(rows)], [], [table])


def _multiplier(row: ObservableRow, units: bool, miss: Miss | None) -> list[Words]:
    inverse: Words = (Mark(f"({row.unit})", "name"), Mark("−1", "raised")) if row.unit else "–"
    return [
        named(row),
        *([inverse] if units else []),
        "–" if row.held_out else plus_minus(row.lambda_, row.lambda_stderr),
        plain(row.optimum),
        *([] if miss is None else [pm(miss)]),
    ]


def _unknowns(quality: ObservableQuality) -> Section:
    table = Table(
        "Unknowns of the data, fitted beside λ with a flat prior, ± one standard error.",
        ["unknown", "value"],
        [[(Mark(one.name, "name"),), plus_minus(one.value, one.stderr)] for one in quality.unknowns],
    )
    return Section("Unknowns of the data", [], [], [table])


def _truth(quality: ObservableQuality) -> Section:
    rows = {
        "model": quality.kl_truth_model,
        "model, reweighted": quality.kl_truth_reweighted,
        "guided": quality.kl_truth_guided,
    }
    table = Table(
        f"KL(truth ‖ samples) over {quality.bins} bins with {count(quality.samples)} samples each. The noise "
        f"of a histogram adds about {plain(quality.histogram_noise, 2)} to each value.",
        ["samples", "KL, nats"],
        [[label, pm(one)] for label, one in rows.items() if one is not None],
    )
    return Section("Distance from the truth", [], [], [table])


def _learning(stages: Sequence[Mapping[str, Any]]) -> Section:
    table = Table(
        "Stages of the fit: the part of the way from the model's averages to the data that was reached, the effective "
        "samples, the loss of V on held-out samples relative to the loss without a change, and the variance of the "
        "log-weights before each polish and as predicted for afterwards.",
        ["stage", "way", "effective samples", "iterations", "held-out loss", ("Var ln ", italic("w"))],
        [
            [
                str(number),
                fraction(stage["fraction"]),
                fraction(stage["ess"]),
                count(stage["iterations"][-1]),
                plain(min(stage["validation"]), 5),
                ", ".join(
                    f"{plain(before, 2)} → {plain(after, 2)}"
                    for before, after in zip(stage["variance_before"], stage["variance_after"], strict=True)
                ),
            ]
            for number, stage in enumerate(stages, 1)
        ],
    )
    return Section("Learning", [], [], [table])

"""What a report says in sentences: the outcome, what to beware of, and a paragraph for a methods section."""

from collections.abc import Mapping, Sequence
from typing import Any

from leastwork.fit.methods import Told
from leastwork.runs.base.sentences import LEAST_ESS, Metrics, drawing, gone_astray, pm, too_few_steps
from leastwork.runs.observables.config import RunConfig
from leastwork.support.numerals import count, fraction, plain, plus_minus

__all__ = ["asked", "averages_after", "kind_of", "methods", "outcome", "reached", "warnings"]
_SHOWN = 3  # data in a table of runs


def kind_of(config: RunConfig) -> str:
    """What a run is, in two words."""
    if not config.chosen.guides:
        return "Reweighting"
    return f"{config.method.replace('-', ' ').capitalize()} guidance"


def asked(metrics: Metrics) -> str:
    """The data that were fitted, in a line."""
    return _line([f"⟨{row['name']}⟩ {_wanted(row)}{_unit(row)}" for row in _fitted(metrics)])


def reached(config: RunConfig, metrics: Metrics) -> str:
    """The averages that came of it, in a line."""
    after, error = averages_after(config)
    return _line(
        [
            f"{plus_minus(row[after], row[error])}{_unit(row)}, from {plus_minus(row['model'], row['model_stderr'])}"
            for row in _fitted(metrics)
        ]
    )


def _line(parts: Sequence[str]) -> str:
    more = len(parts) - _SHOWN
    return "; ".join(parts[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _fitted(metrics: Metrics) -> list[Mapping[str, Any]]:
    return [row for row in metrics["observables"] if not row["held_out"]]


def averages_after(config: RunConfig) -> tuple[str, str]:
    """The averages that a method ends with, and their errors."""
    return ("guided", "stderr") if config.chosen.guides else ("reweighted", "reweighted_stderr")


def outcome(config: RunConfig, metrics: Metrics) -> str:
    """One sentence: what was asked, what came, what it cost."""
    fitted, (after, _) = _fitted(metrics), averages_after(config)
    if len(fitted) == 1:
        moved = _moved(fitted[0], after)
    else:
        moved = f"{len(fitted)} averages, among them {_moved(fitted[0], after)}"
    verb = "Guiding" if config.chosen.guides else "Reweighting"
    sentence = f"{verb} {config.name} moved {moved}"
    certificate = metrics["certificate"]
    if certificate is None:
        ess = metrics["quality"]["reweighting_ess"]
        if not config.chosen.guides:
            return f"{sentence}; the weights leave {fraction(ess)} of the samples effective."
        return f"{sentence}; the process it was drawn by has no path weights, hence no certificate."
    work, bound, efficiency = (certificate[key] for key in ("work", "bound", "efficiency"))
    cost = f"for {pm(work)} k_BT of work"
    if efficiency["value"] is None:
        return f"{sentence} {cost}; nothing had to be done."
    return f"{sentence} {cost}, of which {pm(bound)} k_BT were unavoidable: an efficiency of {_percent(efficiency)}."


def warnings(config: RunConfig, metrics: Metrics, why_no_weights: str, control: bool = False) -> list[str]:
    """What to beware of, one sentence each with its remedy; ``control``: of a flow, whose λ is from its samples."""
    found = []
    certificate, reweighting = metrics["certificate"], metrics["quality"]["reweighting_ess"]
    pools = config.chosen.finds_lambdas
    if reweighting < LEAST_ESS and (control or not pools):
        other = "" if control else "method: least-work, "
        found.append(
            f"Only {fraction(reweighting)} of the model's samples are effective under the target, so λ is uncertain: "
            f"use {other}more fit.samples, or data nearer to the model."
        )
    found += too_few_steps(metrics, [row["name"] for row in metrics["observables"]])
    if not config.chosen.guides:
        return found
    if certificate is None:
        return [*found, f"There is no certificate: {why_no_weights}."]
    if certificate["ess"]["value"] < LEAST_ESS:
        found.append(
            f"The effective sample size is {_percent(certificate['ess'])} (below 1 %), so averages under the target "
            f"rest on few samples: {config.chosen.remedy}."
        )
    if certificate["biased_high"]:
        effective = certificate["samples"] * certificate["ess"]["value"]
        found.append(
            f"Only {plain(effective, 3)} effective samples stand behind the certificate (fewer than 1,000), so its "
            "efficiency is biased high: draw more samples."
        )
    found += gone_astray(certificate)
    if not certificate["on_target"]["value"]:
        fitted = {row["name"] for row in metrics["observables"] if not row["held_out"]}
        worst = max((m for m in certificate["miss"] if m["name"] in fitted), key=lambda m: abs(m["value"] or 0.0))
        found.append(
            f"The guided samples miss the target: {worst['name']} is off by {pm(worst)} standard deviations of the "
            f"observable (tolerance {plain(certificate['on_target']['tolerance'])}): "
            f"{config.chosen.remedy}."
        )
    return found


def methods(config: RunConfig, metrics: Metrics, told: Told) -> str:
    """A paragraph to start a methods section from.

    Args:
        config: of the run.
        metrics: as in metrics.json.
        told: what is known of the guidance.
    """
    parts = (
        drawing(config, metrics),
        _entropy(config, metrics, bool(told.stages)),
        config.chosen.sentence(told),
        _result(config, metrics),
    )
    return " ".join(filter(None, parts))


def _entropy(config: RunConfig, metrics: Metrics, pooled: bool) -> str:
    known = metrics["quality"]
    fitted = _fitted(metrics)
    held_out = len(metrics["observables"]) - len(fitted)
    source = f"{count(known['model_samples'])} model samples"
    if pooled:
        source += " and weighted guided paths"
    aside = f"; {_plural(held_out, 'datum was', 'data were')} held out for validation" if held_out else ""
    return (
        f"Lagrange multipliers λ for {_plural(len(fitted), 'datum', 'data')} were found by the maximum-entropy "
        f"principle from {source}, which fixed the target distribution "
        f"p·exp(−λ·O)/Z at a Kullback–Leibler divergence of {plain(known['reweighting_kl'])} k_BT from the model "
        f"(effective sample fraction of the reweighting {fraction(known['reweighting_ess'])}){aside}."
    )


def _result(config: RunConfig, metrics: Metrics) -> str:
    fitted, (after, error) = _fitted(metrics), averages_after(config)
    found = "; ".join(f"{_named(row)} {plus_minus(row[after], row[error])}{_unit(row)}" for row in fitted[:8])
    drawn = metrics["quality"]["model_samples"] if after == "reweighted" else config.sampling.n
    text = f"The averages over {count(drawn)} {after} samples are {found}."
    certificate = metrics["certificate"]
    if certificate is not None:
        text += (
            f" On {count(certificate['samples'])} fresh samples the excess work KL(guided paths ‖ model paths) is "
            f"{pm(certificate['work'])} k_BT, of which {pm(certificate['dissipation'])} k_BT is dissipation "
            f"(efficiency {_percent(certificate['efficiency'])}), and the effective sample fraction under the target "
            f"is {_percent(certificate['ess'])}."
        )
    return text + " Errors are one standard error."


def _moved(row: Mapping[str, Any], after: str) -> str:
    error = row["reweighted_stderr"] if after == "reweighted" else row["stderr"]
    ends = f"{plus_minus(row['model'], row['model_stderr'])} to {plus_minus(row[after], error)}{_unit(row)}"
    return f"the mean of {row['name']} from {ends} ({_datum(row)})"


def _datum(row: Mapping[str, Any]) -> str:
    return _bounds(row) if row["target"] is None else f"target {plus_minus(row['target'], row['error'])}"


def _wanted(row: Mapping[str, Any]) -> str:
    return _bounds(row) if row["target"] is None else f"= {plus_minus(row['target'], row['error'])}"


def _bounds(row: Mapping[str, Any]) -> str:
    bounds = [f"{sign} {plain(row[key])}" for key, sign in (("lower", "≥"), ("upper", "≤")) if row[key] is not None]
    return " and ".join(bounds)


def _named(row: Mapping[str, Any]) -> str:
    return f"⟨{row['name']}⟩ ="


def _unit(row: Mapping[str, Any]) -> str:
    return f" {row['unit']}" if row["unit"] else ""


def _percent(one: Mapping[str, Any]) -> str:
    return fraction(one["value"], one["stderr"])


def _plural(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"

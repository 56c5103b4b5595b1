"""Text blocks of the report: the outcome, warnings, and a paragraph for a methods section."""

from collections.abc import Sequence

from leastwork.fit.methods import Told
from leastwork.runs.base.sentences import LEAST_ESS, drawing, few_effective, gone_astray, pm, share, too_few_steps
from leastwork.runs.observables.config import RunConfig
from leastwork.runs.observables.numbers import ObservableNumbers, ObservableRow
from leastwork.support.numerals import count, fraction, plain, plus_minus

__all__ = [
    "asked",
    "averages_after",
    "kind_of",
    "may_be_chance",
    "methods",
    "nothing_corrected",
    "outcome",
    "reached",
    "wanted",
    "warnings",
]
_CLEARLY = 2.0  # standard errors
_DATA_IN_A_LINE = 3  # data in a table of runs


def may_be_chance(miss: float, stderr: float, tolerance: float) -> bool:
    """Whether a miss exceeds what is tolerated by less than two standard errors, or not at all."""
    return abs(miss) - _CLEARLY * stderr <= tolerance


def kind_of(config: RunConfig) -> str:
    """The kind of a run in two words."""
    if not config.chosen.guides:
        return "Reweighting"
    return f"{config.method.replace('-', ' ').capitalize()} guidance"


def asked(metrics: ObservableNumbers) -> str:
    """The data that were fitted, in a line."""
    return _line([f"⟨{row.name}⟩ {_datum(row, '= ')}{_unit(row)}" for row in metrics.fitted])


def reached(config: RunConfig, metrics: ObservableNumbers) -> str:
    """The averages that were reached, in a line."""
    guides = config.chosen.guides
    return _line([f"{pm(row.after(guides))}{_unit(row)}, from {pm(row.before)}" for row in metrics.fitted])


def _line(parts: Sequence[str]) -> str:
    more = len(parts) - _DATA_IN_A_LINE
    return "; ".join(parts[:_DATA_IN_A_LINE]) + (f"; and {more} more" if more > 0 else "")


def averages_after(config: RunConfig) -> str:
    """The name of the averages that a method ends with."""
    return "guided" if config.chosen.guides else "reweighted"


def outcome(config: RunConfig, metrics: ObservableNumbers) -> str:
    """One sentence: what was asked, what came, what it cost, or that cross-validation found nothing to correct."""
    nothing = nothing_corrected(metrics)
    return nothing or _moved_what(config, metrics)


def nothing_corrected(metrics: ObservableNumbers) -> str:
    """A sentence for where cross-validation ends at the largest θ that was tried, or nothing."""
    curve = metrics.quality.besides.get("trust") or {}
    thetas = curve.get("thetas") or ()
    if not thetas or curve.get("left_out") is None or curve.get("chosen") != len(thetas) - 1:
        return ""
    return (
        f"The data correct nothing: cross-validation ends at the largest θ, {plain(thetas[-1], 3)}, since fitted data "
        "do not predict those left out better than the model does."
    )


def _moved_what(config: RunConfig, metrics: ObservableNumbers) -> str:
    """A sentence on the averages that were moved, and the work that it took."""
    fitted, guides = metrics.fitted, config.chosen.guides
    if len(fitted) == 1:
        moved = _moved(fitted[0], guides)
    else:
        moved = f"{len(fitted)} averages, among them {_moved(fitted[0], guides)}"
    verb = "Guiding" if guides else "Reweighting"
    sentence = f"{verb} {config.name} moved {moved}"
    certificate = metrics.certificate
    if certificate is None:
        ess = metrics.quality.reweighting_ess
        if not guides:
            return f"{sentence}; the weights leave {fraction(ess)} of the samples effective."
        return f"{sentence}; its samples were drawn by a process without path weights, so there is no certificate."
    cost = f"for {pm(certificate.work)} k_BT of work"
    if certificate.efficiency.value is None:
        return f"{sentence} {cost}; nothing had to be done."
    return (
        f"{sentence} {cost}, of which {pm(certificate.bound)} k_BT were unavoidable: an efficiency of "
        f"{share(certificate.efficiency)}."
    )


def warnings(config: RunConfig, metrics: ObservableNumbers, why_no_weights: str, control: bool = False) -> list[str]:
    """Sentences of warning with their remedies; ``control`` is True for a flow, whose λ comes from its own samples."""
    found = []
    certificate, reweighting = metrics.certificate, metrics.quality.reweighting_ess
    pools = config.chosen.finds_lambdas
    if reweighting < LEAST_ESS and (control or not pools):
        other = "" if control else "method: least-work, "
        found.append(
            f"Only {fraction(reweighting)} of the model's samples are effective under the target, so λ is uncertain: "
            f"use {other}more fit.samples, or data nearer to the model."
        )
    found += too_few_steps(metrics, [row.name for row in metrics.observables])
    if not config.chosen.guides:
        return found
    if certificate is None:
        return [*found, f"There is no certificate: {why_no_weights}."]
    if certificate.ess.value is not None and certificate.ess.value < LEAST_ESS:
        found.append(
            f"The effective sample size is {share(certificate.ess)} (below 1 %), so averages under the target "
            f"rest on few samples: {config.chosen.remedy}."
        )
    found += [*few_effective(certificate), *gone_astray(certificate)]
    if certificate.on_target is not None and not certificate.on_target.value:
        fitted = {row.name for row in metrics.fitted}
        misses = (miss for miss in certificate.miss or () if miss.name in fitted)
        worst = max(misses, key=lambda miss: abs(miss.value or 0.0))
        tolerance = certificate.on_target.tolerance
        chance = may_be_chance(worst.value or 0.0, worst.stderr or 0.0, tolerance)
        found.append(
            f"The guided samples miss the target: {worst.name} is off by {pm(worst)} standard deviations of the "
            f"observable (tolerance {plain(tolerance)}): "
            f"{'that may be chance, and more samples decide; if it stays, ' if chance else ''}{config.chosen.remedy}."
        )
    return found


def methods(config: RunConfig, metrics: ObservableNumbers, told: Told) -> str:
    """A paragraph to start a methods section from.

    Args:
        config: the settings of the run.
        metrics: as in metrics.json.
        told: facts about the guidance.
    """
    parts = (
        drawing(config, metrics),
        _entropy(config, metrics, bool(told.stages)),
        config.chosen.sentence(told),
        _result(config, metrics),
    )
    return " ".join(filter(None, parts))


def _entropy(config: RunConfig, metrics: ObservableNumbers, pooled: bool) -> str:
    known = metrics.quality
    fitted = metrics.fitted
    held_out = len(metrics.observables) - len(fitted)
    source = f"{count(known.model_samples)} model samples"
    if pooled:
        source += " and weighted guided paths"
    aside = f"; {_plural(held_out, 'datum was', 'data were')} held out for validation" if held_out else ""
    return (
        f"Lagrange multipliers λ for {_plural(len(fitted), 'datum', 'data')} were found by the maximum-entropy "
        f"principle from {source}, which fixed the target distribution "
        f"p·exp(−λ·O)/Z at a Kullback–Leibler divergence of {plain(known.reweighting_kl)} k_BT from the model "
        f"(effective sample fraction of the reweighting {fraction(known.reweighting_ess)}){aside}."
    )


def _result(config: RunConfig, metrics: ObservableNumbers) -> str:
    guides = config.chosen.guides
    found = "; ".join(f"⟨{row.name}⟩ = {pm(row.after(guides))}{_unit(row)}" for row in metrics.fitted[:8])
    drawn = config.sampling.n if guides else metrics.quality.model_samples
    text = f"The averages over {count(drawn)} {averages_after(config)} samples are {found}."
    certificate = metrics.certificate
    if certificate is not None:
        text += (
            f" On {count(certificate.samples)} fresh samples the excess work KL(guided paths ‖ model paths) is "
            f"{pm(certificate.work)} k_BT, of which {pm(certificate.dissipation)} k_BT is dissipation "
            f"(efficiency {share(certificate.efficiency)}), and the effective sample fraction under the target "
            f"is {share(certificate.ess)}."
        )
    return text + " Errors are one standard error."


def _moved(row: ObservableRow, guides: bool) -> str:
    ends = f"{pm(row.before)} to {pm(row.after(guides))}{_unit(row)}"
    return f"the mean of {row.name} from {ends} ({_datum(row, 'target ')})"


def wanted(row: ObservableRow) -> str:
    """The datum of an observable in words, with its unit."""
    return _datum(row) + _unit(row)


def _datum(row: ObservableRow, before_a_value: str = "") -> str:
    if row.target is not None:
        return f"{before_a_value}{plus_minus(row.target, row.error)}"
    bounds = [f"{sign} {plain(bound)}" for bound, sign in ((row.lower, "≥"), (row.upper, "≤")) if bound is not None]
    return " and ".join(bounds)


def _unit(row: ObservableRow) -> str:
    return f" {row.unit}" if row.unit else ""


def _plural(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"

"""Text blocks of the report of Path Guidance."""

from collections.abc import Mapping, Sequence
from typing import Any

from leastwork.fit.methods import Told
from leastwork.runs.base.sentences import LEAST_ESS, drawing, few_effective, gone_astray, pm, share, too_few_steps
from leastwork.runs.path.config import PathConfig
from leastwork.runs.path.numbers import PathNumbers
from leastwork.support.numerals import count, fraction, plain

__all__ = [
    "asked",
    "falls_short",
    "free_energy",
    "kind_of",
    "methods",
    "outcome",
    "reached",
    "warnings",
    "whose_region",
]

_STANDARD_ERRORS_BELOW = 2.0  # standard errors by which a share is below another
_ALLOWED_SHORTFALL = 0.05
"""Part by which a share may fall short of what was asked: steps are finite, and the border of a region costs some."""


def kind_of(config: PathConfig) -> str:
    """The kind of a run in three words."""
    return f"{config.method.replace('-', ' ').capitalize()} path guidance"


def asked(config: PathConfig) -> str:
    """The share of the samples that was to be in the region."""
    return f"{fraction(config.success)} of the samples in the region"


def reached(metrics: PathNumbers) -> str:
    """The share of the samples in the region that was reached."""
    quality = metrics.quality
    return f"{share(quality.success)}, from {share(quality.model_share)}"


def outcome(config: PathConfig, metrics: PathNumbers) -> str:
    """A sentence on the share of samples in the region, and the work that it took."""
    certificate = metrics.certificate
    sentence = (
        f"Guiding {config.name} put {share(metrics.quality.success)} of the samples into the region "
        f"for {pm(certificate.work)} k_BT of work"
    )
    if certificate.efficiency.value is None:
        return f"{sentence}, but too few samples hit it to say how much of that was needed."
    return (
        f"{sentence}, of which {pm(certificate.bound)} k_BT were unavoidable: an efficiency of "
        f"{share(certificate.efficiency)}."
    )


def free_energy(metrics: PathNumbers) -> list[str]:
    """Sentences on the free energy of the region, under the model and, if known, exactly."""
    found, quality = metrics.free_energy, metrics.quality
    if found.value is None or found.probability is None:
        sentences = ["No guided sample is in the region, so its free energy is not known."]
    else:
        sentences = [f"−ln p(A) = {pm(found)} k_BT, p(A) = {pm(found.probability)} under the model."]
    inside = quality.model_samples_in_region
    sentences.append(
        f"Of {count(quality.model_samples)} samples of the model itself {count(inside)} are in the region"
        + (f", a share of {pm(quality.model_share)}." if inside else ".")
    )
    exact = found.exact
    if exact is not None:
        sentences.append(
            f"−ln p(A) = {plain(exact.value)} k_BT, p(A) = {plain(exact.probability)} in {exact.source}: a "
            "difference larger than the error is an error of the model."
        )
    return sentences


def whose_region(config: PathConfig) -> str:
    """A sentence on the region of the guides' kernel; empty if a region was given."""
    if config.region is not None:
        return ""
    chosen = "chosen by leave-one-out likelihood" if config.bandwidth is None else "as given"
    return (
        "No test of membership was given, so the region is defined by the guides' kernel, with a bandwidth "
        f"{chosen}. Another bandwidth defines another region, as the section on sensitivity shows."
    )


def warnings(config: PathConfig, metrics: PathNumbers) -> list[str]:
    """Sentences of warning, each with its remedy."""
    certificate, success = metrics.certificate, metrics.quality.success
    remedy = config.chosen.remedy
    if success.value is None or success.value == 0:
        return [f"None of {count(config.sampling.n)} guided samples is in the region: {remedy}."]
    found = too_few_steps(metrics, ["1_A"])
    if falls_short(config, metrics):
        found.append(
            f"{share(success)} of the guided samples are in the region where {fraction(config.success)} were "
            f"asked for: {remedy}."
        )
    if certificate.ess.value is not None and certificate.ess.value < LEAST_ESS:
        found.append(
            f"The effective sample size is {share(certificate.ess)} (below 1 %), so the free energy and "
            f"averages under the model rest on few samples: {remedy}."
        )
    return [*found, *few_effective(certificate), *gone_astray(certificate)]


def falls_short(config: PathConfig, metrics: PathNumbers) -> bool:
    """Whether clearly fewer samples are in the region than were asked for."""
    success = metrics.quality.success
    highest = (success.value or 0.0) + _STANDARD_ERRORS_BELOW * (success.stderr or 0.0)
    return highest < config.success - _ALLOWED_SHORTFALL


def methods(config: PathConfig, metrics: PathNumbers, guides: int, stages: Sequence[Mapping[str, Any]]) -> str:
    """A paragraph to start a methods section from.

    Args:
        config: the settings of the run.
        metrics: as in metrics.json.
        guides: number of guides.
        stages: stages of a learned guidance.
    """
    parts = (
        drawing(config, metrics),
        _region(config, metrics, guides),
        config.chosen.sentence(Told(stages=stages)),
        _result(config, metrics),
    )
    return " ".join(filter(None, parts))


def _region(config: PathConfig, metrics: PathNumbers, guides: int) -> str:
    definition = metrics.free_energy.region.rstrip(".")
    width = f", whose kernel has the bandwidth {plain(metrics.quality.bandwidth)}" if config.region else ""
    return f"They were guided by {guides} structures{width}, to the region {definition}."


def _result(config: PathConfig, metrics: PathNumbers) -> str:
    certificate, energy = metrics.certificate, metrics.free_energy
    text = f"Of {count(config.sampling.n)} fresh samples {share(metrics.quality.success)} are in A."
    if energy.value is not None:
        text += f" By their path weights −ln p(A) = {pm(energy)} k_BT under the model."
    return text + (
        f" The excess work KL(guided paths ‖ model paths) is {pm(certificate.work)} k_BT, of which "
        f"{pm(certificate.dissipation)} k_BT is dissipation (efficiency "
        f"{share(certificate.efficiency)}), and the effective sample fraction under the target is "
        f"{share(certificate.ess)}. Errors are one standard error."
    )

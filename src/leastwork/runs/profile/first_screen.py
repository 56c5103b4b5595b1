"""The first screen of the report of a profile: what was asked, whether it is met, what to believe, and its checks."""

from leastwork.report.blocks import Check, Mark, Words
from leastwork.runs.base.checks import certificate_checks, step_check
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.windows import overlap_check, windows_effective_check
from leastwork.runs.profile.config import ProfileConfig
from leastwork.runs.profile.numbers import ProfileNumbers
from leastwork.support.numerals import count, plain

__all__ = ["asked_for", "believable", "checks", "how_far_met"]

_SURE = 3.0  # standard errors within which two ways to a free energy agree
_SMALL = 0.1  # k_BT; what two ways may differ by, whatever their errors
_LARGE = 1.0  # k_BT


def asked_for(config: ProfileConfig, metrics: ProfileNumbers) -> list[Words]:
    """What was asked of the run."""
    shown = metrics.quality.profile
    found: list[str | Mark] = [
        f"How the free energy of the model {config.source.label}, −ln of its density, varies along "
    ]
    for i, (name, unit, edges) in enumerate(zip(shown.names, shown.units, shown.edges, strict=True)):
        span = f" from {plain(edges[0], 3)} to {plain(edges[-1], 3)}{f' {unit}' if unit else ''}"
        found += ["and along " if i else "", Mark(name, "name"), f"{span}, in {count(len(edges) - 1)} bins "]
    return [[*found[:-1], f"{str(found[-1]).rstrip()}."]]


def how_far_met(metrics: ProfileNumbers, span: str, largest_error: str) -> list[Words]:
    """Whether it is known in all bins, and how well."""
    shown = metrics.quality.profile
    known = sum(value is not None for value in shown.values)
    verdict = "Yes" if known == len(shown.values) else "In part"
    return [
        f"{verdict}: it is known in {count(known)} of {count(len(shown.values))} bins. It spans {span} k_BT there, and "
        f"its largest standard error is {largest_error} k_BT."
    ]


def believable(metrics: ProfileNumbers) -> list[Words]:
    """What to take from the run, and what not."""
    return [
        "The free energy is the model's, and as wrong or right as the model is. Its errors include those of all "
        "windows, as far as the lights below are green.",
        "Errors of neighbouring bins depend on each other: for the difference of two bins take profile.difference in "
        "Python, which knows how.",
    ]


def checks(run: Finished[ProfileConfig], metrics: ProfileNumbers) -> list[Check]:
    """The traffic lights of a run."""
    shown, remedy = metrics.quality.profile, run.config.chosen.remedy
    more = "take a larger fit.window_samples"
    effective, bias, tail = certificate_checks(run, metrics.certificate, remedy)
    return [
        _bins(metrics),
        overlap_check([one.next_overlap for one in shown.windows], more),
        _two_ways(metrics, more),
        windows_effective_check([one.effective for one in shown.windows], more),
        effective,
        bias,
        tail,
        step_check(metrics),
    ]


def _bins(metrics: ProfileNumbers) -> Check:
    values = metrics.quality.profile.values
    lost = sum(value is None for value in values)
    if not lost:
        return Check("whole range", "good", f"There are samples in all {count(len(values))} bins.")
    return Check(
        "whole range", "doubtful" if lost < len(values) / 2 else "bad",
        f"{count(lost)} of {count(len(values))} bins have no samples, and no free energy.",
        "give a narrower range by profile.lower and profile.upper, or a larger fit.window_samples",
    )  # fmt: skip


def _two_ways(metrics: ProfileNumbers, remedy: str) -> Check:
    """Whether MBAR, from overlaps alone, comes to the free energies of the windows that path weights know."""
    name = "convergence of MBAR"
    pairs = [
        (abs(one.by_overlap - one.free_energy.value), one.free_energy.stderr or 0.0)
        for one in metrics.quality.profile.windows
        if one.by_overlap is not None and one.free_energy.value is not None
    ]
    if not pairs:
        return Check(name, "unknown", "No window has a free energy by both path weights and overlaps.", remedy)
    far, error = max(pairs)
    apart = any(gap > max(_SURE * stderr, _SMALL) for gap, stderr in pairs)
    finding = (
        f"−ln Z of the windows by path weights and by overlaps alone differ by at most {plain(far, 2)} k_BT (path "
        f"weights alone: ± {plain(error, 2)})."
    )
    if not apart:
        return Check(name, "good", f"{finding} The two ways agree.")
    return Check(
        name, "bad" if far > _LARGE else "doubtful", f"{finding} They should agree within three errors.", remedy
    )

"""The report of a profile: F along the coordinate, the windows, their overlap, and the work of the flat histogram."""

import numpy as np

from leastwork.fit.methods import Told
from leastwork.free_energy.mbar import LEAST_OVERLAP
from leastwork.report.blocks import Fact, Image, Part, Section, Table
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.sections import CITED_FOR_WORK, fact_of_work, made_with, work_section
from leastwork.runs.base.sentences import drawing, few_effective, gone_astray, pm, share, too_few_steps
from leastwork.runs.profile.config import ProfileConfig
from leastwork.runs.profile.figures import overlaps, profile
from leastwork.runs.profile.first_screen import asked_for, believable, checks, how_far_met
from leastwork.runs.profile.numbers import ProfileNumbers, WindowNumbers, profile_numbers
from leastwork.support.numerals import count, plain

__all__ = ["largest_error", "part", "span"]


def part(run: Finished[ProfileConfig]) -> Part:
    """The content of the report of a run."""
    config, metrics = run.config, profile_numbers(run.metrics)
    named = ", ".join(metrics.quality.profile.names)
    return Part(
        "Free-energy profile",
        f"The free energy of {config.name} along {named} spans {span(metrics)} k_BT, with a largest error of "
        f"{largest_error(metrics)} k_BT.",
        [
            Fact("span of the profile", span(metrics), "k_BT"),
            Fact("largest error", largest_error(metrics), "k_BT"),
            Fact("windows", count(len(metrics.quality.profile.windows) - 2)),
            fact_of_work("work of the flat histogram", metrics.certificate.work),
            Fact("efficiency", share(metrics.certificate.efficiency)),
        ][:4],
        _warnings(metrics),
        [_profile(run, metrics), _windows(run, metrics), work_section(run, metrics.certificate)],
        f"{drawing(config, metrics)} {config.chosen.sentence(Told())}",
        [*run.drawing_settings(), *config.chosen.table(Told()), *made_with(metrics)],
        asked_for(config, metrics),
        how_far_met(metrics, span(metrics), largest_error(metrics)),
        believable(metrics),
        checks(run, metrics),
        [*CITED_FOR_WORK, "mbar"],
    )


def span(metrics: ProfileNumbers) -> str:
    """The largest known value of F less the smallest."""
    known = [value for value in metrics.quality.profile.values if value is not None]
    return plain(max(known) - min(known), 3)


def largest_error(metrics: ProfileNumbers) -> str:
    """The largest standard error of a bin."""
    return plain(max(error for error in metrics.quality.profile.stderrs if error is not None), 2)


def _warnings(metrics: ProfileNumbers) -> list[str]:
    found = [*few_effective(metrics.certificate), *gone_astray(metrics.certificate)]
    found += too_few_steps(metrics, metrics.quality.profile.names)
    shown = metrics.quality.profile
    lost = sum(value is None for value in shown.values)
    if lost:
        found.append(
            f"{count(lost)} of {count(len(shown.values))} bins have no samples, and no free energy: give a narrower "
            "range, or more fit.window_samples."
        )
    alone = [i for i, one in enumerate(shown.windows) if (one.next_overlap or 0.0) < LEAST_OVERLAP]
    if alone and len(shown.windows) > 1:
        found.append(
            f"Window {alone[0]} overlaps with no other by {LEAST_OVERLAP:g}, so that path weights alone join it: take "
            "wider windows, or more fit.window_samples."
        )
    return found


def _profile(run: Finished[ProfileConfig], metrics: ProfileNumbers) -> Section:
    shown = metrics.quality.profile
    edges = [run.plots[f"edges.{i}"].numpy() for i in range(len(shown.names))]
    values, errors = (run.plots[name].numpy() for name in ("values", "errors"))
    labels = [f"{name} ({unit})" if unit else name for name, unit in zip(shown.names, shown.units, strict=True)]
    caption = (
        "The free energy −ln p of the model in bins, less its smallest value, with 95 % intervals. Errors of "
        "neighbouring bins depend on each other."
        if len(edges) == 1
        else "The free energy −ln p of the model in bins, less its smallest value; bins without samples are left white."
    )
    image = Image(profile(edges, values, errors, labels), caption, f"Free energy along {', '.join(shown.names)}")
    known = errors[np.isfinite(errors)]
    text = (
        f"Its median error is {plain(float(np.median(known)), 2)} k_BT. F is absolute: p is the density of the model, "
        "normalised over all of its states, since path weights know the normaliser of each window."
    )
    return Section("The profile", [text], [image])


def _windows(run: Finished[ProfileConfig], metrics: ProfileNumbers) -> Section:
    shown = metrics.quality.profile.windows
    image = Image(
        overlaps(run.plots["overlap"].numpy()),
        "The overlap matrix of MBAR: the probability that a sample of the window of the row could have come from that "
        "of the column. Rows add up to one.",
        "Overlap matrix of the windows",
    )
    table = Table(
        "The model's own samples, the windows in the order in which they were placed, and the flat histogram: their "
        "free energy −ln Z by path weights and by overlaps alone (MBAR), effective samples, and the largest overlap "
        "with another.",
        ["window", "−ln Z (k_BT)", "by overlaps", "effective samples", "overlap"],
        [_row(i, one, len(shown) - 1) for i, one in enumerate(shown)],
    )
    return Section("Windows", [], [image], [table])


def _row(number: int, one: WindowNumbers, last: int) -> list[str]:
    name = "model" if number == 0 else "flat histogram" if number == last else str(number)
    cells = [one.by_overlap, one.effective, one.next_overlap]
    return [name, pm(one.free_energy), *("–" if cell is None else plain(cell, 3) for cell in cells)]

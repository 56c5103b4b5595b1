"""The first screen of the report of a difference: what was asked, whether it is met, what to believe, its checks."""

import math

from leastwork.report.blocks import Check, Words
from leastwork.runs.base.checks import certificate_checks, step_check
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.sentences import pm
from leastwork.runs.base.windows import overlap_check, windows_effective_check
from leastwork.runs.difference.config import DifferenceConfig
from leastwork.runs.difference.numbers import DifferenceNumbers
from leastwork.support.numerals import plain

__all__ = ["asked_for", "believable", "checks", "how_far_met"]

_AGREE = 3.0  # standard errors
_MOST = 700.0  # nats; exp of more overflows


def asked_for(config: DifferenceConfig) -> list[Words]:
    """What was asked of the run."""
    return [
        f"How much more rarely the model {config.source.label} is in state B than in state A: the difference of their "
        "free energies, F_B − F_A = ln p(A) − ln p(B). The section on the states says what they are."
    ]


def how_far_met(metrics: DifferenceNumbers) -> list[Words]:
    """The difference, and what it means."""
    found = metrics.quality.difference
    if found.value is None:
        return ["No: there is no estimate of the difference."]
    times = plain(math.exp(min(abs(found.value), _MOST)), 2)
    rare, often = ("B", "A") if found.value > 0 else ("A", "B")
    return [f"Yes: F_B − F_A is {pm(found)} k_BT, so that the model is {times} times as often in {often} as in {rare}."]


def believable(metrics: DifferenceNumbers) -> list[Words]:
    """What to take from the run, and what not."""
    found = metrics.quality.difference
    said: list[Words] = ["The difference is the model's, and as wrong or right as the model is."]
    if found.stderr and found.counting_error:
        said.append(
            f"Counting the model's own samples would have an error of {plain(found.counting_error, 2)} k_BT for as "
            f"many network evaluations; guiding has {plain(found.stderr, 2)} k_BT."
        )
    return said


def checks(run: Finished[DifferenceConfig], metrics: DifferenceNumbers) -> list[Check]:
    """The traffic lights of a run."""
    found, remedy = metrics.quality.difference, run.config.chosen.remedy
    more = "take a larger fit.state_samples"
    overlap = run.plots["overlap"]
    nearest = (overlap - overlap.diagonal().diag()).amax(dim=1).tolist()
    effective, bias, tail = certificate_checks(run, metrics.certificate, remedy)
    return [
        _counted(metrics),
        overlap_check(nearest, more),
        windows_effective_check(found.effective, more),
        effective,
        bias,
        tail,
        step_check(metrics),
    ]


def _counted(metrics: DifferenceNumbers) -> Check:
    """Whether the difference is that of the model's own samples, as far as these know it."""
    found, name = metrics.quality.difference, "agreement with counting"
    counted = found.counted
    if found.value is None or counted.value is None or counted.stderr is None:
        return Check(name, "unknown", "The model's own samples are not in both states, so they cannot be counted.")
    far = abs(found.value - counted.value) / max(math.hypot(found.stderr or 0.0, counted.stderr), 1e-12)
    finding = (
        f"{pm(found)} k_BT, and {pm(counted)} by counting the model's own samples: {far:.1f} standard errors apart."
    )
    if far <= _AGREE:
        return Check(name, "good", finding)
    return Check(name, "bad", finding, "take more sampling.steps, or a larger fit.state_samples")

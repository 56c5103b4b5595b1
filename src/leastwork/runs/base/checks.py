"""The traffic lights that all kinds of run share: effective samples, bias of the efficiency, tail index, steps.

Each says in a sentence what decides, and if it is not green what to do.
"""

import math
from collections.abc import Sequence
from typing import Any

from leastwork.report.blocks import Check, State
from leastwork.runs.base.finished import Finished
from leastwork.runs.base.numbers import CertificateNumbers, RunNumbers
from leastwork.runs.base.sentences import gone_astray, pm, share
from leastwork.sampling.ensemble import log_weight_under
from leastwork.statistics.tails import NOT_TO_TRUST, tail_index
from leastwork.support.numerals import count, plain

__all__ = ["certificate_checks", "effective_check", "many", "no_certificate", "step_check", "tail_check"]

_ENOUGH, _FEW = 1000, 100  # effective samples, for a green light and for a yellow one
_FINITE_VARIANCE = 0.5  # tail index below which an average has an error that its samples tell
_DRAW_MORE = "draw more samples by leastwork sample, with the folder of the run and --until-ess 1000"


def certificate_checks(run: Finished[Any], certificate: CertificateNumbers, remedy: str) -> list[Check]:
    """The checks of a certificate.

    Args:
        run: a finished run.
        certificate: its certificate.
        remedy: what the method advises if its guidance is poor, in the imperative.
    """
    return [
        effective_check(certificate.samples, certificate.ess.value, f"{_DRAW_MORE}; or {remedy}"),
        _bias(certificate),
        tail_check(_tail(run), f"{remedy}; more samples alone help little", gone_astray(certificate)),
    ]


def effective_check(samples: int, ess: float | None, remedy: str) -> Check:
    """How many equally weighted samples are worth as much as those that there are.

    Args:
        samples: number of samples.
        ess: their effective fraction.
        remedy: what to do if they are few.
    """
    name = "effective samples"
    if ess is None:
        return Check(name, "unknown", "No sample has a weight, so there is no such number.", remedy)
    n = samples * ess
    state: State = "good" if n >= _ENOUGH else "doubtful" if n >= _FEW else "bad"
    finding = (
        f"{many(n)} of {count(samples)}: averages under the target are as certain as those of {many(n)} independent "
        "samples of it."
    )
    return Check(name, state, finding, "" if state == "good" else remedy)


def many(n: float) -> str:
    """A number of effective samples, which needs no decimals.

    >>> many(6855.4), many(3.26)
    ('6,855', '3.3')
    """
    return count(round(n)) if n >= 10 else plain(n, 2)


def _bias(certificate: CertificateNumbers) -> Check:
    name = "bias of the efficiency"
    if certificate.efficiency.value is None:
        return Check(name, "unknown", "There is no efficiency, since nothing had to be done or nothing was hit.")
    found = f"An efficiency of {share(certificate.efficiency)} from {_effective(certificate)} effective samples"
    if certificate.biased_high:
        words = f"{found}, fewer than 1,000: the true efficiency may be lower, for large weights are still missing."
        return Check(name, "doubtful", words, _DRAW_MORE)
    return Check(name, "good", f"{found}, 1,000 or more: few samples do not make it look better than it is.")


def _effective(certificate: CertificateNumbers) -> str:
    return many(certificate.samples * (certificate.ess.value or 0.0))


def _tail(run: Finished[Any]) -> float:
    """The tail index of the weights under the target; NaN where there are none or too few."""
    ensemble = run.ensemble
    if ensemble.ledger.log_weight is None or ensemble.log_tilt is None:
        return math.nan
    log_weight = log_weight_under("target", ensemble)
    return tail_index((log_weight - log_weight.max()).exp())


def tail_check(k: float | None, remedy: str, astray: Sequence[str] = ()) -> Check:
    """Whether a few samples decide averages under the target.

    Args:
        k: tail index of the weights.
        remedy: what to do if it is high.
        astray: a sentence on a path that went astray, if one did, with its remedy.
    """
    name = "tail index of the weights"
    if k is None or math.isnan(k):
        return Check(name, "unknown", "There are too few different weights to tell it.", remedy)
    state: State = "good" if k < _FINITE_VARIANCE else "doubtful" if k <= NOT_TO_TRUST else "bad"
    if astray and state == "good":
        found, _, mend = astray[0].rpartition(": ")
        return Check(name, "doubtful", f"{plain(k, 2)}, below ½; but {found[:1].lower()}{found[1:]}.", mend.rstrip("."))
    meaning = {
        "good": "below ½, so the errors of weighted averages are what they are said to be.",
        "doubtful": f"between ½ and {NOT_TO_TRUST}: errors of weighted averages are somewhat larger than given.",
        "bad": f"above {NOT_TO_TRUST}: a few samples decide weighted averages, whose errors mean little.",
    }
    return Check(name, state, f"{plain(k, 2)}, {meaning[state]}", "" if state == "good" else remedy)


def step_check(numbers: RunNumbers) -> Check:
    """Whether twice as many steps would give other numbers."""
    found = numbers.discretisation
    words = f"{count(found.steps)} steps against twice as many, on {count(found.paths)} pairs of paths"
    if found.log_z is not None:
        words += f": ln⟨w⟩ shifts by {pm(found.log_z)}"
    if found.matters:
        return Check("number of steps", "bad", f"{words}. That matters.", "take more sampling.steps")
    return Check("number of steps", "good", f"{words}. No average shifts by more than is tolerated.")


def no_certificate(why: str) -> Check:
    """What is said where a process has no path weights."""
    return Check("certificate", "unknown", f"There is none: {why}.")

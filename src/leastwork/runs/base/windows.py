"""The traffic lights of free energies from windows: whether these overlap, and whether each has effective samples."""

from collections.abc import Sequence

from leastwork.free_energy.mbar import LEAST_OVERLAP
from leastwork.report.blocks import Check, State
from leastwork.runs.base.checks import many
from leastwork.support.numerals import count, plain

__all__ = ["overlap_check", "windows_effective_check"]

_WELL, _FEW = 100, 30  # effective samples of a window, for a green light and for a yellow one


def overlap_check(overlaps: Sequence[float | None], remedy: str) -> Check:
    """Whether every window shares enough samples with another for MBAR to join it.

    Args:
        overlaps: the largest overlap of each window with another, None where there are no samples to tell it.
        remedy: what to do if they are small, in the imperative.

    >>> overlap_check([0.2, 0.01, 0.3], "give more").state
    'doubtful'
    """
    name = "overlap of the windows"
    known = [0.0 if one is None else one for one in overlaps]
    alone = sum(one < LEAST_OVERLAP for one in known)
    if len(known) < 2:
        return Check(name, "unknown", "There is nothing to overlap with, since there are no windows.")
    least = f"The smallest overlap of a window with another is {plain(min(known), 2)}"
    if not alone:
        return Check(name, "good", f"{least}; {LEAST_OVERLAP:g} are enough for MBAR to join them.")
    which = "One of them is" if alone == 1 else f"{count(alone)} of them are"
    finding = f"{least}, and {LEAST_OVERLAP:g} are needed. {which} joined with the others by path weights alone."
    return Check(name, "doubtful", finding, remedy)


def windows_effective_check(effective: Sequence[float | None], remedy: str) -> Check:
    """Whether each window has effective samples enough for its free energy.

    Args:
        effective: effective samples of each window, None where a window has none.
        remedy: what to do if they are few, in the imperative.
    """
    known = [0.0 if one is None else one for one in effective]
    name, least = "samples of the windows", min(known, default=0.0)
    state: State = "good" if least >= _WELL else "doubtful" if least >= _FEW else "bad"
    finding = f"The window with the fewest has {many(least)} effective samples; {_WELL} are enough for its free energy."
    return Check(name, state, finding, "" if state == "good" else remedy)

"""Division of a budget of network evaluations, which is an upper limit, among the parts of a fit to a region."""

import math
from dataclasses import dataclass

from leastwork.errors import LeastworkError
from leastwork.fit.noised import evaluations_of_noised
from leastwork.models.denoised import PULL
from leastwork.path_guidance.rounds import FEWEST_PATHS

__all__ = ["HANDOVERS", "MEMBER_SHARE", "TRIAL_SHARE", "Share", "share_budget"]

HANDOVERS: tuple[float | None, ...] = (4.5, None)
"""Log-SNRs of the handovers that are tried; None: no handover."""

TRIAL_SHARE = 0.1
"""Paths that try one handover, relative to the paths of a round."""

MEMBER_SHARE = 0.2
"""Share of the budget for members of the region."""

_NOISED_SHARE, _PATH_SHARE = 0.15, 0.45  # of the budget; the model's own samples take the rest
_OWN_SHARE = 1 - MEMBER_SHARE - _NOISED_SHARE - _PATH_SHARE
_DESCENT_SHARE = {True: 0.35, False: 0.65}  # of the paths' evaluations, for steps of the head; True for an interval
_MOST_NOISED, _MOST_PATHS = 400_000, 16_384
_HELD_OUT = 8192  # noised states for the validation of V


@dataclass(frozen=True)
class Share:
    """How a budget is divided.

    Args:
        budget: network evaluations of the whole fit.
        noised: number of noised states from which the first V is learned.
        states: network evaluations for these states, those for validation included.
        path: network evaluations of all rounds and trials of handovers for one path in each round.
        descents: share of the paths' evaluations for steps of the head.
    """

    budget: int
    noised: int
    states: int
    path: float
    descents: float

    def for_paths(self, spent: int) -> float:
        """Network evaluations for guided paths, after ``spent`` for samples and members."""
        return min(_PATH_SHARE * self.budget, self.budget - spent - self.states)

    def paths(self, spent: int) -> int:
        """Number of paths in a round."""
        n = int((1 - self.descents) * self.for_paths(spent) / self.path)
        return min(max(n, FEWEST_PATHS), _MOST_PATHS)


def share_budget(budget: int, own: int, steps: int, through: bool, bounded: bool, rounds: int) -> Share:
    """Divide a budget.

    Args:
        budget: network evaluations of the whole fit.
        own: network evaluations that the model's own samples took.
        steps: number of steps S of the chain.
        through: whether V sees the denoised state.
        bounded: whether the region is an interval, for which handovers are tried.
        rounds: number of rounds of guided paths.

    Raises:
        LeastworkError: the budget is too small.

    >>> share = share_budget(1_000_000, 200_000, 50, True, False, 2)
    >>> share.noised, share.paths(400_000)
    (18750, 666)
    """
    path = (steps * (1 + PULL * through) + 1) * (1 + bounded * TRIAL_SHARE * len(HANDOVERS)) * rounds
    each = evaluations_of_noised(through)
    noised = min(int(_NOISED_SHARE * budget / each), _MOST_NOISED)
    share = Share(budget, noised, (noised + _HELD_OUT) * each, path, _DESCENT_SHARE[bounded])
    rest = FEWEST_PATHS * path / (1 - share.descents)
    parts, fixed = 1 - MEMBER_SHARE - _NOISED_SHARE, _HELD_OUT * each + rest
    least = max(rest / _PATH_SHARE, (own + fixed) / parts)
    if budget < least:
        enough = math.ceil(max(least, fixed / (parts - _OWN_SHARE)))  # more samples are drawn for a larger budget
        raise LeastworkError(
            f"budget={budget} is too small for {steps} steps: give at least {enough} network evaluations, or take "
            "fewer steps or samples"
        )
    return share

"""Division of a budget of network evaluations, which is an upper limit:

    own samples  n (S + 1)        noised states  m (1 + 1 + 3·2)        paths that polish  k (4S + 1)

for n, m and k of them and S steps, if V sees the denoised state. Then a noised state takes one evaluation, one backward
product with the model's Jacobian and three forward products, which count two each; a path that polishes takes one
backward and one forward product in each step. If V sees the noisy state itself, the costs are m and k (S + 1).
"""

from dataclasses import dataclass

from leastwork.fit.noised import evaluations_of_noised
from leastwork.models.denoised import PULL, PUSH

__all__ = ["FEWEST", "Share", "least_budget", "of_stage", "only_noised", "own_samples", "share"]

FEWEST = 512
"""Smallest number of samples or paths from which anything can be learned."""

_OWN_SHARE = 0.35  # share of the budget for the model's own samples
_NOISED_SHARE = 0.3  # share of the rest for the noised states
_LABELLED_SHARE = 0.25  # share of the rest for the labelled paths
_MEETING_SHARE = 0.1  # share of the rest for the last step, which meets the averages
_GUIDED_SHARE = 0.25  # share of the rest for the guided samples of the next stage
_MOST_OWN, _MOST_NOISED, _MOST_PATHS, _MOST_MEETING = 64_000, 500_000, 16_384, 4096
_FEWEST_LABELLED = 1024  # with fewer paths, their evaluations are better spent on noised states
_LEAST_NOISED = 8192  # with fewer noised states, the optimiser would see each too often


@dataclass(frozen=True)
class Share:
    """Numbers of states and paths that one stage may use.

    Args:
        noised: number of noised states from which V is learned.
        labelled: number of guided paths on whose states V is then learned.
        rounds: number of rounds of polish.
        paths: number of paths in each round of polish.
        meeting: number of paths for the last step, which meets the averages.
        guided: number of guided samples for the next stage, which may take half of the evaluations.
    """

    noised: int
    labelled: int
    rounds: int
    paths: int
    meeting: int
    guided: int


def own_samples(budget: int, per_sample: int) -> int:
    """Number of the model's own samples that a fit draws.

    Args:
        budget: network evaluations of the whole fit.
        per_sample: network evaluations of one sample.

    >>> own_samples(5_000_000, 101), own_samples(100_000_000, 101)
    (17326, 64000)
    """
    for_own = min(_OWN_SHARE * budget, budget - of_stage(0, 1, True, False))  # the last stage takes so many at least
    return min(max(int(for_own / per_sample), FEWEST), _MOST_OWN)


def least_budget(steps: int) -> int:
    """Number of network evaluations of the smallest fit."""
    return FEWEST * (steps + 1) + of_stage(0, steps, True, False)


def share(left: int, steps: int, through: bool, rounds: int) -> Share:
    """Divide what is left of a budget.

    Args:
        left: number of network evaluations that are left.
        steps: number of steps S of the chain.
        through: whether V sees the denoised state.
        rounds: largest number of rounds of polish; it is reduced if a round would have too few paths.

    >>> share(3_000_000, 100, True, 2)
    Share(noised=112500, labelled=3731, rounds=2, paths=1077, meeting=1492, guided=3731)
    """
    noised = min(max(int(_NOISED_SHARE * left / evaluations_of_noised(through)), _LEAST_NOISED), _MOST_NOISED)
    guided = steps * (1 + PULL * through) + 1
    rest = left - (noised + _LEAST_NOISED) * evaluations_of_noised(through, True)  # _LEAST_NOISED more for validation
    labelled = min(int(min(_LABELLED_SHARE * left, rest) / guided), _MOST_PATHS) if rounds else 0
    if labelled < _FEWEST_LABELLED:
        labelled = rounds = 0
    rest -= labelled * guided
    meeting = min(int(_MEETING_SHARE * left / guided), _MOST_MEETING) if rounds else 0
    rest -= meeting * guided
    path = guided + PUSH * steps * through
    while rounds and rest / rounds / path < FEWEST:
        rounds -= 1
    paths = min(int(rest / rounds / path), _MOST_PATHS) if rounds else 0
    return Share(noised, labelled, rounds, paths, meeting if rounds else 0, int(_GUIDED_SHARE * max(left, 0) / guided))


def only_noised(left: int, through: bool) -> int:
    """Number of noised states of a last stage that spends all on them, since it pays for no paths.

    >>> only_noised(1_000_000, True)
    102919
    """
    return min(max(int(left / evaluations_of_noised(through, True)) - _LEAST_NOISED, _LEAST_NOISED), _MOST_NOISED)


def of_stage(left: int, steps: int, through: bool, known: bool) -> int:
    """Number of network evaluations that a stage on the way takes of ``left``: those of its noised states.

    Args:
        left, steps, through: as for :func:`share`.
        known: whether its samples were drawn with guidance.

    >>> of_stage(1_000_000, 50, True, False)
    365536
    """
    noised = share(left, steps, through, 0).noised
    return (noised + _LEAST_NOISED) * evaluations_of_noised(through, known)

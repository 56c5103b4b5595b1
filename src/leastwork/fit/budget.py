"""How a fit shares its network evaluations out: a budget is a cap.

    own samples  n (S + 1)        noised states  m (1 + 1 + 3·2)        paths that polish  k (4S + 1)

for S steps, where V sees the denoised state: a noised state takes one evaluation, one product with the model's Jacobian
back and three forward, which count two each, and a path that polishes takes one back and one forward a step. Where V
sees the noisy state itself, m (1) and k (S + 1).
"""

from dataclasses import dataclass

from leastwork.fit.noised import evaluations_of_noised
from leastwork.models.denoised import PULL, PUSH

__all__ = ["FEWEST", "Share", "least_budget", "own_samples", "share"]

FEWEST = 512
"""Samples or paths with which something can be learned at all."""

_OWN = 0.35  # of the budget, for the model's own samples
_NOISED = 0.3  # of what is left then, for the noised states
_LABELLED = 0.25  # likewise, for the labelled paths
_MEETING = 0.1  # likewise, for the last step to the averages
_MOST_OWN, _MOST_NOISED, _MOST_PATHS, _MOST_MEETING = 64_000, 500_000, 16_384, 4096
_LEAST_NOISED = 8192  # fewer states would be visited too often


@dataclass(frozen=True)
class Share:
    """What one stage may take.

    Args:
        noised: states that V is learned from.
        labelled: guided paths on whose states it is then learned.
        rounds: of polish.
        paths: of each round.
        meeting: paths of the last step to the averages.
        guided: samples for the next stage, if there is one, for half of what is left.
    """

    noised: int
    labelled: int
    rounds: int
    paths: int
    meeting: int
    guided: int


def own_samples(budget: int, per_sample: int) -> int:
    """How many of the model's own samples a fit takes.

    Args:
        budget: network evaluations of the whole fit.
        per_sample: network evaluations of one sample.

    >>> own_samples(5_000_000, 101), own_samples(100_000_000, 101)
    (17326, 64000)
    """
    return min(max(int(_OWN * budget / per_sample), FEWEST), _MOST_OWN)


def least_budget(steps: int) -> int:
    """The evaluations that the smallest fit takes."""
    return FEWEST * (steps + 1) + 2 * _LEAST_NOISED * evaluations_of_noised(True)


def share(left: int, steps: int, through: bool, rounds: int) -> Share:
    """Share out what is left of a budget.

    Args:
        left: evaluations.
        steps: S of the chain.
        through: whether V sees the denoised state.
        rounds: of polish, at most; fewer, or none, where paths would be too few.

    >>> share(3_000_000, 100, True, 2)
    Share(noised=112500, labelled=3731, rounds=2, paths=1077, meeting=1492, guided=7462)
    """
    noised = min(max(int(_NOISED * left / evaluations_of_noised(through)), _LEAST_NOISED), _MOST_NOISED)
    guided = steps * (1 + PULL * through) + 1
    rest = left - (noised + _LEAST_NOISED) * evaluations_of_noised(through, True)  # some are held out
    meeting = min(int(_MEETING * left / guided), _MOST_MEETING) if rounds else 0
    labelled = min(int(_LABELLED * left / guided), _MOST_PATHS) if rounds else 0
    labelled = labelled if labelled >= FEWEST else 0
    rest -= (meeting + labelled) * guided
    path = guided + PUSH * steps * through
    while rounds and rest / rounds / path < FEWEST:
        rounds -= 1
    paths = min(int(rest / rounds / path), _MOST_PATHS) if rounds else 0
    return Share(noised, labelled, rounds, paths, meeting if rounds else 0, int(0.5 * max(left, 0) / guided))

"""The budget of a fit is an upper limit, however small it is."""

import pytest

from leastwork.fit.budget import share
from leastwork.fit.noised import evaluations_of_noised
from leastwork.models.denoised import PULL, PUSH

FEWEST_NOISED = 2 * 8192  # states to learn from and to judge by, which every stage has


@pytest.mark.parametrize("through", [True, False])
@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_stage_spends_no_more_than_is_left(through: bool, rounds: int) -> None:
    each = evaluations_of_noised(through, True)
    for steps in (20, 60, 200):
        guided = steps * (1 + PULL * through) + 1
        for left in range(FEWEST_NOISED * each, 4_000_000, 37_000):
            found = share(left, steps, through, rounds)
            spent = (found.noised + 8192) * each + (found.labelled + found.meeting) * guided
            assert spent + found.rounds * found.paths * (guided + PUSH * steps * through) <= left

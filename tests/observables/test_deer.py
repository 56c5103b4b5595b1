"""The dipolar modulation of DEER, against DeerLab and closed forms, and what is refused."""

import math

import pytest
import torch
from torch import Tensor

from leastwork.errors import LeastworkError
from leastwork.observables import deer, distances

TIMES = [0.0, 0.1, 0.3, 0.5, 1.0, 2.0, 3.5]
DEERLAB = {  # dipolarkernel(t, r, integralop=False) of DeerLab 1.2.0
    2.0: [1.0, -0.21081245542213675, 0.05966944615342477, 0.0785369059772211, -0.05813896216993333,
          0.04276747513513055, -0.026913192845295166],
    4.5: [1.0, 0.9494339466889313, 0.6063106578445093, 0.1713512574196228, -0.22010467530774805,
          0.21264610461833972, 0.10096952826328706],
}  # fmt: skip


def pairs(*lengths: float) -> Tensor:
    x = torch.zeros(len(lengths), 2, 3, dtype=torch.float64)
    x[:, 1, 0] = torch.tensor(lengths, dtype=torch.float64)
    return x


def test_it_is_the_kernel_of_deerlab() -> None:
    found = deer(distances([(0, 1)]), TIMES)(pairs(*DEERLAB))
    expected = torch.tensor(list(DEERLAB.values()), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_short_times_follow_the_second_moment() -> None:
    """K ≈ 1 − ½ ⟨(3z² − 1)²⟩ ω² t² = 1 − (2/5) ω² t²."""
    omega, time = 2 * math.pi * 52.041016 / 27, 1e-3
    found = float(deer(distances([(0, 1)]), [time])(pairs(3.0)))
    assert (1 - found) / (0.4 * (omega * time) ** 2) == pytest.approx(1, rel=1e-4)


def test_many_turns_are_integrated_and_derivatives_are_exact() -> None:
    """At r = 1.6 nm and 10 µs, 800 rad: against 20,000 midpoints of the integral."""
    found = float(deer(distances([(0, 1)]), [10.0])(pairs(1.6)))
    z = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    expected = float(torch.cos((3 * z**2 - 1) * 2 * math.pi * 52.041016 / 1.6**3 * 10).mean())
    assert found == pytest.approx(expected, abs=1e-5)
    assert torch.autograd.gradcheck(deer(distances([(0, 1)]), [0.1, 0.5]), pairs(2.5, 3.5).requires_grad_())


def test_what_cannot_be_is_refused() -> None:
    one = distances([(0, 1)])
    with pytest.raises(LeastworkError, match="there are 2 distances: give one"):
        deer(distances([(0, 1), (0, 2)]), [0.1])
    for times in ([], [math.nan], [0.1, 0.1]):
        with pytest.raises(LeastworkError, match="finite numbers in µs"):
            deer(one, times)
    with pytest.raises(LeastworkError, match=r"DEER sees 1\.5 nm and more"):
        deer(one, [5.0])(pairs(0.5))
    assert bool(deer(one, [5.0])(torch.zeros(1, 2, 3)).isfinite().all())

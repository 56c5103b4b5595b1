"""Contacts and their mean against the formula, limits, derivatives, and what is refused."""

import math
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from leastwork.cases import chignolin
from leastwork.errors import LeastworkError
from leastwork.observables import Observable, contacts, end_to_end, native_fraction, smooth_above
from leastwork.observables.contacts import pairs_in_contact

PAIRS = [(0, 4), (1, 5), (0, 5)]
LENGTHS = [0.6, 0.7, 0.9]
ALL = [
    contacts(PAIRS, LENGTHS, 8.0, 1.3),
    native_fraction(PAIRS, LENGTHS, 8.0, 1.3),
    smooth_above(native_fraction(PAIRS, LENGTHS, 8.0, 1.3), 0.4, 0.2, "folded"),
]


def structures(n: int = 5, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(n, 6, 3, generator=random, dtype=torch.float64) + 2.0


def test_contacts_are_those_of_the_formula() -> None:
    x = structures()
    by_hand = [
        [
            1 / (1 + math.exp(8.0 * (np.linalg.norm(s[i] - s[j]) - 1.3 * r)))
            for (i, j), r in zip(PAIRS, LENGTHS, strict=True)
        ]
        for s in x.numpy()
    ]
    expected = torch.tensor(by_hand, dtype=torch.float64)
    assert float(expected.min()) < 0.3 < 0.7 < float(expected.max())  # neither all contacts nor none
    torch.testing.assert_close(ALL[0](x), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(ALL[1](x)[:, 0], expected.mean(dim=1), rtol=1e-12, atol=0)
    above = 1 / (1 + torch.exp(-(expected.mean(dim=1) - 0.4) / 0.2))
    torch.testing.assert_close(ALL[2](x)[:, 0], above, rtol=1e-12, atol=0)


def test_names() -> None:
    assert ALL[0].names == ("c(0,4)", "c(1,5)", "c(0,5)")
    assert contacts(torch.tensor([[0, 4]]), torch.tensor([0.5])).names == ("c(0,4)",)  # type: ignore[arg-type]
    assert ALL[1].names == ("Q",)
    assert ALL[2].names == ("folded",)
    assert smooth_above(ALL[0], 0.5, 0.1, "made").names == ("made c(0,4)", "made c(1,5)", "made c(0,5)")


@pytest.mark.parametrize("observable", ALL)
def test_derivatives_are_those_of_finite_differences(observable: Observable) -> None:
    x = structures(3).requires_grad_()
    assert torch.autograd.gradcheck(observable, x)
    assert torch.autograd.gradgradcheck(observable, x)


@pytest.mark.parametrize("observable", ALL)
def test_motion_and_mirror_change_nothing(observable: Observable) -> None:
    x = structures()
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).Q
    torch.testing.assert_close(observable(x @ q + 1.0), observable(x), rtol=1e-12, atol=0)
    assert observable(x.float()).dtype == torch.float32
    assert pickle.loads(pickle.dumps(observable)) == observable


def test_far_apart_and_on_top_of_each_other_stays_finite() -> None:
    spread = 1e4 * torch.arange(6.0)[None, :, None] * torch.ones(3)
    x = torch.cat([spread, torch.zeros(1, 6, 3)]).requires_grad_()
    values = native_fraction(PAIRS, LENGTHS)(x)
    values.sum().backward()
    assert values.flatten().tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_the_crystal_structure_has_all_of_its_contacts() -> None:
    pairs, lengths = pairs_in_contact(chignolin.NATIVE)
    i, j = chignolin.native_contacts()[0].T
    assert pairs == list(zip(i.tolist(), j.tolist(), strict=True))
    assert torch.equal(torch.tensor(lengths, dtype=torch.float64), chignolin.native_contacts()[1])
    straight = torch.zeros(10, 3, dtype=torch.float64)
    straight[:, 0] = 0.38 * torch.arange(10)
    values = native_fraction(pairs, lengths)(torch.stack([chignolin.NATIVE, straight]))[:, 0]
    assert float(values[0]) > 0.99
    assert float(values[1]) < 0.35  # a straight chain brings fourth neighbours to 1.52 nm, near 1.8 r₀ of the longest


def test_pairs_in_contact_are_counted_by_hand() -> None:
    x = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert pairs_in_contact(x, 1.1, apart=1) == ([(0, 1), (0, 3), (1, 2), (2, 3)], [1.0] * 4)
    assert pairs_in_contact(x, 1.1, apart=2) == ([(0, 3)], [1.0])
    assert pairs_in_contact(x, 1.0 + 1e-9, apart=3) == ([(0, 3)], [1.0])
    with pytest.raises(LeastworkError, match=r"no atoms 2 places or more along the chain are nearer than 0\.95, the n"):
        pairs_in_contact(x, apart=2)
    with pytest.raises(LeastworkError, match=r"no atoms 4 places or more along the chain are nearer than 0\.95: raise"):
        pairs_in_contact(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "there are no pairs of atoms"),
        ((PAIRS, [1.0]), "1 lengths for 3 pairs: give r₀ of each"),
        ((PAIRS, [1.0, 0.0, 1.0]), "must be positive, finite numbers"),
        ((PAIRS, [1.0, math.nan, 1.0]), "must be positive, finite numbers"),
        ((PAIRS, LENGTHS, 0.0), "must be positive, finite numbers"),
        ((PAIRS, LENGTHS, 1.0, math.inf), "must be positive, finite numbers"),
        (([(2, 2)], [1.0]), r"\(2, 2\) are not 2 different atoms"),
    ],
)
def test_contacts_that_are_none(arguments, message: str) -> None:
    for make in (contacts, native_fraction):
        with pytest.raises(LeastworkError, match=message):
            make(*arguments)


@pytest.mark.parametrize(("threshold", "width", "message"), [(0.5, 0.0, "width=0.0"), (math.nan, 0.1, "threshold=nan")])
def test_populations_that_are_none(threshold: float, width: float, message: str) -> None:
    with pytest.raises(LeastworkError, match=message):
        smooth_above(end_to_end(), threshold, width, "long")

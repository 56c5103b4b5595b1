"""Protection factors and uptake, against the counts and the exponentials that they are made of."""

import math

import pytest
import torch

from leastwork.errors import LeastworkError
from leastwork.observables.exchange import Amide, log_protection, uptake


def test_contacts_and_hydrogen_bonds_are_counted() -> None:
    """Eight heavy atoms, three within 0.65 nm of N, and one acceptor of two within 0.24 nm of H."""
    far = [[3.0 + i, 0.0, 0.0] for i in range(5)]
    x = torch.tensor([[[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.25, 0, 0], [0.0, 0.4, 0.0], [0.0, 0.0, 0.4], *far]])
    amide = Amide(residue=7, n=0, h=1, heavy=tuple(range(2, 10)), acceptors=(2, 3))
    observable = log_protection([amide])
    assert observable.names == ("ln P 7",)
    assert float(observable(x.double())) == pytest.approx(3 * 0.35 + 2.0, rel=1e-2)
    torch.testing.assert_close(log_protection([amide], unit="Å")(10 * x), observable(x))
    assert torch.autograd.gradcheck(observable, x.double().requires_grad_())


def test_uptake_is_the_mean_of_exponentials() -> None:
    protection = torch.tensor([0.0, 5.0, 12.0], dtype=torch.float64)
    rates, times = torch.tensor([1.0, 10.0, 3.0], dtype=torch.float64), torch.tensor([0.1, 10.0], dtype=torch.float64)
    expected = [
        sum(1 - math.exp(-k * t / math.exp(p)) for k, p in zip(rates.tolist(), protection.tolist(), strict=True)) / 3
        for t in times.tolist()
    ]
    assert uptake(protection, rates, times).tolist() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(lambda p: uptake(p, rates, times), protection.requires_grad_())


def test_amides_that_cannot_be_are_refused() -> None:
    whole = Amide(2, 0, 1, (2,), (2,))
    for amides, message in (
        ([], "there are no amides"),
        ([whole, whole], "residue 2 stands twice"),
        ([Amide(3, 0, 1, (), (2,))], "residue 3 has no heavy atoms or acceptors"),
    ):
        with pytest.raises(LeastworkError, match=message):
            log_protection(amides)
    with pytest.raises(LeastworkError, match="nm or Å"):
        log_protection([whole], unit="m")
    with pytest.raises(LeastworkError, match="no atom 2"):
        log_protection([whole])(torch.zeros(1, 2, 3))

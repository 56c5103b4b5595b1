"""Protection factors, against the counts that they are made of."""

import pytest
import torch

from leastwork.errors import LeastworkError
from leastwork.observables.exchange import Amide, log_protection


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

"""A device without memory for a batch draws it in halves, and says so."""

import pytest
import torch

import leastwork as lw
from leastwork.sampling import memory


class Small(torch.nn.Module):
    """The network of a device that holds a few samples."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.calls = most, 0

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return -x


def model(most: int) -> lw.DiffusionModel:
    return lw.DiffusionModel(Small(most), lw.VPSchedule(), predicts="score", event_shape=(2,))


def test_the_samples_are_those_of_a_larger_device() -> None:
    with pytest.warns(lw.LeastworkWarning, match=r"no memory for \d+ samples .* give batch_size=\d+ to spare"):
        found = lw.sample(model(15), 70, steps=5, batch_size=50, seed=3)
    wanted = lw.sample(model(1000), 70, steps=5, batch_size=50, seed=3)
    torch.testing.assert_close(found.x, wanted.x, rtol=0, atol=1e-6)
    assert found.ledger.step_work is not None


@pytest.mark.filterwarnings("ignore::leastwork.errors.LeastworkWarning")
def test_one_sample_that_does_not_fit_is_refused() -> None:
    with pytest.raises(lw.LeastworkError, match="no memory for a single sample"):
        lw.sample(model(0), 8, steps=5)


def test_other_errors_are_none_of_memory() -> None:
    def draw(start: int, stop: int) -> memory.BatchResult:
        raise RuntimeError("a mistake")

    with pytest.raises(RuntimeError, match="a mistake"):
        memory.halving(draw, 0, 8)

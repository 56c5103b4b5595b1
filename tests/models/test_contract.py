"""What a network owes its model: shape and precision of every answer, and something about every coordinate."""

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.models.contract import never_denoised, what_is_wrong

SCHEDULE = lw.VPSchedule(0.1, 20.0)


def noise_of(x: Tensor, t: Tensor) -> Tensor:
    """ε of a standard normal."""
    return SCHEDULE.sigma(t.double()).to(x) * x


def model(net, shape: tuple[int, ...] = (1,), predicts: str = "noise", **more) -> lw.DiffusionModel:
    return lw.DiffusionModel(net, SCHEDULE, predicts=predicts, event_shape=shape, **more)  # type: ignore[arg-type]  (checked)


@pytest.mark.parametrize(("answer", "message"), [
    (lambda y: y[:, 0], r"returns shape \(8,\) for x of shape \(8, 1\)"),
    (lambda y: y[None], r"returns shape \(1, 8, 1\) for x of shape \(8, 1\)"),
    (lambda y: y.expand(8, 2), r"returns shape \(8, 2\)"),
    (lambda y: y[:1], r"returns shape \(1, 1\)"),
    (lambda y: y.mean(), r"returns shape \(\)"),
    (lambda y: (y, y), "returns a tuple, but the model's state is a Tensor: return the prediction alone"),
    (lambda y: {"sample": y}, "returns a dict, but"),
    (lambda y: y.long(), "returns torch.int64 for x in torch.float32: return real numbers"),
])  # fmt: skip
def test_a_wrong_answer_is_refused_wherever_it_enters(answer, message: str) -> None:
    wrong = model(lambda x, t: answer(noise_of(x, t)))
    with pytest.raises(lw.LeastworkError, match=message):
        lw.sample(wrong, 8, steps=4)
    flow = lw.VelocityModel(lambda x, t: answer(x), (1,))
    with pytest.raises(lw.LeastworkError, match=message):
        lw.sample(flow, 8, steps=4, process="ode")
    data = lw.Experiment(lw.Observable(lambda x: x), values=[0.1])
    with pytest.raises(lw.LeastworkError, match="the network returns"):
        lw.guide_observables(wrong, data, "loss", samples=8, steps=4)


def test_a_batch_that_is_as_long_as_an_event_is_no_excuse() -> None:
    """(B, 1) − (B,) broadcasts to (B, B), whatever B."""
    wrong = model(lambda x, t: noise_of(x, t)[:, 0])
    with pytest.raises(lw.LeastworkError, match=r"returns shape \(1,\) for x of shape \(1, 1\)"):
        lw.sample(wrong, 1, steps=4)


class Scaled(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones((), dtype=dtype), requires_grad=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.factor * noise_of(x, t)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused_and_the_remedy_works(dtype: torch.dtype) -> None:
    half = model(Scaled(dtype), (2,))
    with pytest.raises(lw.LeastworkError, match=rf"the network is in {dtype}, .*pass dtype=torch\.float32"):
        lw.sample(half, 8, steps=4)
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names=("x",)), values=[0.3])
    with pytest.raises(lw.LeastworkError, match="too coarse for work and weights"):
        lw.guide_observables(half, data, "loss", samples=20, steps=4)
    drawn = lw.sample(half, 8, steps=4, dtype=torch.float32).x
    assert isinstance(drawn, Tensor)
    assert drawn.dtype == torch.float32
    assert next(iter(half.parameters())).dtype == dtype  # the user's stays as it is


def test_an_answer_in_half_precision_is_taken_in_that_of_the_states() -> None:
    coarse = lw.sample(model(lambda x, t: noise_of(x, t).bfloat16(), (2,)), 64, steps=10, seed=1).x
    fine = lw.sample(model(noise_of, (2,)), 64, steps=10, seed=1).x
    assert isinstance(coarse, Tensor)
    assert isinstance(fine, Tensor)
    assert coarse.dtype == torch.float32
    assert (coarse - fine).abs().max() < 0.1  # eight bits


@pytest.mark.parametrize("solver", ["euler", "heun", "exponential", "multistep"])
def test_coordinates_that_stay_noise_are_named(solver: str) -> None:
    mask = torch.zeros(1, 6, 1)
    mask[:, :4] = 1
    padded = model(lambda x, t: noise_of(x, t) * mask, (6, 3))
    with pytest.warns(lw.LeastworkWarning, match=r"6 of 18 coordinates are never denoised, the first is 12"):
        lw.sample(padded, 32, steps=10, solver=solver)
    assert lw.check_model(padded)["coordinates"].status == "fault"
    assert lw.check_model(model(noise_of, (6, 3)))["coordinates"].status == "ok"


def test_a_network_that_denoises_padding_to_zero_is_no_fault() -> None:
    mask = torch.tensor([1.0, 1.0, 0.0])
    zeros = model(lambda x, t: SCHEDULE.alpha(t.double()).to(x) * x * mask, (3,), "data")
    drawn = lw.sample(zeros, 16, steps=10).x
    assert isinstance(drawn, Tensor)
    assert float(drawn[:, 2].abs().max()) < 0.1


def test_what_is_never_denoised() -> None:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    said = torch.cat([x[:, :1], torch.full((16, 1), 3.0), torch.zeros(16, 1), 1e-3 * x[:, 3:]], dim=1)
    assert never_denoised(x, said, knows="data").tolist() == [0]
    assert never_denoised(x, said, knows="noise").tolist() == [1, 2]
    assert never_denoised(x[:1], said[:1], knows="noise").tolist() == [2]  # of one state a constant is no proof
    assert never_denoised(x, said, knows="velocity").tolist() == [2]
    assert never_denoised(torch.zeros(16, 4), torch.zeros(16, 4), knows="noise").tolist() == []
    assert what_is_wrong(x, said, ((4,),)) == ""

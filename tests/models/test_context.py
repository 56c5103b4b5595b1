"""Context against Gaussians whose mean is the context: D(x, t) = m + α s²/(α² s² + σ²) (x − α m), exactly."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.models.context import moved_context
from leastwork.models.placement import moved

SCHEDULE = lw.VPSchedule()
STD = 0.5
N = 600
SE = 5.0  # standard errors; a false alarm of a Gaussian estimate has probability 6e-7


class Gaussian(nn.Module):
    """Denoiser of N(mean, STD²) in two dimensions; the mean is the context."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()), requires_grad=False)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor, mean: Tensor) -> Tensor:
        self.seen.append(mean)
        alpha, sigma = (float(part(t.double())) for part in (SCHEDULE.alpha, SCHEDULE.sigma))
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        return self.one * mean + gain * (x - alpha * mean)


def model(context: Mapping[str, Any]) -> lw.DiffusionModel:
    return lw.DiffusionModel(Gaussian(), SCHEDULE, "data", (2,), context=context)


def means(n: int = N) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(0)) * 3


def test_a_context_of_one_sample_is_expanded_to_the_batch() -> None:
    one = torch.tensor([[2.0, -1.0]])
    own = model({"mean": one})
    ens = lw.sample(own, N, steps=30, seed=1)
    assert isinstance(own.net, Gaussian)
    assert own.net.seen[0].shape == (N, 2)
    assert ((ens.x - one).mean(dim=0).abs() < SE * STD / N**0.5).all()
    assert ((ens.x - one).std(dim=0) - STD).abs().max() < SE * STD / (2 * N) ** 0.5 + 0.01  # + error of thirty steps


def test_sample_i_has_context_i_whatever_the_batch_size() -> None:
    wanted = means()
    own = model({"mean": lw.PerSample(wanted)})
    whole = lw.sample(own, N, steps=30, seed=1)
    parts = lw.sample(own, N, steps=30, seed=1, batch_size=97)
    torch.testing.assert_close(parts.x, whole.x, rtol=0, atol=1e-5)
    rest = whole.x - wanted
    assert (rest.mean(dim=0).abs() < SE * STD / N**0.5).all()
    assert (rest.std(dim=0) - STD).abs().max() < SE * STD / (2 * N) ** 0.5 + 0.01
    single = lw.sample(model({"mean": wanted[:1]}), 1, steps=30, seed=1)  # the same noise and the same context
    torch.testing.assert_close(single.x, whole.x[:1], rtol=0, atol=1e-5)


def test_samples_in_a_store_are_the_same_and_go_on(tmp_path) -> None:
    own = model({"mean": lw.PerSample(means(20))})
    whole = lw.sample(own, 20, steps=5, seed=1)
    stored = lw.sample(own, 20, steps=5, seed=1, batch_size=8, out=tmp_path / "a.zarr")
    torch.testing.assert_close(stored.load().x, whole.x, rtol=0, atol=1e-5)


def test_the_context_moves_with_the_model_and_to_the_state() -> None:
    context = {"mean": torch.zeros(1, 2), "more": {"label": torch.tensor([3]), "rows": lw.PerSample(torch.ones(2))}}
    there = moved(model(context), None, torch.float64)
    assert there.context["mean"].dtype == there.context["more"]["rows"].values.dtype == torch.float64  # type: ignore[attr-defined]  (a DiffusionModel)
    assert there.context["more"]["label"].dtype == torch.int64  # type: ignore[attr-defined]  (as above)
    assert context["mean"].dtype == torch.float32
    assert moved_context({"name": "x"}, torch.device("cpu"), torch.float64) == {"name": "x"}
    own = model({"mean": torch.zeros(1, 2)})
    assert lw.sample(own, 3, steps=3, dtype=torch.float64).x.dtype == torch.float64
    plain = lw.DiffusionModel(own.net.forward, SCHEDULE, "data", (2,), context={"mean": torch.zeros(1, 2)})
    assert lw.sample(plain, 3, steps=3, dtype=torch.float64).x.dtype == torch.float64


def test_flows_and_frames_have_context_too() -> None:
    def net(x: Tensor, t: Tensor, mean: Tensor) -> Tensor:
        return x - mean

    flow = lw.VelocityModel(net, (2,), context={"mean": lw.PerSample(means(3))})
    whole = lw.sample(flow, 3, process="ode", steps=4, seed=2)
    torch.testing.assert_close(lw.sample(flow, 3, process="ode", steps=4, seed=2, batch_size=1).x, whole.x)

    def scores(x: tuple[Tensor, Tensor], t: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        return -(x[0] - shift[:, None]), torch.zeros_like(x[0])

    frames = lw.FrameModel(scores, SCHEDULE, lw.AngleSchedule(), 2, context={"shift": lw.PerSample(means(4)[:, :1])})
    both = lw.sample(frames, 4, steps=3, seed=2)
    apart = lw.sample(frames, 4, steps=3, seed=2, batch_size=3)
    torch.testing.assert_close(apart.x[0], both.x[0])


def test_numbers_of_samples_that_do_not_fit() -> None:
    own = model({"mean": lw.PerSample(means(4))})
    with pytest.raises(lw.LeastworkError, match="context has 4 rows, and n is 5: draw 4 samples"):
        lw.sample(own, 5, steps=3)
    with pytest.raises(lw.LeastworkError, match="context mean has 4 rows for a batch of 2"):
        own.denoise(torch.zeros(2, 2), 0.5)
    with pytest.raises(lw.LeastworkError, match="give a tensor with one row"):
        lw.PerSample(torch.tensor(1.0))


def test_fits_and_populations_refuse_contexts_that_differ() -> None:
    own = model({"mean": lw.PerSample(means(4))})
    observable = lw.Observable(lambda x: x[:, 0], names=("x",))
    data = lw.Experiment(observable, values=[0.0], errors=[0.1])
    words = "differs from sample to sample"
    with pytest.raises(lw.LeastworkError, match=words):
        lw.guide_observables(own, data, samples=4)
    with pytest.raises(lw.LeastworkError, match=words):
        lw.guide_path(own, means(8))
    with pytest.raises(lw.LeastworkError, match=words):
        lw.steer(own, 4, lambda x: x[:, 0], particles=4, steps=3)

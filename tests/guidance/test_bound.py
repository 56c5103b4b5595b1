"""A bound on |h|: vectors beyond it are shortened and no other, and a path that went astray costs less."""

from pathlib import Path

import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.fit.labels import draw_labelled
from leastwork.guidance.learned import Bound, LearnedGuidance
from leastwork.models.predictions import Moments
from leastwork.networks.value import ValueNetwork
from leastwork.sampling.choices import Choices

SCHEDULE = lw.VPSchedule()
MODEL = lw.DiffusionModel(lambda x, t: -x, SCHEDULE, predicts="score", event_shape=(2,))


class Cliff(nn.Module):
    """V of a gentle slope, and a cliff beyond x = 3.5 that hardly any path sees."""

    denoised = False

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.02))

    def forward(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return self.slope * x[:, 0] + 100 * (x[:, 0] - 3.5).clamp(min=0)


def test_only_what_is_too_long_is_shortened() -> None:
    bound = Bound(torch.tensor([-2.0, 2.0]), torch.tensor([1.0, 3.0]))
    h = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    at = Moments(2**-0.5, 2**-0.5, 0.0, 0.0)  # log-SNR 0, where the bound is 2
    torch.testing.assert_close(bound(h, at), torch.tensor([[1.2, 1.6], [0.3, 0.4], [0.0, 0.0]]))
    frames = (torch.ones(2, 3), torch.zeros(2, 3))
    positions, turns = bound(frames, at)
    torch.testing.assert_close(positions, frames[0])  # √3 < 2
    assert torch.equal(turns, frames[1])


def test_the_bound_at_pure_noise_is_that_of_the_first_log_snr() -> None:
    bound = Bound(torch.tensor([-torch.inf, 2.0]), torch.tensor([1.0, 3.0]))
    pure = Moments(0.0, 1.0, -1.0, 1.0)  # α = 0, as flow matching has at t = 1
    torch.testing.assert_close(bound(torch.tensor([[3.0, 4.0]]), pure), torch.tensor([[0.6, 0.8]]))


def test_paths_say_what_is_usual() -> None:
    guidance = LearnedGuidance(Cliff(), SCHEDULE)
    sampler = Choices(steps=30).sampler(MODEL, guidance)
    paths = draw_labelled(sampler, Cliff(), 4096, seed=0)
    assert paths.push.shape == (4096, 30)
    log_snr = SCHEDULE.log_snr(sampler.steps.times[:-1])
    bound = paths.bound(log_snr)
    assert bool((bound.log_snr.diff() > 0).all())
    assert bool((bound.size >= 2 * 0.02 - 1e-6).all())
    assert bool((bound.size < 1).all())


def test_a_path_that_goes_astray_costs_less_and_weights_stay_exact() -> None:
    """One in a thousand meets the cliff; with a bound the variance of ln w is small, and E_Q[dP/dQ] is 1 either way."""
    free = LearnedGuidance(Cliff(), SCHEDULE)
    held = LearnedGuidance(Cliff(), SCHEDULE, Bound(torch.tensor([-10.0, 10.0]), torch.tensor([1.0, 1.0])))
    drawn = [lw.sample(MODEL, 20_000, guidance, steps=50, seed=1) for guidance in (free, held)]
    work = [ens.work for ens in drawn]
    assert float(work[0].max()) > 10 * float(work[1].max())
    weight = lw.Estimate.from_samples(drawn[1].log_weight.exp())
    assert abs(weight.value - 1) < 5 * weight.stderr  # z = 5
    usual = work[0] < 1.0
    torch.testing.assert_close(work[1][usual], work[0][usual])


def test_a_file_keeps_the_bound(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ValueNetwork(2, denoised=False)
    nn.init.normal_(network.head.weight)
    guidance = LearnedGuidance(network, SCHEDULE, Bound(torch.tensor([-5.0, 5.0]), torch.tensor([0.01, 0.02])))
    lw.save_guidance(guidance, tmp_path / "g")
    again = lw.load_guidance(tmp_path / "g")
    x = torch.randn(8, 2)
    assert torch.equal(again(x, 0.5, x), guidance(x, 0.5, x))  # type: ignore[arg-type]  (tensors)
    assert float(again(x, 0.5, x).norm(dim=1).max()) < 0.0201  # type: ignore[union-attr]  (a tensor)

"""Guidance from one Gaussian to another, and from one guidance to the next."""

from pathlib import Path

import pytest
import torch

import leastwork as lw
from leastwork.guidance.handover import Handover
from leastwork.guidance.tuned import TunedGuidance

SCHEDULE = lw.VPSchedule(0.1, 20.0)


def gaussian(mean: float) -> lw.DiffusionModel:
    def score(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return -(x - SCHEDULE.alpha(t) * mean)

    return lw.DiffusionModel(score, SCHEDULE, predicts="score", event_shape=(1,))


def test_a_model_guided_to_another_draws_its_samples_for_the_least_work() -> None:
    law = {"solver": "euler", "steps": 200, "t_grid": "log-snr"}
    drawn = lw.sample(gaussian(0.0), 20_000, TunedGuidance(gaussian(1.0)), **law, seed=1)
    mean = drawn.mean(lambda x: x[:, 0])
    assert abs(mean.value - 1) < 5 * mean.stderr + 0.01  # and a finite step
    assert float(drawn.work.mean()) == pytest.approx(0.5, abs=0.02)  # KL of the Gaussians
    plain = drawn.mean(lambda x: x[:, 0], under="model")
    assert abs(plain.value) < 5 * plain.stderr


def test_handover_is_one_guidance_early_and_the_other_late() -> None:
    early, late = TunedGuidance(gaussian(1.0)), TunedGuidance(gaussian(-1.0))
    both = Handover(early, late, SCHEDULE, at=0.0)
    x, model = torch.randn(4, 1), gaussian(0.0)
    for t, only in ((0.9, early), (0.01, late)):
        assert torch.equal(both(x, t, model.denoise(x, t)), only(x, t, model.denoise(x, t)))
    middle = float(SCHEDULE.time_of(torch.zeros(1, dtype=torch.float64))[0])
    assert both.share(middle) == pytest.approx(0.5, abs=1e-6)
    assert float(both(x, middle, model.denoise(x, middle)).abs().max()) < 1e-5  # they are opposite


def test_files_give_the_same_guidance_back(tmp_path: Path) -> None:
    model = lw.load_model("moons")
    assert isinstance(model, lw.DiffusionModel)
    guidance = Handover(TunedGuidance(model), 0.5 * TunedGuidance(model), model.schedule, at=2.0)
    lw.save_guidance(guidance, tmp_path / "g")
    back = lw.load_guidance(tmp_path / "g")
    x = torch.randn(5, *model.event_shape)  # pyright: ignore[reportCallIssue, reportArgumentType]
    for t in (0.1, 0.5):
        assert torch.allclose(back(x, t, 0 * x), guidance(x, t, 0 * x))


def test_a_copy_of_ones_own_network_has_no_file_form(tmp_path: Path) -> None:
    with pytest.raises(lw.LeastworkError, match=r"torch\.nn\.Module"):
        lw.save_guidance(TunedGuidance(gaussian(1.0)), tmp_path / "g")

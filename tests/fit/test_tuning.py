"""A Gaussian model with one parameter, its mean: tuning must find the mean of the target."""

import math

import pytest
import torch
from torch import Tensor, nn

import leastwork as lw
from leastwork.fit.tuning import fine_tune

SCHEDULE = lw.VPSchedule(0.1, 20.0)


class Mean(nn.Module):
    """ε̂ = σ (x − α m), exact for N(m, 1) where α² + σ² = 1."""

    def __init__(self, only_one_time: bool = False) -> None:
        super().__init__()
        self.m = nn.Parameter(torch.zeros(()))
        self.only_one_time = only_one_time

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        if self.only_one_time and t.ndim:
            raise ValueError("one time at a call")
        alpha, sigma = SCHEDULE.alpha(t).reshape(-1, 1), SCHEDULE.sigma(t).reshape(-1, 1)
        return sigma * (x - alpha * self.m)


def model(only_one_time: bool = False) -> lw.DiffusionModel:
    return lw.DiffusionModel(Mean(only_one_time), SCHEDULE, predicts="noise", event_shape=(1,))


def mean_of(tuned: lw.DiffusionModel) -> float:
    assert isinstance(tuned.net, Mean)
    return float(tuned.net.m.detach())


def draws(n: int = 20_000, mean: float = 0.0) -> Tensor:
    return mean + torch.randn(n, 1, generator=torch.Generator().manual_seed(3))


def exact_value(x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """E[e^{x_0 − ½} | x_t], from N(0, 1)."""
    return (alpha * x[:, 0] - 0.5 * alpha**2).exp()


@pytest.mark.parametrize("one_time", [False, True])
def test_samples_of_the_target_teach_its_mean(one_time: bool) -> None:
    before = model(one_time)
    tuned = fine_tune(before, draws(mean=1.0), iterations=400, learning_rate=2e-2, seed=1)
    assert mean_of(tuned.model) == pytest.approx(1.0, abs=0.05)
    assert mean_of(before) == 0.0  # what was given is left alone
    assert tuned.losses[-1] < tuned.losses[0]


def test_weighted_samples_of_the_model_teach_the_tilted_mean() -> None:
    x = draws()
    omega = len(x) * torch.softmax(x[:, 0], dim=0)
    tuned = fine_tune(model(), x, omega, baseline=exact_value, iterations=400, learning_rate=2e-2, seed=1)
    assert mean_of(tuned.model) == pytest.approx(1.0, abs=0.05)


def test_the_baseline_changes_nothing_but_the_noise() -> None:
    x = draws()
    omega = len(x) * torch.softmax(x[:, 0], dim=0)
    found = {}
    for name, baseline in (("with", exact_value), ("without", None)):
        means = [
            mean_of(fine_tune(model(), x, omega, baseline=baseline, iterations=60, learning_rate=5e-2, seed=s).model)
            for s in range(12)
        ]
        found[name] = torch.tensor(means)
    assert float(found["with"].std()) < float(found["without"].std())
    error = float((found["with"].var() / 12 + found["without"].var() / 12).sqrt())
    assert abs(float(found["with"].mean() - found["without"].mean())) < 5 * error


def test_samples_of_a_guided_model_count_by_both_weights() -> None:
    """Draws of N(½, 1) with their weights under model and target."""
    x = draws(mean=0.5)
    u = len(x) * torch.softmax(-0.5 * x[:, 0], dim=0)
    omega = len(x) * torch.softmax(0.5 * x[:, 0], dim=0)
    tuned = fine_tune(model(), x, omega, u, baseline=exact_value, iterations=400, learning_rate=2e-2, seed=1)
    assert mean_of(tuned.model) == pytest.approx(1.0, abs=0.05)


def test_it_goes_on_from_a_copy() -> None:
    first = fine_tune(model(), draws(mean=1.0), iterations=400, learning_rate=2e-2, seed=1).model
    second = fine_tune(model(), draws(mean=1.0), start=first, iterations=2, learning_rate=1e-6, seed=2).model
    assert mean_of(second) == pytest.approx(mean_of(first), abs=1e-4)


def test_the_same_seed_gives_the_same_copy() -> None:
    one, two = (fine_tune(model(), draws(), iterations=20, seed=7).losses for _ in range(2))
    assert one == two


def test_a_plain_function_cannot_be_tuned() -> None:
    plain = lw.DiffusionModel(lambda x, t: -x, SCHEDULE, predicts="score", event_shape=(1,))
    with pytest.raises(lw.LeastworkError, match=r"only a network that is a torch\.nn\.Module"):
        fine_tune(plain, draws(), iterations=2)


def test_divergence_is_said() -> None:
    with pytest.raises(lw.LeastworkError, match="diverged after"):
        fine_tune(model(), draws() * math.inf, iterations=5)

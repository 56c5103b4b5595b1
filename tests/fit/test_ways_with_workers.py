"""Whatever is fitted or drawn is the same with workers, to the last bit."""

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

import pytest
import torch

import leastwork as lw
from leastwork.observable_guidance.methods import Scheduled
from leastwork.observable_guidance.ram import match_reward
from leastwork.path_guidance.job import guide_path
from leastwork.sampling.choices import Choices
from leastwork.sampling.drift_control import drift_control
from leastwork.support.executors import using

STEPS = 5


def net(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return -x


def first(x: torch.Tensor) -> torch.Tensor:
    return x[:, :1]


def tilt(x: torch.Tensor) -> torch.Tensor:
    return x[:, 0] - 0.1 * x[:, 0] ** 2


def region(x: torch.Tensor) -> torch.Tensor:
    return x[:, 0] > 1


MODEL = lw.DiffusionModel(net, lw.VPSchedule(), predicts="score", event_shape=(2,))
X = lw.Observable(first, names=("x",))
DATA = lw.Experiment(X, values=[0.5])


def drift() -> list[torch.Tensor]:
    drawn = drift_control(MODEL, 192, tilt, particles=64, steps=STEPS, seed=1)
    return [drawn.x, drawn.log_weight]


def steered() -> list[torch.Tensor]:
    drawn = lw.steer(MODEL, 192, tilt, particles=64, batch_size=64, steps=STEPS, seed=1)
    return [drawn.x, drawn.log_weight]


def reward() -> list[torch.Tensor]:
    fit = match_reward(
        MODEL,
        tilt,
        rounds=2,
        endpoints=64,
        renoised=4,
        updates=1,
        points=64,
        choices=Choices(steps=STEPS, batch_size=32),
    )
    return [parameter.detach() for parameter in fit.guidance.network.parameters()]


def scheduled() -> list[torch.Tensor]:
    found = lw.guide_observables(
        MODEL, DATA, Scheduled(budget=40_000, fit_samples=2500), samples=500, steps=STEPS, batch_size=128
    )
    fresh = found.sample(300, seed=7)
    return [torch.tensor(found.fit.objective.value), fresh.x, fresh.log_weight]


def path() -> list[torch.Tensor]:
    points = torch.tensor([[1.2, 0.0], [1.5, 0.3], [2.0, -0.2]])
    found = guide_path(
        MODEL, points, "loss", region=region, samples=400, budget=60_000, certificate_samples=300, batch_size=128,
        steps=STEPS, solver="euler", t_grid="log-snr",
    )  # fmt: skip
    return [found.certificate_ensemble.x, found.certificate_ensemble.log_weight]


def windows() -> list[torch.Tensor]:
    pytest.importorskip("pymbar")
    found = lw.free_energy_profile(
        MODEL, X, lower=0.0, upper=1.5, bins=3, width=0.8, samples=100, own=400, noised=400, steps=STEPS,
        batch_size=128,
    )  # fmt: skip
    return [found.values, found.errors]


@pytest.mark.filterwarnings("ignore::leastwork.errors.LeastworkWarning")
@pytest.mark.parametrize("way", [drift, steered, reward, scheduled, path, windows])
def test_workers_change_no_number(way: Callable[[], list[torch.Tensor]]) -> None:
    def found(executor: Executor | None) -> list[torch.Tensor]:
        with using(executor):
            return way()

    with ThreadPoolExecutor(2) as pool:
        for alone, there in zip(found(None), found(pool), strict=True):
            assert torch.equal(alone, there)

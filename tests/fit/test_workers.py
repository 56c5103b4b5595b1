"""What a fit draws is drawn on workers too: the guidance is that of one process, bit for bit."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.fit.noised import noise_states, pool_of
from leastwork.networks.value import ValueNetwork
from leastwork.support import checkpoints
from leastwork.support.checkpoints import Checkpoints
from leastwork.support.executors import using
from leastwork.support.random import generator


def net(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    return -x


MODEL = lw.DiffusionModel(net, lw.VPSchedule(), predicts="score", event_shape=(4,))


def fitted() -> list[Any]:
    data = lw.Experiment(lw.Observable(lambda x: x[:, :1], names=("x",)), values=[0.5])
    run = lw.guide_observables(
        MODEL, data, "least-work", budget=150_000, iterations=10, steps=4, batch_size=256, seed=2
    )
    assert run.guidance is not None
    return [run.model_samples.x.tolist(), *(one.tolist() for one in run.guidance.network.parameters())]


@pytest.fixture(scope="module")
def wanted() -> list[Any]:
    with pytest.MonkeyPatch.context() as patch:
        _fewer_steps(patch)
        return fitted()


@pytest.fixture(autouse=True)
def _fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    _fewer_steps(monkeypatch)


def _fewer_steps(patch: pytest.MonkeyPatch) -> None:
    from leastwork.fit import labels
    from leastwork.observable_guidance import least_work

    def brief(*arguments: Any, **choices: Any) -> Any:
        return labels.fit_labels(*arguments, iterations=5, **choices)

    patch.setattr(least_work, "fit_labels", brief)


def test_the_fit_is_that_of_one_process(wanted: list[Any]) -> None:
    with ThreadPoolExecutor(3) as pool, using(pool):
        assert fitted() == wanted


class Stopped(BaseException):
    """As a kill: nothing may catch it."""


@pytest.mark.slow
def test_a_fit_goes_on_with_workers_and_without(
    wanted: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
    write, written = Checkpoints.write, []

    def stopping(self: Checkpoints, path: Path, value: Any) -> None:
        write(self, path, value)
        written.append(path)
        if len(written) in (3, 40, 90):
            raise Stopped

    monkeypatch.setattr(Checkpoints, "write", stopping)
    with ThreadPoolExecutor(2) as pool:
        for executor in (pool, None, pool):
            with checkpoints.checkpoints(tmp_path, {}), using(executor), pytest.raises(Stopped):
                fitted()
        with checkpoints.checkpoints(tmp_path, {}), using(pool):
            assert fitted() == wanted


@pytest.mark.parametrize("through", [False, True])
def test_random_numbers_are_those_of_one_process(through: bool) -> None:
    pool = pool_of(torch.randn(64, 4, generator=generator(0, "x")), torch.ones(64), MODEL)
    index = torch.arange(64).reshape(8, 8)
    reference = ValueNetwork(4, width=8)

    def states(make: Callable[[], None] = lambda: None) -> tuple[Any, torch.Tensor]:
        random = generator(1, "noise")
        make()
        return noise_states(pool, index, MODEL, through, reference, random), random.get_state()

    wanted, state = states()
    with ThreadPoolExecutor(3) as threads, using(threads):
        found, after = states()
    assert torch.equal(state, after)
    for name in ("seen", "alpha", "sigma", "omega", "along", "lever", "probes"):
        assert torch.equal(getattr(wanted, name), getattr(found, name))

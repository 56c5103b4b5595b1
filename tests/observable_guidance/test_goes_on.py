"""Fits of the flows' control and of adjoint matching that are stopped go on and end as if they had not been."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import leastwork as lw
from leastwork.networks.control import ControlNetwork
from leastwork.networks.value import ValueNetwork
from leastwork.observable_guidance import least_action, responses
from leastwork.observable_guidance.adjoint_matching import match_adjoint
from leastwork.observable_guidance.least_action import learn_control
from leastwork.observables import component
from leastwork.sampling.choices import Choices
from leastwork.support import checkpoints
from leastwork.support.checkpoints import Checkpoints


class Stopped(BaseException):
    """As a kill: nothing may catch it."""


def control() -> Any:
    """Samples, two rounds, three iterations, and Newton steps, of which a flow that is not linear needs several."""
    flow = lw.VelocityModel(lambda x, t: torch.sin(2 * x) + t * x, (2,))
    data = lw.Experiment(component(0), values=[0.3])
    found = learn_control(
        flow, data, network=ControlNetwork(2, width=8, depth=2), samples=200, rounds=2, iterations=3, batch=64,
        meeting_samples=128, choices=Choices(solver="heun", steps=4),
    )  # fmt: skip
    return found.history, found.network_evaluations, found.miss.value, [*found.guidance.network.parameters()]


def adjoint() -> Any:
    model = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), "score", (2,))
    found = match_adjoint(
        model, lambda x: x[:, 0], network=ValueNetwork(2, width=8), iterations=4, batch_size=16, updates=2, points=32,
        choices=Choices(solver="exponential", steps=4),
    )  # fmt: skip
    return found.history, found.network_evaluations, [*found.guidance.network.parameters()]


def plain(tree: Any) -> Any:
    if isinstance(tree, torch.Tensor):
        return tree.tolist()
    return [plain(part) for part in tree] if isinstance(tree, list | tuple) else tree


@pytest.mark.parametrize(("fit", "stops"), [(control, (3, 7)), (adjoint, (1, 2, 3))])
def test_it_ends_the_same(
    fit: Callable[[], Any], stops: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "_SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(least_action, "_PATHS_A_ROUND", 64)
    monkeypatch.setattr(responses, "_REGRESSION_STEPS", 5)
    write, written = Checkpoints.write, []
    wanted, last = plain(fit()), 0

    def stopping(self: Checkpoints, path: Path, value: Any) -> None:
        write(self, path, value)
        written.append(path.name)
        if len(written) == last:
            raise Stopped

    monkeypatch.setattr(Checkpoints, "write", stopping)
    for stop in stops:
        written.clear()
        last = stop
        with checkpoints.checkpoints(tmp_path / str(stop), {}), pytest.raises(Stopped):
            fit()
        last = 0
        with checkpoints.checkpoints(tmp_path / str(stop), {}):
            assert plain(fit()) == wanted, written

"""Arguments of another type than is meant: arrays are taken as tensors, anything else is refused by its name."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import leastwork as lw
from leastwork.errors import LeastworkError

MODEL = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))
NET = nn.Linear(2, 2)
FIRST = lw.Observable(lambda x: x[:, :1], names=("a",))
DATA = lw.Experiment(FIRST, [0.3], [0.01])
X = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def right(x: torch.Tensor) -> torch.Tensor:
    return x[:, 0] > 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: lw.sample("prinz", 4), "model='prinz' cannot be used: give a model"),
        (lambda: lw.sample(NET, 4), r"model=Linear\(.*: wrap a network as lw.DiffusionModel"),
        (lambda: lw.sample(MODEL, 4, lambda x, t, d: x), "guidance=<function .* give a guidance"),
        (lambda: lw.sample(MODEL, 4, steps=2, t_grid=np.linspace(1, 0.001, 3)), "t_grid=array.* a tensor of times"),
        (lambda: lw.steer(NET, 4, right), "model=Linear"),
        (lambda: lw.steer(MODEL, 4, 3), "log_tilt=3 cannot be used: give a function"),
        (lambda: lw.transport(NET, X), "model=Linear"),
        (lambda: lw.transport(MODEL, X, forward="no"), "forward='no' cannot be used"),
        (lambda: lw.step_check(NET), "model=Linear"),
        (lambda: lw.step_check(MODEL, "x"), "observable='x' cannot be used"),
        (lambda: lw.guide_path("prinz", X[:5]), "model='prinz'"),
        (lambda: lw.guide_path(MODEL, "guides.csv"), "points='guides.csv' cannot be used"),
        (lambda: lw.guide_observables(NET, DATA), "model=Linear"),
        (lambda: lw.guide_observables(MODEL, FIRST), "data=Observable.* give an lw.Experiment"),
        (lambda: lw.Experiment(lambda x: x, [0.3]), "observable=<function .* wrap a function as lw.Observable"),
        (lambda: lw.Experiment(FIRST, [0.3], held_out="no"), "held_out='no' cannot be used"),
        (lambda: lw.fit_lambdas(X[:, :1], FIRST), "experiment=Observable.* give an lw.Experiment"),
        (lambda: lw.fit_lambdas(X[:, :1], DATA, start=X), r"start=tensor.* give λ of the 1 data"),
        (lambda: lw.certify(X[:, 0], X[:9, 0], X[:, 0]), "log_weight=tensor.* one number for each"),
        (lambda: lw.free_energy_difference(MODEL, 1, right), "a=1 cannot be used"),
        (lambda: lw.save_model(NET, "folder"), "model=Linear"),
    ],
)
def test_what_is_not_meant_is_refused_by_name(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(LeastworkError, match=said):
        call()


def test_arrays_are_tensors() -> None:
    array, one = X.numpy(), X[:, 0]
    assert torch.equal(lw.fit_lambdas(array[:, :1], DATA).lambdas, lw.fit_lambdas(X[:, :1], DATA).lambdas)
    assert lw.certify(array[:, 0], list(array[:, 0]), one).ess.value == lw.certify(one, one, one).ess.value
    there = lw.transport(MODEL, array.astype(np.float32), steps=5)
    assert torch.equal(there, lw.transport(MODEL, X.float(), steps=5))

"""A kind of model of one's own: nothing outside leastwork.models asks of which class a model is."""

from dataclasses import dataclass
from typing import Any, cast

import torch

import leastwork as lw
from leastwork.models.base import Model

PLAIN = lw.DiffusionModel(lambda x, t: -x, lw.VPSchedule(), predicts="score", event_shape=(2,))


@dataclass(frozen=True)
class Mine:
    """A class that is none of the library's, and answers as a diffusion model does."""

    net: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(PLAIN, name)


def test_a_model_is_known_by_what_it_answers() -> None:
    mine = cast(Model, Mine(PLAIN.net))
    for choices in ({}, {"process": "ode"}, {"solver": "heun", "t_grid": "log-snr"}):
        one, other = (lw.sample(model, 8, steps=5, **choices) for model in (mine, PLAIN))
        assert torch.equal(cast(torch.Tensor, one.x), cast(torch.Tensor, other.x))
    points = torch.ones(3, 2)
    assert torch.equal(cast(Any, lw.transport(mine, points)), cast(Any, lw.transport(PLAIN, points)))
    data = lw.Experiment(lw.Observable(lambda x: x[:, 0], names=("x",)), [0.2], errors=0.01)
    runs = [
        lw.guide_observables(model, data, "loss", samples=400, steps=10, certificate_samples=50)
        for model in (mine, PLAIN)
    ]
    assert runs[0].certificate.dissipation.value == runs[1].certificate.dissipation.value
